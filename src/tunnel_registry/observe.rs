//! A worker's tunnels as others ask about them: each with when something last came from its
//! peers, seen by comparing byte counters whenever [`observe`] or [`snapshots`] is called.
//! The time-outs do not use this, and it does not touch what they use.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::handle::TunnelHandle;
use super::seen::Seen;
use super::worker::{REGISTRY, Registry};

/// One tunnel at one moment.
#[derive(Debug, Clone)]
pub struct TunnelSnapshot {
    /// The tunnel; its counters go on.
    pub handle: Arc<TunnelHandle>,
    /// When bytes that were no answer to our Pings were last seen to have come, from either
    /// side. At most as late as the time between two observations, in tenths of a second.
    pub heard: Instant,
}

/// Notes which tunnels of this thread have moved something. Reads a few cache lines for
/// each of them, and writes to none.
pub fn observe(now: Instant) {
    REGISTRY.with_borrow_mut(|registry| registry.observe(now));
}

/// The live tunnels of this thread.
pub fn snapshots(now: Instant) -> Vec<TunnelSnapshot> {
    REGISTRY.with_borrow_mut(|registry| {
        registry.observe(now);
        let tunnels = registry.entries.iter().zip(&registry.seen);
        tunnels
            .map(|(entry, seen)| registry.snapshot(&entry.handle, *seen))
            .collect()
    })
}

/// The live tunnel of this number, if it is on this thread.
pub fn find(id: u64, now: Instant) -> Option<TunnelSnapshot> {
    REGISTRY.with_borrow_mut(|registry| {
        let at = registry.entries.iter().position(|e| e.handle.id == id)?;
        let now = registry.age(now);
        let handle = &registry.entries[at].handle;
        let seen = &mut registry.seen[at];
        seen.look(handle, now);
        Some(registry.snapshot(&registry.entries[at].handle, registry.seen[at]))
    })
}

impl Registry {
    fn observe(&mut self, now: Instant) {
        let now = self.age(now);
        for (entry, seen) in self.entries.iter().zip(&mut self.seen) {
            seen.look(&entry.handle, now);
        }
    }

    fn snapshot(&self, handle: &Arc<TunnelHandle>, seen: Seen) -> TunnelSnapshot {
        let age = Duration::from_millis(u64::from(seen.at) * 100);
        TunnelSnapshot {
            handle: handle.clone(),
            heard: self.epoch + age,
        }
    }
}
