//! A worker's idle upstream connections, by endpoint. Thread-local: taking and putting
//! back costs no lock, and a connection is always used on the reactor that it lives on.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::connection::Connection;
use super::{Endpoint, health};
use crate::metrics;

thread_local! {
    static POOL: RefCell<Pool> = RefCell::new(Pool::default());
}

#[derive(Default)]
struct Pool {
    kept: HashMap<usize, Kept, BuildHasherDefault<NumberHasher>>,
    /// The time of the last tick: idle times need no finer clock.
    now: Option<Instant>,
}

/// What is kept for one endpoint.
struct Kept {
    /// Weak: an endpoint that no configuration has any more needs no connections.
    endpoint: Weak<Endpoint>,
    idle: Vec<Idle>,
}

struct Idle {
    connection: Connection,
    /// The endpoint's age when it was kept. When that has changed, on any worker, the connection
    /// may lead nowhere.
    age: u32,
    since: Option<Instant>,
    timeout: Duration,
}

/// Endpoint numbers are small and ours: they need no keyed hash.
#[derive(Default)]
struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0 << 8 | u64::from(*byte);
        }
    }

    fn write_usize(&mut self, n: usize) {
        self.0 = n as u64;
    }
}

/// Takes the connection to `endpoint` that was used last, passing over those that the
/// upstream has closed or sent something on since, and those from before a failure.
pub fn take(endpoint: &Endpoint) -> Option<Connection> {
    POOL.with_borrow_mut(|pool| {
        let idle = &mut pool.kept.get_mut(&endpoint.id())?.idle;
        while let Some(Idle {
            mut connection,
            age,
            ..
        }) = idle.pop()
        {
            if age == endpoint.age() && connection.is_usable() {
                metrics::reused(endpoint.slot());
                return Some(connection);
            }
        }
        None
    })
}

/// Keeps a connection to `endpoint` for the next request, unless `max_idle` are kept already.
/// One that belongs to a client goes back to it.
pub fn put(
    mut connection: Connection,
    endpoint: &Arc<Endpoint>,
    max_idle: usize,
    timeout: Duration,
) {
    connection.reused = true;
    if let Some(owner) = connection.owner.take() {
        return owner.put(connection, endpoint);
    }
    POOL.with_borrow_mut(|pool| {
        let since = pool.now;
        let kept = pool.kept.entry(endpoint.id()).or_insert_with(|| Kept {
            endpoint: Arc::downgrade(endpoint),
            idle: Vec::new(),
        });
        if kept.idle.len() < max_idle {
            kept.idle.push(Idle {
                connection,
                age: endpoint.age(),
                since,
                timeout,
            });
        }
    });
}

/// Drops what was idle for too long, what the upstreams have closed, and what is from before
/// an endpoint's failure.
pub fn tick(now: Instant) {
    health::tick();
    POOL.with_borrow_mut(|pool| {
        pool.now = Some(now);
        pool.kept.retain(|_, kept| {
            let Some(age) = kept.endpoint.upgrade().map(|endpoint| endpoint.age()) else {
                return false;
            };
            kept.idle.retain_mut(|entry| {
                let since = *entry.since.get_or_insert(now);
                entry.age == age && now - since < entry.timeout && entry.connection.is_usable()
            });
            !kept.idle.is_empty()
        });
    });
}

/// Drops every idle connection: a drain has begun.
pub fn clear() {
    POOL.with_borrow_mut(|pool| pool.kept.clear());
}
