//! A plain request: sent to its upstream with its body, and the answer's head made the
//! client's.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;

use super::answer::refuse;
use super::body::{ExchangeBody, RequestBody};
use super::encode::encode_head;
use super::outcome::{Answer, Outcome};
use super::send::{Failed, Heard, send};
use super::spelling::Spelling;
use super::stream::{SlowBody, Stream};
use super::underway::Underway;
use crate::fault::error::ProxyError;
use crate::message::headers;
use crate::message::response::{BodyKind, ResponseHead};
use crate::policy::admitted::Admitted;
use crate::upstream::body::AnswerBody;
use crate::upstream::client::BodyFraming;
use crate::upstream::pool;

/// The head of an answer, and the rest of it.
pub struct Answered {
    /// Its head.
    pub head: ResponseHead,
    /// Its body.
    pub rest: Rest,
    /// It came before the request's body was asked for.
    unasked: bool,
}

/// The body of an answer.
pub enum Rest {
    /// All of it came with the head; the connection serves the next request already.
    Whole(Bytes),
    /// It streams.
    Streams(Box<AnswerBody<RequestBody>>),
}

impl Answered {
    /// What was heard.
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
        // A connection that carried a handshake is of no further use: whoever refused it may
        // have understood its rest differently.
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
    admitted: Box<Admitted>,
    incoming: Incoming,
) -> Outcome {
    let (stream, record) = exchange.parts();
    let body = request_body(stream, &admitted, incoming);
    let head = encode_head(&**stream, &admitted, &body, None, record);
    let limit = admitted.route.config.timeouts.response_head;
    let sending = async {
        match send(&**stream, &admitted, head, body, limit, record).await {
            Ok(heard) if heard.head.status == StatusCode::SWITCHING_PROTOCOLS => {
                Err(Failed::Switching.into_proxy_error(&**stream, &heard.lease))
            }
            Ok(heard) => Ok(Answered::new(&admitted, heard)),
            Err(unheard) => Err(unheard.into_proxy_error(&**stream)),
        }
    };
    match unless_slow(&**stream, sending).await {
        Ok(answered) => Outcome::Answer(answer(exchange, &admitted, answered)),
        // Whether its body follows is the client's choice.
        Err(error) if admitted.expects_continue => refuse(exchange, &error.closing()),
        Err(error) => refuse(exchange, &error),
    }
}

/// Goes on with an exchange until the client lets the time for its body pass.
pub async fn unless_slow<T>(
    stream: &dyn Stream,
    exchange: impl Future<Output = Result<T, ProxyError>>,
) -> Result<T, ProxyError> {
    let mut exchange = pin!(exchange);
    poll_fn(|cx| match stream.take_slow_body() {
        Some(slow) => {
            let detail = match slow {
                SlowBody::Rate => "the request body came too slowly",
                SlowBody::Idle => "the request body fell silent",
            };
            let status = StatusCode::REQUEST_TIMEOUT;
            Poll::Ready(Err(ProxyError::client(status, detail)))
        }
        None => exchange.as_mut().poll(cx),
    })
    .await
}

/// The body with the framing that the upstream will see; none where there is nothing.
pub fn request_body(
    stream: &Arc<dyn Stream>,
    admitted: &Admitted,
    body: Incoming,
) -> Option<(RequestBody, BodyFraming)> {
    if body.is_end_stream() {
        return None;
    }
    let framing = match body.size_hint().exact() {
        Some(_) => BodyFraming::Length,
        None => BodyFraming::Chunked,
    };
    Some((
        RequestBody::new(body, admitted.route.config.max_body, stream.clone()),
        framing,
    ))
}

/// The upstream's answer as the client sees it.
pub fn answer(mut exchange: Box<Underway>, admitted: &Admitted, answered: Answered) -> Answer {
    let Answered {
        head,
        rest,
        unasked,
    } = answered;
    exchange.record().status(head.status);
    let mut body = match rest {
        Rest::Whole(bytes) => ExchangeBody::whole(bytes, exchange),
        Rest::Streams(body) => ExchangeBody::upstream(body, exchange),
    };
    // A HEAD needs no help: hyper trusts its field.
    if head.status == StatusCode::NOT_MODIFIED
        && admitted.parts.method != Method::HEAD
        && let Some(length) = head.length
    {
        body = body.naming(length);
    }
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    // The parser let nothing pass that a phrase may not hold.
    if let Some(reason) = head.unusual_reason()
        && let Ok(reason) = ReasonPhrase::try_from(reason.clone())
    {
        response.extensions_mut().insert(reason);
    }
    *response.headers_mut() = head.headers;
    let fields = response.headers_mut();
    headers::strip_hop_by_hop(fields);
    headers::apply_edits(fields, &admitted.route.config.response_headers);
    Answer {
        response,
        spelling: Spelling {
            configured: admitted.route.config.response_headers.spelling.clone(),
            came: head.lines,
        },
        // The client may send the body or not: nothing behind it is a request for sure.
        close: unasked,
    }
}
