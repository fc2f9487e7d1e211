//! Names and their slots: a route or an endpoint gets a small number when it is put in
//! force and keeps it over reloads. One that neither a configuration nor an exchange or tunnel
//! uses any more keeps its place for some minutes: what ended in it can still be read, and it
//! goes on where it comes back. The configuration bounds how many there are in use, and
//! `MOST_ENDED` how many besides.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

use super::labels::UNROUTED;
use super::thread;
use crate::system::lock::lock;

/// For how long the counts of what is gone are kept.
const KEPT: Duration = Duration::from_secs(600);
/// For how many of them at most; the oldest is forgotten first.
const MOST_ENDED: usize = 1024;

/// What has a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Route,
    Endpoint,
}

/// A place in every thread's table. While it is held no other name gets it.
#[derive(Debug)]
pub(crate) struct Place {
    index: u32,
    kind: Kind,
    /// The route's name, or the upstream's.
    name: Arc<str>,
    /// The endpoint's address; empty for a route.
    address: Arc<str>,
}

/// The use of a place. While one lives its counts do.
#[derive(Debug)]
pub struct Slot {
    index: u32,
    place: Arc<Place>,
}

type Key = (Arc<str>, Arc<str>);

#[derive(Debug)]
struct Known {
    place: Arc<Place>,
    slot: Weak<Slot>,
    /// When its last use ended; `None`: it is used.
    ended: Option<Instant>,
}

#[derive(Debug, Default)]
struct Slots {
    known: HashMap<Key, Known>,
    /// What has ended, oldest first. What came back since is listed here too.
    ended: VecDeque<(Instant, Key)>,
    free: Vec<u32>,
    next: u32,
}

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

/// Every route that is counted, by name.
pub(crate) fn routes() -> Vec<Arc<Place>> {
    places(Kind::Route)
}

/// Every endpoint that is counted, by upstream and address.
pub(crate) fn endpoints() -> Vec<Arc<Place>> {
    places(Kind::Endpoint)
}

impl Slot {
    #[inline]
    pub(crate) fn index(&self) -> u32 {
        self.index
    }

    /// The route's name, or the upstream's.
    pub fn name(&self) -> &Arc<str> {
        &self.place.name
    }

    /// The endpoint's address; empty for a route.
    pub fn address(&self) -> &Arc<str> {
        &self.place.address
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut slots = taken(self.place.kind);
        let key = self.place.key();
        // The name may have come back in the meantime.
        if let Some(known) = slots.known.get_mut(&key)
            && known.slot.strong_count() == 0
        {
            known.ended = Some(now);
            slots.ended.push_back((now, key));
        }
        let forgotten = slots.forget(now);
        // A place that is given up takes the lock itself.
        drop(slots);
        drop(forgotten);
    }
}

impl Place {
    pub(crate) fn index(&self) -> u32 {
        self.index
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(crate) fn address(&self) -> &Arc<str> {
        &self.address
    }

    fn key(&self) -> Key {
        (self.name.clone(), self.address.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Nothing counts into it any more, so that it can be made ready for another name.
        match self.kind {
            Kind::Route => thread::forget_route(self.index),
            Kind::Endpoint => thread::forget_endpoint(self.index),
        }
        taken(self.kind).free.push(self.index);
    }
}

impl Slots {
    /// What is not kept any longer, to be dropped without the lock.
    #[must_use]
    fn forget(&mut self, now: Instant) -> Vec<Arc<Place>> {
        let mut forgotten = Vec::new();
        while let Some((at, _)) = self.ended.front()
            && (self.ended.len() > MOST_ENDED || now.saturating_duration_since(*at) >= KEPT)
            && let Some((at, key)) = self.ended.pop_front()
        {
            if self
                .known
                .get(&key)
                .is_some_and(|known| known.ended == Some(at))
                && let Some(known) = self.known.remove(&key)
            {
                forgotten.push(known.place);
            }
        }
        forgotten
    }
}

fn claim(kind: Kind, name: &Arc<str>, address: &Arc<str>) -> Arc<Slot> {
    let mut slots = taken(kind);
    let key = (name.clone(), address.clone());
    if let Some(slot) = slots.known.get(&key).and_then(|known| known.slot.upgrade()) {
        return slot;
    }
    let place = match slots.known.get(&key) {
        Some(known) => known.place.clone(),
        None => {
            let index = slots.free.pop().unwrap_or_else(|| {
                slots.next += 1;
                slots.next - 1
            });
            Arc::new(Place {
                index,
                kind,
                name: key.0.clone(),
                address: key.1.clone(),
            })
        }
    };
    let slot = Arc::new(Slot {
        index: place.index,
        place: place.clone(),
    });
    let known = Known {
        place,
        slot: Arc::downgrade(&slot),
        ended: None,
    };
    slots.known.insert(key, known);
    slot
}

fn places(kind: Kind) -> Vec<Arc<Place>> {
    let mut slots = taken(kind);
    let forgotten = slots.forget(Instant::now());
    let mut all: Vec<Arc<Place>> = { slots.known.values() }
        .map(|known| known.place.clone())
        .collect();
    drop(slots);
    drop(forgotten);
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

    fn is_counted(name: &str) -> bool {
        routes().iter().any(|place| &*place.name == name)
    }

    #[test]
    fn a_name_that_is_gone_is_counted_for_a_while_and_finds_its_place_again() {
        let name: Arc<str> = "slots: a".into();
        let first = route(&name);
        let again = route(&"slots: a".into());
        assert!(Arc::ptr_eq(&first, &again), "a reload finds it by name");
        let other = route(&"slots: b".into());
        assert_ne!(first.index, other.index);
        assert_ne!(first.index, UNROUTED);
        let index = first.index;
        drop((first, again));
        assert!(is_counted(&name));
        assert_eq!(route(&name).index, index);
        assert!(is_counted(&name));
    }

    #[test]
    fn what_is_gone_is_forgotten_in_the_end() {
        let mut slots = Slots::default();
        let now = Instant::now();
        let end = |slots: &mut Slots, name: &str, at| {
            // No route, so that the other test's is not forgotten for these.
            let place = endpoint(&name.into(), &Arc::default()).place.clone();
            let known = Known {
                place: place.clone(),
                slot: Weak::new(),
                ended: Some(at),
            };
            slots.known.insert(place.key(), known);
            slots.ended.push_back((at, place.key()));
            slots.forget(at).len()
        };
        assert_eq!(end(&mut slots, "slots: c", now), 0);
        assert_eq!(slots.forget(now + KEPT / 2).len(), 0);
        assert_eq!(slots.forget(now + KEPT).len(), 1);
        let all = (0..MOST_ENDED).map(|n| format!("slots: {n}"));
        let forgotten = all.map(|name| end(&mut slots, &name, now)).sum::<usize>();
        assert_eq!((forgotten, slots.known.len()), (0, MOST_ENDED));
        assert_eq!(end(&mut slots, "slots: one more", now), 1);
        assert_eq!(slots.known.len(), MOST_ENDED);
        // One that came back and went again counts from then on.
        assert_eq!(end(&mut slots, "slots: 5", now + KEPT / 2), 1);
        let rest: Vec<_> = slots.forget(now + KEPT);
        assert!(!rest.iter().any(|place| &*place.name == "slots: 5"));
        assert_eq!(slots.forget(now + 2 * KEPT).len(), 1);
    }

    #[test]
    fn an_endpoint_belongs_to_its_upstream() {
        let address: Arc<str> = "10.9.8.7:1".into();
        let one = endpoint(&"slots: one".into(), &address);
        let other = endpoint(&"slots: other".into(), &address);
        assert_ne!(one.index, other.index);
    }
}
