//! The frame scanner: follows RFC 6455 section 5.2 framing over bytes in any pieces, and
//! always knows whether it stands at a frame boundary. It performs no I/O, never alters a
//! byte, and does not judge payloads; extensions may use the RSV bits.
//!
//! Our own frames are built in `control`; what a frame means for the tunnel is `pump`'s.

mod header;
pub mod restore;
#[cfg(test)]
mod tests;

pub(crate) use self::header::Header;
pub use self::header::{Opcode, Violation};
pub use crate::vocabulary::Side;
use crate::vocabulary::counters::Counters;

/// The longest header: two bytes, a 64-bit length and a masking key.
pub const MAX_HEADER: usize = 14;
/// The longest control payload (RFC 6455 section 5.5).
pub const MAX_CONTROL: usize = 125;

/// The bit of a frame's first byte that control frames have (RFC 6455 section 5.5).
pub const CONTROL: u8 = 0x08;

/// What one step of the scanner ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The rest of a data frame, or of the input.
    Data,
    /// The rest of a control frame; [`Scanner::control`] has its payload.
    Control(Opcode),
    /// Not valid framing: the scanner must not be used again.
    Invalid(Violation),
}

/// One step over some input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Bytes of the input it covers.
    pub used: usize,
    /// What it ended with.
    pub kind: Kind,
}

/// A control payload, unmasked.
#[derive(Debug, Clone, Copy)]
pub struct Payload {
    bytes: [u8; MAX_CONTROL],
    len: u8,
}

impl std::ops::Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// Follows the frames of one direction.
#[derive(Debug)]
pub struct Scanner {
    /// Payload bytes of the current frame still to come; more than 0 only inside a frame.
    left: u64,
    /// The raw bytes of a header or a control frame that came in pieces. That is rare, and
    /// an idle tunnel has none.
    #[expect(
        clippy::box_collection,
        reason = "one word in an idle tunnel, not three"
    )]
    pending: Option<Box<Vec<u8>>>,
    /// `pending` is a part of a header.
    in_header: bool,
    fin: bool,
    /// The opcode of the current frame.
    opcode: Opcode,
    /// A fragmented message is under way.
    open: bool,
    /// The message under way, or the last one, is text.
    text: bool,
    sender: Side,
}

impl Scanner {
    /// A scanner that stands in front of `sender`'s first frame.
    pub fn new(sender: Side) -> Scanner {
        Scanner {
            left: 0,
            pending: None,
            in_header: false,
            fin: true,
            opcode: Opcode::Text,
            open: false,
            text: false,
            sender,
        }
    }

    /// Whose frames these are.
    #[inline]
    pub fn sender(&self) -> Side {
        self.sender
    }

    /// Whether the next byte starts a frame.
    #[inline]
    pub fn at_boundary(&self) -> bool {
        self.left == 0 && !self.in_header
    }

    /// Payload bytes of the current data frame still to come.
    pub fn data_left(&self) -> u64 {
        if self.pending.is_some() { 0 } else { self.left }
    }

    /// Whether `next`, the next byte, belongs to a data frame that is followed without what came
    /// before it: all but the rest of a header or a control frame that came in pieces.
    #[inline]
    pub fn is_data(&self, next: u8) -> bool {
        self.pending.is_none() && (self.left > 0 || next & CONTROL == 0)
    }

    /// The sizes of header and payload of the data frame that `bytes` begin with, if the scanner
    /// stands in front of them and they hold its whole header.
    pub fn data_ahead(&self, bytes: &[u8]) -> Option<(usize, u64)> {
        let header = Header::parse(bytes, self.sender, self.open).ok()??;
        let is_ahead = self.at_boundary() && !header.opcode.is_control();
        is_ahead.then_some((header.size, header.length))
    }

    /// The control frame that has begun and is not complete, if it is one.
    pub fn inside_control(&self) -> Option<Opcode> {
        let opcode = match self.in_header {
            true => Opcode::from_bits(self.pending().first()? & 0x0F)?,
            false if self.pending.is_some() && self.left > 0 => self.opcode,
            false => return None,
        };
        opcode.is_control().then_some(opcode)
    }

    /// The bytes seen so far of an unfinished header or control frame, as they came.
    pub fn pending(&self) -> &[u8] {
        self.pending.as_ref().map_or(&[], |raw| raw.as_slice())
    }

    /// Accounts for `n` payload bytes of the current data frame that were moved unseen;
    /// `n` is at most [`Scanner::data_left`].
    pub fn skip(&mut self, n: u64, counters: &Counters) {
        debug_assert!(n <= self.data_left());
        self.left -= n;
        counters.payload(self.text, n);
        if self.left == 0 {
            self.frame_done(counters);
        }
    }

    /// Follows `input` to the end of its first frame, or to its own end. `input` is not
    /// empty.
    #[inline]
    pub fn step(&mut self, input: &[u8], counters: &Counters) -> Step {
        if self.left > 0 {
            return self.inside(input, counters);
        }
        if self.in_header {
            return self.split_header(input, counters);
        }
        match Header::parse(input, self.sender, self.open) {
            Ok(Some(header)) => self.begin(header, input, counters),
            Ok(None) => {
                self.in_header = true;
                self.pending = Some(Box::new(input.to_vec()));
                Step {
                    used: input.len(),
                    kind: Kind::Data,
                }
            }
            Err(violation) => Step {
                used: 0,
                kind: Kind::Invalid(violation),
            },
        }
    }

    /// The frame's header is complete; `input` starts with it.
    #[inline]
    fn begin(&mut self, header: Header, input: &[u8], counters: &Counters) -> Step {
        self.opcode = header.opcode;
        self.fin = header.fin;
        if header.opcode.is_control() {
            return self.begin_control(header, input, counters);
        }
        if header.opcode != Opcode::Continuation {
            self.text = header.opcode == Opcode::Text;
        }
        self.open = !header.fin;
        let there = header.length.min((input.len() - header.size) as u64);
        self.left = header.length - there;
        counters.payload(self.text, there);
        if self.left == 0 {
            self.frame_done(counters);
        }
        Step {
            used: header.size + there as usize,
            kind: Kind::Data,
        }
    }

    #[cold]
    fn begin_control(&mut self, header: Header, input: &[u8], counters: &Counters) -> Step {
        // A control frame has at most 14 + 125 bytes.
        let whole = header.size + header.length as usize;
        self.pending = None;
        if input.len() >= whole {
            return self.control_done(whole, counters);
        }
        self.pending = Some(Box::new(input.to_vec()));
        self.left = (whole - input.len()) as u64;
        Step {
            used: input.len(),
            kind: Kind::Data,
        }
    }

    /// The header began in an earlier input.
    #[cold]
    fn split_header(&mut self, input: &[u8], counters: &Counters) -> Step {
        let mut head = [0; MAX_HEADER];
        let known = self.pending().len();
        let more = input.len().min(MAX_HEADER - known);
        head[..known].copy_from_slice(self.pending());
        head[known..known + more].copy_from_slice(&input[..more]);
        match Header::parse(&head[..known + more], self.sender, self.open) {
            Err(violation) => Step {
                used: 0,
                kind: Kind::Invalid(violation),
            },
            Ok(None) => {
                self.pending = Some(Box::new(head[..known + more].to_vec()));
                Step {
                    used: more,
                    kind: Kind::Data,
                }
            }
            Ok(Some(header)) => {
                let rest = header.size - known;
                self.in_header = false;
                self.pending = None;
                // The header alone first; the payload follows as it does inside a frame.
                let mut step = self.begin(header, &head[..header.size], counters);
                step.used = rest;
                if matches!(step.kind, Kind::Control(_)) {
                    // An empty control frame: its bytes are only here.
                    self.pending = Some(Box::new(head[..header.size].to_vec()));
                }
                if self.left == 0 || rest == input.len() {
                    return step;
                }
                let step = self.inside(&input[rest..], counters);
                Step {
                    used: rest + step.used,
                    ..step
                }
            }
        }
    }

    /// `input` starts inside a payload.
    #[inline]
    fn inside(&mut self, input: &[u8], counters: &Counters) -> Step {
        let there = self.left.min(input.len() as u64);
        let used = there as usize;
        self.left -= there;
        if let Some(raw) = &mut self.pending {
            raw.extend_from_slice(&input[..used]);
            if self.left == 0 {
                return self.control_done(used, counters);
            }
        } else {
            counters.payload(self.text, there);
            if self.left == 0 {
                self.frame_done(counters);
            }
        }
        Step {
            used,
            kind: Kind::Data,
        }
    }

    #[inline]
    fn frame_done(&mut self, counters: &Counters) {
        counters.frame();
        if self.fin {
            counters.message(self.text);
        }
    }

    fn control_done(&mut self, used: usize, counters: &Counters) -> Step {
        match self.opcode {
            Opcode::Ping => counters.ping(),
            Opcode::Pong => counters.pong(),
            _ => {}
        }
        Step {
            used,
            kind: Kind::Control(self.opcode),
        }
    }

    /// The payload of the control frame that the last step completed, unmasked, and its raw
    /// bytes where it came in pieces. `last` is what that step covered.
    pub fn control(&mut self, last: &[u8]) -> (Payload, Option<Box<Vec<u8>>>) {
        let raw = self.pending.take();
        let frame = raw.as_ref().map_or(last, |raw| raw.as_slice());
        let mut payload = Payload {
            bytes: [0; MAX_CONTROL],
            len: 0,
        };
        let Some((&[_, second], rest)) = frame.split_first_chunk::<2>() else {
            return (payload, raw);
        };
        let (key, body) = match rest.split_first_chunk::<4>() {
            Some((key, body)) if second & 0x80 != 0 => (*key, body),
            _ => ([0; 4], rest),
        };
        payload.len = second & 0x7F;
        for (i, (to, from)) in payload.bytes.iter_mut().zip(body).enumerate() {
            *to = from ^ key[i & 3];
        }
        (payload, raw)
    }
}
