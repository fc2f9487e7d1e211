//! What a tunnel has moved, by direction and opcode.
//!
//! Written by the tunnel's own task only and read from any thread, so plain relaxed loads
//! and stores are enough: no locked instruction stands on a message's way.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use serde::{Deserialize, Serialize};

/// The live counters of one direction.
#[derive(Debug, Default)]
pub struct Counters {
    bytes: AtomicU64,
    frames: AtomicU64,
    text: AtomicU64,
    binary: AtomicU64,
    text_bytes: AtomicU64,
    binary_bytes: AtomicU64,
    pings: AtomicU32,
    pongs: AtomicU32,
}

/// The counters of one direction at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Bytes received from the side, frame headers and swallowed Pongs included.
    pub bytes: u64,
    /// Complete data frames, fragments counted one by one.
    pub frames: u64,
    /// Complete text messages.
    pub text: u64,
    /// Complete binary messages.
    pub binary: u64,
    /// Payload of text messages in bytes, as it is on the wire (maybe compressed).
    pub text_bytes: u64,
    /// Payload of binary messages in bytes, as it is on the wire.
    pub binary_bytes: u64,
    /// Ping frames.
    pub pings: u32,
    /// Pong frames, those to our own Pings included.
    pub pongs: u32,
}

impl Tally {
    /// The same, with no count above `most`.
    pub(crate) fn at_most(mut self, most: u64) -> Tally {
        for count in self.wide() {
            *count = (*count).min(most);
        }
        self
    }

    /// The counts that have no bound of their own.
    fn wide(&mut self) -> [&mut u64; 6] {
        [
            &mut self.bytes,
            &mut self.frames,
            &mut self.text,
            &mut self.binary,
            &mut self.text_bytes,
            &mut self.binary_bytes,
        ]
    }

    /// Complete data messages, text and binary.
    pub fn messages(&self) -> u64 {
        self.text + self.binary
    }
}

/// Adds without a locked instruction: there is one writer.
fn add(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(n), Relaxed);
}

impl Counters {
    /// The bytes received so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// All counters; each is exact, but they may be of slightly different moments.
    pub fn tally(&self) -> Tally {
        Tally {
            bytes: self.bytes.load(Relaxed),
            frames: self.frames.load(Relaxed),
            text: self.text.load(Relaxed),
            binary: self.binary.load(Relaxed),
            text_bytes: self.text_bytes.load(Relaxed),
            binary_bytes: self.binary_bytes.load(Relaxed),
            pings: self.pings.load(Relaxed),
            pongs: self.pongs.load(Relaxed),
        }
    }

    /// Whether a whole frame has come.
    pub(crate) fn has_frames(&self) -> bool {
        let control = self.pings.load(Relaxed) | self.pongs.load(Relaxed);
        self.frames.load(Relaxed) > 0 || control > 0
    }

    /// Counters that go on from `tally`.
    pub(crate) fn resume(tally: &Tally) -> Counters {
        Counters {
            bytes: tally.bytes.into(),
            frames: tally.frames.into(),
            text: tally.text.into(),
            binary: tally.binary.into(),
            text_bytes: tally.text_bytes.into(),
            binary_bytes: tally.binary_bytes.into(),
            pings: tally.pings.into(),
            pongs: tally.pongs.into(),
        }
    }

    pub(crate) fn received(&self, n: usize) {
        add(&self.bytes, n as u64);
    }

    pub(crate) fn payload(&self, text: bool, n: u64) {
        add(
            if text {
                &self.text_bytes
            } else {
                &self.binary_bytes
            },
            n,
        );
    }

    pub(crate) fn frame(&self) {
        add(&self.frames, 1);
    }

    pub(crate) fn message(&self, text: bool) {
        add(if text { &self.text } else { &self.binary }, 1);
    }

    pub(crate) fn ping(&self) {
        self.pings
            .store(self.pings.load(Relaxed).wrapping_add(1), Relaxed);
    }

    pub(crate) fn pong(&self) {
        self.pongs
            .store(self.pongs.load(Relaxed).wrapping_add(1), Relaxed);
    }
}
