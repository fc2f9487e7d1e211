//! Sending a request to an upstream: a connection is chosen, and the request sent until the head of
//! an answer arrives; once more where the first connection turns out to be closed.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;

use super::clock::Wait;
use super::encode::with_host;
use super::open::{open, pick};
use super::record::Record;
use super::request_body::{RequestBody, RequestBodyError};
use super::stream::Stream;
use crate::fault::diagnosis::{self, Diagnosis};
use crate::fault::error::{Kind, ProxyError};
use crate::message::response::ResponseHead;
use crate::metrics::{self, Retry};
use crate::policy::admitted::Admitted;
use crate::upstream::client::{BodyFraming, FlightError, InFlight};
use crate::upstream::connection::Connection;
use crate::upstream::{Lease, login, pool};

/// The head of an answer, what was read with it, and the connection that it came on. What is large
/// of it stays where it is.
pub struct Heard {
    /// The request, part of which may still have to be sent.
    pub flight: Box<InFlight<RequestBody>>,
    /// The head.
    pub head: Box<ResponseHead>,
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
    /// What bytes that are no answer say about the upstream.
    pub fn diagnosis(&self) -> Option<Diagnosis> {
        let Unheard::Failed(Failed::Flight(error), _) = self else {
            return None;
        };
        match error {
            FlightError::Head { error, bytes } => {
                Some(diagnosis::diagnose_bytes(bytes, Some(*error)))
            }
            FlightError::Connection { came, .. } if !came.is_empty() => {
                Some(diagnosis::diagnose_bytes(came, None))
            }
            FlightError::Connection { .. } | FlightError::Body(_) => None,
        }
    }

    /// The answer that says so.
    pub fn into_proxy_error(self, stream: &dyn Stream) -> ProxyError {
        match self {
            Unheard::Unsent(error) => error,
            Unheard::Failed(failed, lease) => failed.into_proxy_error(stream, &lease),
        }
    }
}

/// Sends until the head of an answer comes, at most `limit` after the request is out. A
/// connection that was reused may have been closed by the upstream in the meantime: then an
/// idempotent request (RFC 9110 section 9.2.2) of whose body nothing was sent is sent once
/// more, on a connection of its own.
pub async fn send(
    stream: &dyn Stream,
    admitted: &Admitted,
    mut head: Vec<u8>,
    mut body: Option<(RequestBody, BodyFraming)>,
    limit: Duration,
    record: &mut Record,
) -> Result<Heard, Unheard> {
    let may_repeat = admitted.parts.method.is_idempotent();
    let bodiless = body.is_none();
    // A client that has begun to send need not be asked to.
    let holds = admitted.expects_continue && stream.received() == 0;
    let rules = admitted.upstream.head_rules();
    let (mut reused, mut lease) = take(stream, admitted).map_err(Unheard::Unsent)?;
    // Without a Host of its own it names the endpoint; a second try may go to another one.
    let hostless = admitted.host().is_empty().then(|| head.clone());
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
        if let Some(hostless) = &hostless {
            head = with_host(hostless, lease.endpoint().address());
        }
        let again = may_repeat && connection.reused;
        let mut flight = Box::new(InFlight::new(connection, head, body.take(), rules));
        if holds {
            flight.hold();
        }
        match head_of_answer(stream, admitted, &mut flight, limit).await {
            Ok((head, rest)) => {
                lease.heard();
                if admitted.logs_in || login::asks_for_login(head.status, &head.headers) {
                    stream.bind(&mut flight.connection);
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
fn take(
    stream: &dyn Stream,
    admitted: &Admitted,
) -> Result<(Option<Connection>, Lease), ProxyError> {
    if let Some((connection, lease)) = stream.bound_to(&admitted.upstream) {
        return Ok((Some(connection), lease));
    }
    let lease = pick(&admitted.upstream, &[])?;
    let idle = match admitted.is_handshake {
        true => None,
        false => pool::take(lease.endpoint()),
    };
    Ok((idle, lease))
}

/// Why a request that was sent has no answer.
#[derive(Debug)]
pub enum Failed {
    /// The connection or the request's body.
    Flight(FlightError<RequestBodyError>),
    /// The answer did not begin in time.
    Slow,
    /// A 101 that was not asked for.
    Switching,
}

impl Failed {
    /// The answer that says so.
    pub fn into_proxy_error(self, stream: &dyn Stream, lease: &Lease) -> ProxyError {
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
            Failed::Flight(FlightError::Body(error)) => error.into_proxy_error(stream),
        }
    }
}

/// Waits for the final head of the answer, at most `limit` from when the request is out or
/// the upstream stopped taking it; interim heads go to the client on the way.
async fn head_of_answer(
    stream: &dyn Stream,
    admitted: &Admitted,
    flight: &mut InFlight<RequestBody>,
    limit: Duration,
) -> Result<(Box<ResponseHead>, Bytes), Failed> {
    let mut sent = 0;
    loop {
        let (head, rest) = poll_fn(|cx| {
            if stream.clock().is_over(Wait::Head) {
                return Poll::Ready(Err(Failed::Slow));
            }
            if stream.clock().take_continue() {
                flight.release();
            }
            let polled = flight.poll_head(cx);
            if polled.is_pending() && flight.is_held() {
                if stream.clock().wait() != Wait::Continue {
                    let wait = admitted.route.config.timeouts.expect_continue;
                    stream.clock().start(Wait::Continue, wait);
                }
            } else if polled.is_pending() {
                let moved = std::mem::replace(&mut sent, flight.sent()) != flight.sent();
                watch_upstream(stream, flight.awaits_upstream(), moved, limit);
            }
            polled.map_err(Failed::Flight)
        })
        .await?;
        if !head.is_interim() {
            let idle = admitted.route.config.timeouts.response_idle;
            stream.clock().start(Wait::Body, idle);
            return Ok((head, rest));
        }
        if head.status == StatusCode::CONTINUE {
            flight.release();
        }
        // Not in the middle of an earlier, pipelined answer; and they must not pile up for a
        // client that does not read.
        poll_fn(|_| match stream.is_ready_for_interim() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
        stream.pass_interim(&head);
        flight.unread(rest);
        // There may always be another one.
        tokio::task::yield_now().await;
    }
}

/// The clock for the answer runs while the upstream has to act: the request is out, or the socket
/// does not take more of it.
fn watch_upstream(stream: &dyn Stream, its_turn: bool, moved: bool, limit: Duration) {
    let clock = stream.clock();
    if !its_turn {
        clock.pause();
    } else if moved || matches!(clock.wait(), Wait::None | Wait::Continue) {
        clock.start(Wait::Head, limit);
    }
}
