//! Counts of one process. Every thread counts for itself, with plain stores on lines that no
//! other core writes, at places that the configuration's names lead to; readers sum them.
//!
//! This file is what the rest of sluice calls. `cells` and `thread` are what it counts into,
//! `slots` leads names to places, `labels` bounds what else a label can say; `sample` and
//! `scrape` look at the whole process when they are asked to, and `exposition` writes it out.

pub mod cells;
pub mod labels;
pub mod lines;
pub mod slots;
pub mod thread;
mod totals;

use std::time::Duration;

use http::{Method, StatusCode};

use self::cells::{LIVES, WAITS};
use self::thread::{RouteCells, TunnelCells, flow, mine};
use crate::vocabulary::counters::Tally;
use crate::vocabulary::{ClosedBy, Side};

pub use self::lines::{Lines, lines_lost};
pub use self::slots::Slot;
pub use self::totals::Totals;

/// The sum over all workers.
pub fn totals() -> Totals {
    let routes = slots::routes();
    let slots: Vec<u32> = routes.iter().map(|place| place.index()).collect();
    thread::totals(&slots)
}

/// How an exchange went.
#[derive(Debug, Clone, Copy)]
pub struct Exchange<'a> {
    /// The route it took.
    pub route: Option<&'a Slot>,
    /// [`method_class`].
    pub method: u8,
    /// Its status; `None`: the client left before one.
    pub status: Option<StatusCode>,
    /// From the request's head to the head of the answer.
    pub first_byte: Option<Duration>,
    /// From the request's head to the end of the answer.
    pub whole: Duration,
    /// It was a WebSocket handshake.
    pub handshake: bool,
}

/// The class of a method, for [`Exchange::method`].
#[inline]
pub fn method_class(method: &Method) -> u8 {
    labels::method(method) as u8
}

/// An exchange has ended.
pub fn exchange(exchange: &Exchange<'_>) {
    with_route(exchange.route, |route| {
        let status = match exchange.status {
            Some(status) => labels::status(status.as_u16()),
            None => labels::NO_STATUS,
        };
        let method = usize::from(exchange.method).min(labels::NO_METHOD);
        route.requests[method].made().one(status);
        let Some(first_byte) = exchange.first_byte else {
            return;
        };
        if exchange.handshake {
            let refused = exchange.status != Some(StatusCode::SWITCHING_PROTOCOLS);
            route.handshakes.made()[usize::from(refused)].observe(&WAITS, nanos(first_byte));
        } else {
            route.first_byte.observe(&WAITS, nanos(first_byte));
            route.exchange.observe(&WAITS, nanos(exchange.whole));
        }
    });
}

/// A request was refused before its head was one; `status` is the answer's.
pub fn head_refused(status: StatusCode) {
    with_route(None, |route| {
        let status = labels::status(status.as_u16());
        route.requests[labels::NO_METHOD].made().one(status);
    });
}

/// A request got an error of our own; `kind` is its word in RFC 9209 section 2.3.
pub fn error(kind: &str) {
    mine().errors.one(labels::error(kind));
}

/// A handshake was refused, by us or by the upstream.
pub fn handshake_refused(route: Option<&Slot>, cause: &str) {
    with_route(route, |route| {
        route.refusals.made().one(labels::cause(cause));
    });
}

/// A tunnel opened.
pub fn tunnel_opened(route: &Slot) {
    with_tunnels(route, |tunnels| tunnels.opened.one());
}

/// How a tunnel ended.
#[derive(Debug)]
pub struct Ended<'a> {
    /// The route that it took.
    pub route: &'a Slot,
    /// Who ended it.
    pub closed_by: ClosedBy,
    /// From the 101 to the end.
    pub duration: Duration,
    /// The codes of the Closes that the client and the upstream sent: none, an empty one, its
    /// code.
    pub closes: [Option<Option<u16>>; 2],
}

/// A tunnel ended.
pub fn tunnel_closed(ended: &Ended<'_>) {
    with_tunnels(ended.route, |tunnels| {
        tunnels.closed_by.one(ended.closed_by as usize);
        tunnels.lifetime.observe(&LIVES, nanos(ended.duration));
        for ((codes, flow), code) in tunnels.codes.iter().zip(&tunnels.flows).zip(ended.closes) {
            codes.one(labels::code(code));
            flow.add(flow::CLOSE, u64::from(code.is_some()));
        }
    });
}

/// A tunnel lives on this thread, whether it has opened or comes from elsewhere.
pub fn tunnel_here(route: &Slot) {
    with_tunnels(route, |tunnels| tunnels.open.one());
}

/// It does not any more, whether it has ended or goes elsewhere.
pub fn tunnel_gone(route: &Slot) {
    with_tunnels(route, |tunnels| tunnels.open.add(u64::MAX));
}

/// A tunnel that had moved `before`, from the client and from the upstream, has moved `now`.
pub fn tunnel_moved(route: &Slot, before: &[Tally; 2], now: &[Tally; 2]) {
    with_tunnels(route, |tunnels| tunnels.add_flows(before, now));
}

/// Whether tunnels of this thread have moved what it has not said [`tunnel_moved`] of yet.
pub fn moving(moving: bool) {
    let now = &mine().moving;
    now.add(u64::from(moving).wrapping_sub(now.get()));
}

/// Whether those of this thread have.
#[cfg(test)]
pub(crate) fn is_moving_here() -> bool {
    mine().moving.get() > 0
}

/// Whether those of any thread have.
pub fn is_moving() -> bool {
    thread::all().iter().any(|thread| thread.moving.get() > 0)
}

/// A Pong answered a Ping, `micros` after it.
pub fn round_trip(with: Side, micros: u32) {
    mine().round_trips[with as usize].observe(&WAITS, u64::from(micros) * 1000);
}

/// What came of a connect to an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Connect {
    /// A connection.
    Ok = 0,
    /// The connection was refused.
    Refused = 1,
    /// No answer in time.
    Timeout = 2,
    /// No route to the host or network.
    Unreachable = 3,
    /// This machine is out of descriptors, ports or memory.
    Local = 4,
    /// Anything else.
    Other = 5,
}

/// A connect to an endpoint has ended.
pub fn connected(endpoint: &Slot, outcome: Connect) {
    if let Some(cells) = mine().endpoints.made(endpoint.index()) {
        cells.connects.one(outcome as usize);
    }
}

/// A connection to an endpoint is used again.
pub fn reused(endpoint: &Slot) {
    if let Some(cells) = mine().endpoints.made(endpoint.index()) {
        cells.reused.one();
    }
}

/// Why another attempt is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Retry {
    /// The connect to the endpoint failed; another endpoint is tried.
    ConnectFailed = 0,
    /// A connection from the pool turned out to be closed; a new one is opened.
    StaleConnection = 1,
}

/// After a failure with this endpoint another attempt is made.
pub fn retried(endpoint: &Slot, why: Retry) {
    if let Some(cells) = mine().endpoints.made(endpoint.index()) {
        cells.retries.one(why as usize);
    }
}

/// A name was not resolved.
pub fn dns_failed() {
    mine().dns_failures.one();
}

/// A client connection was accepted.
pub fn accepted() {
    mine().accepted.one();
}

/// A client connection was closed because there are `max_connections`.
pub fn over_limit() {
    mine().over_limit.one();
}

/// A TLS handshake is complete; whether it was of version 1.3, and whether it resumed a session.
pub fn tls_handshake(current: bool, resumed: bool) {
    mine()
        .tls_handshakes
        .one(usize::from(current) * 2 + usize::from(resumed));
}

/// A TLS handshake came to nothing; `kind` is its number.
pub fn tls_failed(kind: usize) {
    mine().tls_failures.one(kind);
}

/// Why a connection was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum AcceptError {
    /// The process or the system is out of descriptors.
    Descriptors = 0,
    /// The system is out of memory.
    Memory = 1,
    /// The connection was gone, or the network failed.
    Other = 2,
}

/// A connection was not accepted.
pub fn accept_failed(why: AcceptError) {
    mine().accept_errors.one(why as usize);
}

/// A worker's tick; `late`: so late that time-outs become noticeably imprecise.
pub fn ticked(late: bool) {
    let thread = mine();
    thread.ticks.one();
    thread.ticks_late.add(u64::from(late));
}

/// A worker stood still.
pub fn stood_still() {
    mine().stood_still.one();
}

/// Saturates after 584 years.
fn nanos(span: Duration) -> u64 {
    span.as_secs()
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::from(span.subsec_nanos()))
}

#[inline]
fn with_route(route: Option<&Slot>, count: impl FnOnce(&RouteCells)) {
    let slot = route.map_or(labels::UNROUTED, Slot::index);
    if let Some(cells) = mine().routes.made(slot) {
        count(cells);
    }
}

fn with_tunnels(route: &Slot, count: impl FnOnce(&TunnelCells)) {
    with_route(Some(route), |route| count(route.tunnels.made()));
}
