//! Lines of logs that were lost: the queue was full, or they could not be written. Counted for the whole
//! process, as it is rare and the threads that write come and go.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lines {
    /// Access records.
    Access,
    /// Events.
    Events,
}

static ACCESS: AtomicU64 = AtomicU64::new(0);
static EVENTS: AtomicU64 = AtomicU64::new(0);

fn place(what: Lines) -> &'static AtomicU64 {
    match what {
        Lines::Access => &ACCESS,
        Lines::Events => &EVENTS,
    }
}

/// So many lines were lost.
pub fn lines_lost(what: Lines, lines: u64) {
    place(what).fetch_add(lines, Relaxed);
}

/// How many were lost so far.
pub(crate) fn lost(what: Lines) -> u64 {
    place(what).load(Relaxed)
}
