//! A plain request on its way to an upstream: choose, connect or reuse, send, retry where
//! nothing was lost, and turn the answer's head into the client's.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::header;
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;

use super::body::{ExchangeBody, RequestBody, RequestBodyError};
use super::connection::Context;
use super::error::{Kind, ProxyError};
use super::exchange::{Admitted, Answer, refuse};
use super::headers;
use super::record::Record;
use super::watch::{UpstreamWait, Verdict};
use crate::upstream::body::AnswerBody;
use crate::upstream::client::{BodyFraming, Connection, FlightError, InFlight, write_field};
use crate::upstream::connect::{ConnectError, ConnectErrorKind, connect};
use crate::upstream::response::ResponseHead;
use crate::upstream::{Lease, Upstream, pool};

/// The head of an answer, and the rest of it.
pub struct Answered {
    /// Its head.
    pub head: ResponseHead,
    /// Its body.
    pub body: AnswerBody<RequestBody>,
}

impl Answered {
    /// What `flight` brought.
    pub fn new(
        admitted: &Admitted,
        flight: InFlight<RequestBody>,
        head: ResponseHead,
        rest: Bytes,
        lease: Lease,
    ) -> Self {
        let bodiless = admitted.parts.method == Method::HEAD;
        let config = admitted.upstream.config();
        // A connection that carried a handshake is of no further use: whoever refused it may
        // have understood its rest differently.
        let max_idle = if admitted.is_handshake {
            0
        } else {
            config.max_idle
        };
        let idle = (max_idle, config.idle_timeout);
        let body = AnswerBody::new(flight, &head, rest, bodiless, lease, idle);
        Answered { head, body }
    }
}

/// Forwards the request and answers with what comes back.
pub async fn forward(
    context: Arc<Context>,
    admitted: Admitted,
    incoming: Incoming,
    mut record: Record,
) -> Answer {
    let body = request_body(&admitted, incoming);
    let mut head = Vec::with_capacity(1024);
    encode_head(
        &mut head,
        &admitted.parts,
        body.as_ref().map(|(_, framing)| *framing),
    );
    Ok(
        match send(&context, &admitted, head, body, &mut record).await {
            Ok(answered) => answer(&context, &admitted, answered, record),
            Err(error) => refuse(&context, &error, record),
        },
    )
}

/// The body with the framing that the upstream will see; none where there is nothing.
fn request_body(admitted: &Admitted, body: Incoming) -> Option<(RequestBody, BodyFraming)> {
    if body.is_end_stream() {
        return None;
    }
    let framing = match body.size_hint().exact() {
        Some(_) => BodyFraming::Length,
        None => BodyFraming::Chunked,
    };
    Some((
        RequestBody::new(body, admitted.route.config.max_body),
        framing,
    ))
}

/// The request's head as it goes on the wire. Content-Length is the client's own line, which
/// the scanner has checked.
fn encode_head(out: &mut Vec<u8>, parts: &Parts, framing: Option<BodyFraming>) {
    out.extend_from_slice(parts.method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(parts.uri.path().as_bytes());
    if let Some(query) = parts.uri.query() {
        out.push(b'?');
        out.extend_from_slice(query.as_bytes());
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    for (name, value) in &parts.headers {
        write_field(out, name.as_str().as_bytes(), value.as_bytes());
    }
    if framing == Some(BodyFraming::Chunked) {
        out.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Sends until an answer comes. A connection that was reused may have been closed by the
/// upstream in the meantime: then an idempotent request without a body (RFC 9110 section
/// 9.2.2) is sent once more, on a connection of its own.
async fn send(
    context: &Context,
    admitted: &Admitted,
    mut head: Vec<u8>,
    mut body: Option<(RequestBody, BodyFraming)>,
    record: &mut Record,
) -> Result<Answered, ProxyError> {
    let may_repeat = body.is_none() && admitted.parts.method.is_idempotent();
    let mut lease = pick(&admitted.upstream, &[])?;
    let mut reused = pool::take(lease.endpoint().id());
    loop {
        let connection = match reused.take() {
            Some(connection) => connection,
            None => {
                let (connection, leased) = open(&admitted.upstream, lease).await?;
                lease = leased;
                connection
            }
        };
        record.endpoint(lease.endpoint().name());
        let again = may_repeat && connection.reused;
        let mut flight = InFlight::new(connection, head, body.take());
        let limit = admitted.route.config.timeouts.response_head;
        let error = match head_of_answer(context, admitted, &mut flight, limit).await {
            Ok((head, _)) if head.status == StatusCode::SWITCHING_PROTOCOLS => Failed::Switching,
            Ok((head, rest)) => {
                return Ok(Answered::new(admitted, flight, head, rest, lease));
            }
            Err(error) => error,
        };
        match error {
            Failed::Flight(FlightError::Connection { ref came, .. })
                if again && came.is_empty() =>
            {
                head = flight.into_head();
            }
            error => return Err(error.into_proxy_error(&lease)),
        }
    }
}

/// An endpoint's share, or why there is none.
pub fn pick(upstream: &Upstream, tried: &[usize]) -> Result<Lease, ProxyError> {
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
pub async fn open(upstream: &Upstream, lease: Lease) -> Result<(Connection, Lease), ProxyError> {
    let mut lease = lease;
    let mut tried = Vec::new();
    loop {
        let endpoint = lease.endpoint().clone();
        let error = match connect(&endpoint, upstream.config().connect_timeout).await {
            Ok(io) => {
                lease.ok();
                pool::opened();
                let connection = Connection {
                    io,
                    endpoint: endpoint.id(),
                    reused: false,
                };
                return Ok((connection, lease));
            }
            Err(error) => error,
        };
        if !error.kind.blames_endpoint() {
            return Err(connect_error(&error));
        }
        lease.failed();
        tried.push(endpoint.id());
        match upstream.pick(&tried) {
            Some(next) => lease = next,
            None => return Err(connect_error(&error)),
        }
    }
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
    pub fn into_proxy_error(self, lease: &Lease) -> ProxyError {
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
            Failed::Flight(FlightError::Body(RequestBodyError::TooLarge)) => ProxyError::client(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the request body is larger than this route allows",
            ),
            Failed::Flight(FlightError::Body(RequestBodyError::Client(_))) => {
                ProxyError::client(StatusCode::BAD_REQUEST, "the request body broke off")
            }
        }
    }
}

/// Waits for the final head of the answer, at most `limit` from when the request is out;
/// interim heads go to the client on the way.
pub async fn head_of_answer(
    context: &Context,
    admitted: &Admitted,
    flight: &mut InFlight<RequestBody>,
    limit: Duration,
) -> Result<(ResponseHead, Bytes), Failed> {
    loop {
        let (head, rest) = poll_fn(|cx| {
            if context.watch.verdict() == Verdict::UpstreamHead {
                return Poll::Ready(Err(Failed::Slow));
            }
            let polled = flight.poll_head(cx);
            // The clock for the answer runs once the request is out.
            if polled.is_pending() && flight.is_sent() && !context.watch.waits_upstream() {
                context.watch.wait_upstream(UpstreamWait::Head, limit);
            }
            polled.map_err(Failed::Flight)
        })
        .await?;
        if !head.is_interim() {
            let idle = admitted.route.config.timeouts.response_idle;
            context.watch.wait_upstream(UpstreamWait::Body, idle);
            return Ok((head, rest));
        }
        pass_interim(context, admitted, &head);
        flight.unread(rest);
    }
}

/// Passes a 1xx on. Not 100, which hyper sends itself when the body is first asked for, and
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
    out.extend_from_slice(head.status.canonical_reason().unwrap_or("").as_bytes());
    out.extend_from_slice(b"\r\n");
    for (name, value) in &fields {
        write_field(&mut out, name.as_str().as_bytes(), value.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    context.push_interim(&out);
}

/// The upstream's answer as the client sees it.
pub fn answer(
    context: &Arc<Context>,
    admitted: &Admitted,
    answered: Answered,
    mut record: Record,
) -> Response<ExchangeBody> {
    let Answered { head, mut body } = answered;
    record.status(head.status);
    let whole = body.take_whole();
    let body = match whole {
        Some(bytes) => ExchangeBody::whole(bytes, record, context.clone()),
        None => ExchangeBody::upstream(Box::new(body), record, context.clone()),
    };
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    let fields = response.headers_mut();
    headers::strip_hop_by_hop(fields);
    headers::apply_edits(fields, &admitted.route.config.response_headers);
    if admitted.is_handshake {
        // What the client sent behind its handshake must not become its next request.
        fields.insert(
            header::CONNECTION,
            header::HeaderValue::from_static("close"),
        );
    }
    response
}
