//! The framing of messages between two processes: a fixed header, JSON, raw bytes. No I/O;
//! descriptors are sent with the header, which says how many.
//!
//! | offset | bytes | |
//! |---|---|---|
//! | 0 | 4 | `sluh` |
//! | 4 | 1 | the kind of message |
//! | 5 | 1 | how many descriptors come with the header |
//! | 6 | 2 | 0 |
//! | 8 | 4 | length of the JSON, big-endian |
//! | 12 | 4 | length of the raw bytes after it, big-endian |

use std::fmt;
use std::ops::Deref;

use zeroize::Zeroizing;

/// Length of the header.
pub const HEADER: usize = 16;
/// The most descriptors that one message may have.
pub const MAX_DESCRIPTORS: usize = 4;
/// The longest JSON: a tunnel's texts have 64 KiB, each byte of which may be escaped by six.
pub const MAX_JSON: usize = 1024 * 1024;
/// The most raw bytes: what a tunnel has received and not yet written.
pub const MAX_BYTES: usize = 32 * 1024 * 1024;

const MAGIC: [u8; 4] = *b"sluh";

/// How many bytes a [`Decoder`] asks for at once, so that a false length costs
/// no memory.
const STEP: usize = 64 * 1024;

/// A message without its descriptors.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frame {
    /// What kind of message it is.
    pub kind: u8,
    /// How many descriptors belong to it.
    pub descriptors: u8,
    /// Its fields.
    pub json: Vec<u8>,
    /// Raw bytes.
    pub bytes: Raw,
}

/// The raw bytes of a message. There may be secrets among them, so they are wiped when they are
/// dropped, and shown by their number only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Raw(Zeroizing<Vec<u8>>);

impl Raw {
    /// Takes more, and leaves no copy behind where it has to grow.
    pub fn extend(&mut self, more: &[u8]) {
        let needed = self.0.len() + more.len();
        if needed > self.0.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(needed.max(2 * self.0.len())));
            larger.extend_from_slice(&self.0);
            self.0 = larger;
        }
        self.0.extend_from_slice(more);
    }
}

impl From<Vec<u8>> for Raw {
    fn from(bytes: Vec<u8>) -> Raw {
        Raw(Zeroizing::new(bytes))
    }
}

impl Deref for Raw {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Raw({} bytes)", self.0.len())
    }
}

/// Why bytes are not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireError {
    /// They do not begin like a message.
    Magic,
    /// More descriptors than a message may have.
    Descriptors(u8),
    /// A part longer than it may be, in bytes.
    Long(u32),
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WireError::Magic => f.write_str("what came is no message of a hand-over"),
            WireError::Descriptors(n) => write!(f, "a message with {n} descriptors"),
            WireError::Long(n) => write!(f, "a message with a part of {n} bytes"),
        }
    }
}

impl std::error::Error for WireError {}

impl Frame {
    /// The header.
    ///
    /// # Errors
    /// When a part is larger than the other side takes.
    pub fn header(&self) -> Result<[u8; HEADER], WireError> {
        let long = |n: usize| WireError::Long(u32::try_from(n).unwrap_or(u32::MAX));
        if usize::from(self.descriptors) > MAX_DESCRIPTORS {
            return Err(WireError::Descriptors(self.descriptors));
        }
        if self.json.len() > MAX_JSON {
            return Err(long(self.json.len()));
        }
        if self.bytes.len() > MAX_BYTES {
            return Err(long(self.bytes.len()));
        }
        let mut header = [0; HEADER];
        header[..4].copy_from_slice(&MAGIC);
        header[4] = self.kind;
        header[5] = self.descriptors;
        header[8..12].copy_from_slice(&(self.json.len() as u32).to_be_bytes());
        header[12..].copy_from_slice(&(self.bytes.len() as u32).to_be_bytes());
        Ok(header)
    }
}

/// Puts messages together from pieces of any size.
#[derive(Debug, Default)]
pub struct Decoder {
    header: [u8; HEADER],
    have: usize,
    /// What the header says, once it is complete.
    lengths: Option<(usize, usize)>,
    frame: Frame,
}

impl Decoder {
    /// How many bytes may be fed at once: never more than belong to the message under way,
    /// so that descriptors are found at its header and nowhere else.
    pub fn wants(&self) -> usize {
        match self.lengths {
            None => HEADER - self.have,
            Some((json, bytes)) => {
                let left = match json - self.frame.json.len() {
                    0 => bytes - self.frame.bytes.len(),
                    left => left,
                };
                left.min(STEP)
            }
        }
    }

    /// Whether the next bytes are those of a header, which descriptors come with.
    pub fn at_header(&self) -> bool {
        self.lengths.is_none()
    }

    /// Whether no part of a message has come yet.
    pub fn at_boundary(&self) -> bool {
        self.have == 0
    }

    /// Takes what it wants of `bytes` and says how many that were, with the message that
    /// they complete.
    ///
    /// # Errors
    /// [`WireError`]; nothing that follows can be understood.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(usize, Option<Frame>), WireError> {
        let taken = bytes.len().min(self.wants());
        let bytes = &bytes[..taken];
        match self.lengths {
            None => {
                self.header[self.have..self.have + taken].copy_from_slice(bytes);
                self.have += taken;
                self.check_magic()?;
                if self.have == HEADER {
                    self.lengths = Some(self.begin()?);
                }
            }
            Some((json, _)) if self.frame.json.len() < json => {
                self.frame.json.extend_from_slice(bytes);
            }
            Some(_) => self.frame.bytes.extend(bytes),
        }
        let complete = self.lengths == Some((self.frame.json.len(), self.frame.bytes.len()));
        Ok((taken, complete.then(|| std::mem::take(self).frame)))
    }

    fn check_magic(&self) -> Result<(), WireError> {
        let known = self.have.min(MAGIC.len());
        match self.header[..known] == MAGIC[..known] {
            true => Ok(()),
            false => Err(WireError::Magic),
        }
    }

    fn begin(&mut self) -> Result<(usize, usize), WireError> {
        let number = |at: usize| {
            let bytes = [0, 1, 2, 3].map(|i| self.header[at + i]);
            u32::from_be_bytes(bytes)
        };
        let (json, bytes) = (number(8), number(12));
        let descriptors = self.header[5];
        if usize::from(descriptors) > MAX_DESCRIPTORS {
            return Err(WireError::Descriptors(descriptors));
        }
        if json as usize > MAX_JSON {
            return Err(WireError::Long(json));
        }
        if bytes as usize > MAX_BYTES {
            return Err(WireError::Long(bytes));
        }
        self.frame.kind = self.header[4];
        self.frame.descriptors = descriptors;
        Ok((json as usize, bytes as usize))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn decode(bytes: &[u8], piece: usize) -> Result<Vec<Frame>, WireError> {
        let (mut decoder, mut frames) = (Decoder::default(), Vec::new());
        for mut piece in bytes.chunks(piece) {
            while !piece.is_empty() {
                assert!(decoder.wants() > 0, "a decoder is never stuck");
                let (taken, frame) = decoder.feed(piece)?;
                assert!(taken > 0);
                piece = &piece[taken..];
                frames.extend(frame);
            }
        }
        Ok(frames)
    }

    fn encode(frames: &[Frame]) -> Vec<u8> {
        let encoded = frames.iter().map(|frame| {
            let header = frame.header().expect("it is small");
            [&header[..], &frame.json, &frame.bytes].concat()
        });
        encoded.collect::<Vec<_>>().concat()
    }

    fn frame() -> impl Strategy<Value = Frame> {
        let parts = (
            any::<u8>(),
            0..=4u8,
            vec(any::<u8>(), 0..90),
            vec(any::<u8>(), 0..90),
        );
        parts.prop_map(|(kind, descriptors, json, bytes)| Frame {
            kind,
            descriptors,
            json,
            bytes: bytes.into(),
        })
    }

    proptest! {
        #[test]
        fn every_split_gives_the_same(frames in vec(frame(), 1..4)) {
            let bytes = encode(&frames);
            for piece in 1..=bytes.len() {
                prop_assert_eq!(decode(&bytes, piece), Ok(frames.clone()), "pieces of {}", piece);
            }
        }

        #[test]
        fn garbage_is_refused_or_waited_for(bytes in vec(any::<u8>(), 0..200), piece in 1..40usize) {
            let whole = decode(&bytes, bytes.len().max(1));
            prop_assert_eq!(whole, decode(&bytes, piece));
        }

        #[test]
        fn a_header_of_garbage_takes_no_memory(rest in vec(any::<u8>(), 12)) {
            let mut decoder = Decoder::default();
            let header = [&MAGIC[..], &rest].concat();
            if decoder.feed(&header).is_ok() {
                prop_assert!(decoder.frame.json.capacity() + decoder.frame.bytes.0.capacity() == 0);
                prop_assert!(decoder.wants() <= STEP);
            }
        }
    }

    #[test]
    fn what_is_too_large_is_neither_written_nor_read() {
        let long = Frame {
            json: vec![0; MAX_JSON + 1],
            ..Frame::default()
        };
        assert_eq!(long.header(), Err(WireError::Long(MAX_JSON as u32 + 1)));
        let mut header = Frame::default().header().expect("it is empty");
        header[8..12].copy_from_slice(&(MAX_JSON as u32 + 1).to_be_bytes());
        assert_eq!(
            decode(&header, 16),
            Err(WireError::Long(MAX_JSON as u32 + 1))
        );
        let mut header = Frame::default().header().expect("it is empty");
        header[5] = 5;
        assert_eq!(decode(&header, 16), Err(WireError::Descriptors(5)));
    }

    #[test]
    fn the_first_wrong_byte_is_enough() {
        assert_eq!(decode(b"GET ", 1), Err(WireError::Magic));
        assert_eq!(decode(b"sluX", 3), Err(WireError::Magic));
    }
}
