//! The counts as plain numbers by route, for those who draw them instead of storing them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::labels::{self, CAUSES};
use super::process::Process;
use super::sample::Sample;
use super::scrape::{self, RouteSums};
use super::thread::{self, FLOWS, flow};
use crate::tunnel::ClosedBy;

/// What was counted since the start, by route; requests that no route took stand under an
/// empty name. A route that has left the configuration is forgotten with its last tunnel.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// By name.
    pub routes: BTreeMap<Arc<str>, RouteFigures>,
    /// What the workers said of themselves.
    pub workers: Vec<Sample>,
}

/// A route.
#[derive(Debug, Clone, Default)]
pub struct RouteFigures {
    /// Requests by the first digit of their status; 0: none.
    pub requests: [u64; 6],
    /// Tunnels opened.
    pub opened: u64,
    /// Tunnels that have ended, by who or what ended them.
    pub closed: BTreeMap<&'static str, u64>,
    /// Refused handshakes by cause.
    pub refused: BTreeMap<&'static str, u64>,
    /// Live tunnels.
    pub open: u64,
    /// What came from clients through tunnels.
    pub from_client: Flow,
    /// What came from upstreams through tunnels.
    pub from_upstream: Flow,
}

/// What tunnels moved in one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flow {
    /// Complete data messages.
    pub messages: u64,
    /// Bytes, frame headers included.
    pub bytes: u64,
}

/// The figures of the process itself; `None`: the kernel does not say.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessFigures {
    /// Processor time used by all threads, in milliseconds.
    pub cpu_ms: Option<u64>,
    /// Bytes of memory in use.
    pub resident_bytes: Option<u64>,
    /// Open descriptors.
    pub open_files: Option<u64>,
    /// The limit on them.
    pub max_files: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
}

/// Sums the counts of all threads with the workers' samples.
pub fn figures(live: Vec<Sample>) -> Figures {
    let routes = scrape::routes(&thread::all(), &live);
    let routes = routes
        .into_iter()
        .map(|(name, sums)| (name, RouteFigures::of(&sums)));
    Figures {
        routes: routes.collect(),
        workers: live,
    }
}

/// Asks the kernel.
pub fn process() -> ProcessFigures {
    let process = Process::now();
    let millis = |cpu: std::time::Duration| u64::try_from(cpu.as_millis()).unwrap_or(u64::MAX);
    ProcessFigures {
        cpu_ms: process.cpu.map(millis),
        resident_bytes: process.resident,
        open_files: process.open_fds,
        max_files: process.max_fds,
        threads: process.threads,
    }
}

impl RouteFigures {
    fn of(sums: &RouteSums) -> RouteFigures {
        let mut figures = RouteFigures::default();
        for (_, statuses) in &sums.requests {
            for (place, count) in statuses.iter().enumerate() {
                figures.requests[labels::status_class(place)] += count;
            }
        }
        if let Some(refusals) = &sums.refusals {
            let causes = CAUSES.iter().map(|(cause, _)| *cause).zip(**refusals);
            figures.refused = causes.filter(|(_, count)| *count > 0).collect();
        }
        if let Some(tunnels) = &sums.tunnels {
            let closed = ClosedBy::ALL.map(ClosedBy::as_str).into_iter();
            let closed = closed.zip(tunnels.closed_by);
            figures.closed = closed.filter(|(_, count)| *count > 0).collect();
            figures.opened = tunnels.opened;
            figures.open = tunnels.sample.open;
            let [from_client, from_upstream] = tunnels.sample.flows.each_ref().map(Flow::of);
            figures.from_client = from_client;
            figures.from_upstream = from_upstream;
        }
        figures
    }
}

impl Flow {
    fn of(flow: &[u64; FLOWS]) -> Flow {
        Flow {
            messages: flow[flow::TEXT].wrapping_add(flow[flow::BINARY]),
            bytes: flow[flow::BYTES],
        }
    }
}
