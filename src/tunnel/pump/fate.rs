//! What becomes of the bytes that come: they are passed on, or dropped, or dropped and measured
//! because the sink is gone. One byte, for idle tunnels hold it too.

/// Passed on.
const PASSED: u8 = 0;
/// Read and dropped, though the sink is there: nothing may follow what it was sent.
const DROPPED: u8 = 1;
/// The sink is gone. What is above counts the [`UNIT`]s that have come since.
const LOST: u8 = 2;
/// In how many bytes what comes for a lost sink is measured; a read counts as one at least.
const UNIT: usize = 2048;
/// What is read of a source whose sink is gone, 256 KiB: enough for a Close that answers ours. A
/// source that says more is not listened to any longer.
const WASTE: u8 = 128;

/// The fate of what a direction reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tunnel) struct Fate(u8);

impl Fate {
    pub(super) const PASSED: Fate = Fate(PASSED);

    /// Whether nothing is passed on any more.
    #[inline]
    pub(in crate::tunnel) fn is_dropped(self) -> bool {
        self.0 != PASSED
    }

    /// Whether the sink is gone.
    #[inline]
    pub(super) fn is_lost(self) -> bool {
        self.0 >= LOST
    }

    /// From now on nothing is passed on.
    pub(in crate::tunnel) fn drop_all(&mut self) {
        self.0 = self.0.max(DROPPED);
    }

    /// From now on there is no sink.
    pub(super) fn lose(&mut self) {
        self.0 = self.0.max(LOST);
    }

    /// `n` bytes have come. Returns whether that is too much for a sink that is gone.
    #[inline]
    pub(super) fn take(&mut self, n: usize) -> bool {
        self.is_lost() && self.waste(n)
    }

    #[cold]
    fn waste(&mut self, n: usize) -> bool {
        let units = u8::try_from(n.div_ceil(UNIT)).unwrap_or(u8::MAX);
        self.0 = self.0.saturating_add(units);
        self.0 - LOST > WASTE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_for_a_lost_sink_is_bounded_and_nothing_brings_the_sink_back() {
        let mut fate = Fate::PASSED;
        assert!(!fate.take(usize::MAX), "it is passed on");
        fate.drop_all();
        assert!(!fate.take(usize::MAX), "a sink that is there is waited for");
        fate.lose();
        assert!(!fate.take(64 * 1024) && !fate.take(1));
        fate.drop_all();
        fate.lose();
        assert!(fate.is_lost() && !fate.take(126 * 1024) && !fate.take(64 * 1024));
        assert!(fate.take(1) && fate.take(usize::MAX) && fate.is_dropped());
    }
}
