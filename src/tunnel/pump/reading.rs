//! How much a direction reads at once, by the frames that came last: nothing where they are large
//! enough to be spliced, a buffer as a rule, and a part of it in a flood of tiny frames, whose cost
//! is not in their bytes. One byte, since idle tunnels hold it too.

use crate::net::io::{PIECE_COST, SCRATCH};

/// Bytes that are read at once: 45 full segments of Ethernet (1,448 bytes each, with timestamps),
/// and less than one of loopback (65,483). Of more the rest would leave as a small segment of its
/// own, which costs as much as a full one.
pub(in crate::tunnel) const MOST: usize = 45 * 1448;
const _: () = assert!(MOST <= SCRATCH);

/// A chunk with so many frames, of less than [`TINY`] bytes each, makes the next one a sixteenth
/// of the buffer: a whole one of empty frames is worth sixteen turns.
const MANY: usize = 256;
const TINY: usize = 32;
const NARROWEST: u8 = 4;
/// Bytes in a frame from which it is cheaper to look at its header and splice it than to copy it,
/// where more has come than is read at once.
pub(super) const LARGE: usize = 20 * 1024;
const BULK: u8 = u8::MAX;

/// The buffer's share that is read, as a power of two, or [`BULK`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading(u8);

impl Reading {
    pub(super) fn new(bulk: bool) -> Reading {
        Reading(if bulk { BULK } else { 0 })
    }

    /// The last frames were large enough to be spliced.
    #[inline]
    pub(super) fn is_bulk(self) -> bool {
        self.0 == BULK
    }

    pub(super) fn set_bulk(&mut self, bulk: bool) {
        if bulk != self.is_bulk() {
            *self = Reading::new(bulk);
        }
    }

    /// Bytes to read.
    #[inline]
    pub(super) fn most(self) -> usize {
        match self.0 {
            BULK => MOST,
            narrow => MOST >> narrow,
        }
    }

    /// A chunk of `n` bytes held `frames`, of which the first and the last may only be in part;
    /// what it cost of a turn.
    #[inline]
    pub(super) fn chunk(&mut self, n: usize, frames: usize) -> usize {
        self.0 = if frames >= MANY && frames * TINY > n {
            NARROWEST
        } else if n == MOST && (1..=MOST / LARGE).contains(&frames) {
            BULK
        } else if self.is_bulk() {
            0
        } else {
            self.0.saturating_sub(1)
        };
        n + frames * PIECE_COST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_large_frames_of_which_more_has_come_are_spliced() {
        let after = |n, frames| {
            let mut reading = Reading::new(false);
            reading.chunk(n, frames);
            reading.is_bulk()
        };
        assert!(after(MOST, 1) && after(MOST, 3));
        assert!(!after(MOST, 4), "frames of 16 KiB");
        assert!(!after(MOST - 1, 1), "no more has come");
        assert!(!after(MOST, 0), "framing is not known");
    }

    #[test]
    fn a_flood_of_tiny_frames_narrows_what_is_read() {
        let mut reading = Reading::new(true);
        reading.chunk(MOST, MOST / 2);
        assert_eq!(reading.most(), MOST / 16);
        for _ in 0..NARROWEST {
            reading.chunk(MOST / 16, 1);
        }
        assert_eq!(reading.most(), MOST);
    }
}
