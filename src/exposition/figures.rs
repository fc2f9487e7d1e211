//! The counts as plain numbers by route, for those who draw them instead of storing them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::process::Process;
use super::scrape::{self, RouteSums};
use crate::metrics::cells::{BOUNDS, WAITS};
use crate::metrics::labels;
use crate::metrics::labels::CAUSES;
use crate::metrics::thread;
use crate::metrics::thread::{FLOWS, flow};
use crate::vocabulary::ClosedBy;

/// What was counted since the start, by route; requests that no route took stand under an
/// empty name. A route that has left the configuration is forgotten some minutes after its last
/// tunnel.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// By name.
    pub routes: BTreeMap<Arc<str>, RouteFigures>,
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
    /// How long clients waited for the first byte of plain answers.
    pub first_byte: Waits,
    /// Refused handshakes by cause.
    pub refused: BTreeMap<&'static str, u64>,
    /// Live tunnels.
    pub open: u64,
    /// What came from clients through tunnels.
    pub from_client: Flow,
    /// What came from upstreams through tunnels.
    pub from_upstream: Flow,
}

/// How often clients waited how long: counts between the bounds of `WAITS`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waits([u64; BOUNDS + 1]);

impl Waits {
    /// What is new since an earlier look.
    pub fn since(&self, earlier: &Waits) -> Waits {
        let mut new = *self;
        for (count, before) in new.0.iter_mut().zip(earlier.0) {
            *count = count.saturating_sub(before);
        }
        new
    }

    /// Adds those of another route.
    pub fn add(&mut self, other: &Waits) {
        for (count, other) in self.0.iter_mut().zip(other.0) {
            *count += other;
        }
    }

    /// The wait in microseconds that this share, 0 to 1, stayed below: exact to its bucket, in
    /// which waits count as spread evenly. `None`: nothing was counted.
    pub fn quantile(&self, share: f64) -> Option<u64> {
        let all: u64 = self.0.iter().sum();
        if all == 0 {
            return None;
        }
        let wanted = share * all as f64;
        let mut below = 0;
        for (at, count) in self.0.iter().enumerate() {
            let from = at.checked_sub(1).map_or(0, |before| WAITS[before]);
            // What exceeds the last bound is only known to.
            let Some(to) = WAITS.get(at) else { break };
            if *count > 0 && (below + count) as f64 >= wanted {
                let part = ((wanted - below as f64) / *count as f64).clamp(0.0, 1.0);
                let nanos = from as f64 + part * (to - from) as f64;
                return Some((nanos / 1000.0).round() as u64);
            }
            below += count;
        }
        WAITS.last().map(|last| last / 1000)
    }
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

/// Sums the counts of all threads. What tunnels have moved since they were settled is not among
/// them, see [`metrics::is_moving`](crate::metrics::is_moving).
pub fn figures() -> Figures {
    let routes = scrape::routes(&thread::all());
    let routes = routes
        .into_iter()
        .map(|(name, sums)| (name, RouteFigures::of(&sums)));
    Figures {
        routes: routes.collect(),
    }
}

/// The same of all routes together.
pub fn sums() -> RouteFigures {
    RouteFigures::of(&scrape::all_routes())
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
        let mut figures = RouteFigures {
            first_byte: Waits(sums.first_byte.buckets),
            ..RouteFigures::default()
        };
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
            figures.open = tunnels.open;
            let [from_client, from_upstream] = tunnels.flows.each_ref().map(Flow::of);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_waits_lies_in_its_bucket() {
        let mut waits = Waits::default();
        assert_eq!(waits.quantile(0.5), None);
        // 98 within 250 µs, one within a second, one beyond a minute.
        waits.0[0] = 98;
        waits.0[11] = 1;
        waits.0[BOUNDS] = 1;
        assert_eq!(waits.quantile(0.5), Some(128));
        assert_eq!(waits.quantile(0.99), Some(1_000_000));
        assert_eq!(waits.quantile(1.0), Some(60_000_000));
        let mut later = waits;
        later.0[5] += 10;
        let new = later.since(&waits);
        assert!((5_000..=10_000).contains(&new.quantile(0.5).unwrap()));
    }
}
