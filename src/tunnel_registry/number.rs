//! The numbers of tunnels: unique in a process, and apart from those of the process before it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How many numbers the process before this one may still give out.
const RESERVE: u64 = 1_000_000;
/// Far from the end of the numbers, whatever the other process says.
const MOST_RESERVED: u64 = 1 << 53;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// The number that the next tunnel of this process gets.
pub fn next_id() -> u64 {
    NEXT_ID.load(Relaxed)
}

/// Keeps the numbers of another process, whose [`next_id`] is `from`, for the tunnels that
/// come from it; also those that it gives out until it accepts no more connections, of which
/// a million are expected at most. To be called before this process opens a tunnel.
pub fn reserve_ids(from: u64) {
    let first = from.min(MOST_RESERVED).saturating_add(RESERVE);
    NEXT_ID.fetch_max(first, Relaxed);
}

/// Gives out a number.
pub(super) fn take() -> u64 {
    NEXT_ID.fetch_add(1, Relaxed)
}
