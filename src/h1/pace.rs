//! How much of an answer is read from its upstream at once: little at first, more while the client
//! takes all that it is given. A client that stops reading leaves its connection with one read.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use crate::upstream::body::ROOM;
use crate::upstream::lent;

/// As long as no more bytes than this wait to be written together, the upstream is asked for more.
/// That is read in pieces of this size.
pub const TOGETHER: usize = 4 * 1024;
/// Reads that were full and written at once before larger ones are made.
const GROWS: u8 = 2;

/// How much is read at once for one client.
#[derive(Debug, Default)]
pub struct Pace {
    /// Full reads since the client last took less than it was given.
    full: AtomicU8,
}

impl Pace {
    /// What the next read may bring.
    pub fn room(&self) -> usize {
        match self.full.load(Relaxed) < GROWS {
            true => ROOM,
            false => lent::SIZE,
        }
    }

    /// A read for `room` bytes brought `n`.
    pub fn read(&self, room: usize, n: usize) {
        if room < ROOM {
            // It was not to bring more, whatever there was.
            return;
        }
        let full = self.full.load(Relaxed);
        let full = match n >= ROOM {
            true => full.saturating_add(1).min(GROWS),
            false => full.saturating_sub(1),
        };
        self.full.store(full, Relaxed);
    }

    /// The client's socket did not take all that it was offered.
    pub fn blocked(&self) {
        self.full.store(0, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_grow_with_the_client_and_begin_anew_when_it_stops() {
        let pace = Pace::default();
        let read = |n: usize| {
            let room = pace.room();
            pace.read(room, n.min(room));
            room
        };
        let much = lent::SIZE;
        assert_eq!([read(much), read(much), read(much)], [ROOM, ROOM, much]);
        pace.blocked();
        assert_eq!([read(much), read(much), read(much)], [ROOM, ROOM, much]);
        assert_eq!(read(ROOM), much, "what comes in time is no reason");
        assert_eq!(read(ROOM - 1), much);
        assert_eq!(read(much), ROOM, "little is");
        assert_eq!(read(much), much);
        pace.read(TOGETHER, 1);
        assert_eq!(read(much), much, "small reads tell nothing");
    }
}
