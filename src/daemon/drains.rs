//! Drains while the process runs on: ordered by an operator for an endpoint, a route or
//! everything, or begun by a reload for what it removed. What is drained gets nothing new
//! until the drain is taken back, or what it was for is configured no more.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::control::Control;
use crate::admin::Known;
use crate::config::{DrainConfig, write_duration};
use crate::events::{self, DrainState, Event};
use crate::process::Shared;
use crate::process::drains::{Gate, Ordered, Outlived};
use crate::process::order::{DrainRequest, DrainView, Handle, Order, OrderError, Target};
use crate::process::review::Reviewer;
use crate::tunnel_registry::{self, DrainOrder, Selection};

/// How often is looked whether a drain has outlived what it was for.
const LOOK: Duration = Duration::from_millis(250);

impl Control {
    /// Goes on with the drains of the process that this one takes over from; to be called
    /// before anything is accepted.
    pub async fn continue_drains(&mut self, drains: &[DrainRequest]) {
        for request in drains {
            if let Err(refused) = self.drain(request.clone()).await {
                let target = &request.target;
                tracing::warn!(%target, why = refused.error, "a drain ends with the old process");
            }
        }
    }

    /// Begins a drain.
    ///
    /// # Errors
    /// When the target is not known or is drained already.
    pub(super) async fn drain(&mut self, request: DrainRequest) -> Result<DrainView, OrderError> {
        let DrainRequest {
            target,
            over_ms,
            deadline_ms,
        } = request;
        let gate = self.gate(&target).await?;
        let is_drained = |one: &Ordered| one.target == target && one.is_in_force();
        if self.shared.state.drains().0.iter().any(is_drained) {
            return Err(OrderError::new(format!(
                "{target} is drained already; `sluice undrain` takes it back"
            )));
        }
        let config = self.shared.snapshot.load().drain.clone();
        let (over, deadline) = times(&config, over_ms, deadline_ms)?;
        let select = selection(&target);
        self.close_gate(&gate, true);
        let order = DrainOrder::new(&config, select, Instant::now(), over, deadline);
        self.listeners
            .workers()
            .ask(|| {
                let order = order.clone();
                move || tunnel_registry::drain(&order, Instant::now())
            })
            .await;
        let ordered = Ordered {
            order,
            target,
            gate,
            undone: false,
            ended: None,
            gone: false,
        };
        let view = ordered.view();
        tracing::info!(
            target = %view.target,
            tunnels = view.total,
            over_ms = view.over_ms,
            deadline_ms = view.deadline_ms,
            "draining"
        );
        tell(&view, DrainState::Begun, view.total);
        self.shared.state.drains().push(ordered);
        self.shared.state.drain_ordered().notify_one();
        Ok(view)
    }

    /// Takes drains back: the one of this target, or all. Tunnels that were sent a Close
    /// already end all the same.
    ///
    /// # Errors
    /// When there is none, or the target is not known.
    pub(super) async fn undrain(
        &mut self,
        target: Option<Target>,
    ) -> Result<Vec<DrainView>, OrderError> {
        // What a reload began follows from the configuration: it goes on with the drains that
        // were ordered taken back, and is taken back by itself.
        let running = |one: &Ordered| one.is_in_force() && !one.is_over() && !one.is_by_reload();
        let ordered = self.shared.state.drains().0.iter().any(running);
        let wanted = |one: &Ordered| {
            one.is_in_force()
                && match &target {
                    Some(target) => one.target == *target,
                    None => !one.is_over() && one.is_by_reload() != ordered,
                }
        };
        let ids: Vec<(u64, bool)> = {
            let mut drains = self.shared.state.drains();
            let undone = drains.0.iter_mut().filter(|one| wanted(one));
            undone
                .map(|one| {
                    self.close_gate(&one.gate, false);
                    one.undone = true;
                    one.ended = Some(Instant::now());
                    (one.order.id, one.is_by_reload())
                })
                .collect()
        };
        if ids.is_empty() {
            let Some(target) = target else {
                return Err(OrderError::new("nothing is being drained"));
            };
            self.check_known(&target).await?;
            return Err(OrderError::new(format!("{target} is not being drained")));
        }
        self.let_go(&ids).await;
        let mut views = self.shared.state.drains().views();
        views.retain(|view| ids.iter().any(|(id, _)| *id == view.id));
        for view in &views {
            tracing::info!(target = %view.target, spared = view.spared, "the drain was taken back");
            tell(view, DrainState::TakenBack, view.spared);
        }
        Ok(views)
    }

    /// Ends the drains of what a reload or DNS has taken away, once it has no tunnels or is back.
    pub(super) async fn settle_drains(&self) {
        let snapshot = self.shared.snapshot.load_full();
        let ended = self.shared.state.drains().settle(&snapshot);
        if ended.is_empty() {
            return;
        }
        let ids: Vec<(u64, bool)> = ended.iter().map(|(id, ..)| (*id, false)).collect();
        for (_, gate, _) in &ended {
            self.close_gate(gate, false);
        }
        self.let_go(&ids).await;
        let views = self.shared.state.drains().views();
        for (id, _, outlived) in ended {
            let Some(view) = views.iter().find(|view| view.id == id) else {
                continue;
            };
            let why = match outlived {
                Outlived::Over => "it is not configured any more, and its last tunnel has ended",
                Outlived::Returned => "it was not configured for a while, and is back in service",
            };
            tracing::info!(target = %view.target, why, "the drain has ended");
            tell(view, DrainState::Ended, view.spared);
        }
    }

    /// Takes these drains back on all workers; each with whether it was a reload's. The tunnels
    /// of all others are reviewed: their routes and endpoints may be gone by now.
    async fn let_go(&self, ids: &[(u64, bool)]) {
        let snapshot = self.shared.snapshot.load_full();
        let reviewer = Arc::new(Reviewer::new(None, &snapshot));
        self.listeners
            .workers()
            .ask(|| {
                let (ids, reviewer) = (ids.to_vec(), reviewer.clone());
                move || {
                    let now = Instant::now();
                    for (id, by_reload) in ids {
                        match by_reload {
                            true => tunnel_registry::undrain(id),
                            false => tunnel_registry::undrain_and_review(id, now, &|tunnel| {
                                reviewer.judge(tunnel)
                            }),
                        };
                    }
                }
            })
            .await;
        let mut drains = self.shared.state.drains();
        for drain in reviewer.drains() {
            drains.note_reload(snapshot.generation, drain.clone());
        }
    }

    /// What keeps new tunnels away from the target, which may be gone except for its tunnels.
    async fn gate(&self, target: &Target) -> Result<Gate, OrderError> {
        let found = match target {
            Target::All => Some(Gate::All),
            Target::Route(name) => {
                let snapshot = self.shared.snapshot.load();
                let route = snapshot.route(name);
                route.map(|route| Gate::Route(route.draining.clone()))
            }
            Target::Endpoint { upstream, endpoint } => {
                let living = self.shared.registry.living(upstream, endpoint);
                living.map(Gate::Endpoint)
            }
            Target::Reload(_) => {
                return Err(OrderError::new("only a reload begins such a drain"));
            }
        };
        if let Some(gate) = found {
            return Ok(gate);
        }
        self.check_known(target).await?;
        match target {
            // The mark of the next route of this name takes its place.
            Target::Route(_) => Ok(Gate::Route(Arc::default())),
            _ => Err(OrderError::new(format!("{target} is gone"))),
        }
    }

    /// Whether the target exists, or live tunnels of it do.
    async fn check_known(&self, target: &Target) -> Result<(), OrderError> {
        let live = self.listeners.workers().ask(|| tunnel_registry::handles);
        let live = live.await;
        let identities = live.iter().flatten().map(|handle| &*handle.identity);
        let known = Known::of(&self.shared, identities);
        match target {
            Target::Route(name) => known.route(name),
            Target::Endpoint { upstream, endpoint } => {
                known.endpoint(&format!("{upstream}/{endpoint}"))
            }
            Target::All | Target::Reload(_) => Ok(()),
        }
    }

    fn close_gate(&self, gate: &Gate, closed: bool) {
        match gate {
            Gate::All => self.shared.state.set_drains_all(closed),
            Gate::Route(mark) => mark.store(closed, Relaxed),
            Gate::Endpoint(endpoint) => endpoint.set_draining(closed),
            Gate::Removed => {}
        }
    }
}

/// Notices that DNS has taken away what is drained, or that its last tunnel has ended. Never
/// returns.
pub(super) async fn watch(shared: Arc<Shared>, control: Handle) {
    loop {
        let has_ordered = shared.state.drains().has_ordered();
        match has_ordered {
            true => tokio::time::sleep(LOOK).await,
            false => shared.state.drain_ordered().notified().await,
        }
        let snapshot = shared.snapshot.load_full();
        if shared.state.drains().is_unsettled(&snapshot) {
            let _ = control.ask(Order::SettleDrains).await;
        }
    }
}

/// The span of a drain and its deadline: as ordered, else as configured.
fn times(
    config: &DrainConfig,
    over_ms: Option<u64>,
    deadline_ms: Option<u64>,
) -> Result<(Duration, Duration), OrderError> {
    let over = over_ms.map_or(config.over, Duration::from_millis);
    let slack = config.deadline.saturating_sub(config.over);
    let deadline = deadline_ms.map_or(over.saturating_add(slack), Duration::from_millis);
    if deadline < over {
        let configured = match over_ms {
            Some(_) => "",
            None => " (`drain.over`)",
        };
        return Err(OrderError::new(format!(
            "the deadline of {} is shorter than the span of {}{configured}",
            write_duration(deadline),
            write_duration(over),
        )));
    }
    Ok((over, deadline))
}

fn selection(target: &Target) -> Selection {
    match target {
        Target::Route(name) => Selection::Route(name.as_str().into()),
        Target::Endpoint { upstream, endpoint } => Selection::Endpoint {
            upstream: upstream.as_str().into(),
            endpoint: endpoint.as_str().into(),
        },
        Target::All | Target::Reload(_) => Selection::All,
    }
}

fn tell(view: &DrainView, state: DrainState, tunnels: u64) {
    events::publish(Event::Drain(events::Drain {
        time: events::now(),
        target: view.target.to_string(),
        state,
        tunnels,
        over_ms: view.over_ms,
    }));
}
