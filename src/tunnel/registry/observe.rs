//! A worker's tunnels as others ask about them: each with when something last came from its
//! clients, seen by comparing byte counters whenever [`observe`] or [`snapshots`] is called.
//! The time-outs do not use this, and it does not touch what they use.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::{REGISTRY, Registry};
use crate::tunnel::TunnelHandle;

/// One tunnel at one moment.
#[derive(Debug, Clone)]
pub struct TunnelSnapshot {
    /// The tunnel; its counters go on.
    pub handle: Arc<TunnelHandle>,
    /// When bytes that were no answer to our Pings were last seen to have come, from either
    /// side. At most as late as the time between two observations, in tenths of a second.
    pub heard: Instant,
}

/// What was seen of one tunnel. Eight bytes, beside the entries, so that it costs thousands
/// of idle ones little.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    /// Bytes from both sides without answers to our Pings, modulo 2^32.
    bytes: u32,
    /// When they were first seen to be so many, in tenths of a second of the registry's age.
    at: u32,
}

impl Seen {
    pub(super) fn new(handle: &TunnelHandle, at: u32) -> Seen {
        Seen {
            bytes: bytes(handle),
            at,
        }
    }

    fn look(&mut self, handle: &TunnelHandle, now: u32) {
        let bytes = bytes(handle);
        if bytes != self.bytes {
            *self = Seen { bytes, at: now };
        }
    }
}

fn bytes(handle: &TunnelHandle) -> u32 {
    let sides = handle.counters.iter().zip(&handle.swallowed);
    sides.fold(0, |sum, (counters, swallowed)| {
        sum.wrapping_add(counters.bytes() as u32)
            .wrapping_sub(swallowed.load(Relaxed))
    })
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
    /// How old it is, in tenths of a second.
    pub(super) fn age(&self, now: Instant) -> u32 {
        let age = now.saturating_duration_since(self.epoch);
        u32::try_from(age.as_millis() / 100).unwrap_or(u32::MAX)
    }

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
