//! Names and their slots: a route or an endpoint gets a small number when it is put in
//! force, keeps it over reloads, and gives it back when neither a configuration nor an
//! exchange or tunnel uses it. The configuration bounds how many there are.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, Weak};

use super::thread;
use crate::system::lock::lock;

/// What has a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Route,
    Endpoint,
}

/// The claim to a place in every thread's table. While it lives its counts do.
#[derive(Debug)]
pub struct Slot {
    index: u32,
    kind: Kind,
    /// The route's name, or the upstream's.
    name: Arc<str>,
    /// The endpoint's address; empty for a route.
    address: Arc<str>,
}

type Key = (Arc<str>, Arc<str>);

#[derive(Debug, Default)]
struct Slots {
    living: HashMap<Key, Weak<Slot>>,
    free: Vec<u32>,
    next: u32,
}

/// The slot of requests that no route took.
pub(crate) const UNROUTED: u32 = 0;

static ROUTES: LazyLock<Mutex<Slots>> = LazyLock::new(|| {
    Mutex::new(Slots {
        next: UNROUTED + 1,
        ..Slots::default()
    })
});
static ENDPOINTS: LazyLock<Mutex<Slots>> = LazyLock::new(Mutex::default);

/// The slot of the route with this name.
pub fn route(name: &Arc<str>) -> Arc<Slot> {
    claim(Kind::Route, name, &Arc::default())
}

/// The slot of an upstream's endpoint.
pub fn endpoint(upstream: &Arc<str>, address: &Arc<str>) -> Arc<Slot> {
    claim(Kind::Endpoint, upstream, address)
}

/// Every route that has a slot, by name.
pub(crate) fn routes() -> Vec<Arc<Slot>> {
    living(Kind::Route)
}

/// Every endpoint that has a slot, by upstream and address.
pub(crate) fn endpoints() -> Vec<Arc<Slot>> {
    living(Kind::Endpoint)
}

impl Slot {
    pub(crate) fn index(&self) -> u32 {
        self.index
    }

    /// The route's name, or the upstream's.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The endpoint's address; empty for a route.
    pub fn address(&self) -> &Arc<str> {
        &self.address
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut slots = taken(self.kind);
        // Nobody counts into it any more, so that its places can be made ready for another.
        match self.kind {
            Kind::Route => thread::forget_route(self.index),
            Kind::Endpoint => thread::forget_endpoint(self.index),
        }
        slots.free.push(self.index);
        let key = (self.name.clone(), self.address.clone());
        // The name may have come back meanwhile, with another slot.
        if let Some(own) = slots.living.get(&key)
            && own.strong_count() == 0
        {
            slots.living.remove(&key);
        }
    }
}

fn claim(kind: Kind, name: &Arc<str>, address: &Arc<str>) -> Arc<Slot> {
    let mut slots = taken(kind);
    let key = (name.clone(), address.clone());
    if let Some(slot) = slots.living.get(&key).and_then(Weak::upgrade) {
        return slot;
    }
    let index = slots.free.pop().unwrap_or_else(|| {
        slots.next += 1;
        slots.next - 1
    });
    let slot = Arc::new(Slot {
        index,
        kind,
        name: key.0.clone(),
        address: key.1.clone(),
    });
    slots.living.insert(key, Arc::downgrade(&slot));
    slot
}

fn living(kind: Kind) -> Vec<Arc<Slot>> {
    let slots = taken(kind);
    let mut all: Vec<Arc<Slot>> = slots.living.values().filter_map(Weak::upgrade).collect();
    // A slot that is given up here takes the lock itself.
    drop(slots);
    all.sort_by(|a, b| (&a.name, &a.address).cmp(&(&b.name, &b.address)));
    all
}

fn taken(kind: Kind) -> MutexGuard<'static, Slots> {
    let slots = match kind {
        Kind::Route => &ROUTES,
        Kind::Endpoint => &ENDPOINTS,
    };
    lock(slots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_lives_as_long_as_somebody_uses_it() {
        let name: Arc<str> = "slots: a".into();
        let first = route(&name);
        let again = route(&"slots: a".into());
        assert_eq!(first.index, again.index, "a reload finds it by name");
        let other = route(&"slots: b".into());
        assert_ne!(first.index, other.index);
        assert_ne!(first.index, UNROUTED);
        let index = first.index;
        drop(first);
        assert_eq!(route(&name).index, index);
        drop(again);
        assert!(!routes().iter().any(|slot| slot.name == name));
    }

    #[test]
    fn an_endpoint_belongs_to_its_upstream() {
        let address: Arc<str> = "10.9.8.7:1".into();
        let one = endpoint(&"slots: one".into(), &address);
        let other = endpoint(&"slots: other".into(), &address);
        assert_ne!(one.index, other.index);
    }
}
