//! The chunked transfer coding (RFC 9112 section 7.1), decoded without I/O and without
//! copying: the decoder says which of the bytes are data. Strict: CRLF only, hex digits only.

use http::{HeaderMap, HeaderName, HeaderValue};

/// Longest line of chunk size and extensions, in bytes.
const MAX_LINE: usize = 4096;
/// Largest trailer section, in bytes.
const MAX_TRAILERS: usize = 16 * 1024;
/// Most trailer lines.
const MAX_TRAILER_LINES: usize = 64;

/// What stands at the front of the bytes.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// Nothing but framing: all of it was taken, more is needed.
    More,
    /// After `skip` bytes of framing, `len` bytes of data.
    Data {
        /// Bytes of framing in front.
        skip: usize,
        /// Bytes of data behind them.
        len: usize,
    },
    /// The end of the body, after `used` bytes.
    End {
        /// Bytes that belonged to the body.
        used: usize,
        /// Its trailer fields.
        trailers: Option<HeaderMap>,
    },
}

/// The coding is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size { digits: u8 },
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailers,
    Done,
}

/// Decodes one body, fed in slices of any size.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    left: u64,
    line: usize,
    trailers: Vec<u8>,
}

impl Default for Decoder {
    fn default() -> Self {
        Decoder {
            state: State::Size { digits: 0 },
            left: 0,
            line: 0,
            trailers: Vec::new(),
        }
    }
}

impl Decoder {
    /// Whether the whole body has been seen.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Looks at the next bytes; those that the step accounts for must not be fed again.
    ///
    /// # Errors
    /// [`Malformed`]; the body is lost then.
    pub fn step(&mut self, bytes: &[u8]) -> Result<Step, Malformed> {
        let mut at = 0;
        while at < bytes.len() {
            let byte = bytes[at];
            match self.state {
                State::Data => {
                    let room = bytes.len() - at;
                    let len = usize::try_from(self.left).map_or(room, |left| left.min(room));
                    self.left -= len as u64;
                    if self.left == 0 {
                        self.state = State::DataCr;
                    }
                    return Ok(Step::Data { skip: at, len });
                }
                State::Trailers => {
                    if let Some(trailers) = self.trailer_byte(byte)? {
                        return Ok(Step::End {
                            used: at + 1,
                            trailers,
                        });
                    }
                }
                State::Done => break,
                _ => self.state = self.line_byte(byte)?,
            }
            at += 1;
        }
        Ok(Step::More)
    }

    fn line_byte(&mut self, byte: u8) -> Result<State, Malformed> {
        self.line += 1;
        if self.line > MAX_LINE {
            return Err(Malformed);
        }
        Ok(match (self.state, byte) {
            (State::Size { digits }, _) if byte.is_ascii_hexdigit() && digits < 16 => {
                let digit = (byte as char).to_digit(16).ok_or(Malformed)?;
                self.left = self.left << 4 | u64::from(digit);
                State::Size { digits: digits + 1 }
            }
            (State::Size { digits: 1.. } | State::Extension, b'\r') => State::SizeLf,
            (State::Size { digits: 1.. }, b';' | b' ' | b'\t') => State::Extension,
            (State::Extension, b'\t' | b' '..=b'~' | 0x80..) => State::Extension,
            (State::SizeLf, b'\n') if self.left == 0 => State::Trailers,
            (State::SizeLf, b'\n') => State::Data,
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => {
                self.line = 0;
                State::Size { digits: 0 }
            }
            _ => return Err(Malformed),
        })
    }

    /// `Some` with the fields when this byte ends the trailer section.
    fn trailer_byte(&mut self, byte: u8) -> Result<Option<Option<HeaderMap>>, Malformed> {
        if self.trailers.len() >= MAX_TRAILERS {
            return Err(Malformed);
        }
        let after_cr = self.trailers.last() == Some(&b'\r');
        if (byte == b'\n') != after_cr {
            return Err(Malformed);
        }
        self.trailers.push(byte);
        if self.trailers == b"\r\n" {
            self.state = State::Done;
            return Ok(Some(None));
        }
        if !self.trailers.ends_with(b"\r\n\r\n") {
            return Ok(None);
        }
        self.state = State::Done;
        let section = std::mem::take(&mut self.trailers);
        let mut lines = [httparse::EMPTY_HEADER; MAX_TRAILER_LINES];
        let Ok(httparse::Status::Complete((_, lines))) =
            httparse::parse_headers(&section, &mut lines)
        else {
            return Err(Malformed);
        };
        let mut fields = HeaderMap::with_capacity(lines.len());
        for line in lines {
            let name = HeaderName::from_bytes(line.name.as_bytes()).map_err(|_| Malformed)?;
            let value = HeaderValue::from_bytes(line.value).map_err(|_| Malformed)?;
            fields.append(name, value);
        }
        Ok(Some(Some(fields)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Decodes `bytes` fed in pieces of `piece` bytes; returns data, trailers and what was
    /// left over behind the end.
    fn decode(
        bytes: &[u8],
        piece: usize,
    ) -> Result<(Vec<u8>, Option<HeaderMap>, usize), Malformed> {
        let mut decoder = Decoder::default();
        let mut data = Vec::new();
        let mut taken = 0;
        for slice in bytes.chunks(piece) {
            let mut slice = slice;
            loop {
                match decoder.step(slice)? {
                    Step::More => {
                        taken += slice.len();
                        break;
                    }
                    Step::Data { skip, len } => {
                        data.extend_from_slice(&slice[skip..skip + len]);
                        slice = &slice[skip + len..];
                        taken += skip + len;
                    }
                    Step::End { used, trailers } => {
                        return Ok((data, trailers, bytes.len() - taken - used));
                    }
                }
            }
        }
        Err(Malformed)
    }

    #[test]
    fn decodes_chunks_extensions_and_trailers() {
        let text = b"3\r\nabc\r\nA;x=\"y\"\r\n0123456789\r\n0\r\nSum: 1\r\n\r\nnext";
        for piece in 1..text.len() {
            let (data, trailers, left) = decode(text, piece).unwrap();
            assert_eq!(data, b"abc0123456789");
            assert_eq!(trailers.unwrap()["sum"], "1");
            assert_eq!(left, 4);
        }
    }

    #[test]
    fn refuses_what_is_not_exactly_the_coding() {
        for text in [
            "3\nabc\r\n0\r\n\r\n",
            "3\r\nabcd\r\n0\r\n\r\n",
            "\r\n0\r\n\r\n",
            "-1\r\n",
            "0x3\r\nabc\r\n0\r\n\r\n",
            "11111111111111111\r\n",
            "3\r\nabc0\r\n\r\n",
            "0\r\nno colon\r\n\r\n",
            "0\r\nA: b\n\r\n",
            "3;a\x01\r\nabc\r\n0\r\n\r\n",
        ] {
            assert_eq!(decode(text.as_bytes(), 1), Err(Malformed), "{text:?}");
            assert_eq!(decode(text.as_bytes(), 1000), Err(Malformed), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_split_decodes_alike(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..50), 0..8),
            piece in 1usize..40,
        ) {
            let mut text = Vec::new();
            for chunk in &chunks {
                text.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
                text.extend_from_slice(chunk);
                text.extend_from_slice(b"\r\n");
            }
            text.extend_from_slice(b"0\r\n\r\n");
            let (data, trailers, left) = decode(&text, piece).unwrap();
            prop_assert_eq!(data, chunks.concat());
            prop_assert!(trailers.is_none() && left == 0);
        }

        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), piece in 1usize..20) {
            let _ = decode(&bytes, piece);
        }
    }
}
