//! Whose turn it is, among the directions of a worker that have more large frames to move than a
//! turn takes.
//! One of them moves at a time, and keeps at it for several turns: what its peers write and read
//! meanwhile is still in the processor's cache, while the queues of the others are full and wait.
//! After each turn everything else of the worker that is ready comes first, so the tunnels of
//! small messages wait for one turn of one of these, however many there are.
//!
//! A direction whose first turn suffices never comes here, nor does one of small frames: their source
//! may be no faster than the worker, and is read in larger pieces after others have had their turns.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::task::{Context, Waker};

use crate::net::io::yield_turn;
use crate::vocabulary::Side;

/// Turns that a direction keeps while others wait, and all that wait together: many that wait
/// have fewer, so that none waits much longer than it would without this.
const MOST: usize = 8;
const ROUND: usize = 64;

/// A direction, as the tunnel's number and the side that it comes from.
pub(super) type Key = (u64, Side);

#[derive(Debug, Default)]
struct Line {
    moving: Option<Key>,
    /// Turns that it may still have while others wait.
    left: usize,
    waiting: VecDeque<(Key, Waker)>,
}

thread_local! {
    static LINE: RefCell<Line> = const {
        RefCell::new(Line { moving: None, left: 0, waiting: VecDeque::new() })
    };
}

impl Line {
    /// The next one moves, if one waits.
    fn pass_on(&mut self) {
        let next = self.waiting.pop_front();
        self.left = (ROUND / (self.waiting.len() + 1)).clamp(1, MOST);
        self.moving = next.map(|(key, waker)| {
            waker.wake();
            key
        });
    }
}

/// Where a direction stands; it must [`Place::leave`] before it is gone.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Nowhere.
    #[default]
    Free,
    /// It is its turn.
    Moving,
    /// It is woken when it is.
    Waiting,
}

impl Place {
    /// Whether it may move bytes now.
    #[inline]
    pub(super) fn may_move(&mut self, key: Key) -> bool {
        *self != Place::Waiting || self.is_called(key)
    }

    #[cold]
    fn is_called(&mut self, key: Key) -> bool {
        let called = LINE.with_borrow(|line| line.moving == Some(key));
        if called {
            *self = Place::Moving;
        }
        called
    }

    /// A turn is over and there is more to move. The task is woken when it is to go on.
    #[cold]
    pub(super) fn end_turn(&mut self, key: Key, cx: &mut Context<'_>) {
        *self = LINE.with_borrow_mut(|line| {
            if line.moving.is_none() {
                line.pass_on();
                line.moving = Some(key);
            }
            if line.moving == Some(key) {
                line.left = line.left.saturating_sub(1);
                if line.left > 0 || line.waiting.is_empty() {
                    return Place::Moving;
                }
                line.waiting.push_back((key, cx.waker().clone()));
                line.pass_on();
            } else {
                line.waiting.push_back((key, cx.waker().clone()));
            }
            Place::Waiting
        });
        if *self == Place::Moving {
            yield_turn(cx);
        }
    }

    /// There is no more to move, or the direction is gone.
    #[inline]
    pub(super) fn leave(&mut self, key: Key) {
        if *self != Place::Free {
            self.step_out(key);
        }
    }

    #[cold]
    fn step_out(&mut self, key: Key) {
        *self = Place::Free;
        // The thread's end may come first.
        let _ = LINE.try_with(|line| {
            let mut line = line.borrow_mut();
            line.waiting.retain(|(waiting, _)| *waiting != key);
            if line.moving == Some(key) {
                line.pass_on();
            }
        });
    }
}

/// How many directions of this thread have a place.
#[cfg(test)]
pub(super) fn places() -> usize {
    LINE.with_borrow(|line| line.waiting.len() + usize::from(line.moving.is_some()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    /// Counts how often it is woken; not for a turn that is only yielded, which the runtime defers.
    #[derive(Default)]
    struct Bell(AtomicUsize);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Directions in line.
    struct Directions(Vec<(Place, Arc<Bell>)>);

    impl Directions {
        fn new(n: usize) -> Directions {
            Directions((0..n).map(|_| Default::default()).collect())
        }

        fn key(i: usize) -> Key {
            (i as u64, Side::Client)
        }

        fn may_move(&mut self, i: usize) -> bool {
            self.0[i].0.may_move(Self::key(i))
        }

        fn end_turn(&mut self, i: usize) {
            let (place, bell) = &mut self.0[i];
            let waker = bell.clone().into();
            place.end_turn(Self::key(i), &mut Context::from_waker(&waker));
        }

        fn leave(&mut self, i: usize) {
            self.0[i].0.leave(Self::key(i));
        }

        fn woken(&self, i: usize) -> usize {
            self.0[i].1.0.load(Ordering::Relaxed)
        }

        /// Those whose turn it is.
        fn moving(&mut self) -> Vec<usize> {
            (0..self.0.len()).filter(|i| self.may_move(*i)).collect()
        }
    }

    #[tokio::test]
    async fn each_has_its_turns_in_order_and_is_woken_once_for_them() {
        let mut all = Directions::new(3);
        (0..3).for_each(|i| all.end_turn(i));
        for round in 0..3 {
            for i in 0..3 {
                assert_eq!(all.moving(), [i]);
                // The very first began when its first turn was over.
                let turns = if (round, i) == (0, 0) { MOST - 1 } else { MOST };
                for _ in 0..turns {
                    assert_eq!(all.moving(), [i]);
                    all.end_turn(i);
                }
                let next = (i + 1) % 3;
                assert_eq!(all.woken(next), round + usize::from(next == 0 || i < next));
            }
        }
        (0..3).for_each(|i| all.leave(i));
        assert_eq!(places(), 0);
    }

    #[tokio::test]
    async fn one_that_leaves_lets_the_next_one_move() {
        let mut all = Directions::new(4);
        (0..4).for_each(|i| all.end_turn(i));
        all.leave(1);
        all.leave(0);
        assert_eq!(
            (all.woken(1), all.woken(2)),
            (0, 1),
            "one that is gone is not woken"
        );
        all.leave(2);
        assert_eq!(all.woken(3), 1);
        assert!(all.may_move(3));
        // Outside of the line a first turn is free.
        assert!(all.may_move(0));
        all.leave(3);
        assert_eq!(places(), 0);
    }

    #[tokio::test]
    async fn many_that_wait_have_short_turns() {
        let mut all = Directions::new(200);
        (0..200).for_each(|i| all.end_turn(i));
        all.leave(0);
        for i in 1..200 {
            assert!(all.may_move(i));
            all.end_turn(i);
            assert!(!all.may_move(i));
        }
        (0..200).for_each(|i| all.leave(i));
        assert_eq!(places(), 0);
    }
}
