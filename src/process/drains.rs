//! The ledger of drains: those that an operator ordered for an endpoint, a route or
//! everything, and those that reloads began for what they removed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::order::{DrainRequest, DrainView, Target, millis};
use crate::snapshot::Snapshot;
use crate::tunnel_registry::DrainOrder;
use crate::upstream::Endpoint;

/// Drains that are over and still shown, newest last.
const SHOWN: usize = 32;

/// All that were ordered.
#[derive(Debug, Default)]
pub struct Drains(pub(crate) Vec<Ordered>);

#[derive(Debug)]
pub(crate) struct Ordered {
    pub(crate) order: Arc<DrainOrder>,
    pub(crate) target: Target,
    pub(crate) gate: Gate,
    pub(crate) undone: bool,
    /// When it was taken back: its time ends there.
    pub(crate) ended: Option<Instant>,
}

/// What keeps new tunnels away meanwhile.
#[derive(Debug)]
pub(crate) enum Gate {
    /// The state of the process.
    All,
    /// The mark of the route that has the name, or was the last to have it.
    Route(Arc<AtomicBool>),
    /// The endpoint's mark. Held, so that the endpoint outlives a reload without it.
    Endpoint(Arc<Endpoint>),
    /// What is drained is gone already.
    Removed,
}

impl Drains {
    /// Each of them and how far it is.
    pub fn views(&self) -> Vec<DrainView> {
        self.0.iter().map(Ordered::view).collect()
    }

    /// Those that an operator ordered and has not taken back, with what is left of their
    /// time: for a process that takes over.
    pub(crate) fn in_force(&self) -> Vec<DrainRequest> {
        let ordered = self.0.iter().filter(|one| !one.undone);
        let ordered = ordered.filter(|one| !matches!(one.gate, Gate::Removed));
        ordered
            .map(|one| {
                let left =
                    |span: Duration| millis(span.saturating_sub(one.order.started.elapsed()));
                DrainRequest {
                    target: one.target.clone(),
                    over_ms: Some(left(one.order.over)),
                    deadline_ms: Some(left(one.order.deadline)),
                }
            })
            .collect()
    }

    /// Lets routes of the next configuration be drained that have the name of a drained one,
    /// also where the configuration in between had none.
    pub(crate) fn mark_routes(&mut self, next: &Snapshot) {
        for one in self.0.iter_mut().filter(|one| !one.undone) {
            if let (Target::Route(name), Gate::Route(mark)) = (&one.target, &mut one.gate)
                && let Some(route) = next.route(name)
            {
                route.draining.store(true, Relaxed);
                mark.clone_from(&route.draining);
            }
        }
    }

    /// Notes a drain that a reload began.
    pub(crate) fn note_reload(&mut self, generation: u64, order: Arc<DrainOrder>) {
        self.push(Ordered {
            order,
            target: Target::Reload(generation),
            gate: Gate::Removed,
            undone: false,
            ended: None,
        });
    }

    pub(crate) fn push(&mut self, ordered: Ordered) {
        self.0.push(ordered);
        let over = self.0.iter().filter(|one| one.is_over()).count();
        if let Some(oldest) = self.0.iter().position(Ordered::is_over)
            && over > SHOWN
        {
            self.0.remove(oldest);
        }
    }
}

impl Ordered {
    pub(crate) fn is_by_reload(&self) -> bool {
        matches!(self.target, Target::Reload(_))
    }

    /// Whether nothing can come of it any more.
    pub(crate) fn is_over(&self) -> bool {
        self.order.progress.left() == 0 && (self.undone || matches!(self.gate, Gate::Removed))
    }

    pub(crate) fn view(&self) -> DrainView {
        let progress = &self.order.progress;
        // `left` first: what has left meanwhile is then among the others.
        let left = progress.left();
        DrainView {
            id: self.order.id,
            target: self.target.clone(),
            elapsed_ms: millis(self.ended.map_or_else(
                || self.order.started.elapsed(),
                |ended| ended.saturating_duration_since(self.order.started),
            )),
            over_ms: millis(self.order.over),
            deadline_ms: millis(self.order.deadline),
            total: progress.total() - progress.moved(),
            left,
            closed: progress.closed(),
            cut: progress.cut(),
            spared: progress.spared(),
            undone: self.undone,
        }
    }
}
