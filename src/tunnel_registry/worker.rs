//! A worker's live tunnels and their only clock. Silence is seen by comparing byte counters of
//! those that have noted that they move something, so no message reads a clock, and no tunnel
//! owns a timer. A tick looks only at tunnels for which something is due. An idle tunnel's task is
//! not woken. Drains and new settings reach the tunnels of a worker through here too.
//!
//! Decides when something is due; how it is carried out is the tunnel's own matter.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::activity::{self, AT_ONCE};
use super::close::{CloseOrder, Cut};
use super::drain::{DrainOrder, Selection};
use super::due::Due;
use super::entry::Entry;
use super::handle::TunnelHandle;
use super::local_drain::LocalDrain;
use super::moment::{BEGIN, Moment, NEVER, Now, tenths};
use crate::config::WebSocketConfig;
use crate::metrics;
use crate::tunnel_info::TunnelIdentity;

/// How often [`tick`] is called, and with it everything else that lives on a worker is
/// looked at: the resolution of time-outs.
pub const TICK: Duration = Duration::from_millis(250);

/// The same while closes are spread over a drain's span: half of the resolution of a moment.
pub const FINE_TICK: Duration = Duration::from_millis(50);

/// After so many tenths of a second a tick settles what nothing else has. The history, where
/// there is one, comes first.
const SETTLED: Moment = 12;

/// At a shutdown the deadline is the process's, which counts what it cuts; here it only
/// stands in for one that does not come, so it must not be the first. In other drains it is
/// the moment that tunnels closed last have for their handshake.
const DRAIN_SLACK: Duration = Duration::from_millis(500);

/// What a review says about one tunnel.
#[derive(Debug, Clone)]
pub enum Review {
    /// It goes on as it is.
    Keep,
    /// It goes on under these settings: limits, time-outs, keep-alive and strictness. What
    /// they make overdue, an age or a silence, is not closed at once but at a moment chosen
    /// at random within 30 s, or within the limit where that is shorter. A deadline that is
    /// running already is not changed.
    Settings(Arc<WebSocketConfig>),
    /// It is closed within the order's span, unless it stays in another drain: see [`drain`].
    Drain(Arc<DrainOrder>),
    /// It is closed now.
    Close(Arc<CloseOrder>),
}

/// The tunnels of one thread.
#[derive(Debug)]
pub(super) struct Registry {
    pub(super) epoch: Instant,
    /// How long the worker stood still in total; no [`Moment`] counts that.
    forgiven: Duration,
    pub(super) entries: Vec<Entry>,
    /// When each must be looked at, at its index.
    due: Due,
    /// When what had moved was settled last.
    settled: Moment,
    /// Those in force, the oldest first.
    drains: Vec<Rc<LocalDrain>>,
}

thread_local! {
    pub(super) static REGISTRY: RefCell<Registry> = RefCell::new(Registry {
        epoch: Instant::now(),
        forgiven: Duration::ZERO,
        entries: Vec::new(),
        due: Due::new(),
        settled: 0,
        drains: Vec::new(),
    });
}

/// How many tunnels live on this thread.
pub fn count() -> usize {
    REGISTRY
        .try_with(|registry| registry.borrow().entries.len())
        .unwrap_or(0)
}

/// The live tunnels of this thread.
pub fn handles() -> Vec<Arc<TunnelHandle>> {
    REGISTRY.with_borrow(|registry| {
        registry
            .entries
            .iter()
            .map(|entry| entry.handle.clone())
            .collect()
    })
}

/// Serves every deadline of every tunnel of this thread; to be called every [`TICK`].
pub fn tick(now: Instant) {
    REGISTRY.with_borrow_mut(|registry| registry.tick(now));
}

/// Settles what has moved of late, `most` tunnels at most: it is counted by route, and their
/// entries know that something came.
pub fn settle(now: Instant, most: usize) {
    REGISTRY.with_borrow_mut(|registry| {
        let now = registry.now(now);
        registry.settle(now, most);
    });
}

/// The worker stood still for `span` until now: every clock of this thread's tunnels goes on as
/// if that had not been.
pub fn forgive(span: Duration) {
    REGISTRY.with_borrow_mut(|registry| registry.forgiven += span);
}

/// Asks `judge` about every tunnel of this thread.
pub fn review(now: Instant, judge: &dyn Fn(&TunnelHandle) -> Review) {
    // Nothing is borrowed while it judges: it may call this module.
    for handle in handles() {
        apply(&handle, judge(&handle), now);
    }
}

/// Carries out what a review says about a tunnel of this thread.
pub fn apply(handle: &Arc<TunnelHandle>, review: Review, now: Instant) {
    match review {
        Review::Keep => {}
        Review::Settings(settings) => REGISTRY.with_borrow_mut(|registry| {
            registry.set(handle, &settings, now);
        }),
        Review::Drain(order) => REGISTRY.with_borrow_mut(|registry| {
            let drain = registry.in_force(&order);
            registry.claim(handle, &drain, now);
        }),
        Review::Close(order) => {
            handle.close(order);
        }
    }
}

/// Puts a drain in force for this thread: the tunnels that it selects, and those still to
/// come, are closed at moments chosen at random over its span, and what is left at its
/// deadline is cut. It stays in force until it is taken back.
///
/// A tunnel is in one drain, the first that selects it; but one for all tunnels takes over
/// those of others, and comes first where tunnels are opened later, and one of a review takes
/// over those of a route's or an endpoint's.
pub fn drain(order: &Arc<DrainOrder>, now: Instant) {
    REGISTRY.with_borrow_mut(|registry| {
        let drain = registry.in_force(order);
        let now = registry.moment(now);
        for index in 0..registry.entries.len() {
            if order.select.takes(&registry.entries[index].handle.identity) {
                registry.claim_at(index, &drain, now);
            }
        }
    });
}

/// Whether closes of a drain may still be due on this thread: then [`tick`] is to be called
/// every [`FINE_TICK`], so that they are even over a short span too.
pub fn is_draining() -> bool {
    REGISTRY.with_borrow(|registry| {
        let now = registry.moment(Instant::now());
        registry.drains.iter().any(|drain| now <= drain.end)
    })
}

/// Takes a drain back for the tunnels of this thread that it has not reached yet, and
/// returns how many those are. Where another drain in force selects such a tunnel, it comes
/// to that one.
pub fn undrain(id: u64) -> usize {
    spare(id).len()
}

/// The same, and what is in no drain any more is reviewed: while the drain held it, a reload
/// may have removed what it needs.
pub fn undrain_and_review(id: u64, now: Instant, judge: &dyn Fn(&TunnelHandle) -> Review) -> usize {
    let spared = spare(id);
    for handle in spared.iter().flatten() {
        apply(handle, judge(handle), now);
    }
    spared.len()
}

/// The tunnels that a drain lets go of; `None` for one that another drain has taken at once.
fn spare(id: u64) -> Vec<Option<Arc<TunnelHandle>>> {
    REGISTRY.with_borrow_mut(|registry| {
        registry.drains.retain(|drain| drain.order.id != id);
        let now = registry.moment(Instant::now());
        let mut spared = Vec::new();
        for index in 0..registry.entries.len() {
            if registry.entries[index].spare(id) {
                registry.offer(index, now);
                let entry = &registry.entries[index];
                spared.push(entry.drain.is_none().then(|| entry.handle.clone()));
            }
        }
        spared
    })
}

/// Ends every tunnel of this thread at once. Returns how many there were.
pub fn cut_all(why: Cut) -> usize {
    let handles = handles();
    for handle in &handles {
        handle.cut(why);
    }
    handles.len()
}

/// Registers a tunnel that begins.
pub fn add(handle: &Arc<TunnelHandle>) {
    REGISTRY.with_borrow_mut(|registry| {
        let now = registry.now(handle.opened);
        let entry = Entry::new(handle.clone(), now, 0);
        registry.insert(entry, now.moment);
    });
}

/// Lets go of a tunnel that has ended.
pub fn remove(handle: &Arc<TunnelHandle>) {
    // The thread's end may come first, and a task may be dropped on another thread.
    let _ = REGISTRY.try_with(|registry| {
        if let Ok(mut registry) = registry.try_borrow_mut()
            && let Some(entry) = registry.take(handle)
        {
            entry.ended();
        }
    });
}

/// The tunnel's phase has changed: the next tick looks at it.
pub fn touch(handle: &TunnelHandle) {
    let _ = REGISTRY.try_with(|registry| {
        let Ok(mut registry) = registry.try_borrow_mut() else {
            return;
        };
        let index = handle.index.load(Relaxed) as usize;
        registry.due.bring_forward(index, 0);
    });
}

impl Registry {
    pub(super) fn moment(&self, now: Instant) -> Moment {
        self.after(now, self.forgiven)
    }

    fn after(&self, now: Instant, forgiven: Duration) -> Moment {
        let elapsed = now.saturating_duration_since(self.epoch);
        let elapsed = elapsed.saturating_sub(forgiven);
        let tenths = Moment::try_from(elapsed.as_millis() / 100).unwrap_or(NEVER);
        BEGIN.saturating_add(tenths).min(NEVER - 1)
    }

    pub(super) fn now(&self, now: Instant) -> Now {
        Now {
            moment: self.moment(now),
            real: self.after(now, Duration::ZERO),
        }
    }

    pub(super) fn settle(&mut self, now: Now, most: usize) {
        activity::settle(most, |handle| {
            if let Some(index) = self.find(handle) {
                self.entries[index].observe(now);
            }
        });
        self.settled = now.real;
    }

    fn tick(&mut self, now: Instant) {
        let now = self.now(now);
        let (moving, since) = (activity::moving(), now.real.saturating_sub(self.settled));
        if moving > 0 && (since >= SETTLED || moving > AT_ONCE) {
            self.settle(now, AT_ONCE);
        }
        let entries = &mut self.entries;
        self.due.serve(now.moment, |index| {
            let entry = &mut entries[index];
            entry.look(now);
            entry.next_look(now.moment)
        });
    }

    /// Where a tunnel stands, unless it has ended.
    fn find(&self, handle: &Arc<TunnelHandle>) -> Option<usize> {
        let index = handle.index.load(Relaxed) as usize;
        let entry = self.entries.get(index)?;
        Arc::ptr_eq(&entry.handle, handle).then_some(index)
    }

    pub(super) fn insert(&mut self, entry: Entry, now: Moment) {
        let index = self.entries.len();
        entry.handle.index.store(index as u32, Relaxed);
        self.due.push(entry.next_look(now));
        metrics::tunnel_here(entry.handle.identity.slot());
        self.entries.push(entry);
        self.offer(index, now);
    }

    /// Lets go of a tunnel; whether its drain counts it is left to the caller.
    pub(super) fn take(&mut self, handle: &Arc<TunnelHandle>) -> Option<Entry> {
        let index = self.find(handle)?;
        let entry = self.entries.swap_remove(index);
        if let Some(moved) = self.entries.get(index) {
            moved.handle.index.store(index as u32, Relaxed);
        }
        if self.entries.is_empty() {
            self.entries.shrink_to(64);
        }
        self.due.swap_remove(index);
        metrics::tunnel_gone(entry.handle.identity.slot());
        activity::leave(handle);
        Some(entry)
    }

    fn set(&mut self, handle: &Arc<TunnelHandle>, settings: &Arc<WebSocketConfig>, now: Instant) {
        if let Some(index) = self.find(handle) {
            let age = tenths(now.saturating_duration_since(handle.opened));
            let now = self.now(now);
            self.entries[index].set(settings, now, age);
            self.due.bring_forward(index, 0);
        }
    }

    /// This thread's view of a drain, which is in force from now on.
    fn in_force(&mut self, order: &Arc<DrainOrder>) -> Rc<LocalDrain> {
        // A drain of chosen tunnels gets no further ones, so it is over once none is left in it.
        self.drains
            .retain(|drain| drain.order.select != Selection::Chosen || Rc::strong_count(drain) > 1);
        if let Some(drain) = self.drains.iter().find(|d| d.order.id == order.id) {
            return drain.clone();
        }
        let at = |after: Duration| match order.started.checked_add(after) {
            Some(moment) => self.moment(moment),
            None => NEVER - 1,
        };
        let drain = Rc::new(LocalDrain {
            end: at(order.over),
            deadline: at(order.deadline.saturating_add(DRAIN_SLACK)),
            order: order.clone(),
        });
        self.drains.push(drain.clone());
        drain
    }

    fn claim(&mut self, handle: &Arc<TunnelHandle>, drain: &Rc<LocalDrain>, now: Instant) {
        if let Some(index) = self.find(handle) {
            let now = self.moment(now);
            self.claim_at(index, drain, now);
        }
    }

    fn claim_at(&mut self, index: usize, drain: &Rc<LocalDrain>, now: Moment) {
        let entry = &mut self.entries[index];
        entry.claim(drain, now);
        let turn = entry.next_turn();
        self.due.bring_forward(index, turn);
    }

    /// Puts a tunnel that is in no drain into the one that it belongs to, if any.
    fn offer(&mut self, index: usize, now: Moment) {
        if let Some(drain) = self.drain_for(&self.entries[index].handle.identity) {
            self.claim_at(index, &drain, now);
        }
    }

    fn drain_for(&self, identity: &TunnelIdentity) -> Option<Rc<LocalDrain>> {
        let mut drains = self.drains.iter();
        let for_all = drains.clone().rfind(|drain| drain.is_for_all());
        let drain = for_all.or_else(|| drains.find(|drain| drain.order.select.takes(identity)));
        drain.cloned()
    }
}
