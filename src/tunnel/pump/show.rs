//! What passes through one direction is shown to the taps of the tunnel. Called only while it
//! has one; changes nothing.

use super::super::journal::Journal;
use super::Direction;
use crate::tap::{self, Position};
use crate::websocket::frame::{Opcode, Scanner};

impl Direction {
    /// To be called before the next bytes are followed. Returns whether there still is a tap.
    #[cold]
    pub(super) fn join_tap(&self, journal: &Journal) -> bool {
        let position = || self.frames.are_followed().then(|| position(&self.scanner));
        let handle = &journal.handle;
        let is_tapped = tap::join(handle.id, self.scanner.sender(), position);
        handle.set_tapped(is_tapped);
        is_tapped
    }

    /// The scanner has gone over the first `used` bytes of `chunk`; over none where they are
    /// not valid framing.
    #[cold]
    pub(super) fn show(&self, chunk: &[u8], used: usize, journal: &Journal) {
        let seen = match self.frames.are_followed() {
            true => &chunk[..used],
            false => chunk,
        };
        let side = self.scanner.sender();
        if !self.sink.is_open() {
            tap::withheld(journal.handle.id, side);
        }
        tap::passed(journal.handle.id, side, seen);
    }

    /// So many payload bytes are about to be skipped.
    #[cold]
    pub(super) fn show_skipped(&self, n: usize, journal: &Journal) {
        if self.join_tap(journal) {
            tap::skipped(journal.handle.id, self.scanner.sender(), n as u64);
        }
    }
}

fn position(scanner: &Scanner) -> Position {
    let state = scanner.state();
    Position {
        left: scanner.data_left(),
        opcode: Opcode::from_bits(state.opcode).unwrap_or(Opcode::Continuation),
        fin: state.fin,
        open: state.open,
        text: state.text,
        pending: state.pending,
    }
}
