//! Counts of one process. Every worker counts for itself, with plain stores on lines that no
//! other core writes; readers sum them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use http::StatusCode;

/// One worker's counts.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Counters {
    /// Exchanges by the first digit of their status; 0: the client left before one.
    exchanges: [AtomicU64; 6],
    /// Answers of our own that were errors.
    refused: AtomicU64,
    tunnels_opened: AtomicU64,
    tunnels_closed: AtomicU64,
    handshakes_refused: Mutex<BTreeMap<&'static str, u64>>,
}

/// The sum over all workers.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Totals {
    /// Exchanges by the first digit of their status.
    pub exchanges: [u64; 6],
    /// Answers of our own that were errors.
    pub refused: u64,
    /// Tunnels opened.
    pub tunnels_opened: u64,
    /// Tunnels that have ended.
    pub tunnels_closed: u64,
    /// Refused handshakes by cause.
    pub handshakes_refused: BTreeMap<&'static str, u64>,
}

static WORKERS: Mutex<Vec<Arc<Counters>>> = Mutex::new(Vec::new());

thread_local! {
    static MINE: RefCell<Option<Arc<Counters>>> = const { RefCell::new(None) };
}

fn mine(count: impl FnOnce(&Counters)) {
    MINE.with_borrow_mut(|mine| {
        let counters = mine.get_or_insert_with(|| {
            let counters = Arc::<Counters>::default();
            WORKERS
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(counters.clone());
            counters
        });
        count(counters);
    });
}

/// Only the owning worker writes, so that no locked instruction is needed.
fn add(counter: &AtomicU64) {
    counter.store(counter.load(Relaxed) + 1, Relaxed);
}

/// An exchange has ended.
pub fn exchange(status: Option<StatusCode>) {
    let class = status
        .map_or(0, |status| usize::from(status.as_u16() / 100))
        .min(5);
    mine(|counters| add(&counters.exchanges[class]));
}

/// A request got an error of our own.
pub fn refused() {
    mine(|counters| add(&counters.refused));
}

/// A handshake was refused, by us or by the upstream.
pub fn handshake_refused(cause: &'static str) {
    mine(|counters| {
        let mut causes = counters
            .handshakes_refused
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *causes.entry(cause).or_default() += 1;
    });
}

/// A tunnel opened.
pub fn tunnel_opened() {
    mine(|counters| add(&counters.tunnels_opened));
}

/// A tunnel ended.
pub fn tunnel_closed() {
    mine(|counters| add(&counters.tunnels_closed));
}

/// The sum over all workers.
pub fn totals() -> Totals {
    let mut totals = Totals::default();
    for counters in WORKERS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .iter()
    {
        for (total, counter) in totals.exchanges.iter_mut().zip(&counters.exchanges) {
            *total += counter.load(Relaxed);
        }
        totals.refused += counters.refused.load(Relaxed);
        totals.tunnels_opened += counters.tunnels_opened.load(Relaxed);
        totals.tunnels_closed += counters.tunnels_closed.load(Relaxed);
        let causes = counters
            .handshakes_refused
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for (cause, count) in causes.iter() {
            *totals.handshakes_refused.entry(cause).or_default() += count;
        }
    }
    totals
}
