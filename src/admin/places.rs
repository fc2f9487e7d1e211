//! The places of the admin interface's connections. Followers of a stream have limits of
//! their own and take none of those for short requests; where these are full, the next one
//! gets the place of a connection that is slow: of one that has shown no right to ask first,
//! of the address that has most of them, the oldest.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::system::lock::lock;

/// The most places for short requests, and for those who follow a stream.
const PLACES: usize = 64;
const FOLLOWERS: usize = 32;

/// Descriptors of the reserve that no connection takes.
const FOR_ORDERS: usize = 16;

/// The shortest time between two lines about a crowd.
const TELL: Duration = Duration::from_secs(10);

/// All places.
#[derive(Debug)]
pub(super) struct Places {
    /// Places for short requests, and for followers.
    short: usize,
    followers: usize,
    taken: Mutex<Taken>,
    /// Somebody has left.
    left: Notify,
}

#[derive(Debug, Default)]
struct Taken {
    /// By number, so the oldest first.
    holders: BTreeMap<u64, Holder>,
    next: u64,
    /// Connections that had to go since that was told, and when it was.
    gone: u64,
    told: Option<Instant>,
}

#[derive(Debug)]
struct Holder {
    does: Does,
    /// It may ask whatever it likes.
    known: bool,
    /// Where it comes from; `None`: a unix socket.
    from: Option<IpAddr>,
    /// Tells it to go.
    cut: Arc<Notify>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    /// Brings a request, gets an answer, or neither.
    Talks,
    /// Waits for what it has ordered.
    Waits,
    /// Follows a stream.
    Follows,
}

/// A place, given back when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    number: u64,
    cut: Arc<Notify>,
}

impl Places {
    /// As many as this reserve of descriptors has room for, each of which takes one.
    pub(super) fn new(reserve: usize) -> Places {
        let orders = FOR_ORDERS.min(reserve / 2);
        let followers = ((reserve - orders) / 3).clamp(1, FOLLOWERS);
        Places {
            short: (reserve - orders).saturating_sub(followers).clamp(1, PLACES),
            followers,
            taken: Mutex::default(),
            left: Notify::new(),
        }
    }

    /// A place for a connection from there; `None`: everybody waits for an order.
    pub(super) fn take(self: &Arc<Self>, from: Option<IpAddr>) -> Option<Place> {
        let mut taken = lock(&self.taken);
        let short = taken.holders.values();
        let short = short.filter(|one| one.does != Does::Follows).count();
        if short >= self.short {
            let slow = taken.slow();
            taken.note_gone(self.short);
            if let Some(gone) = taken.holders.remove(&slow?) {
                gone.cut.notify_one();
            }
        }
        let number = taken.next;
        taken.next += 1;
        let cut = Arc::<Notify>::default();
        let holder = Holder {
            does: Does::Talks,
            // Permission bits say who may connect to a unix socket.
            known: from.is_none(),
            from,
            cut: cut.clone(),
        };
        taken.holders.insert(number, holder);
        drop(taken);
        let places = self.clone();
        Some(Place {
            places,
            number,
            cut,
        })
    }

    /// Waits until nobody has a place.
    pub(super) async fn all_left(&self) {
        loop {
            let left = self.left.notified();
            if lock(&self.taken).holders.is_empty() {
                return;
            }
            left.await;
        }
    }
}

impl Taken {
    /// Who is to go when somebody new comes.
    fn slow(&self) -> Option<u64> {
        let talks = |known: bool| {
            let holders = self.holders.iter();
            holders.filter(move |(_, one)| one.does == Does::Talks && one.known == known)
        };
        let mut strangers: BTreeMap<Option<IpAddr>, (usize, u64)> = BTreeMap::new();
        for (number, one) in talks(false) {
            strangers.entry(one.from).or_insert((0, *number)).0 += 1;
        }
        let most = strangers.into_values().max_by_key(|(count, _)| *count);
        match most {
            Some((_, oldest)) => Some(oldest),
            None => talks(true).next().map(|(number, _)| *number),
        }
    }

    fn note_gone(&mut self, places: usize) {
        self.gone += 1;
        let now = Instant::now();
        if self.told.is_none_or(|told| now - told >= TELL) {
            let gone = std::mem::take(&mut self.gone);
            self.told = Some(now);
            tracing::warn!(
                gone,
                places,
                "slow connections of the admin interface were cut to make room for others"
            );
        }
    }
}

impl Place {
    /// Returns when another one has got this place.
    pub(super) async fn lost(&self) {
        self.cut.notified().await;
    }

    /// It has shown that it may ask.
    pub(super) fn is_known(&self) {
        self.change(|one| one.known = true);
    }

    /// Its order is under way: that is not its slowness.
    pub(super) fn waits(&self) {
        self.change(|one| one.does = Does::Waits);
    }

    /// It gets an answer, and may ask again.
    pub(super) fn talks(&self) {
        self.change(|one| one.does = Does::Talks);
    }

    /// It is to follow a stream: false where as many as there is room for do.
    pub(super) fn follows(&self) -> bool {
        let mut taken = lock(&self.places.taken);
        let holders = taken.holders.values();
        let followers = holders.filter(|one| one.does == Does::Follows).count();
        let room = followers < self.places.followers;
        if room && let Some(own) = taken.holders.get_mut(&self.number) {
            own.does = Does::Follows;
        }
        room
    }

    fn change(&self, change: impl FnOnce(&mut Holder)) {
        if let Some(own) = lock(&self.places.taken).holders.get_mut(&self.number) {
            change(own);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.places.taken).holders.remove(&self.number);
        self.places.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(last: u8) -> Option<IpAddr> {
        Some([127, 0, 0, last].into())
    }

    fn is_lost(place: &Place) -> bool {
        let taken = lock(&place.places.taken);
        !taken.holders.contains_key(&place.number)
    }

    #[test]
    fn strangers_go_first_and_the_crowd_before_the_single_one() {
        let places = Arc::new(Places::new(128));
        let take = |last| places.take(from(last)).expect("a place");
        let known = take(1);
        known.is_known();
        let alone = take(2);
        let crowd: Vec<Place> = (2..PLACES).map(|_| take(3)).collect();
        let more: Vec<Place> = (0..10).map(|_| take(3)).collect();
        assert!(!is_lost(&known) && !is_lost(&alone));
        assert!(crowd[..10].iter().all(is_lost), "the oldest of them");
        assert!(!crowd[10..].iter().chain(&more).any(is_lost));
    }

    #[test]
    fn orders_keep_their_place_and_followers_need_none() {
        let places = Arc::new(Places::new(128));
        let followers: Vec<Place> = (0..FOLLOWERS)
            .map(|_| {
                let place = places.take(None).expect("a place");
                assert!(place.follows());
                place
            })
            .collect();
        assert!(!places.take(None).expect("a place").follows());
        assert!(!followers.iter().any(is_lost));
        let orders: Vec<Place> = (0..PLACES)
            .map(|_| {
                let place = places.take(None).expect("a place");
                place.waits();
                place
            })
            .collect();
        assert!(places.take(None).is_none(), "nobody is slow");
        orders[5].talks();
        assert!(places.take(None).is_some());
        assert!(is_lost(&orders[5]));
        assert!(!followers.iter().any(is_lost));
    }

    #[test]
    fn all_places_together_leave_some_of_the_reserve() {
        for (reserve, short, followers) in [
            (0, 1, 1),
            (8, 3, 1),
            (18, 6, 3),
            (32, 11, 5),
            (128, 64, 32),
        ] {
            let places = Places::new(reserve);
            assert_eq!((places.short, places.followers), (short, followers));
            assert!(reserve == 0 || short + followers < reserve, "{reserve}");
        }
    }
}
