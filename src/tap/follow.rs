//! Follows one direction frame by frame (RFC 6455 section 5.2), beside the scanner that the
//! tunnel itself goes by: what is wanted of a payload is kept, unmasked, and each frame is
//! reported when it is complete. It performs no I/O, and can begin anywhere in a stream.

use crate::websocket::frame::{Header, MAX_HEADER, Opcode, Side, Violation};

/// RSV1 among the three bits of [`Frame::rsv`].
pub(super) const RSV1: u8 = 4;

/// A frame that has passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its number among those of its direction, from 1; those that were left out count too.
    pub number: u64,
    /// What it is.
    pub opcode: Opcode,
    /// It ends its message.
    pub fin: bool,
    /// RSV1, RSV2 and RSV3, as three bits.
    pub rsv: u8,
    /// Bytes of its payload; of a [`Frame::partial`] one those after where following began.
    pub length: u64,
    /// It had begun already.
    pub partial: bool,
    /// Its message is text; of a control frame without meaning.
    pub text: bool,
    /// Whether RSV1 stands at the beginning of its message (RFC 7692 section 6); `None`:
    /// that was not seen. A control frame has no message: false.
    pub compressed: Option<bool>,
    /// The beginning of its payload, unmasked, as far as it was wanted.
    pub payload: Vec<u8>,
    /// Bytes of its payload that were moved unseen.
    pub spliced: u64,
    /// It goes on to the other side.
    pub passed: bool,
}

/// Where frames are reported.
pub trait Sink {
    /// A frame begins whose payload has so many bytes. Returns how many of them to keep;
    /// `None`: it is left out.
    fn begins(&mut self, opcode: Opcode, length: u64) -> Option<usize>;

    /// A frame is complete.
    fn frame(&mut self, frame: Frame);

    /// What comes is not framing, and is not followed any more.
    fn invalid(&mut self, violation: Violation);
}

/// Where a direction stands when following begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Payload bytes of the current data frame still to come; 0: none is under way.
    pub left: u64,
    /// The opcode of that frame.
    pub opcode: Opcode,
    /// It ends its message.
    pub fin: bool,
    /// A fragmented message is under way.
    pub open: bool,
    /// That message, or the frame's, is text.
    pub text: bool,
    /// The bytes seen so far of an unfinished header or control frame.
    pub pending: Vec<u8>,
}

/// The frame under way.
#[derive(Debug)]
struct Current {
    frame: Frame,
    /// It is to be reported.
    is_wanted: bool,
    key: [u8; 4],
    left: u64,
    /// Bytes of payload that are kept at most.
    room: usize,
}

/// Follows the frames of one direction.
#[derive(Debug)]
pub struct Follower {
    sender: Side,
    /// The beginning of a header.
    head: Vec<u8>,
    current: Option<Current>,
    /// A fragmented message is under way.
    open: bool,
    text: bool,
    compressed: Option<bool>,
    frames: u64,
    /// The next frame to be complete does not go on.
    withheld: bool,
    /// What comes is not framing.
    blind: bool,
}

impl Follower {
    /// Before `sender`'s first frame.
    pub fn new(sender: Side) -> Follower {
        Follower {
            sender,
            head: Vec::new(),
            current: None,
            open: false,
            text: false,
            compressed: None,
            frames: 0,
            withheld: false,
            blind: false,
        }
    }

    /// Where what comes is not framing.
    pub fn blind(sender: Side) -> Follower {
        Follower {
            blind: true,
            ..Follower::new(sender)
        }
    }

    /// In the middle of a stream.
    pub fn at(sender: Side, position: &Position, sink: &mut impl Sink) -> Follower {
        let mut follower = Follower {
            open: position.open,
            text: position.text,
            ..Follower::new(sender)
        };
        if position.left > 0 {
            let (opcode, length) = (position.opcode, position.left);
            follower.start(opcode, position.fin, length, sink);
            if let Some(current) = &mut follower.current {
                current.frame.partial = true;
                current.room = 0;
            }
        }
        follower.feed(&position.pending, sink);
        follower
    }

    /// Goes over the next bytes of the stream.
    pub fn feed(&mut self, mut bytes: &[u8], sink: &mut impl Sink) {
        while !bytes.is_empty() && !self.blind {
            let used = match &mut self.current {
                Some(current) => current.take(bytes),
                None => self.header(bytes, sink),
            };
            bytes = &bytes[used..];
            self.settle(sink);
        }
    }

    /// Goes over payload bytes of the current data frame that were moved unseen.
    pub fn skip(&mut self, n: u64, sink: &mut impl Sink) {
        if let Some(current) = &mut self.current {
            let n = n.min(current.left);
            current.left -= n;
            current.frame.spliced += n;
            // A payload with a hole would be misread: what is kept is its beginning.
            current.room = 0;
        }
        self.settle(sink);
    }

    /// The next frame to be complete does not go on to the other side.
    pub fn withhold(&mut self) {
        self.withheld = true;
    }

    /// Reads the next header, or a part of it. Returns the bytes that it took.
    fn header(&mut self, bytes: &[u8], sink: &mut impl Sink) -> usize {
        let known = self.head.len();
        let more = bytes.len().min(MAX_HEADER - known);
        self.head.extend_from_slice(&bytes[..more]);
        match Header::parse(&self.head, self.sender, self.open) {
            Ok(None) => more,
            Err(violation) => {
                self.blind = true;
                sink.invalid(violation);
                more
            }
            Ok(Some(header)) => {
                self.begin(&header, sink);
                self.head.clear();
                header.size - known
            }
        }
    }

    /// A frame begins whose header stands in `head`.
    fn begin(&mut self, header: &Header, sink: &mut impl Sink) {
        let rsv = self.head[0] >> 4 & 7;
        if !header.opcode.is_control() {
            if header.opcode != Opcode::Continuation {
                self.text = header.opcode == Opcode::Text;
                self.compressed = Some(rsv & RSV1 != 0);
            }
            self.open = !header.fin;
        }
        self.start(header.opcode, header.fin, header.length, sink);
        let Some(current) = &mut self.current else {
            return;
        };
        current.frame.rsv = rsv;
        if self.sender == Side::Client
            && let Some(key) = self.head[..header.size].last_chunk()
        {
            current.key = *key;
        }
    }

    fn start(&mut self, opcode: Opcode, fin: bool, length: u64, sink: &mut impl Sink) {
        self.frames += 1;
        let room = sink.begins(opcode, length);
        let frame = Frame {
            number: self.frames,
            opcode,
            fin,
            rsv: 0,
            length,
            partial: false,
            text: self.text,
            compressed: match opcode.is_control() {
                true => Some(false),
                false => self.compressed,
            },
            payload: Vec::new(),
            spliced: 0,
            passed: true,
        };
        self.current = Some(Current {
            frame,
            is_wanted: room.is_some(),
            key: [0; 4],
            left: length,
            room: room.unwrap_or(0),
        });
    }

    /// Reports the current frame, if it is complete.
    fn settle(&mut self, sink: &mut impl Sink) {
        if let Some(mut current) = self.current.take_if(|current| current.left == 0) {
            current.frame.passed = !std::mem::take(&mut self.withheld);
            if current.is_wanted {
                sink.frame(current.frame);
            }
        }
    }
}

impl Current {
    /// Takes what is its payload, and returns how much that is.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let n = self.left.min(bytes.len() as u64) as usize;
        let payload = &mut self.frame.payload;
        // What is kept is a beginning, so its length is the place in the payload too.
        let at = payload.len();
        let keep = n.min(self.room.saturating_sub(at));
        let plain = bytes[..keep].iter().enumerate();
        payload.extend(plain.map(|(i, byte)| byte ^ self.key[(at + i) & 3]));
        self.left -= n as u64;
        n
    }
}

#[cfg(test)]
mod tests;
