//! Which tunnels of this thread have moved something of late. A tunnel notes that itself, once:
//! until it is settled a message costs it a comparison. Settling adds what has passed since to the
//! counts of its route, and tells its entry that something came. What is silent is not visited,
//! whatever asks: everything about it is as it was when it was settled last.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::handle::TunnelHandle;
use crate::metrics;
use crate::vocabulary::counters::Tally;

/// How many are settled in one go at most by what comes every second: about a millisecond's work.
pub const AT_ONCE: usize = 4096;

/// Room that is kept for the next ones.
const ROOM: usize = 256;

thread_local! {
    static MOVING: RefCell<Moving> = const { RefCell::new(Moving { tunnels: Vec::new(), next: 0 }) };
}

#[derive(Debug)]
struct Moving {
    tunnels: Vec<Moved>,
    /// Where settling goes on, so that each has its turn.
    next: usize,
}

/// A tunnel, and what it had moved before it was noted.
#[derive(Debug)]
struct Moved {
    handle: Arc<TunnelHandle>,
    before: [Tally; 2],
}

/// A tunnel is about to count bytes. To be called before it does, on the thread that it lives on.
#[inline]
pub fn note(handle: &Arc<TunnelHandle>) {
    if handle.noted.load(Relaxed) == 0 {
        begin(handle);
    }
}

#[cold]
fn begin(handle: &Arc<TunnelHandle>) {
    let moved = Moved {
        handle: handle.clone(),
        before: handle.moved(),
    };
    // A thread that ends counts no more.
    let _ = MOVING.try_with(|moving| {
        let tunnels = &mut moving.borrow_mut().tunnels;
        if tunnels.is_empty() {
            metrics::moving(true);
        }
        tunnels.push(moved);
        handle.noted.store(tunnels.len() as u32, Relaxed);
    });
}

/// How many are not settled.
pub(super) fn moving() -> usize {
    MOVING.with_borrow(|moving| moving.tunnels.len())
}

/// Settles the counts of so many at most, and says whose.
pub(super) fn settle(most: usize, mut settled: impl FnMut(&Arc<TunnelHandle>)) {
    MOVING.with_borrow_mut(|moving| {
        let all = moving.tunnels.len();
        for _ in 0..most.min(all) {
            let Some(handle) = moving.pop() else { break };
            settled(&handle);
        }
        moving.trim(all);
    });
}

/// Settles one tunnel's counts, which ends or leaves.
pub(super) fn leave(handle: &Arc<TunnelHandle>) {
    let _ = MOVING.try_with(|moving| {
        // One that is held while others are settled has its turn with them.
        let Ok(mut moving) = moving.try_borrow_mut() else {
            return;
        };
        let index = (handle.noted.load(Relaxed) as usize).wrapping_sub(1);
        let own = moving.tunnels.get(index);
        if own.is_some_and(|moved| Arc::ptr_eq(&moved.handle, handle)) {
            moving.take(index);
        }
    });
}

impl Moving {
    /// Takes a tunnel out and counts what it has moved.
    fn take(&mut self, index: usize) -> Arc<TunnelHandle> {
        let Moved { handle, before } = self.tunnels.swap_remove(index);
        if let Some(last) = self.tunnels.get(index) {
            last.handle.noted.store(index as u32 + 1, Relaxed);
        }
        handle.noted.store(0, Relaxed);
        metrics::tunnel_moved(handle.identity.slot(), &before, &handle.moved());
        if self.tunnels.is_empty() {
            metrics::moving(false);
        }
        handle
    }

    /// The next one's turn.
    fn pop(&mut self) -> Option<Arc<TunnelHandle>> {
        if self.next >= self.tunnels.len() {
            self.next = 0;
        }
        let next = self.next;
        self.next += 1;
        (next < self.tunnels.len()).then(|| self.take(next))
    }

    /// Gives back the room that a rush needed.
    fn trim(&mut self, used: usize) {
        if used < self.tunnels.capacity() / 4 {
            self.tunnels.shrink_to(ROOM.max(2 * used));
        }
    }
}
