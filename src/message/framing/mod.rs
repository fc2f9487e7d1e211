//! Watches the raw bytes a client sends before hyper parses them, and refuses what hyper
//! would repair or guess at: RFC 9112 sections 2.2, 3, 5, 6, 7.1 and 11.2. No I/O and no
//! copies; the bytes go on to hyper as they are. The rules for lines are in `head`, for
//! chunks in `crate::message::chunked`.
//!
//! Every line is judged when its LF has come and before hyper sees that LF, so hyper never
//! completes a head or a body that was not found valid. Only the unfinished line at the end
//! of a read is kept, and freed with the head it belongs to. A target that is valid but more
//! than hyper can hold is reported, so that it can be passed around hyper.

mod head;
mod lines;
mod names;
#[cfg(test)]
mod properties;
mod refusal;
#[cfg(test)]
mod tests;
mod values;

pub use names::Carried;
pub use refusal::Refusal;
pub use values::names_websocket;

use head::{Asked, Head};
use names::Names;

use crate::message::chunked::{Chunks, Piece};

/// The sizes a request head may have; see `HttpConfig`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// Largest head in bytes, from the request line to the empty line, both included.
    pub max_head: usize,
    /// Most field lines.
    pub max_header_lines: usize,
    /// Longest request target in bytes.
    pub max_target: usize,
}

/// What the client is in the middle of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Between requests, or before the first.
    Idle,
    /// Inside a request head.
    Head,
    /// Inside a request body.
    Body,
    /// After a request that asks for WebSocket: whether what comes is frames or the next request
    /// is not decided, so it is not passed on.
    Upgrade,
    /// The same after a request that asks for another protocol.
    Held,
}

/// A request must be refused and the connection closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Violation {
    /// How many bytes of the slice come before the offending head (or chunk) and may still be
    /// passed on.
    pub safe: usize,
    /// What is wrong.
    pub refusal: Refusal,
}

#[derive(Debug, Clone)]
enum State {
    Start,
    Fields,
    Length(u64),
    Chunks(Chunks),
    Upgrade,
    Held,
}

/// Follows one client connection from request to request.
#[derive(Debug, Clone)]
pub struct RequestScanner {
    limits: HeadLimits,
    state: State,
    head: Head,
    /// Bytes of complete lines of this head.
    head_bytes: usize,
    /// Complete field lines of this head.
    lines: usize,
    /// The one tolerated empty line before a request line has come.
    leading: bool,
    /// The unfinished line at the end of the last slice.
    carry: Vec<u8>,
    heads: u64,
    body_bytes: u64,
    /// Bytes looked at, and where in them the latest head begins.
    position: u64,
    head_start: u64,
    carried: Vec<Carried>,
    refused: Option<Refusal>,
    /// What the latest request asks for.
    asks: Asked,
    /// How many bytes at the end of the last slice come after such a request.
    held: usize,
    names: Names,
}

impl RequestScanner {
    /// A scanner for a new connection.
    pub fn new(limits: HeadLimits) -> Self {
        RequestScanner {
            limits,
            state: State::Start,
            head: Head::default(),
            head_bytes: 0,
            lines: 0,
            leading: false,
            carry: Vec::new(),
            heads: 0,
            body_bytes: 0,
            position: 0,
            head_start: 0,
            carried: Vec::new(),
            refused: None,
            names: Names::default(),
            asks: Asked::None,
            held: 0,
        }
    }

    /// Looks at the next bytes from the client, before anything else does. After an error the
    /// connection is lost: every further call gives the same error with nothing safe.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Violation> {
        if let Some(refusal) = self.refused {
            return Err(Violation { safe: 0, refusal });
        }
        let mut safe = 0;
        let mut at = 0;
        self.held = 0;
        while at < bytes.len() && !matches!(self.state, State::Upgrade | State::Held) {
            if !matches!(self.state, State::Fields) && !self.leading {
                safe = at;
                if self.carry.is_empty() {
                    self.head_start = self.position;
                }
            }
            match self.advance(&bytes[at..]) {
                Ok(consumed) => {
                    at += consumed;
                    self.position += consumed as u64;
                }
                Err(refusal) => {
                    self.refused = Some(refusal);
                    self.carry = Vec::new();
                    return Err(Violation { safe, refusal });
                }
            }
        }
        self.held = bytes.len() - at;
        Ok(())
    }

    /// How many bytes at the end of the last slice were not looked at, and must come again
    /// after [`RequestScanner::resume`] if the protocol stays.
    pub fn held(&self) -> usize {
        self.held
    }

    /// The protocol stays: what comes next is a request.
    pub fn resume(&mut self) {
        if let State::Upgrade | State::Held = self.state {
            self.state = State::Start;
        }
    }

    /// What follows a request that is complete.
    fn next(&mut self) -> State {
        match std::mem::take(&mut self.asks) {
            Asked::None => State::Start,
            Asked::WebSocket => State::Upgrade,
            Asked::Other => State::Held,
        }
    }

    /// What the client is in the middle of. After an error: of what was refused.
    pub fn phase(&self) -> Phase {
        match self.state {
            State::Start if self.carry.is_empty() => Phase::Idle,
            State::Start | State::Fields => Phase::Head,
            State::Length(_) | State::Chunks(_) => Phase::Body,
            State::Upgrade => Phase::Upgrade,
            State::Held => Phase::Held,
        }
    }

    /// How many of the bytes looked at last belong to a head that is not complete, and may
    /// reach back into earlier slices. The empty line before it counts.
    pub fn unfinished_head(&self) -> usize {
        let begun = match self.state {
            State::Start => self.leading || !self.carry.is_empty(),
            State::Fields => true,
            State::Length(_) | State::Chunks(_) | State::Upgrade | State::Held => false,
        };
        match begun {
            true => (self.position - self.head_start) as usize,
            false => 0,
        }
    }

    /// Bytes looked at on this connection.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Targets of complete heads that must be passed around hyper, each returned once.
    pub fn take_carried(&mut self) -> Vec<Carried> {
        let complete = self
            .carried
            .partition_point(|target| target.head <= self.heads);
        self.carried.drain(..complete).collect()
    }

    /// The field lines of heads that have become complete since the last call and have names in
    /// other than the usual capitals, which hyper forgets.
    pub fn take_spelled(&mut self) -> Vec<Carried> {
        self.names.take_spelled()
    }

    /// Trailer sections that have become complete since the last call, with the numbers of
    /// their heads.
    pub fn take_trailers(&mut self) -> Vec<(u64, Vec<u8>)> {
        self.names.take_trailers()
    }

    /// Heads completed on this connection.
    pub fn heads(&self) -> u64 {
        self.heads
    }

    /// Body bytes of the latest request, chunk framing not counted.
    pub fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// Advances by one line, one piece of a body, or to the end; never by nothing.
    #[inline]
    fn advance(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        match &mut self.state {
            State::Start | State::Fields if self.carry.is_empty() => match self.line(bytes)? {
                Some(consumed) => Ok(consumed),
                None => {
                    self.carry.extend_from_slice(bytes);
                    Ok(bytes.len())
                }
            },
            State::Start | State::Fields => self.carried_line(bytes),
            State::Length(left) => {
                let take = (*left).min(bytes.len() as u64);
                *left -= take;
                self.body_bytes += take;
                if *left == 0 {
                    self.state = self.next();
                }
                Ok(take as usize)
            }
            State::Chunks(chunks) => Ok(match chunks.next(bytes)? {
                Piece::More => {
                    if chunks.is_in_trailers() {
                        self.names.trailers(bytes);
                    }
                    bytes.len()
                }
                Piece::Trailers(start) => start,
                Piece::Data(start, end) => {
                    self.body_bytes += (end - start) as u64;
                    end
                }
                Piece::End(end) => {
                    self.names.end_of_trailers(self.heads, &bytes[..end]);
                    self.state = self.next();
                    end
                }
            }),
            // Held bytes do not come here.
            State::Upgrade | State::Held => Ok(bytes.len()),
        }
    }
}
