//! When each entry of a registry must be looked at: four bytes each, apart from the entries, and
//! the least of every 64 of them besides, so that a tick passes over thousands that are not due
//! in a few cache lines, and over all of them in one comparison where none is.

use super::moment::{Moment, NEVER};

/// How many share a least one.
const BLOCK: usize = 64;

/// The moments, at the places of their entries.
#[derive(Debug)]
pub(super) struct Due {
    each: Vec<Moment>,
    /// Not above any of a block's. It may be below them all: then they are looked through once
    /// more than needed.
    least: Vec<Moment>,
    /// The same of all.
    first: Moment,
}

impl Due {
    pub(super) const fn new() -> Due {
        Due {
            each: Vec::new(),
            least: Vec::new(),
            first: NEVER,
        }
    }

    /// One more place, after all others.
    pub(super) fn push(&mut self, moment: Moment) {
        let index = self.each.len();
        self.each.push(NEVER);
        if index / BLOCK == self.least.len() {
            self.least.push(NEVER);
        }
        self.set(index, moment);
    }

    /// Takes a place out; the last one comes to it.
    pub(super) fn swap_remove(&mut self, index: usize) {
        self.each.swap_remove(index);
        if let Some(moved) = self.each.get(index).copied() {
            self.set(index, moved);
        }
        self.least.truncate(self.each.len().div_ceil(BLOCK));
        if self.each.is_empty() {
            *self = Due::new();
        }
    }

    /// The entry must be looked at then at the latest.
    pub(super) fn bring_forward(&mut self, index: usize, moment: Moment) {
        if self.each.get(index).is_some_and(|due| moment < *due) {
            self.set(index, moment);
        }
    }

    fn set(&mut self, index: usize, moment: Moment) {
        self.each[index] = moment;
        let least = &mut self.least[index / BLOCK];
        *least = moment.min(*least);
        self.first = moment.min(self.first);
    }

    /// Has every entry that is due looked at; `look` returns when it must be again.
    pub(super) fn serve(&mut self, now: Moment, mut look: impl FnMut(usize) -> Moment) {
        if self.first > now {
            return;
        }
        self.first = NEVER;
        let blocks = self.each.chunks_mut(BLOCK).zip(&mut self.least);
        for (block, (each, least)) in blocks.enumerate() {
            if *least <= now {
                *least = NEVER;
                for (at, due) in each.iter_mut().enumerate() {
                    if *due <= now {
                        *due = look(block * BLOCK + at);
                    }
                    *least = (*due).min(*least);
                }
            }
            self.first = (*least).min(self.first);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which are due, each being looked at again `after` that.
    fn due(all: &mut Due, now: Moment, after: Moment) -> Vec<usize> {
        let mut seen = Vec::new();
        all.serve(now, |index| {
            seen.push(index);
            now.saturating_add(after)
        });
        seen
    }

    #[test]
    fn what_is_not_due_is_not_looked_at() {
        let mut all = Due::new();
        (0..1000).for_each(|n| all.push(100 + n));
        assert_eq!(due(&mut all, 99, 1), [0; 0]);
        assert_eq!(due(&mut all, 102, NEVER), [0, 1, 2]);
        assert_eq!(due(&mut all, 102, NEVER), [0; 0]);
        all.bring_forward(500, 0);
        all.bring_forward(501, 5000);
        assert_eq!(due(&mut all, 103, 10), [3, 500]);
        assert_eq!(due(&mut all, 104, NEVER), [4]);
        assert_eq!(
            due(&mut all, 113, NEVER),
            [3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 500]
        );
    }

    #[test]
    fn it_finds_what_a_walk_over_all_would() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut all = Due::new();
        let mut plain: Vec<Moment> = Vec::new();
        for now in 0..3000 {
            for _ in 0..random.usize(..4) {
                let moment = now + random.u32(..500);
                all.push(moment);
                plain.push(moment);
            }
            if !plain.is_empty() && random.bool() {
                let index = random.usize(..plain.len());
                all.swap_remove(index);
                plain.swap_remove(index);
            }
            if !plain.is_empty() && random.u8(..4) == 0 {
                let (index, moment) = (random.usize(..plain.len()), now + random.u32(..500));
                all.bring_forward(index, moment);
                plain[index] = plain[index].min(moment);
            }
            let next = |index: usize| now + 1 + (index as u32 * 37) % 400;
            let mut seen = Vec::new();
            all.serve(now, |index| {
                seen.push(index);
                next(index)
            });
            let expected: Vec<usize> = (0..plain.len()).filter(|at| plain[*at] <= now).collect();
            assert_eq!(seen, expected, "at {now}");
            for index in expected {
                plain[index] = next(index);
            }
        }
        assert!(plain.len() > 1000);
        (0..plain.len()).rev().for_each(|_| all.swap_remove(0));
        assert_eq!((all.first, all.least.len()), (NEVER, 0));
    }
}
