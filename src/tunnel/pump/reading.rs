//! How much a direction reads at once, by the frames that came last: about a header before what
//! is spliced, the whole buffer as a rule, and a part of it in a flood of tiny frames, whose cost
//! is not in their bytes. One byte, since idle tunnels hold it too.

use crate::net::io::PIECE_COST;

/// A chunk with so many frames, of less than [`TINY`] bytes each, makes the next one a sixteenth
/// of the buffer: a whole one of empty frames is worth sixteen turns.
const MANY: usize = 256;
const TINY: usize = 32;
const NARROWEST: u8 = 4;
/// While large frames follow each other only about a header is read, so that the rest of
/// the frame can be spliced.
const HEADER: usize = 16;
const BULK: u8 = u8::MAX;

/// The buffer's share that is read, as a power of two, or [`BULK`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading(u8);

impl Reading {
    pub(super) fn new(bulk: bool) -> Reading {
        Reading(if bulk { BULK } else { 0 })
    }

    /// The last frames were large enough to be spliced.
    pub(super) fn is_bulk(self) -> bool {
        self.0 == BULK
    }

    pub(super) fn set_bulk(&mut self, bulk: bool) {
        if bulk != self.is_bulk() {
            *self = Reading::new(bulk);
        }
    }

    /// Bytes to read into a buffer of `len`; in bulk a header's at a boundary, else all.
    #[inline]
    pub(super) fn most(self, len: usize, at_boundary: bool) -> usize {
        match self.0 {
            BULK if at_boundary => HEADER,
            BULK => len,
            narrow => len >> narrow,
        }
    }

    /// A chunk of `n` bytes held `frames`; what it cost of a turn.
    #[inline]
    pub(super) fn chunk(&mut self, n: usize, frames: usize) -> usize {
        if !self.is_bulk() {
            self.0 = match frames >= MANY && frames * TINY > n {
                true => NARROWEST,
                false => self.0.saturating_sub(1),
            };
        }
        n + frames * PIECE_COST
    }
}
