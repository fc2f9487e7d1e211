//! `/v1/stats`: what the dashboard and `sluice top` draw. Closes and refusals are there with the
//! next tick.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::history::{History, Point};
use super::http::CLASSES;
use super::state::Context;
use super::upstreams::{self, UpstreamView};
use crate::events::{self, Entry, Event};
use crate::exposition;
use crate::exposition::{Flow, RouteFigures};
use crate::process::order::millis;

/// All of it.
#[derive(Debug, Serialize)]
pub(super) struct Stats {
    /// Milliseconds since the process started.
    uptime_ms: u64,
    /// Live tunnels.
    open: u64,
    /// By route, since the start; an empty name is for what no route took.
    routes: Vec<RouteStats>,
    upstreams: Vec<UpstreamView>,
    /// Refused handshakes by cause, since the start.
    refused: BTreeMap<&'static str, u64>,
    /// Tunnels that have ended by cause, since the start.
    closed: BTreeMap<&'static str, u64>,
    /// The last refused handshakes, the newest last.
    refusals: Vec<RecentEvent>,
    /// The last tunnels that have ended, the newest last.
    closes: Vec<RecentEvent>,
    process: ProcessStats,
    workers: Vec<WorkerStats>,
    /// The last minutes, a point a second, the newest last.
    history: Vec<Point>,
}

#[derive(Debug, Serialize)]
struct RouteStats {
    name: Arc<str>,
    /// By class of the status; `none`: without an answer.
    requests: BTreeMap<&'static str, u64>,
    opened: u64,
    open: u64,
    closed: BTreeMap<&'static str, u64>,
    refused: BTreeMap<&'static str, u64>,
    messages_in: u64,
    messages_out: u64,
    bytes_in: u64,
    bytes_out: u64,
}

#[derive(Debug, Serialize)]
struct ProcessStats {
    cpu_ms: Option<u64>,
    resident_bytes: Option<u64>,
    open_files: Option<u64>,
    max_files: Option<u64>,
    threads: Option<u64>,
}

#[derive(Debug, Serialize)]
struct WorkerStats {
    name: String,
    cpu_ms: u64,
    connections: u64,
    tunnels: u64,
}

/// An event without its number.
#[derive(Debug)]
struct RecentEvent(Arc<Entry>);

impl Serialize for RecentEvent {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let event: &Event = &self.0.event;
        event.serialize(to)
    }
}

pub(super) async fn of(context: &Context, history: &History) -> Stats {
    let shared = &context.shared;
    let samples = context.workers.ask(|| exposition::sample).await;
    let figures = exposition::figures();
    let recent = events::recent();
    let (mut refused, mut closed) = (BTreeMap::new(), BTreeMap::new());
    for route in figures.routes.values() {
        add(&mut refused, &route.refused);
        add(&mut closed, &route.closed);
    }
    let process = exposition::process();
    let workers = samples.into_iter().map(|worker| WorkerStats {
        name: worker.worker,
        cpu_ms: millis(worker.cpu),
        connections: worker.connections as u64,
        tunnels: worker.tunnels as u64,
    });
    let routes = figures.routes.iter();
    Stats {
        uptime_ms: millis(shared.state.started.elapsed()),
        open: figures.routes.values().map(|route| route.open).sum(),
        routes: routes
            .map(|(name, own)| RouteStats::of(name, own))
            .collect(),
        upstreams: upstreams::of(shared),
        refused,
        closed,
        refusals: recent.refusals.into_iter().map(RecentEvent).collect(),
        closes: recent.closes.into_iter().map(RecentEvent).collect(),
        process: ProcessStats {
            cpu_ms: process.cpu_ms,
            resident_bytes: process.resident_bytes,
            open_files: process.open_files,
            max_files: process.max_files,
            threads: process.threads,
        },
        workers: workers.collect(),
        history: history.points(),
    }
}

impl RouteStats {
    fn of(name: &Arc<str>, figures: &RouteFigures) -> RouteStats {
        let (from_client, from_upstream): (Flow, Flow) =
            (figures.from_client, figures.from_upstream);
        RouteStats {
            name: name.clone(),
            requests: CLASSES.into_iter().zip(figures.requests).collect(),
            opened: figures.opened,
            open: figures.open,
            closed: figures.closed.clone(),
            refused: figures.refused.clone(),
            messages_in: from_client.messages,
            messages_out: from_upstream.messages,
            bytes_in: from_client.bytes,
            bytes_out: from_upstream.bytes,
        }
    }
}

fn add(sums: &mut BTreeMap<&'static str, u64>, counts: &BTreeMap<&'static str, u64>) {
    for (cause, count) in counts {
        *sums.entry(cause).or_default() += count;
    }
}
