//! What is counted into: counts, histograms, rows and tables that one thread writes and any
//! thread reads. Plain relaxed stores; the only allocation is a place's first use.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A count with one writer, so that no locked instruction is needed.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    pub(crate) fn one(&self) {
        self.add(1);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Only for a place that is not counted into any more.
    pub(crate) fn clear(&self) {
        self.0.store(0, Relaxed);
    }
}

/// How many bounds a histogram has; the bucket after them is for what exceeds all.
pub(crate) const BOUNDS: usize = 15;

/// Upper bounds of the buckets in nanoseconds, each included.
pub(crate) type Bounds = [u64; BOUNDS];

const MS: u64 = 1_000_000;
const S: u64 = 1000 * MS;
const M: u64 = 60 * S;
const H: u64 = 60 * M;
const D: u64 = 24 * H;

/// For waits: 250 µs to a minute.
pub(crate) const WAITS: Bounds = [
    MS / 4,
    MS / 2,
    MS,
    5 * MS / 2,
    5 * MS,
    10 * MS,
    25 * MS,
    50 * MS,
    100 * MS,
    250 * MS,
    500 * MS,
    S,
    5 * S / 2,
    10 * S,
    60 * S,
];

/// For the lives of tunnels: a second to a week.
pub(crate) const LIVES: Bounds = [
    S,
    5 * S,
    15 * S,
    M,
    5 * M,
    15 * M,
    30 * M,
    H,
    2 * H,
    4 * H,
    8 * H,
    12 * H,
    D,
    3 * D,
    7 * D,
];

/// A histogram of spans of time.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [Count; BOUNDS + 1],
    nanos: Count,
}

/// The sum of histograms at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Distribution {
    pub(crate) buckets: [u64; BOUNDS + 1],
    pub(crate) nanos: u64,
}

impl Histogram {
    pub(crate) fn observe(&self, bounds: &Bounds, nanos: u64) {
        self.buckets[bounds.partition_point(|bound| *bound < nanos)].one();
        self.nanos.add(nanos);
    }

    pub(crate) fn add_to(&self, sum: &mut Distribution) {
        for (sum, bucket) in sum.buckets.iter_mut().zip(&self.buckets) {
            *sum += bucket.get();
        }
        sum.nanos = sum.nanos.wrapping_add(self.nanos.get());
    }

    pub(crate) fn clear(&self) {
        self.buckets.iter().for_each(Count::clear);
        self.nanos.clear();
    }
}

impl Distribution {
    pub(crate) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

/// Something that is made at its first use, on cache lines of its own.
#[derive(Debug)]
pub(crate) struct Lazy<T>(OnceLock<Box<Lines<T>>>);

#[derive(Debug, Default)]
#[repr(align(128))]
struct Lines<T>(T);

impl<T> Default for Lazy<T> {
    fn default() -> Self {
        Lazy(OnceLock::new())
    }
}

impl<T: Default> Lazy<T> {
    pub(crate) fn made(&self) -> &T {
        &self.0.get_or_init(Box::default).0
    }

    pub(crate) fn get(&self) -> Option<&T> {
        self.0.get().map(|lines| &lines.0)
    }
}

/// Counts by a small number.
#[derive(Debug)]
pub(crate) struct Row<const N: usize>([Count; N]);

impl<const N: usize> Default for Row<N> {
    fn default() -> Self {
        Row(std::array::from_fn(|_| Count::default()))
    }
}

impl<const N: usize> Row<N> {
    /// Counts one; a number that is too large counts as the last.
    pub(crate) fn one(&self, at: usize) {
        self.0[at.min(N - 1)].one();
    }

    pub(crate) fn add(&self, at: usize, n: u64) {
        self.0[at].add(n);
    }

    pub(crate) fn add_to(&self, sums: &mut [u64; N]) {
        for (sum, count) in sums.iter_mut().zip(&self.0) {
            *sum = sum.wrapping_add(count.get());
        }
    }

    pub(crate) fn clear(&self) {
        self.0.iter().for_each(Count::clear);
    }
}

/// The first part of a table; each further one is twice as long.
const FIRST: u32 = 8;

/// Places by slot number. A place never moves, so that others can read while it grows.
#[derive(Debug)]
pub(crate) struct Table<T>([OnceLock<Box<[T]>>; 24]);

impl<T> Default for Table<T> {
    fn default() -> Self {
        Table(std::array::from_fn(|_| OnceLock::new()))
    }
}

impl<T: Default> Table<T> {
    /// The place of a slot; `None` only for a number that no process reaches.
    pub(crate) fn made(&self, slot: u32) -> Option<&T> {
        let (part, at) = place(slot);
        let length = (FIRST as usize) << part;
        let part = self.0.get(part)?;
        part.get_or_init(|| (0..length).map(|_| T::default()).collect())
            .get(at)
    }

    /// The place of a slot, if this thread has counted anything near it.
    pub(crate) fn get(&self, slot: u32) -> Option<&T> {
        let (part, at) = place(slot);
        self.0.get(part)?.get()?.get(at)
    }

    /// Every place that there is.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        let parts = self.0.iter().filter_map(OnceLock::get);
        parts.flat_map(|part| part.iter())
    }
}

fn place(slot: u32) -> (usize, usize) {
    let n = slot.saturating_add(FIRST);
    let part = n.ilog2() - FIRST.ilog2();
    (part as usize, (n - (FIRST << part)) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_has_a_place_of_its_own() {
        let table = Table::<Count>::default();
        for slot in 0..1000 {
            assert!(table.get(slot).is_none_or(|count| count.get() == 0));
            table.made(slot).unwrap().add(u64::from(slot) + 1);
        }
        for slot in 0..1000 {
            assert_eq!(table.get(slot).unwrap().get(), u64::from(slot) + 1);
        }
        let sum: u64 = table.iter().map(Count::get).sum();
        assert_eq!(sum, 500_500);
        assert!(table.get(1_000_000).is_none());
        assert!(table.get(u32::MAX).is_none() && table.made(u32::MAX).is_none());
    }

    #[test]
    fn a_bound_belongs_to_its_own_bucket() {
        for bounds in [&WAITS, &LIVES] {
            assert!(bounds.is_sorted());
            let histogram = Histogram::default();
            for (at, bound) in bounds.iter().enumerate() {
                let mut before = Distribution::default();
                histogram.add_to(&mut before);
                histogram.observe(bounds, *bound);
                histogram.observe(bounds, *bound + 1);
                let mut after = Distribution::default();
                histogram.add_to(&mut after);
                assert_eq!(after.buckets[at], before.buckets[at] + 1);
                assert_eq!(after.buckets[at + 1], 1);
            }
            let mut sum = Distribution::default();
            histogram.add_to(&mut sum);
            assert_eq!(sum.count(), 2 * BOUNDS as u64);
            assert_eq!(sum.nanos, 2 * bounds.iter().sum::<u64>() + BOUNDS as u64);
        }
    }
}
