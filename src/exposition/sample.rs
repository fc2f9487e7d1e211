//! A worker as it is seen from its own thread: its live tunnels, and what those that have
//! ended moved. A tunnel ends on that thread too, so that each is found exactly once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::h1::connections;
use crate::metrics::slots;
use crate::metrics::thread::{FLOWS, flow_of, mine};
use crate::tunnel_registry;
use crate::vocabulary::Side;

/// What a worker knows only by itself.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    /// The thread's name.
    pub worker: String,
    /// Processor time that the thread has used.
    pub cpu: Duration,
    /// Client connections that are still HTTP.
    pub connections: usize,
    /// Live tunnels.
    pub tunnels: usize,
    /// The same by route, and what tunnels have moved in all.
    pub(super) routes: BTreeMap<Arc<str>, RouteSample>,
}

/// The tunnels of one route on one worker.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RouteSample {
    pub(super) open: u64,
    pub(super) flows: [[u64; FLOWS]; 2],
}

impl RouteSample {
    pub(super) fn add(&mut self, other: &RouteSample) {
        self.open += other.open;
        for (flow, other) in self.flows.iter_mut().zip(&other.flows) {
            add(flow, other);
        }
    }
}

/// Looks at the calling worker. To be called on its thread; takes a few cache lines for
/// each live tunnel.
pub fn sample() -> Sample {
    let mut routes = BTreeMap::<Arc<str>, RouteSample>::new();
    for slot in slots::routes() {
        let cells = mine().routes.get(slot.index());
        if let Some(tunnels) = cells.and_then(|cells| cells.tunnels.get()) {
            let route = routes.entry(slot.name().clone()).or_default();
            for (row, flow) in tunnels.flows.iter().zip(&mut route.flows) {
                row.add_to(flow);
            }
        }
    }
    let handles = tunnel_registry::handles();
    // Tunnels of one route often stand together.
    for run in handles.chunk_by(|a, b| Arc::ptr_eq(a.identity.route(), b.identity.route())) {
        let Some(first) = run.first() else { continue };
        let route = routes.entry(first.identity.route().clone()).or_default();
        route.open += run.len() as u64;
        for handle in run {
            for (flow, side) in route.flows.iter_mut().zip([Side::Client, Side::Upstream]) {
                add(flow, &flow_of(&handle.counters(side).tally()));
            }
        }
    }
    let cpu = clock_gettime(ClockId::ThreadCPUTime);
    Sample {
        worker: thread::current().name().unwrap_or_default().to_owned(),
        cpu: Duration::try_from(cpu).unwrap_or_default(),
        connections: connections::count(),
        tunnels: handles.len(),
        routes,
    }
}

/// Modulo 2^64: what a tunnel moved in another process is taken off its route until it ends.
fn add(flow: &mut [u64; FLOWS], other: &[u64; FLOWS]) {
    for (sum, n) in flow.iter_mut().zip(other) {
        *sum = sum.wrapping_add(*n);
    }
}
