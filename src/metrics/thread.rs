//! One thread's counts, and where readers find those of all threads. What a thread
//! counts lies on cache lines that no other core writes.

use std::cell::Cell;
use std::sync::Mutex;

use super::cells::{Count, Histogram, Lazy, Row, Table};
use super::labels::{CAUSES, CODES, ERRORS, METHODS, NO_METHOD, STATUSES, UNROUTED};
use super::totals::Totals;
use crate::system::lock::lock;
use crate::vocabulary::ClosedBy;
use crate::vocabulary::counters::Tally;

/// What one thread has counted.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Thread {
    pub(crate) routes: Table<RouteCells>,
    pub(crate) endpoints: Table<EndpointCells>,
    /// Answers of our own that were errors, by kind.
    pub(crate) errors: Row<{ ERRORS.len() }>,
    /// Ping round trips with the client and with the upstream.
    pub(crate) round_trips: [Histogram; 2],
    pub(crate) accepted: Count,
    pub(crate) over_limit: Count,
    /// Out of descriptors, out of memory, anything else.
    pub(crate) accept_errors: Row<3>,
    pub(crate) ticks: Count,
    pub(crate) ticks_late: Count,
    pub(crate) stood_still: Count,
    /// 1 while tunnels of this thread have moved what is not counted by route yet.
    pub(crate) moving: Count,
    pub(crate) dns_failures: Count,
    /// Of TLS 1.2 and 1.3, each new and resumed.
    pub(crate) tls_handshakes: Row<4>,
    /// By kind.
    pub(crate) tls_failures: Row<TLS_FAILURES>,
}

/// What is counted of a route.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct RouteCells {
    /// Status by method.
    pub(crate) requests: [Lazy<Row<STATUSES>>; METHODS.len()],
    pub(crate) first_byte: Histogram,
    pub(crate) exchange: Histogram,
    /// Opened and refused.
    pub(crate) handshakes: Lazy<[Histogram; 2]>,
    pub(crate) refusals: Lazy<Row<{ CAUSES.len() }>>,
    pub(crate) tunnels: Lazy<TunnelCells>,
}

/// What is counted of a route's tunnels.
#[derive(Debug, Default)]
pub(crate) struct TunnelCells {
    pub(crate) opened: Count,
    pub(crate) closed_by: Row<{ ClosedBy::ALL.len() }>,
    /// What the client and the upstream sent as their Close.
    pub(crate) codes: [Row<{ CODES.len() }>; 2],
    pub(crate) lifetime: Histogram,
    /// Those that live on this thread.
    pub(crate) open: Count,
    /// What tunnels moved, from the client and from the upstream, until each was settled last.
    pub(crate) flows: [Row<FLOWS>; 2],
}

/// Places of a flow: complete messages and frames, then bytes.
pub(crate) mod flow {
    pub(crate) const TEXT: usize = 0;
    pub(crate) const BINARY: usize = 1;
    pub(crate) const PING: usize = 2;
    pub(crate) const PONG: usize = 3;
    pub(crate) const CLOSE: usize = 4;
    pub(crate) const TEXT_BYTES: usize = 5;
    pub(crate) const BINARY_BYTES: usize = 6;
    pub(crate) const BYTES: usize = 7;
}

/// How many of them.
pub(crate) const FLOWS: usize = 8;

/// A tunnel's counters at the places of a flow; Closes are counted at its end.
pub(crate) fn flow_of(tally: &Tally) -> [u64; FLOWS] {
    let mut flow = [0; FLOWS];
    flow[flow::TEXT] = tally.text;
    flow[flow::BINARY] = tally.binary;
    flow[flow::PING] = u64::from(tally.pings);
    flow[flow::PONG] = u64::from(tally.pongs);
    flow[flow::TEXT_BYTES] = tally.text_bytes;
    flow[flow::BINARY_BYTES] = tally.binary_bytes;
    flow[flow::BYTES] = tally.bytes;
    flow
}

impl TunnelCells {
    /// Adds what both directions have moved since they had moved `before`.
    pub(crate) fn add_flows(&self, before: &[Tally; 2], now: &[Tally; 2]) {
        for ((row, before), now) in self.flows.iter().zip(before).zip(now) {
            let counts = flow_of(now).into_iter().zip(flow_of(before));
            for (place, (now, before)) in counts.enumerate() {
                row.add(place, now.wrapping_sub(before));
            }
        }
    }
}

/// What is counted of an endpoint.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct EndpointCells {
    /// By outcome: [`CONNECTS`].
    pub(crate) connects: Row<{ CONNECTS.len() }>,
    pub(crate) reused: Count,
    /// By reason: [`RETRIES`].
    pub(crate) retries: Row<{ RETRIES.len() }>,
}

/// Places for the kinds of TLS failures, of which there are fewer.
pub(crate) const TLS_FAILURES: usize = 16;

/// What comes of a connect.
pub(crate) const CONNECTS: [&str; 6] =
    ["ok", "refused", "timeout", "unreachable", "local", "other"];

/// Why another attempt was made.
pub(crate) const RETRIES: [&str; 2] = ["connect_failed", "stale_connection"];

static THREADS: Mutex<Vec<&'static Thread>> = Mutex::new(Vec::new());

/// What was counted in slots that were given back, for the totals.
static FORGOTTEN: Mutex<Totals> = Mutex::new(Totals::new());

thread_local! {
    static MINE: Cell<Option<&'static Thread>> = const { Cell::new(None) };
}

/// The calling thread's counts. They outlive it: what it has counted stays counted.
#[inline]
pub(crate) fn mine() -> &'static Thread {
    MINE.get().unwrap_or_else(begin)
}

#[cold]
fn begin() -> &'static Thread {
    let thread: &'static Thread = Box::leak(Box::default());
    lock(&THREADS).push(thread);
    MINE.set(Some(thread));
    thread
}

/// Every thread that has counted something.
pub(crate) fn all() -> Vec<&'static Thread> {
    lock(&THREADS).clone()
}

/// Makes the places of a slot ready for another name.
pub(crate) fn forget_route(slot: u32) {
    let mut forgotten = lock(&FORGOTTEN);
    for route in all().iter().filter_map(|thread| thread.routes.get(slot)) {
        route.add_to(&mut forgotten);
        route.clear();
    }
}

/// Makes the places of a slot ready for another endpoint.
pub(crate) fn forget_endpoint(slot: u32) {
    for thread in all() {
        if let Some(endpoint) = thread.endpoints.get(slot) {
            endpoint.connects.clear();
            endpoint.reused.clear();
            endpoint.retries.clear();
        }
    }
}

/// The sum over all threads; `routes`: the slots of those that are counted.
pub(crate) fn totals(routes: &[u32]) -> Totals {
    let mut totals = lock(&FORGOTTEN).clone();
    for thread in all() {
        let living = routes.iter().copied();
        for route in living
            .chain([UNROUTED])
            .filter_map(|slot| thread.routes.get(slot))
        {
            route.add_to(&mut totals);
        }
        let mut errors = [0; ERRORS.len()];
        thread.errors.add_to(&mut errors);
        totals.refused += errors.iter().sum::<u64>();
    }
    totals
}

impl RouteCells {
    fn add_to(&self, totals: &mut Totals) {
        for row in self.requests[..NO_METHOD].iter().filter_map(Lazy::get) {
            let mut statuses = [0; STATUSES];
            row.add_to(&mut statuses);
            totals.count_exchanges(&statuses);
        }
        if let Some(row) = self.refusals.get() {
            let mut causes = [0; CAUSES.len()];
            row.add_to(&mut causes);
            totals.count_refusals(&causes);
        }
        if let Some(tunnels) = self.tunnels.get() {
            let mut closed_by = [0; ClosedBy::ALL.len()];
            tunnels.closed_by.add_to(&mut closed_by);
            totals.tunnels_opened += tunnels.opened.get();
            totals.tunnels_closed += closed_by.iter().sum::<u64>();
        }
    }

    fn clear(&self) {
        self.requests
            .iter()
            .filter_map(Lazy::get)
            .for_each(Row::clear);
        self.first_byte.clear();
        self.exchange.clear();
        if let Some(handshakes) = self.handshakes.get() {
            handshakes.iter().for_each(Histogram::clear);
        }
        if let Some(refusals) = self.refusals.get() {
            refusals.clear();
        }
        if let Some(tunnels) = self.tunnels.get() {
            tunnels.opened.clear();
            tunnels.closed_by.clear();
            tunnels.codes.iter().for_each(Row::clear);
            tunnels.lifetime.clear();
            tunnels.open.clear();
            tunnels.flows.iter().for_each(Row::clear);
        }
    }
}
