//! A plain request: sent to its upstream with its body, and the head of the answer rewritten for
//! the client.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use http::{Method, Response, StatusCode};

use super::answer::refuse;
use super::body::ExchangeBody;
use super::drain;
use super::encode::encode_head;
use super::incoming::Incoming;
use super::outcome::{Answer, Outcome};
use super::record::Record;
use super::request_body::RequestBody;
use super::send::{Failed, Heard, send};
use super::spelling::Spelling;
use super::stream::{SlowBody, Stream};
use super::underway::Underway;
use crate::fault::error::ProxyError;
use crate::message::headers;
use crate::message::response::{BodyKind, ResponseHead};
use crate::policy::admitted::Admitted;
use crate::policy::authorize::authorize;
use crate::upstream::body::AnswerBody;
use crate::upstream::pool;

/// The head of an answer, and the rest of it.
pub struct Answered {
    /// Its head.
    pub head: Box<ResponseHead>,
    /// Its body.
    pub rest: Rest,
    /// It came before the request's body was asked for.
    unasked: bool,
}

/// The body of an answer.
pub enum Rest {
    /// All of it came with the head; the connection may already serve another request.
    Whole(Bytes),
    /// It streams.
    Streams(Box<AnswerBody<RequestBody>>),
}

impl Answered {
    /// From what was heard of the upstream.
    pub fn new(admitted: &Admitted, heard: Heard) -> Self {
        let Heard {
            mut flight,
            head,
            rest,
            lease,
        } = heard;
        let unasked = flight.is_held();
        flight.drop_held();
        let bodiless = admitted.parts.method == Method::HEAD;
        let config = admitted.upstream.config();
        // A connection that carried a handshake is of no further use: a server that refused it
        // may have understood its rest differently.
        let max_idle = if admitted.is_handshake {
            0
        } else {
            config.max_idle
        };
        let whole = match head.body {
            _ if bodiless => rest.is_empty(),
            BodyKind::None => rest.is_empty(),
            BodyKind::Length(length) => length == rest.len() as u64,
            BodyKind::Chunked | BodyKind::UntilClose => false,
        };
        if whole && flight.is_sent() {
            if head.persists() {
                let (connection, endpoint) = (flight.into_connection(), lease.endpoint());
                pool::put(connection, endpoint, max_idle, config.idle_timeout);
            }
            let rest = Rest::Whole(rest);
            return Answered {
                head,
                rest,
                unasked,
            };
        }
        let idle = (max_idle, config.idle_timeout);
        let body = AnswerBody::new(flight, &head, rest, bodiless, lease, idle);
        let rest = Rest::Streams(Box::new(body));
        Answered {
            head,
            rest,
            unasked,
        }
    }
}

/// Forwards the request and answers with what comes back.
pub async fn forward(
    mut exchange: Box<Underway>,
    admitted: Admitted,
    incoming: Incoming,
) -> Outcome {
    if let Err(error) = authorize(&admitted, exchange.stream().facts()).await {
        return refuse(exchange, &error);
    }
    let (stream, record) = exchange.parts();
    let attempted = {
        let attempt = pin!(attempt(stream, &admitted, incoming, record));
        unless_ended(&**stream, attempt).await
    };
    match attempted {
        Ok(answered) => Outcome::Answer(answer(exchange, &admitted, answered)),
        // The client may send its body or not.
        Err(error) if admitted.expects_continue => refuse(exchange, &error.closing()),
        Err(error) => refuse(exchange, &error),
    }
}

async fn attempt(
    stream: &Arc<dyn Stream>,
    admitted: &Admitted,
    incoming: Incoming,
    record: &mut Record,
) -> Result<Answered, ProxyError> {
    let body = RequestBody::new(incoming, admitted.route.config.max_body, stream);
    let framing = body.as_ref().map(|(_, framing)| *framing);
    let head = encode_head(&**stream, admitted, framing, None, record);
    let limit = admitted.route.config.timeouts.response_head;
    match send(&**stream, admitted, head, body, limit, record).await {
        Ok(heard) if heard.head.status == StatusCode::SWITCHING_PROTOCOLS => {
            Err(Failed::Switching.into_proxy_error(&**stream, &heard.lease))
        }
        Ok(heard) => Ok(Answered::new(admitted, heard)),
        Err(unheard) => {
            if let Some(diagnosis) = unheard.diagnosis() {
                record.diagnosed(diagnosis);
            }
            Err(unheard.into_proxy_error(&**stream))
        }
    }
}

/// Polls an exchange until the client's body is too slow, or sluice cuts it. The caller pins it: a
/// future that is moved into another one is stored, and copied, twice.
pub async fn unless_ended<T>(
    stream: &dyn Stream,
    mut exchange: Pin<&mut impl Future<Output = Result<T, ProxyError>>>,
) -> Result<T, ProxyError> {
    poll_fn(|cx| {
        if let Some(cut) = drain::cut_error() {
            return Poll::Ready(Err(cut));
        }
        match stream.take_slow_body() {
            Some(slow) => {
                let detail = match slow {
                    SlowBody::Rate => "the request body came too slowly",
                    SlowBody::Idle => "the request body fell silent",
                };
                let status = StatusCode::REQUEST_TIMEOUT;
                Poll::Ready(Err(ProxyError::client(status, detail)))
            }
            None => exchange.as_mut().poll(cx),
        }
    })
    .await
}

/// The upstream's answer as the client sees it.
pub fn answer(mut exchange: Box<Underway>, admitted: &Admitted, answered: Answered) -> Answer {
    let Answered {
        mut head,
        rest,
        unasked,
    } = answered;
    exchange.record().status(head.status);
    let body = match rest {
        Rest::Whole(bytes) => ExchangeBody::whole(bytes, exchange),
        Rest::Streams(body) => ExchangeBody::upstream(body, exchange),
    };
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    let reason = head.unusual_reason().cloned();
    // The answer to a HEAD needs no body to confirm its length.
    let is_not_modified =
        head.status == StatusCode::NOT_MODIFIED && admitted.parts.method != Method::HEAD;
    *response.headers_mut() = std::mem::take(&mut head.headers);
    let fields = response.headers_mut();
    headers::strip_hop_by_hop(fields);
    headers::apply_edits(fields, &admitted.route.config.response_headers);
    Answer {
        response,
        named_length: head.length.filter(|_| is_not_modified),
        reason,
        spelling: Spelling::of_answer(admitted, std::mem::take(&mut head.lines)),
        // The client may send the body or not, so what follows may not be a request.
        close: unasked,
    }
}
