//! A plain request on its way to an upstream: choose, connect or reuse, send, retry where
//! nothing was lost, and turn the answer's head into the client's.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::header;
use http::{Method, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;

use super::answer::refuse;
use super::body::{ExchangeBody, RequestBody, RequestBodyError};
use super::h1::context::Context;
use super::h1::watch::{UpstreamWait, Verdict};
use super::outcome::{Answer, Outcome};
use super::record::Record;
use super::spelling::Spelling;
use crate::fault::error::{Kind, ProxyError};
use crate::message::response::{BodyKind, ResponseHead};
use crate::message::spelling::{Section, Speller, push_line, push_spelled};
use crate::message::{forwarded, headers};
use crate::metrics::{self, Retry};
use crate::net::io::Io;
use crate::policy::admitted::Admitted;
use crate::policy::offer::Offer;
use crate::route::hop;
use crate::upstream::body::AnswerBody;
use crate::upstream::client::{BodyFraming, Connection, FlightError, InFlight};
use crate::upstream::connect::{ConnectError, ConnectErrorKind, connect};
use crate::upstream::{Lease, Upstream, bound, pool};

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
    context: Arc<Context>,
    admitted: Box<Admitted>,
    incoming: Incoming,
    mut record: Box<Record>,
) -> Outcome {
    let body = request_body(&context, &admitted, incoming);
    let head = encode_head(&context, &admitted, &body, None, &mut record);
    let limit = admitted.route.config.timeouts.response_head;
    let sending = async {
        match send(&context, &admitted, head, body, limit, &mut record).await {
            Ok(heard) if heard.head.status == StatusCode::SWITCHING_PROTOCOLS => {
                Err(Failed::Switching.into_proxy_error(&context, &heard.lease))
            }
            Ok(heard) => Ok(Answered::new(&admitted, heard)),
            Err(unheard) => Err(unheard.into_proxy_error(&context)),
        }
    };
    match unless_slow(&context, sending).await {
        Ok(answered) => Outcome::Answer(answer(&context, &admitted, answered, record)),
        // Whether its body follows is the client's choice.
        Err(error) if admitted.expects_continue => refuse(&context, &error.closing(), record),
        Err(error) => refuse(&context, &error, record),
    }
}

/// Goes on with an exchange until the client lets the time for its body pass.
pub async fn unless_slow<T>(
    context: &Context,
    exchange: impl Future<Output = Result<T, ProxyError>>,
) -> Result<T, ProxyError> {
    let mut exchange = pin!(exchange);
    poll_fn(|cx| match context.watch.take_slow_body() {
        Some(verdict) => {
            let detail = match verdict {
                Verdict::BodyRate => "the request body came too slowly",
                _ => "the request body fell silent",
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
    context: &Arc<Context>,
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
        RequestBody::new(body, admitted.route.config.max_body, context.clone()),
        framing,
    ))
}

/// The request's head as it goes on the wire. Content-Length is the client's own line, which
/// the scanner has checked.
pub fn encode_head(
    context: &Context,
    admitted: &Admitted,
    body: &Option<(RequestBody, BodyFraming)>,
    offer: Option<&Offer>,
    record: &mut Record,
) -> Vec<u8> {
    let mut head = Vec::with_capacity(1024);
    let out = &mut head;
    let parts = &admitted.parts;
    record.trace_sending(&admitted.target);
    out.extend_from_slice(parts.method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(admitted.target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let (policy, direct) = (&*context.facts.forwarding, admitted.direct);
    let mut host = None;
    let names = context.take_names(Section::Head);
    let configured = [
        &*admitted.route.config.request_headers.spelling,
        &*context.facts.http.spelling,
    ];
    let mut speller = Speller::new(&names).after(configured);
    for (name, value) in &parts.headers {
        if *name == header::HOST {
            host = Some(value);
        }
        if !(direct && forwarded::gives_way(policy, name)) {
            let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
            push_spelled(out, &mut speller, name, value);
        }
    }
    if direct {
        let host = admitted.replaced_host.as_ref().or(host);
        record.identify(forwarded::write_direct(
            out,
            policy,
            &context.facts.peer_fields,
            host,
            push_line,
        ));
        record.write_trace(out, push_line);
    }
    let hops = &admitted.hops;
    hops.with(&admitted.route.mark, |hops| {
        push_line(out, hop::FIELD.as_str().as_bytes(), hops);
    });
    if let Some(offer) = offer {
        out.extend_from_slice(b"Connection: Upgrade\r\n");
        push_line(out, b"upgrade", &offer.value());
    }
    if let Some((_, BodyFraming::Chunked)) = body {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    out.extend_from_slice(b"\r\n");
    head
}

/// The head of an answer, what was read with it, and the connection that it came on.
pub struct Heard {
    /// The request, of which some may be left to be sent.
    pub flight: InFlight<RequestBody>,
    /// The head.
    pub head: ResponseHead,
    /// What was read of the rest.
    pub rest: Bytes,
    /// The endpoint that answers.
    pub lease: Lease,
}

/// Why there is none.
pub enum Unheard {
    /// There is no connection to send the request on.
    Unsent(ProxyError),
    /// It was sent, at least in part.
    Failed(Failed, Lease),
}

impl Unheard {
    /// The answer that says so.
    pub fn into_proxy_error(self, context: &Context) -> ProxyError {
        match self {
            Unheard::Unsent(error) => error,
            Unheard::Failed(failed, lease) => failed.into_proxy_error(context, &lease),
        }
    }
}

/// Sends until the head of an answer comes, at most `limit` after the request is out. A
/// connection that was reused may have been closed by the upstream in the meantime: then an
/// idempotent request (RFC 9110 section 9.2.2) of whose body nothing was sent is sent once
/// more, on a connection of its own.
pub async fn send(
    context: &Context,
    admitted: &Admitted,
    mut head: Vec<u8>,
    mut body: Option<(RequestBody, BodyFraming)>,
    limit: Duration,
    record: &mut Record,
) -> Result<Heard, Unheard> {
    let may_repeat = admitted.parts.method.is_idempotent();
    let bodiless = body.is_none();
    // Where the client sends it unasked there is nothing to wait for.
    let holds = admitted.expects_continue && context.watch.body() == 0;
    let rules = admitted.upstream.head_rules();
    let login = bound::is_login(&admitted.parts.headers);
    let (mut reused, mut lease) = take(context, admitted).map_err(Unheard::Unsent)?;
    loop {
        let connection = match reused.take() {
            Some(connection) => connection,
            None => {
                let opening = Box::pin(open(&admitted.upstream, lease));
                let (connection, leased) = opening.await.map_err(Unheard::Unsent)?;
                lease = leased;
                connection
            }
        };
        record.endpoint(lease.endpoint().name());
        let again = may_repeat && connection.reused;
        let mut flight = InFlight::new(connection, head, body.take(), rules);
        if holds {
            flight = flight.hold();
        }
        match head_of_answer(context, admitted, &mut flight, limit).await {
            Ok((head, rest)) => {
                lease.heard();
                if login || bound::asks_for_login(head.status, &head.headers) {
                    context.bind(&mut flight.connection);
                }
                return Ok(Heard {
                    flight,
                    head,
                    rest,
                    lease,
                });
            }
            Err(Failed::Flight(FlightError::Connection { .. }))
                if again && !flight.has_heard() && (bodiless || flight.is_held()) =>
            {
                metrics::retried(lease.endpoint().slot(), Retry::StaleConnection);
                (head, body) = flight.into_request();
            }
            Err(failed) => {
                if let Failed::Slow = failed {
                    lease.unanswered(limit);
                }
                return Err(Unheard::Failed(failed, lease));
            }
        }
    }
}

/// The endpoint whose turn it is, and an idle connection to it: the client's own, where it has
/// logged in on one. What may become a tunnel begins on a connection that has carried nothing.
fn take(context: &Context, admitted: &Admitted) -> Result<(Option<Connection>, Lease), ProxyError> {
    if let Some((connection, lease)) = context.bound_to(&admitted.upstream) {
        return Ok((Some(connection), lease));
    }
    let lease = pick(&admitted.upstream, &[])?;
    let idle = match admitted.is_handshake {
        true => None,
        false => pool::take(lease.endpoint()),
    };
    Ok((idle, lease))
}

/// An endpoint's share, or why there is none.
fn pick(upstream: &Upstream, tried: &[usize]) -> Result<Lease, ProxyError> {
    upstream
        .pick(tried)
        .ok_or_else(|| match upstream.is_unresolved() {
            true => connect_error(&ConnectError::unresolved(upstream.name().clone())),
            false => ProxyError::upstream(
                Kind::DestinationUnavailable,
                format!(
                    "the upstream {} has no endpoint left to try",
                    upstream.name()
                ),
            ),
        })
}

/// Opens a connection to the leased endpoint, or to another one while nothing was sent.
async fn open(upstream: &Upstream, lease: Lease) -> Result<(Connection, Lease), ProxyError> {
    let mut lease = lease;
    let mut tried = Vec::new();
    loop {
        let endpoint = lease.endpoint().clone();
        tried.push(endpoint.id());
        let error = match connect_or_leave(upstream, &lease, &tried).await {
            Connecting::Done(io) => {
                lease.ok();
                let connection = Connection {
                    io,
                    reused: false,
                    owner: None,
                    large: false,
                };
                return Ok((connection, lease));
            }
            Connecting::Elsewhere(next) => {
                metrics::retried(endpoint.slot(), Retry::ConnectFailed);
                lease = next;
                continue;
            }
            Connecting::Failed(error) => error,
        };
        if !error.kind.blames_endpoint() {
            return Err(connect_error(&error));
        }
        lease.failed(error.kind.word());
        match upstream.pick(&tried) {
            Some(next) => {
                metrics::retried(endpoint.slot(), Retry::ConnectFailed);
                lease = next;
            }
            None => return Err(connect_error(&error)),
        }
    }
}

/// What came of one connect.
enum Connecting {
    Done(Io),
    Failed(ConnectError),
    /// It hangs, another request waits for it already, and this endpoint can be used.
    Elsewhere(Lease),
}

/// Connects. Of the requests whose connect to one endpoint hangs, one waits to the end; the
/// others leave after a fifth of the time for an endpoint that is not among `tried`.
async fn connect_or_leave(upstream: &Upstream, lease: &Lease, tried: &[usize]) -> Connecting {
    let limit = upstream.config().connect_timeout;
    let patience = limit / 5;
    let mut connecting = std::pin::pin!(connect(lease.endpoint(), limit));
    let connected = match tokio::time::timeout(patience, &mut connecting).await {
        Ok(connected) => connected,
        Err(_) => {
            let is_first = lease.suspect(limit - patience);
            if !is_first && let Some(next) = upstream.pick_usable(tried) {
                return Connecting::Elsewhere(next);
            }
            connecting.await
        }
    };
    connected.map_or_else(Connecting::Failed, Connecting::Done)
}

fn connect_error(error: &ConnectError) -> ProxyError {
    let kind = match error.kind {
        ConnectErrorKind::Refused => Kind::ConnectionRefused,
        ConnectErrorKind::Timeout => Kind::ConnectionTimeout,
        ConnectErrorKind::Unreachable => Kind::DestinationUnroutable,
        ConnectErrorKind::Dns => Kind::DnsError,
        ConnectErrorKind::Local => Kind::Internal,
        ConnectErrorKind::Other => Kind::DestinationUnavailable,
    };
    let mut proxy = ProxyError::upstream(kind, error.to_string());
    proxy.status = error.kind.status();
    proxy
}

/// Why a request that was sent has no answer.
#[derive(Debug)]
pub enum Failed {
    /// The connection or the request's body.
    Flight(FlightError<RequestBodyError>),
    /// The answer did not begin in time.
    Slow,
    /// A 101 that nobody asked for.
    Switching,
}

impl Failed {
    /// The answer that says so.
    pub fn into_proxy_error(self, context: &Context, lease: &Lease) -> ProxyError {
        let endpoint = lease.endpoint().name();
        match self {
            Failed::Slow => ProxyError::upstream(
                Kind::ResponseTimeout,
                format!("{endpoint} did not begin its answer in time"),
            ),
            Failed::Switching => ProxyError::upstream(
                Kind::UpgradeFailed,
                format!("{endpoint} switched protocols without being asked to"),
            ),
            Failed::Flight(FlightError::Head { error, .. }) => {
                ProxyError::upstream(Kind::ProtocolError, format!("{endpoint}: {error}"))
                    .publicly(error.to_string())
            }
            Failed::Flight(FlightError::Connection { error, came }) => {
                let (kind, what) = match came.is_empty() {
                    false => (Kind::ResponseIncomplete, "ended the connection mid-answer"),
                    true => (
                        Kind::ConnectionTerminated,
                        "ended the connection without an answer",
                    ),
                };
                ProxyError::upstream(kind, format!("{endpoint} {what}: {error}"))
            }
            Failed::Flight(FlightError::Body(error)) => error.into_proxy_error(context),
        }
    }
}

/// Waits for the final head of the answer, at most `limit` from when the request is out or
/// the upstream stopped taking it; interim heads go to the client on the way.
async fn head_of_answer(
    context: &Context,
    admitted: &Admitted,
    flight: &mut InFlight<RequestBody>,
    limit: Duration,
) -> Result<(ResponseHead, Bytes), Failed> {
    let mut sent = 0;
    loop {
        let (head, rest) = poll_fn(|cx| {
            if context.watch.verdict() == Verdict::UpstreamHead {
                return Poll::Ready(Err(Failed::Slow));
            }
            if context.watch.take_continue() {
                flight.release();
            }
            let polled = flight.poll_head(cx);
            if polled.is_pending() && flight.is_held() {
                if !context.watch.waits_continue() {
                    let wait = admitted.route.config.timeouts.expect_continue;
                    context.watch.wait_upstream(UpstreamWait::Continue, wait);
                }
            } else if polled.is_pending() {
                let moved = std::mem::replace(&mut sent, flight.sent()) != flight.sent();
                watch_upstream(context, flight.awaits_upstream(), moved, limit);
            }
            polled.map_err(Failed::Flight)
        })
        .await?;
        if !head.is_interim() {
            let idle = admitted.route.config.timeouts.response_idle;
            context.watch.wait_upstream(UpstreamWait::Body, idle);
            return Ok((head, rest));
        }
        if head.status == StatusCode::CONTINUE {
            flight.release();
        }
        // Not into the middle of an earlier, pipelined answer; and a client that does not
        // take them must not make them pile up.
        context.wait_flushed().await;
        pass_interim(context, admitted, &head);
        flight.unread(rest);
    }
}

/// The clock for the answer runs while it is the upstream's turn: the request is out, or the
/// socket does not take more of it.
fn watch_upstream(context: &Context, its_turn: bool, moved: bool, limit: Duration) {
    let watch = &context.watch;
    if !its_turn {
        watch.pause_upstream();
    } else if moved || !watch.waits_upstream() || watch.waits_continue() {
        watch.wait_upstream(UpstreamWait::Head, limit);
    }
}

/// Passes a 1xx on. Not 100, which hyper sends itself when the body is first asked for (and
/// that is when the upstream has said 100, or was given its time to), and
/// not to HTTP/1.0, which knows none (RFC 9110 section 15.2).
pub fn pass_interim(context: &Context, admitted: &Admitted, head: &ResponseHead) {
    if head.status == StatusCode::CONTINUE || admitted.parts.version != http::Version::HTTP_11 {
        return;
    }
    let mut fields = head.headers.clone();
    headers::strip_hop_by_hop(&mut fields);
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(head.status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(&head.reason);
    out.extend_from_slice(b"\r\n");
    let mut speller = Speller::new(&head.lines);
    for (name, value) in &fields {
        let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
        push_spelled(&mut out, &mut speller, name, value);
    }
    out.extend_from_slice(b"\r\n");
    context.push_interim(&out);
}

/// The upstream's answer as the client sees it.
pub fn answer(
    context: &Arc<Context>,
    admitted: &Admitted,
    answered: Answered,
    mut record: Box<Record>,
) -> Answer {
    let Answered {
        head,
        rest,
        unasked,
    } = answered;
    record.status(head.status);
    let mut body = match rest {
        Rest::Whole(bytes) => ExchangeBody::whole(bytes, record, context.clone()),
        Rest::Streams(body) => {
            let known = body.size_hint().exact().is_some();
            if admitted.parts.version == http::Version::HTTP_10 && !known {
                context.answer_ends_by_close();
            }
            ExchangeBody::upstream(body, record, context.clone())
        }
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
