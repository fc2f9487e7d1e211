//! permessage-deflate taken off (RFC 7692 section 7.2.2), for one direction of one tunnel, as
//! far as that can be done: a tap may have begun in the middle, frames may be missing, and of
//! a payload there may be the beginning only.
//!
//! What is shown is always what was sent. The buffer never wraps, so that a message that
//! refers to what is not known is found out instead of being filled up with something else;
//! and a message that needs nothing of what is missing can be shown all the same.

use std::fmt;

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{
    TINFL_FLAG_HAS_MORE_INPUT, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

/// As far as a message may refer back, in bytes (RFC 1951 section 2).
const WINDOW: usize = 32 * 1024;

/// The most that is made of one message, in bytes.
pub(super) const LARGEST: usize = 1 << 20;

/// How much the buffer grows at once.
const STEP: usize = 16 * 1024;

/// What a sender leaves out of each message (RFC 7692 section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xFF, 0xFF];

/// Why a message, or the rest of it, cannot be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It had begun before the tap.
    Begun,
    /// It refers to messages before the tap.
    BeforeTap,
    /// It refers to messages of which something is missing.
    Missing,
    /// Not all of its payload is there.
    Cut,
    /// It would be larger than [`LARGEST`].
    TooLarge,
    /// It is no DEFLATE.
    Invalid,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Trouble::Begun => "its message began before the tap",
            Trouble::BeforeTap => "compressed, its context began before the tap",
            Trouble::Missing => "compressed, its context was not seen in full",
            Trouble::Cut => "compressed, the rest of it was not seen",
            Trouble::TooLarge => "compressed, the rest is more than 1 MiB",
            Trouble::Invalid => "compressed, but not as RFC 7692 says",
        })
    }
}

/// A part of a message, as one frame brings it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'a> {
    /// The message begins with it.
    pub(super) first: bool,
    /// It ends with it.
    pub(super) last: bool,
    /// It may refer to those before it.
    pub(super) takeover: bool,
    /// What there is of the payload.
    pub(super) payload: &'a [u8],
    /// That is all of it.
    pub(super) whole: bool,
}

/// One direction.
pub(super) struct Inflater {
    state: Box<DecompressorOxide>,
    /// The end of the messages so far, then the message under way, then room.
    buffer: Vec<u8>,
    /// Where the message under way begins.
    start: usize,
    /// Where the room begins.
    end: usize,
    /// Why what stood in front of the buffer is not known; `None`: nothing did.
    unknown: Option<Trouble>,
    /// Why the rest of the message under way is not shown.
    trouble: Option<Trouble>,
}

impl Inflater {
    /// Somewhere in a stream.
    pub(super) fn new() -> Inflater {
        Inflater {
            state: Box::default(),
            buffer: Vec::new(),
            start: 0,
            end: 0,
            unknown: Some(Trouble::BeforeTap),
            trouble: Some(Trouble::Begun),
        }
    }

    /// Something is missing between what was seen and what comes.
    pub(super) fn interrupted(&mut self) {
        self.forget(Some(Trouble::Missing));
        self.trouble = Some(Trouble::Missing);
    }

    /// What a part of a message was, and why not all of it is shown.
    pub(super) fn part(&mut self, part: Part<'_>) -> (Vec<u8>, Option<Trouble>) {
        if part.first {
            self.state.init();
            self.trouble = None;
            if !part.takeover {
                self.forget(None);
            }
        }
        let begin = self.end;
        if self.trouble.is_none() {
            self.trouble = self.inflate(part).err();
        }
        let shown = self.buffer[begin..self.end].to_vec();
        match self.trouble {
            // What comes may refer to this one as well.
            Some(Trouble::Begun | Trouble::BeforeTap) => self.forget(self.unknown),
            Some(_) => self.forget(Some(Trouble::Missing)),
            None if part.last => self.keep_window(),
            None => {}
        }
        (shown, self.trouble)
    }

    fn inflate(&mut self, part: Part<'_>) -> Result<(), Trouble> {
        self.run(part.payload)?;
        match (part.whole, part.last) {
            (false, _) => Err(Trouble::Cut),
            (true, true) => self.run(&TAIL),
            (true, false) => Ok(()),
        }
    }

    fn run(&mut self, mut input: &[u8]) -> Result<(), Trouble> {
        const FLAGS: u32 = TINFL_FLAG_HAS_MORE_INPUT | TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
        loop {
            if self.end == self.buffer.len() {
                self.grow()?;
            }
            let (state, buffer) = (&mut self.state, &mut self.buffer);
            let (status, used, made) = decompress(state, input, buffer, self.end, FLAGS);
            input = &input[used..];
            self.end += made;
            match status {
                TINFLStatus::HasMoreOutput => {}
                TINFLStatus::NeedsMoreInput => return Ok(()),
                // A block may be marked as the last one (RFC 7692 section 7.2.3.4).
                TINFLStatus::Done => {
                    self.state.init();
                    if input.is_empty() {
                        return Ok(());
                    }
                }
                // With a whole window there is nothing that it could lack.
                _ if self.end >= WINDOW => return Err(Trouble::Invalid),
                _ => return Err(self.unknown.unwrap_or(Trouble::Invalid)),
            }
        }
    }

    /// Makes room for more of the message.
    fn grow(&mut self) -> Result<(), Trouble> {
        if self.end - self.start > LARGEST {
            return Err(Trouble::TooLarge);
        }
        // One byte more, so that what is as large as it may be is told from what is larger.
        let most = self.start + LARGEST + 1;
        let room = (self.end + STEP).min(most);
        self.buffer.resize(room, 0);
        Ok(())
    }

    /// The message is complete: what is left of it is what the next one may refer to.
    fn keep_window(&mut self) {
        self.buffer.truncate(self.end);
        self.buffer.drain(..self.end.saturating_sub(WINDOW));
        self.buffer.shrink_to(2 * WINDOW);
        self.end = self.buffer.len();
        self.start = self.end;
    }

    fn forget(&mut self, unknown: Option<Trouble>) {
        self.buffer = Vec::new();
        (self.start, self.end) = (0, 0);
        self.unknown = unknown;
    }
}

#[cfg(test)]
mod tests;
