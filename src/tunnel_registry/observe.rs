//! A worker's tunnels as others ask about them: each with when something last came from its
//! peers, as it was seen when the tunnel was settled.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::entry::Entry;
use super::handle::TunnelHandle;
use super::moment::BEGIN;
use super::worker::{REGISTRY, Registry};

/// One tunnel at one moment.
#[derive(Debug, Clone)]
pub struct TunnelSnapshot {
    /// The tunnel; its counters go on.
    pub handle: Arc<TunnelHandle>,
    /// When bytes that were no answer to our Pings were last seen to have come, from either
    /// side: about a second late at most, in tenths of a second.
    pub heard: Instant,
}

/// The live tunnels of this thread.
pub fn snapshots(now: Instant) -> Vec<TunnelSnapshot> {
    REGISTRY.with_borrow_mut(|registry| {
        registry.settle(registry.now(now), usize::MAX);
        let entries = registry.entries.iter();
        entries.map(|entry| registry.snapshot(entry)).collect()
    })
}

/// The live tunnel of this number, if it is on this thread.
pub fn find(id: u64, now: Instant) -> Option<TunnelSnapshot> {
    REGISTRY.with_borrow_mut(|registry| {
        let at = registry.entries.iter().position(|e| e.handle.id == id)?;
        let now = registry.now(now);
        registry.entries[at].observe(now);
        Some(registry.snapshot(&registry.entries[at]))
    })
}

impl Registry {
    fn snapshot(&self, entry: &Entry) -> TunnelSnapshot {
        let tenths = |n: u32| Duration::from_millis(u64::from(n) * 100);
        let since = tenths(entry.seen.saturating_sub(BEGIN));
        // What came to another process may be older than this one.
        let before = tenths(BEGIN.saturating_sub(entry.seen));
        let heard = self.epoch.checked_sub(before).unwrap_or(self.epoch);
        TunnelSnapshot {
            handle: entry.handle.clone(),
            heard: heard + since,
        }
    }
}
