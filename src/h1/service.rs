//! hyper's service: each request becomes an exchange, and its outcome an answer for hyper. A
//! tunnel is an error, with which hyper lets go of the socket.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Poll, ready};

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;

use super::context::Context;
use super::sent_body::SentBody;
use crate::net::io::yield_turn;
use crate::proxy::exchange::{self, Running};
use crate::proxy::outcome::{Answer, Outcome};
use crate::proxy::pending::PendingTunnel;
use crate::proxy::{drain, incoming};
use crate::route::target::Target;
use crate::system::lock::lock;

/// Answers the requests of one client connection.
pub struct Service {
    context: Arc<Context>,
}

impl Service {
    /// For this connection.
    pub fn new(context: Arc<Context>) -> Self {
        Service { context }
    }
}

impl hyper::service::Service<Request<Incoming>> for Service {
    type Response = Response<SentBody>;
    type Error = NoAnswer;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        let context = self.context.clone();
        context.begin_exchange(request.version());
        let (mut parts, body) = request.into_parts();
        let target = take_target(&context, &mut parts);
        let body = incoming::Incoming::H1(body);
        Answering {
            yields: context.is_turn_over(),
            state: State::Running(exchange::begin(context.clone(), parts, target, body)),
            context,
        }
    }
}

/// The target as the client sent it: parsed by hyper, or passed around it. A URL's
/// authority becomes Host (RFC 9112 section 3.2.2).
fn take_target(context: &Context, parts: &mut Parts) -> Target {
    let Some(raw) = context.carried() else {
        return Target::from(&parts.uri);
    };
    let (target, authority) = Target::parse(&raw, parts.method == Method::OPTIONS);
    if let Some(host) = authority.and_then(|named| HeaderValue::from_bytes(named).ok()) {
        parts.headers.insert(header::HOST, host);
    }
    target
}

/// An exchange, until hyper can be told its outcome.
pub struct Answering {
    context: Arc<Context>,
    state: State,
    /// All other tasks get their turn first.
    yields: bool,
}

enum State {
    Running(Running),
    /// An answer to an earlier, pipelined request is still in hyper's buffer, because the client
    /// does not read. It would be lost where the socket is wanted; and where a head is, the place
    /// that it has after it is not known, so that its names could not be respelled.
    Flushing(Option<Box<Outcome>>),
}

impl Future for Answering {
    type Output = Result<Response<SentBody>, NoAnswer>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if std::mem::take(&mut this.yields) {
            yield_turn(cx);
            return Poll::Pending;
        }
        loop {
            match &mut this.state {
                State::Running(exchange) => {
                    let outcome = ready!(exchange.as_mut().poll(cx));
                    let waits = match &outcome {
                        Outcome::ClientGone => false,
                        Outcome::Answer(_) => this.context.watch.is_write_blocked(),
                        Outcome::Tunnel(_) => true,
                    };
                    if !waits {
                        return Poll::Ready(carry_out(&this.context, outcome));
                    }
                    this.state = State::Flushing(Some(Box::new(outcome)));
                }
                State::Flushing(_) if this.context.awaits_flush() => return Poll::Pending,
                State::Flushing(outcome) => {
                    let outcome = outcome
                        .take()
                        .map_or(Outcome::ClientGone, |outcome| *outcome);
                    return Poll::Ready(carry_out(&this.context, outcome));
                }
            }
        }
    }
}

/// What hyper is told.
fn carry_out(context: &Arc<Context>, outcome: Outcome) -> Result<Response<SentBody>, NoAnswer> {
    match outcome {
        Outcome::Answer(answer) => Ok(response(context, answer)),
        Outcome::ClientGone => Err(NoAnswer::ClientGone),
        Outcome::Tunnel(tunnel) => Err(NoAnswer::Takeover(Mutex::new(Some(tunnel)))),
    }
}

/// The answer with what is HTTP/1.1's own: the reason phrase, the spelling of names, and whether
/// the connection ends with it, as it does while the worker drains.
fn response(context: &Arc<Context>, answer: Answer) -> Response<SentBody> {
    let Answer {
        mut response,
        named_length,
        reason,
        spelling,
        close,
    } = answer;
    if let Some(reason) = reason_phrase(response.status(), reason) {
        response.extensions_mut().insert(reason);
    }
    context.spell(spelling);
    if close || context.is_last_exchange() || drain::is_under_way() {
        let fields = response.headers_mut();
        fields.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some(hsts) = context.facts.hsts() {
        // The upstream's own stays.
        let fields = response.headers_mut();
        fields
            .entry(header::STRICT_TRANSPORT_SECURITY)
            .or_insert_with(|| hsts.clone());
    }
    if response.body().size_hint().exact().is_none() && !context.watch.turn.knows_interim() {
        // HTTP/1.0 knows no chunks.
        context.watch.turn.answer_ends_by_close();
    }
    response.map(|body| SentBody::new(body, named_length, context.clone()))
}

/// The phrase, where hyper does not know the usual one or would write a placeholder.
fn reason_phrase(status: StatusCode, unusual: Option<Bytes>) -> Option<ReasonPhrase> {
    match unusual {
        // The parser has refused what a phrase may not hold.
        Some(reason) => ReasonPhrase::try_from(reason).ok(),
        None if status.canonical_reason().is_some() => None,
        None => Some(ReasonPhrase::from_static(b"")),
    }
}

/// Why hyper gets no answer.
#[derive(Debug)]
pub enum NoAnswer {
    /// The socket is wanted for this tunnel.
    Takeover(Mutex<Option<Box<PendingTunnel>>>),
    /// The client is gone.
    ClientGone,
}

impl NoAnswer {
    /// The tunnel for which hyper's service ended, if there is one.
    pub fn tunnel(error: &hyper::Error) -> Option<Box<PendingTunnel>> {
        match error.source()?.downcast_ref()? {
            NoAnswer::Takeover(tunnel) => lock(tunnel).take(),
            NoAnswer::ClientGone => None,
        }
    }
}

impl std::fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            NoAnswer::Takeover(_) => "the connection becomes a tunnel",
            NoAnswer::ClientGone => "the client is gone",
        })
    }
}

impl Error for NoAnswer {}
