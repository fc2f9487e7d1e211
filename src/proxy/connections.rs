//! A worker's live client connections: counted, ticked, and told of a drain.
//! Thread-local, because a connection never leaves its worker.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::h1::context::Context;
use super::h1::watch::Past;

thread_local! {
    static WATCHED: RefCell<Vec<Option<Watched>>> = const { RefCell::new(Vec::new()) };
    static FREE: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
    static DRAINING: Cell<bool> = const { Cell::new(false) };
}

struct Watched {
    context: Arc<Context>,
    past: Past,
}

/// A worker's share of the process's load. One allocation, so that each connection and
/// each tunnel holds one pointer to it.
#[derive(Debug)]
pub struct Load {
    worker: AtomicUsize,
    process: Arc<AtomicUsize>,
}

impl Load {
    /// No load yet, within that of the process.
    pub fn new(process: Arc<AtomicUsize>) -> Arc<Load> {
        Arc::new(Load {
            worker: AtomicUsize::new(0),
            process,
        })
    }

    /// Connections and tunnels of the worker.
    pub fn worker(&self) -> usize {
        self.worker.load(Relaxed)
    }
}

/// One of the [`Load`], from accept to the end of the connection or of the tunnel it became.
#[derive(Debug)]
pub struct Guard(Arc<Load>);

impl Guard {
    /// Counts one more; `None` when the process already has `max`.
    pub fn take(load: &Arc<Load>, max: Option<usize>) -> Option<Self> {
        if load.process.fetch_add(1, Relaxed) >= max.unwrap_or(usize::MAX) {
            load.process.fetch_sub(1, Relaxed);
            return None;
        }
        load.worker.fetch_add(1, Relaxed);
        Some(Guard(load.clone()))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.worker.fetch_sub(1, Relaxed);
        self.0.process.fetch_sub(1, Relaxed);
    }
}

/// A place in the tick's list, given back when dropped.
#[derive(Debug)]
pub struct Entry(usize);

impl Drop for Entry {
    fn drop(&mut self) {
        WATCHED.with_borrow_mut(|all| all[self.0] = None);
        FREE.with_borrow_mut(|free| free.push(self.0));
    }
}

/// Adds a connection to the tick's list.
pub fn watch(context: &Arc<Context>) -> Entry {
    let watched = Watched {
        context: context.clone(),
        past: Past::new(Instant::now()),
    };
    WATCHED.with_borrow_mut(|all| match FREE.with_borrow_mut(Vec::pop) {
        Some(index) => {
            all[index] = Some(watched);
            Entry(index)
        }
        None => {
            all.push(Some(watched));
            Entry(all.len() - 1)
        }
    })
}

/// Looks at every connection of this thread that is still HTTP.
pub fn for_each(mut look: impl FnMut(&Arc<Context>)) {
    WATCHED.with_borrow(|all| {
        all.iter()
            .flatten()
            .for_each(|watched| look(&watched.context));
    });
}

/// Compares every connection's activity with its limits.
pub fn tick(now: Instant) {
    WATCHED.with_borrow_mut(|all| {
        for watched in all.iter_mut().flatten() {
            let context = &watched.context;
            context
                .watch
                .tick(&mut watched.past, now, &context.facts.http);
        }
    });
}

/// The worker stood still for `span` until now: no connection's clock counts that.
pub fn forgive(span: Duration) {
    WATCHED.with_borrow_mut(|all| {
        for watched in all.iter_mut().flatten() {
            watched.past.forgive(span);
        }
    });
}

/// Begins the drain: every connection closes behind the exchange it is in.
pub fn drain() {
    DRAINING.set(true);
    WATCHED.with_borrow(|all| {
        for watched in all.iter().flatten() {
            watched.context.watch.wake();
        }
    });
}

/// Whether the worker drains.
pub fn is_draining() -> bool {
    DRAINING.get()
}

/// Client connections that are still HTTP.
pub fn count() -> usize {
    WATCHED.with_borrow(|all| all.len()) - FREE.with_borrow(Vec::len)
}
