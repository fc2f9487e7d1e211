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
    /// When it was taken back, or ended with what it was for: its time ends there.
    pub(crate) ended: Option<Instant>,
    /// What it is for is configured no more.
    pub(crate) gone: bool,
}

/// Why a drain has ended that was not taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outlived {
    /// The last tunnel of what is configured no more has ended.
    Over,
    /// What was configured no more has returned, and is new.
    Returned,
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
        let ordered = self.0.iter().filter(|one| one.is_in_force());
        let ordered = ordered.filter(|one| !one.is_by_reload());
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

    /// Lets routes of the next configuration be drained that have the name of a drained one.
    pub(crate) fn mark_routes(&mut self, next: &Snapshot) {
        for one in self
            .0
            .iter_mut()
            .filter(|one| one.is_in_force() && !one.gone)
        {
            if let (Target::Route(name), Gate::Route(mark)) = (&one.target, &mut one.gate)
                && let Some(route) = next.route(name)
            {
                route.draining.store(true, Relaxed);
                mark.clone_from(&route.draining);
            }
        }
    }

    /// Whether one that was ordered is in force.
    pub(crate) fn has_ordered(&self) -> bool {
        let mut in_force = self.0.iter().filter(|one| one.is_in_force());
        in_force.any(|one| !one.is_by_reload())
    }

    /// Whether [`settle`](Drains::settle) would change something.
    pub(crate) fn is_unsettled(&self, snapshot: &Snapshot) -> bool {
        let busy = self.is_reload_draining();
        let mut ordered = self.0.iter().filter(|one| one.is_in_force());
        ordered.any(|one| {
            one.outlived(snapshot, busy).is_some() || one.gone == one.target.is_in(snapshot)
        })
    }

    /// Ends the drains of what is configured no more: with its last tunnel, or when it returns.
    /// Otherwise it would be out of service then, by an order that was long carried out. Gives
    /// what kept new tunnels away.
    pub(crate) fn settle(&mut self, snapshot: &Snapshot) -> Vec<(u64, Gate, Outlived)> {
        let busy = self.is_reload_draining();
        let ordered = self.0.iter_mut().filter(|one| one.is_in_force());
        let ended = ordered.filter_map(|one| {
            let outlived = one.outlived(snapshot, busy);
            one.gone = !one.target.is_in(snapshot);
            let outlived = outlived?;
            one.ended = Some(Instant::now());
            let gate = std::mem::replace(&mut one.gate, Gate::Removed);
            Some((one.order.id, gate, outlived))
        });
        ended.collect()
    }

    /// Whether a reload's drain goes on, which may have taken tunnels over from one that was
    /// ordered.
    fn is_reload_draining(&self) -> bool {
        let mut reloads = self.0.iter().filter(|one| one.is_by_reload());
        reloads.any(|one| one.is_in_force() && one.order.progress.left() > 0)
    }

    /// Notes a drain that a reload began.
    pub(crate) fn note_reload(&mut self, generation: u64, order: Arc<DrainOrder>) {
        self.push(Ordered {
            order,
            target: Target::Reload(generation),
            gate: Gate::Removed,
            undone: false,
            ended: None,
            gone: false,
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

    /// Whether it was neither taken back nor has ended with what it was for.
    pub(crate) fn is_in_force(&self) -> bool {
        self.ended.is_none()
    }

    /// Whether it has ended with what it was for; `busy`: a reload's drain goes on.
    fn outlived(&self, snapshot: &Snapshot, busy: bool) -> Option<Outlived> {
        match self.target.is_in(snapshot) {
            true => self.gone.then_some(Outlived::Returned),
            false => {
                let is_over = self.order.progress.left() == 0 && !busy;
                is_over.then_some(Outlived::Over)
            }
        }
    }

    /// Whether nothing can come of it any more.
    pub(crate) fn is_over(&self) -> bool {
        let is_closed = !self.is_in_force() || matches!(self.gate, Gate::Removed);
        self.order.progress.left() == 0 && is_closed
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

impl Target {
    /// Whether it is configured; for an endpoint also, whether its name has this address.
    fn is_in(&self, snapshot: &Snapshot) -> bool {
        match self {
            Target::Route(name) => snapshot.route(name).is_some(),
            Target::Endpoint { upstream, endpoint } => {
                let upstream = snapshot.upstreams.get(upstream);
                upstream.is_some_and(|upstream| {
                    let endpoints = upstream.endpoints();
                    endpoints.iter().any(|one| **one.name() == **endpoint)
                })
            }
            Target::All | Target::Reload(_) => true,
        }
    }
}
