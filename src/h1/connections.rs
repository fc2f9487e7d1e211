//! A worker's connections that still carry HTTP/1.1: counted, ticked, and woken for a drain.
//! Thread-local, because a connection never leaves its worker.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::context::Context;
use super::watch::Past;
use crate::proxy::drain;
use crate::tunnel_registry::Cut;

thread_local! {
    static WATCHED: RefCell<Vec<Option<Watched>>> = const { RefCell::new(Vec::new()) };
    static FREE: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

struct Watched {
    context: Arc<Context>,
    past: Past,
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

/// The worker stood still for `span` until now; no connection's clock counts it.
pub fn forgive(span: Duration) {
    WATCHED.with_borrow_mut(|all| {
        for watched in all.iter_mut().flatten() {
            watched.past.forgive(span);
        }
    });
}

/// Begins the drain of this thread's worker, and has its connections notice.
pub fn drain() {
    drain::begin();
    wake();
}

/// Cuts what this thread's worker still has, and has its connections notice.
pub fn cut(why: Cut) {
    drain::cut(why);
    wake();
}

/// Wakes every connection of this thread: something has changed that all of them look at.
pub fn wake() {
    for_each(|context| context.watch.wake());
}

/// Client connections that are still HTTP.
pub fn count() -> usize {
    WATCHED.with_borrow(|all| all.len()) - FREE.with_borrow(Vec::len)
}
