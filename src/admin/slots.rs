//! The slots of the admin interface's connections. Followers of a stream have limits of
//! their own and take none of those for short requests; where these are full, the next one
//! gets the slot of a connection that is slow: of one that has shown no right to ask first,
//! of the address that has most of them, the oldest.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::system::lock::lock;

/// The most slots for short requests, and for those who follow a stream.
const SLOTS: usize = 64;
const FOLLOWERS: usize = 32;

/// Descriptors of the reserve that no connection takes.
const FOR_ORDERS: usize = 16;

/// The shortest time between two lines about a crowd.
const TELL: Duration = Duration::from_secs(10);

/// All slots.
#[derive(Debug)]
pub(super) struct Slots {
    /// Slots for short requests, and for followers.
    short: usize,
    followers: usize,
    taken: Mutex<Taken>,
    /// Notified when a connection has given its slot back.
    left: Notify,
}

#[derive(Debug, Default)]
struct Taken {
    /// By number, so the oldest first.
    holders: BTreeMap<u64, Holder>,
    next: u64,
    /// Connections that had to go since that was told, and when it was.
    gone: u64,
    reported: Option<Instant>,
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

/// A slot, given back when this is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Arc<Slots>,
    number: u64,
    cut: Arc<Notify>,
}

impl Slots {
    /// As many as this reserve of descriptors has room for, each of which takes one. Orders come
    /// first, and followers last: of those there may be none.
    pub(super) fn new(reserve: usize) -> Slots {
        let orders = FOR_ORDERS.min(reserve / 2);
        let followers = ((reserve - orders) / 3).min(FOLLOWERS);
        Slots {
            short: (reserve - orders).saturating_sub(followers).clamp(1, SLOTS),
            followers,
            taken: Mutex::default(),
            left: Notify::new(),
        }
    }

    /// A slot for a connection from there; `None`: every slot waits for an order.
    pub(super) fn take(self: &Arc<Self>, from: Option<IpAddr>) -> Option<Slot> {
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
        let slots = self.clone();
        Some(Slot { slots, number, cut })
    }

    /// Waits until every slot has been given back.
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
    /// Which connection gives its slot up to a new one.
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

    fn note_gone(&mut self, slots: usize) {
        self.gone += 1;
        let now = Instant::now();
        if self.reported.is_none_or(|reported| now - reported >= TELL) {
            let gone = std::mem::take(&mut self.gone);
            self.reported = Some(now);
            tracing::warn!(
                gone,
                slots,
                "slow connections of the admin interface were cut to make room for others"
            );
        }
    }
}

impl Slot {
    /// Returns when another one has got this slot.
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
        let mut taken = lock(&self.slots.taken);
        let holders = taken.holders.values();
        let followers = holders.filter(|one| one.does == Does::Follows).count();
        let room = followers < self.slots.followers;
        if room && let Some(own) = taken.holders.get_mut(&self.number) {
            own.does = Does::Follows;
        }
        room
    }

    fn change(&self, change: impl FnOnce(&mut Holder)) {
        if let Some(own) = lock(&self.slots.taken).holders.get_mut(&self.number) {
            change(own);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        lock(&self.slots.taken).holders.remove(&self.number);
        self.slots.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(last: u8) -> Option<IpAddr> {
        Some([127, 0, 0, last].into())
    }

    fn is_lost(slot: &Slot) -> bool {
        let taken = lock(&slot.slots.taken);
        !taken.holders.contains_key(&slot.number)
    }

    #[test]
    fn strangers_go_first_and_the_crowd_before_the_single_one() {
        let slots = Arc::new(Slots::new(128));
        let take = |last| slots.take(from(last)).expect("a slot");
        let known = take(1);
        known.is_known();
        let alone = take(2);
        let crowd: Vec<Slot> = (2..SLOTS).map(|_| take(3)).collect();
        let more: Vec<Slot> = (0..10).map(|_| take(3)).collect();
        assert!(!is_lost(&known) && !is_lost(&alone));
        assert!(crowd[..10].iter().all(is_lost), "the oldest of them");
        assert!(!crowd[10..].iter().chain(&more).any(is_lost));
    }

    #[test]
    fn orders_keep_their_place_and_followers_need_none() {
        let slots = Arc::new(Slots::new(128));
        let followers: Vec<Slot> = (0..FOLLOWERS)
            .map(|_| {
                let slot = slots.take(None).expect("a slot");
                assert!(slot.follows());
                slot
            })
            .collect();
        assert!(!slots.take(None).expect("a slot").follows());
        assert!(!followers.iter().any(is_lost));
        let orders: Vec<Slot> = (0..SLOTS)
            .map(|_| {
                let slot = slots.take(None).expect("a slot");
                slot.waits();
                slot
            })
            .collect();
        assert!(slots.take(None).is_none(), "none is slow");
        orders[5].talks();
        assert!(slots.take(None).is_some());
        assert!(is_lost(&orders[5]));
        assert!(!followers.iter().any(is_lost));
    }

    #[test]
    fn all_places_together_leave_some_of_the_reserve() {
        for (reserve, short, followers) in [
            (0, 1, 0),
            (6, 2, 1),
            (16, 6, 2),
            (18, 6, 3),
            (32, 11, 5),
            (128, 64, 32),
        ] {
            let slots = Slots::new(reserve);
            assert_eq!((slots.short, slots.followers), (short, followers));
            assert!(reserve < 2 || short + followers < reserve, "{reserve}");
        }
    }
}
