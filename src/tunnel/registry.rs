//! A worker's live tunnels and their only clock. Silence is seen by comparing byte counters,
//! so no message reads a clock, and no tunnel owns a timer. A tick reads four bytes for each
//! tunnel, and looks closer only where something can be due. An idle tunnel's task is not
//! woken.
//!
//! Decides when something is due; how it is carried out is the tunnel's own matter.

mod entry;

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use self::entry::Entry;
use super::handle::{CloseOrder, Cut, TunnelHandle};
use super::report::ClosedBy;
use crate::config::DrainConfig;

/// How often [`tick`] is called, and with it everything else that lives on a worker is
/// looked at: the resolution of time-outs.
pub const TICK: Duration = Duration::from_millis(250);

/// A drain's deadline is the process's, which counts what it cuts; here it only stands in
/// for one that does not come, so it must not be the first.
const DRAIN_SLACK: Duration = Duration::from_millis(500);

/// A moment in tenths of a second since the registry began; enough for 13 years.
type Moment = u32;

const NEVER: Moment = Moment::MAX;

fn tenths(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis().div_ceil(100)).unwrap_or(NEVER)
}

/// A drain under way.
#[derive(Debug, Clone)]
struct Drain {
    order: Arc<CloseOrder>,
    from: Moment,
    over: u32,
    deadline: Moment,
}

#[derive(Debug)]
struct Registry {
    epoch: Instant,
    entries: Vec<Entry>,
    /// When each entry must be looked at, at its index: apart from the entries, so that
    /// thousands of idle ones cost a tick a few cache lines.
    due: Vec<Moment>,
    drain: Option<Drain>,
}

thread_local! {
    static REGISTRY: RefCell<Registry> = RefCell::new(Registry {
        epoch: Instant::now(),
        entries: Vec::new(),
        due: Vec::new(),
        drain: None,
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

/// Marks every tunnel of this thread, and those still to come, for a close at a moment
/// chosen at random over `drain.over`; what is left at `drain.deadline` is cut.
pub fn drain(config: &DrainConfig, now: Instant) {
    let order = Arc::new(CloseOrder {
        by: ClosedBy::Drain,
        detail: None,
        client_code: config.client_code,
        upstream_code: config.upstream_code,
        reason: config.reason.as_str().into(),
    });
    REGISTRY.with_borrow_mut(|registry| {
        let from = registry.moment(now);
        let drain = Drain {
            order,
            from,
            over: tenths(config.over),
            deadline: from.saturating_add(tenths(config.deadline + DRAIN_SLACK)),
        };
        for (entry, due) in registry.entries.iter_mut().zip(&mut registry.due) {
            entry.drain = drain.pick(from);
            *due = (*due).min(entry.drain).min(drain.deadline);
        }
        registry.drain = Some(drain);
    });
}

/// Takes a drain back for the tunnels that it has not reached yet.
pub fn undrain() {
    REGISTRY.with_borrow_mut(|registry| {
        registry.drain = None;
        for entry in &mut registry.entries {
            entry.drain = NEVER;
        }
    });
}

/// Ends every tunnel of this thread at once. Returns how many there were.
pub fn cut_all(why: Cut) -> usize {
    let handles = handles();
    for handle in &handles {
        handle.cut(why);
    }
    handles.len()
}

pub(super) fn add(handle: &Arc<TunnelHandle>) {
    REGISTRY.with_borrow_mut(|registry| {
        let now = registry.moment(handle.opened);
        let settings = &handle.settings;
        let max_age = settings.max_age.map_or(NEVER, |age| {
            let share = settings.max_age_jitter.clamp(0.0, 1.0) * fastrand::f64();
            now.saturating_add(tenths(age.mul_f64(1.0 - share)))
        });
        let drain = registry
            .drain
            .as_ref()
            .map_or(NEVER, |drain| drain.pick(now));
        handle.index.store(registry.entries.len() as u32, Relaxed);
        let entry = Entry::new(handle.clone(), now, max_age, drain);
        let due = entry.next_look(now, registry.drain.as_ref());
        registry.due.push(due);
        registry.entries.push(entry);
    });
}

pub(super) fn remove(handle: &Arc<TunnelHandle>) {
    // The thread's end may come first, and a task may be dropped on another thread.
    let _ = REGISTRY.try_with(|registry| {
        let Ok(mut registry) = registry.try_borrow_mut() else {
            return;
        };
        let index = handle.index.load(Relaxed) as usize;
        let entries = &mut registry.entries;
        if entries
            .get(index)
            .is_some_and(|entry| Arc::ptr_eq(&entry.handle, handle))
        {
            entries.swap_remove(index);
            if let Some(moved) = entries.get(index) {
                moved.handle.index.store(index as u32, Relaxed);
            }
            if entries.is_empty() {
                entries.shrink_to(64);
            }
            registry.due.swap_remove(index);
        }
    });
}

/// The tunnel's phase has changed: the next tick looks at it.
pub(super) fn touch(handle: &TunnelHandle) {
    let _ = REGISTRY.try_with(|registry| {
        let Ok(mut registry) = registry.try_borrow_mut() else {
            return;
        };
        let index = handle.index.load(Relaxed) as usize;
        if let Some(due) = registry.due.get_mut(index) {
            *due = 0;
        }
    });
}

impl Drain {
    /// A moment for one tunnel, uniform over what is left of the span.
    fn pick(&self, now: Moment) -> Moment {
        let end = self.from.saturating_add(self.over).max(now);
        fastrand::u32(now..=end)
    }
}

impl Registry {
    fn moment(&self, now: Instant) -> Moment {
        let elapsed = now.saturating_duration_since(self.epoch);
        Moment::try_from(elapsed.as_millis() / 100).unwrap_or(NEVER - 1)
    }

    fn tick(&mut self, now: Instant) {
        let now = self.moment(now);
        let drain = self.drain.as_ref();
        for (index, due) in self.due.iter_mut().enumerate() {
            if *due > now {
                continue;
            }
            if let Some(entry) = self.entries.get_mut(index) {
                entry.look(now, drain);
                *due = entry.next_look(now, drain);
            }
        }
    }
}
