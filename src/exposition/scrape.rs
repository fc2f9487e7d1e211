//! What one scrape finds: the counts of all threads summed, the workers' samples, and what
//! the process is doing. Owns its findings, so that they can be spelled at leisure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::process::Process;
use super::sample::Sample;
use crate::metrics::cells::Distribution;
use crate::metrics::labels::UNROUTED;
use crate::metrics::labels::{CAUSES, CODES, ERRORS, STATUSES};
use crate::metrics::slots;
use crate::metrics::slots::Place;
use crate::metrics::thread;
use crate::metrics::thread::{
    CONNECTS, FLOWS, RETRIES, RouteCells, TLS_FAILURES, Thread, TunnelCells,
};
use crate::process::Shared;
use crate::process::order::{DrainView, Remaining};
use crate::process::state::{LastReload, Phase};
use crate::snapshot::Snapshot;
use crate::upstream::{self, Endpoint};
use crate::vocabulary::ClosedBy;

/// The findings.
#[derive(Debug)]
pub(super) struct Scrape {
    /// By name; requests that no route took stand under an empty one.
    pub(super) routes: BTreeMap<Arc<str>, Box<RouteSums>>,
    pub(super) endpoints: Vec<EndpointSums>,
    pub(super) own: OwnSums,
    pub(super) workers: Vec<Sample>,
    pub(super) connections: usize,
    pub(super) snapshot: Arc<Snapshot>,
    /// Endpoints that are no more in it and still have something.
    pub(super) leaving: Vec<Arc<Endpoint>>,
    pub(super) phase: Phase,
    pub(super) ready: bool,
    pub(super) last_reload: Option<LastReload>,
    pub(super) drains: Vec<DrainView>,
    pub(super) predecessors: Vec<Remaining>,
    pub(super) traces_lost: u64,
    pub(super) process: Process,
}

/// The sums of a route.
#[derive(Debug, Default)]
pub(super) struct RouteSums {
    pub(super) requests: Vec<(usize, [u64; STATUSES])>,
    pub(super) first_byte: Distribution,
    pub(super) exchange: Distribution,
    /// Opened and refused.
    pub(super) handshakes: [Distribution; 2],
    pub(super) refusals: Option<Box<[u64; CAUSES.len()]>>,
    pub(super) tunnels: Option<Box<TunnelSums>>,
}

/// The sums of a route's tunnels.
#[derive(Debug, Default)]
pub(super) struct TunnelSums {
    pub(super) opened: u64,
    pub(super) closed_by: [u64; ClosedBy::ALL.len()],
    pub(super) codes: [[u64; CODES.len()]; 2],
    pub(super) lifetime: Distribution,
    pub(super) open: u64,
    pub(super) flows: [[u64; FLOWS]; 2],
}

/// The sums of an endpoint.
#[derive(Debug)]
pub(super) struct EndpointSums {
    pub(super) place: Arc<Place>,
    pub(super) connects: [u64; CONNECTS.len()],
    pub(super) reused: u64,
    pub(super) retries: [u64; RETRIES.len()],
}

/// What belongs to no route or endpoint.
#[derive(Debug, Default)]
pub(super) struct OwnSums {
    pub(super) errors: [u64; ERRORS.len()],
    pub(super) round_trips: [Distribution; 2],
    pub(super) accepted: u64,
    pub(super) over_limit: u64,
    pub(super) accept_errors: [u64; 3],
    pub(super) ticks: u64,
    pub(super) ticks_late: u64,
    pub(super) stood_still: u64,
    pub(super) dns_failures: u64,
    pub(super) tls_handshakes: [u64; 4],
    pub(super) tls_failures: [u64; TLS_FAILURES],
}

impl Scrape {
    pub(super) fn gather(shared: &Shared, live: &[Sample]) -> Scrape {
        let threads = thread::all();
        let state = &shared.state;
        let snapshot = shared.snapshot.load_full();
        Scrape {
            routes: routes(&threads),
            endpoints: slots::endpoints()
                .into_iter()
                .map(|place| EndpointSums::of(place, &threads))
                .collect(),
            own: OwnSums::of(&threads),
            workers: live.to_vec(),
            connections: shared.connections.load(Relaxed),
            leaving: upstream::leaving(&shared.registry, snapshot.upstreams.values()),
            snapshot,
            phase: state.phase(),
            ready: state.is_ready(),
            last_reload: state.last_reload(),
            drains: state.drains().views(),
            predecessors: state.predecessor().all(),
            traces_lost: shared.tracer.load().lost(),
            process: Process::now(),
        }
    }
}

pub(super) fn routes(threads: &[&Thread]) -> BTreeMap<Arc<str>, Box<RouteSums>> {
    let slots = slots::routes();
    let named = slots
        .iter()
        .map(|slot| (slot.index(), slot.name().clone()))
        .chain([(UNROUTED, Arc::default())]);
    named
        .map(|(index, name)| (name, Box::new(RouteSums::of(index, threads))))
        .collect()
}

/// All routes together, and what no route took.
pub(super) fn all_routes() -> RouteSums {
    let mut sums = RouteSums::default();
    let cells = thread::all().into_iter();
    cells
        .flat_map(|thread| thread.routes.iter())
        .for_each(|cells| sums.add(cells));
    sums
}

impl RouteSums {
    fn of(slot: u32, threads: &[&Thread]) -> RouteSums {
        let mut sums = RouteSums::default();
        let cells = threads.iter().filter_map(|thread| thread.routes.get(slot));
        cells.for_each(|cells| sums.add(cells));
        sums
    }

    fn add(&mut self, cells: &RouteCells) {
        for (method, row) in cells.requests.iter().enumerate() {
            if let Some(row) = row.get() {
                let own = self
                    .requests
                    .binary_search_by_key(&method, |(known, _)| *known);
                let own = own.unwrap_or_else(|new| {
                    self.requests.insert(new, (method, [0; STATUSES]));
                    new
                });
                row.add_to(&mut self.requests[own].1);
            }
        }
        cells.first_byte.add_to(&mut self.first_byte);
        cells.exchange.add_to(&mut self.exchange);
        let handshakes = cells.handshakes.get().into_iter().flatten();
        for (histogram, sum) in handshakes.zip(&mut self.handshakes) {
            histogram.add_to(sum);
        }
        if let Some(row) = cells.refusals.get() {
            let none = || Box::new([0; CAUSES.len()]);
            row.add_to(self.refusals.get_or_insert_with(none));
        }
        if let Some(tunnels) = cells.tunnels.get() {
            self.tunnels.get_or_insert_default().add(tunnels);
        }
    }
}

impl TunnelSums {
    fn add(&mut self, cells: &TunnelCells) {
        self.opened += cells.opened.get();
        self.open = self.open.wrapping_add(cells.open.get());
        cells.closed_by.add_to(&mut self.closed_by);
        for (row, codes) in cells.codes.iter().zip(&mut self.codes) {
            row.add_to(codes);
        }
        cells.lifetime.add_to(&mut self.lifetime);
        for (row, flow) in cells.flows.iter().zip(&mut self.flows) {
            row.add_to(flow);
        }
    }
}

impl EndpointSums {
    fn of(place: Arc<Place>, threads: &[&Thread]) -> EndpointSums {
        let mut sums = EndpointSums {
            place,
            connects: Default::default(),
            reused: 0,
            retries: Default::default(),
        };
        for thread in threads {
            if let Some(cells) = thread.endpoints.get(sums.place.index()) {
                cells.connects.add_to(&mut sums.connects);
                sums.reused += cells.reused.get();
                cells.retries.add_to(&mut sums.retries);
            }
        }
        sums
    }
}

impl OwnSums {
    fn of(threads: &[&Thread]) -> OwnSums {
        let mut sums = OwnSums::default();
        for thread in threads {
            thread.errors.add_to(&mut sums.errors);
            for (histogram, sum) in thread.round_trips.iter().zip(&mut sums.round_trips) {
                histogram.add_to(sum);
            }
            sums.accepted += thread.accepted.get();
            sums.over_limit += thread.over_limit.get();
            thread.accept_errors.add_to(&mut sums.accept_errors);
            sums.ticks += thread.ticks.get();
            sums.ticks_late += thread.ticks_late.get();
            sums.stood_still += thread.stood_still.get();
            sums.dns_failures += thread.dns_failures.get();
            thread.tls_handshakes.add_to(&mut sums.tls_handshakes);
            thread.tls_failures.add_to(&mut sums.tls_failures);
        }
        sums
    }
}
