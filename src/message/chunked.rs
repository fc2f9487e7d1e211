//! The chunked coding of RFC 9112 section 7.1, strictly: hexadecimal sizes, CRLF only, no
//! white space, bounded extensions and trailers. A byte-wise machine, so that any split of
//! the bytes gives the same result; chunk data is skipped, never looked at, and nothing is
//! copied. Requests are checked with it, and answers decoded (`upstream::chunked`).

use crate::message::octets;

/// Longest extension of one chunk in bytes.
const MAX_EXTENSION: u16 = 256;
/// Most extension bytes in one body; hyper's own limit is the same.
const MAX_EXTENSIONS: u16 = 16 * 1024 - 1;
/// Largest trailer section in bytes, its last CRLF not counted.
const MAX_TRAILER: u16 = 8 * 1024;
/// Sizes up to 2^60 are written with this many digits.
const MAX_DIGITS: u8 = 15;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
}

/// The position of a byte stream within a chunked body.
#[derive(Debug, Clone)]
pub struct Chunks {
    /// Size of the chunk while it is read, then what is left of its data.
    left: u64,
    state: State,
    digits: u8,
    extension: u16,
    extensions: u16,
    trailer: u16,
    /// The trailer field's name, as long as it may be a forbidden one.
    name: [u8; 17],
    name_len: u8,
    /// White space after a size is skipped.
    padded: bool,
}

/// Why bytes are not validly chunked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// A size that is not a hexadecimal number in range.
    Size,
    /// An extension that is malformed or too long.
    Extension,
    /// A chunk or its size line does not end in CRLF.
    End,
    /// The trailer section is too large.
    TrailersTooLarge,
    /// A trailer field is malformed.
    Trailer,
    /// A trailer field that is only allowed in the head.
    TrailerField,
}

/// What the next bytes of a chunked body are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// All of them were framing; more bytes are needed.
    More,
    /// The last chunk is over at this index: what follows up to the end is the trailer
    /// section and its empty line.
    Trailers(usize),
    /// Data from the first index to the second; framing stands before it.
    Data(usize, usize),
    /// The body's end; this many bytes belonged to it.
    End(usize),
}

impl Default for Chunks {
    fn default() -> Self {
        Chunks {
            left: 0,
            state: State::Size,
            digits: 0,
            extension: 0,
            extensions: 0,
            trailer: 0,
            name: [0; 17],
            name_len: 0,
            padded: false,
        }
    }
}

impl Chunks {
    /// For a body whose sizes may be padded with spaces, as some old servers write them. It
    /// is decoded and framed anew, so no upstream can read it differently.
    pub fn padded() -> Self {
        Chunks {
            padded: true,
            ..Chunks::default()
        }
    }

    /// Advances up to the end of the next piece of data, of the last chunk, of the body, or
    /// of `bytes`.
    ///
    /// # Errors
    /// [`Broken`]; the end of the body is unknown then.
    pub fn next(&mut self, bytes: &[u8]) -> Result<Piece, Broken> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if self.state == State::Data {
                let take = self.left.min((bytes.len() - at) as u64);
                self.left -= take;
                if self.left == 0 {
                    self.state = State::DataCr;
                }
                return Ok(Piece::Data(at, at + take as usize));
            }
            at += 1;
            if self.state == State::EndLf {
                return if byte == b'\n' {
                    Ok(Piece::End(at))
                } else {
                    Err(Broken::End)
                };
            }
            let before = self.state;
            self.state = self.step(byte)?;
            if (before, self.state) == (State::SizeLf, State::TrailerStart) {
                return Ok(Piece::Trailers(at));
            }
        }
        Ok(Piece::More)
    }

    /// Whether the last chunk is over, and the body is not.
    pub fn is_in_trailers(&self) -> bool {
        use State::{EndLf, TrailerLf, TrailerName, TrailerStart, TrailerValue};
        matches!(
            self.state,
            TrailerStart | TrailerName | TrailerValue | TrailerLf | EndLf
        )
    }

    fn step(&mut self, byte: u8) -> Result<State, Broken> {
        match self.state {
            State::Size => self.size(byte),
            State::Extension if byte == b'\r' => Ok(State::SizeLf),
            State::Extension => {
                self.extension += 1;
                self.extensions += 1;
                let bounded = self.extension <= MAX_EXTENSION && self.extensions <= MAX_EXTENSIONS;
                if bounded && octets::is_text(byte) {
                    Ok(State::Extension)
                } else {
                    Err(Broken::Extension)
                }
            }
            State::SizeLf if byte == b'\n' => {
                self.digits = 0;
                self.extension = 0;
                Ok(if self.left == 0 {
                    State::TrailerStart
                } else {
                    State::Data
                })
            }
            State::DataCr if byte == b'\r' => Ok(State::DataLf),
            State::DataLf if byte == b'\n' => Ok(State::Size),
            State::SizeLf | State::DataCr | State::DataLf => Err(Broken::End),
            State::TrailerStart | State::TrailerName | State::TrailerValue | State::TrailerLf => {
                self.trailer(byte)
            }
            // `next` handles both before it comes here.
            State::Data | State::EndLf => Err(Broken::End),
        }
    }

    fn size(&mut self, byte: u8) -> Result<State, Broken> {
        if let Some(digit) = (byte as char).to_digit(16) {
            if self.digits == MAX_DIGITS {
                return Err(Broken::Size);
            }
            self.digits += 1;
            self.left = self.left << 4 | u64::from(digit);
            return Ok(State::Size);
        }
        match byte {
            b'\r' if self.digits > 0 => Ok(State::SizeLf),
            b';' if self.digits > 0 => Ok(State::Extension),
            b' ' | b'\t' if self.digits > 0 && self.padded => Ok(State::Extension),
            b'\n' => Err(Broken::End),
            _ => Err(Broken::Size),
        }
    }

    fn trailer(&mut self, byte: u8) -> Result<State, Broken> {
        if self.state == State::TrailerStart && byte == b'\r' {
            return Ok(State::EndLf);
        }
        self.trailer += 1;
        if self.trailer > MAX_TRAILER {
            return Err(Broken::TrailersTooLarge);
        }
        match self.state {
            State::TrailerStart | State::TrailerName if octets::is_token(byte) => {
                if self.state == State::TrailerStart {
                    self.name_len = 0;
                }
                // A name longer than any forbidden one keeps a length that none of them has.
                if let Some(place) = self.name.get_mut(usize::from(self.name_len)) {
                    *place = byte.to_ascii_lowercase();
                }
                self.name_len = (self.name_len + 1).min(18);
                Ok(State::TrailerName)
            }
            State::TrailerName if byte == b':' => match self.name.get(..self.name_len.into()) {
                Some(b"content-length" | b"transfer-encoding" | b"host" | b"trailer") => {
                    Err(Broken::TrailerField)
                }
                _ => Ok(State::TrailerValue),
            },
            State::TrailerValue if byte == b'\r' => Ok(State::TrailerLf),
            State::TrailerValue if octets::is_text(byte) => Ok(State::TrailerValue),
            State::TrailerLf if byte == b'\n' => Ok(State::TrailerStart),
            _ => Err(Broken::Trailer),
        }
    }
}
