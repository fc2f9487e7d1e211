//! One client connection from accept to its end. hyper serves the requests; its service ends for
//! what it cannot do: a tunnel, a refused head, a time-out.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use hyper::server::conn::http1;

use super::client_io::ClientIo;
use super::context::Context;
use super::glimpse::Glimpse;
use super::hand_off::IdleConnection;
use super::service::{NoAnswer, Service};
use super::switching::switch;
use super::watch::Timeout;
use super::{connections, hand_off, refused};
use crate::fault::error::ProxyError;
use crate::message::framing::{HeadLimits, RequestScanner};
use crate::net::close::{linger, write_all};
use crate::net::io::Io;
use crate::net::listen::Accepted;
use crate::proxy::drain;
use crate::proxy::load::Guard;
use crate::proxy::pending::PendingTunnel;
use crate::proxy::record::fresh_id;

type Hyper = http1::Connection<ClientIo, Service>;

/// Why hyper's service of a connection ended.
enum End {
    /// hyper is done, or the client is gone.
    Done,
    /// The socket is wanted for a tunnel.
    Tunnel(Box<PendingTunnel>),
    /// The tick found a time-out.
    Timeout(Timeout),
    /// It is idle, and goes on in another process.
    HandOff,
}

/// Serves one client until its connection ends or becomes a tunnel.
pub async fn serve(io: Io, context: Arc<Context>, guard: Guard) {
    // Boxed, like the ends below, so that the task itself is small: it is moved when it is
    // spawned, and most of its life it waits.
    let can_leave = io.descriptor().is_some();
    let mut hyper = Box::new(begin(io, &context));
    let entry = connections::watch(&context);
    let mut closing = false;
    let end = poll_fn(|cx| poll_end(&mut hyper, &context, can_leave, &mut closing, cx)).await;
    drop(entry);
    if context.asked_to_go.load(Relaxed) {
        hand_off::stays();
    }
    // An exchange that still runs ends here.
    let (io, from_client, head, since) = take_apart(hyper);
    match end {
        End::HandOff => {
            if let Err(idle) = hand_off::hand_off(io, &context, guard) {
                restore(idle);
            }
        }
        End::Tunnel(tunnel) => {
            Box::pin(switch(tunnel, io, from_client, guard, &context)).await;
        }
        End::Done if context.is_over() => {}
        end => Box::pin(finish(io, &context, end, &Glimpse::of(&head), since)).await,
    }
}

fn begin(io: Io, context: &Arc<Context>) -> Hyper {
    let http = &context.facts.http;
    let limits = HeadLimits {
        max_head: http.max_head,
        max_header_lines: http.max_header_lines,
        max_target: http.max_target,
    };
    let client = ClientIo::new(io, RequestScanner::new(limits), context.clone());
    // The scanner enforces the limits; hyper's own must not be stricter.
    http1::Builder::new()
        .max_headers(http.max_header_lines + 1)
        .max_buf_size((http.max_head * 2).max(256 * 1024))
        .half_close(false)
        .serve_connection(client, Service::new(context.clone()))
}

/// Lets hyper go on until its service ends; `can_leave`: the connection has a socket that could go
/// to another process; `closing`: hyper has been told to close after the exchange under way.
fn poll_end(
    hyper: &mut Hyper,
    context: &Context,
    can_leave: bool,
    closing: &mut bool,
    cx: &mut std::task::Context<'_>,
) -> Poll<End> {
    context.watch.set_waker(cx.waker());
    match context.watch.timeout() {
        Timeout::None => {}
        // The exchange answers and is recorded.
        Timeout::BodyIdle | Timeout::BodyRate
            if context.watch.turn.is_under_way() && !context.answer_begun() => {}
        timeout => return Poll::Ready(End::Timeout(timeout)),
    }
    // hyper has seen nothing of a head that is not complete, and would close without an answer.
    // And a client that has just connected is not closed before it was heard.
    let stays = context.has_logins() || (!can_leave && !context.is_fresh());
    let closes = drain::is_under_way() || (hand_off::takes_all() && stays);
    if !*closing && closes && !context.watch.is_in_head() {
        *closing = true;
        Pin::new(&mut *hyper).graceful_shutdown();
    }
    if let Poll::Ready(ended) = hyper.poll_without_shutdown(cx) {
        return Poll::Ready(match ended {
            Ok(()) => End::Done,
            Err(error) => why(context, &error),
        });
    }
    let asked = context.asked_to_go.swap(false, Relaxed);
    if (asked || hand_off::takes_all()) && can_leave && !*closing && context.is_idle() {
        return Poll::Ready(End::HandOff);
    }
    if asked {
        hand_off::stays();
    }
    Poll::Pending
}

/// Why hyper's service ended with an error.
fn why(context: &Context, error: &hyper::Error) -> End {
    match NoAnswer::tunnel(error) {
        Some(tunnel) => End::Tunnel(tunnel),
        None => {
            note_own_answer(context, error);
            End::Done
        }
    }
}

/// Goes on with an idle connection in this process, on the current worker's thread.
pub fn restore(idle: IdleConnection) {
    match Accepted::from_parts(idle.fd, idle.peer).into_io() {
        Ok(io) => {
            let context = Context::new(idle.peer, idle.listener_info, idle.shared);
            tokio::spawn(serve(io, Arc::new(context), idle.guard));
        }
        Err(error) => tracing::warn!(%error, "a connection that was not handed over is lost"),
    }
}

/// hyper itself answers what it cannot parse. The scanner prevents that; should it happen all the
/// same, it is recorded.
fn note_own_answer(context: &Context, error: &hyper::Error) {
    if !error.is_parse() {
        return;
    }
    let status = match error.is_parse_too_large() {
        true => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        false => StatusCode::BAD_REQUEST,
    };
    let error = ProxyError::client(status, format!("the request cannot be parsed: {error}"));
    let (id, glimpse) = (fresh_id(), Glimpse::default());
    refused::refused(&context.facts, &error, &id, &glimpse, Instant::now(), 0);
}

/// The socket, what was read from it after the last request, the beginning of a head that hyper
/// has not seen, and when that arrived.
fn take_apart(hyper: Box<Hyper>) -> (Io, Bytes, Vec<u8>, Instant) {
    let parts = hyper.into_parts();
    let (io, left) = parts.io.into_parts();
    let read = match left.passed.is_empty() && left.held.is_empty() {
        true => parts.read_buf,
        false => [&parts.read_buf[..], &left.passed, &left.held]
            .concat()
            .into(),
    };
    let since = left.head_since.unwrap_or_else(Instant::now);
    (io, read, left.head, since)
}

/// Answers what hyper could not, and closes.
async fn finish(mut io: Io, context: &Context, end: End, glimpse: &Glimpse, since: Instant) {
    // After the first bytes of an answer there can be no second one.
    if context.answer_begun() {
        return abandon(&mut io, context);
    }
    let refused = context.input.refused_head();
    let error = match (end, refused) {
        (End::Timeout(Timeout::Head), _) if context.watch.received() > 0 => {
            let detail = "the request head did not become complete in time";
            ProxyError::client(StatusCode::REQUEST_TIMEOUT, detail)
        }
        (End::Timeout(_), _) => return,
        (End::Done, Some(refusal)) => ProxyError::from(refusal),
        (End::Done | End::HandOff | End::Tunnel(_), _) => return linger(io).await,
    };
    refuse(io, context, &error, glimpse, since).await;
}

/// Answers what is no exchange with an error, and closes.
pub(super) async fn refuse(
    mut io: Io,
    context: &Context,
    error: &ProxyError,
    glimpse: &Glimpse,
    since: Instant,
) {
    let id = fresh_id();
    let detail = context.facts.http.error_detail;
    let mut response: Response<Bytes> = error.to_response(glimpse.accept(), &id, detail);
    let fields = response.headers_mut();
    fields.insert(header::CONNECTION, HeaderValue::from_static("close"));
    if let Some(hsts) = context.facts.hsts() {
        fields.insert(header::STRICT_TRANSPORT_SECURITY, hsts.clone());
    }
    if let Some(name) = context.facts.http.request_id.clone()
        && let Ok(value) = HeaderValue::try_from(&id)
    {
        response.headers_mut().insert(name, value);
    }
    let bytes = refused::encode(&response, &context.facts.http.spelling);
    let written = write_all(&mut io, &bytes).await;
    let sent = written.as_ref().map_or(0, |()| response.body().len());
    refused::refused(&context.facts, error, &id, glimpse, since, sent);
    if written.is_ok() {
        linger(io).await;
    }
}

/// Closes after an answer that is not complete. Where the connection's end marks the
/// answer's end, an orderly close would make the part look complete (RFC 9112 section 8).
fn abandon(io: &mut Io, context: &Context) {
    if context.watch.turn.ends_by_close() {
        io.reset();
    }
}
