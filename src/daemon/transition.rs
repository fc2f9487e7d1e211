//! A reload's point of no return: one value that has everything which the new configuration
//! needs. What can fail happens before it exists; putting it in force cannot.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::control::Control;
use crate::access_log::AccessLog;
use crate::config::ListenAddress;
use crate::logging;
use crate::net::listen::{Listener, ListenerInfo};
use crate::process::order::Reloaded;
use crate::process::review::Reviewer;
use crate::snapshot::Snapshot;
use crate::trace::Tracer;
use crate::tunnel_registry;
use crate::upstream::discover::Discovery;

/// How long requests may take to let go of the old configuration, and how often is looked.
const RETIRED: Duration = Duration::from_secs(10);
const MOMENT: Duration = Duration::from_millis(250);

/// From the configuration in force to the next.
pub(super) struct Transition {
    pub(super) old: Arc<Snapshot>,
    pub(super) new: Arc<Snapshot>,
    /// What the new one means for live tunnels.
    pub(super) reviewer: Arc<Reviewer>,
    /// Keeps its names resolved.
    pub(super) discovery: Discovery,
    /// The listeners that were not there before, bound.
    pub(super) bound: Vec<Arc<Listener>>,
    /// The log, where it is another or was opened anew.
    pub(super) access_log: Option<AccessLog>,
    /// The tracer, where it is another.
    pub(super) tracer: Option<Tracer>,
    /// What is to be told of it.
    pub(super) report: Reloaded,
}

impl Transition {
    /// Puts the new configuration in force, and says what that has changed. The order: what
    /// new requests find, then who is accepted, then what is written, then what lives.
    pub(super) async fn apply(self, control: &mut Control) -> Reloaded {
        let mut report = self.report;
        report.generation = self.new.generation;
        for address in self.bound.iter().map(|listener| listener.to_string()) {
            tracing::info!(address, "listening");
        }
        // Before a request can find it: a drained route stays drained.
        control.shared.state.drains().mark_routes(&self.new);
        control.shared.snapshot.store(self.new.clone());
        control.discovery = self.discovery;
        let names = self.new.upstreams.values();
        let names = names.flat_map(|upstream| upstream.names());
        control.shared.registry.keep_names(names);
        let wanted = wanted(&self.new);
        control.listeners.replace(&wanted, self.bound).await;
        logging::set_level(&self.new.config.log);
        if let Some(log) = self.access_log {
            control.log_to(log);
        }
        if let Some(tracer) = self.tracer {
            control.trace_to(tracer);
        }
        // After the store: a tunnel that is born now has the new configuration, or finds the
        // reviewer.
        control.review(self.reviewer, &self.new, &mut report).await;
        control.settle_drains().await;
        retire(self.old);
        report
    }
}

/// How its listeners look to clients; the port is the socket's.
fn wanted(new: &Snapshot) -> Vec<(ListenAddress, ListenerInfo)> {
    let listeners = new.config.listeners.iter().zip(&new.servers);
    let wanted = listeners.map(|(listener, server)| {
        let info = ListenerInfo::new(listener, server.clone(), 0);
        (listener.address.clone(), info)
    });
    wanted.collect()
}

impl Control {
    /// Access records go there from now on.
    pub(super) fn log_to(&self, log: AccessLog) {
        self.shared.access_log.store(Arc::new(log.clone()));
        self.listeners.workers().each(|| {
            let log = log.clone();
            move || log.install()
        });
    }

    /// Spans go there from now on.
    fn trace_to(&self, tracer: Tracer) {
        self.shared.tracer.store(Arc::new(tracer.clone()));
        self.listeners.workers().each(|| {
            let tracer = tracer.clone();
            move || tracer.install()
        });
    }

    /// Tells live tunnels what the new configuration means for them.
    async fn review(&self, reviewer: Arc<Reviewer>, new: &Snapshot, report: &mut Reloaded) {
        // It knows all routes of before, and is not freed on this thread.
        let before = self.shared.state.set_reviewer(reviewer.clone());
        tokio::task::spawn_blocking(move || drop(before));
        self.listeners
            .workers()
            .ask(|| {
                let reviewer = reviewer.clone();
                move || tunnel_registry::review(Instant::now(), &|tunnel| reviewer.judge(tunnel))
            })
            .await;
        report.tunnels_changed = reviewer.changed();
        report.tunnels_closed = reviewer.closed();
        let mut drains = self.shared.state.drains();
        for drain in reviewer.drains() {
            report.tunnels_drained += drain.progress.total();
            drains.note_reload(new.generation, drain.clone());
        }
    }
}

/// Frees a configuration that is not in force any more, once no request has it: not on the
/// thread of the last one.
fn retire(old: Arc<Snapshot>) {
    drop(tokio::spawn(async move {
        let give_up = Instant::now() + RETIRED;
        while Arc::strong_count(&old) > 1 && Instant::now() < give_up {
            tokio::time::sleep(MOMENT).await;
        }
        tokio::task::spawn_blocking(move || drop(old));
    }));
}
