//! A chunked answer (RFC 9112 section 7.1), decoded without I/O: the decoder says which of the
//! bytes are data, moves those of small chunks together, and keeps the trailers. The grammar of a chunk
//! is in `crate::message::chunked`, for requests too.

use std::ops::Range;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::message::chunked::{Broken, Chunks, Piece};

/// Most trailer lines.
const MAX_TRAILER_LINES: usize = 64;

/// What the bytes begin with.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// Nothing but framing: all of it was taken, more is needed.
    More,
    /// After `skip` bytes of framing, `len` bytes of data.
    Data {
        /// Bytes of framing in front.
        skip: usize,
        /// Bytes of data after them.
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

/// Chunks whose data were moved together.
#[derive(Debug)]
pub struct Joined {
    /// Where their data are.
    pub data: Range<usize>,
    /// Where that begins which was not looked at.
    pub next: usize,
    /// How many they are.
    pub chunks: usize,
    /// What follows them, if it is known and no data.
    pub after: Option<Result<Step, Malformed>>,
}

/// The coding is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// Decodes one body, fed in slices of any size.
#[derive(Debug)]
pub struct Decoder {
    chunks: Chunks,
    /// What has come of the trailer section, once the last chunk is over.
    trailers: Vec<u8>,
    in_trailers: bool,
}

impl Default for Decoder {
    fn default() -> Self {
        Decoder {
            chunks: Chunks::padded(),
            trailers: Vec::new(),
            in_trailers: false,
        }
    }
}

impl Decoder {
    /// The lines of the trailer section, once it has ended.
    pub fn take_trailer_lines(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.trailers)
    }

    /// Joins the data of all chunks that are there, at most so many, those of each moved up to
    /// those before: chunk boundaries mean nothing. `first` is the step that these bytes begin
    /// with, if it was taken.
    pub fn join(
        &mut self,
        bytes: &mut [u8],
        mut first: Option<Result<Step, Malformed>>,
        most: usize,
    ) -> Joined {
        let mut joined = Joined {
            data: 0..0,
            next: 0,
            chunks: 0,
            after: None,
        };
        while joined.chunks < most {
            let step = first.take();
            match step.unwrap_or_else(|| self.step(&bytes[joined.next..])) {
                Ok(Step::Data { skip, len }) => {
                    let from = joined.next + skip;
                    if joined.data.is_empty() {
                        joined.data = from..from;
                    } else {
                        bytes.copy_within(from..from + len, joined.data.end);
                    }
                    joined.data.end += len;
                    joined.next = from + len;
                    joined.chunks += 1;
                }
                Ok(Step::More) => {
                    joined.next = bytes.len();
                    break;
                }
                after => {
                    joined.after = Some(after);
                    break;
                }
            }
        }
        joined
    }

    /// Looks at the next bytes; those that the step accounts for must not be fed again, and
    /// none after the end.
    ///
    /// # Errors
    /// [`Malformed`]; the body is lost then.
    pub fn step(&mut self, bytes: &[u8]) -> Result<Step, Malformed> {
        let mut at = 0;
        loop {
            let rest = &bytes[at..];
            match self.chunks.next(rest)? {
                Piece::More => {
                    if self.in_trailers {
                        self.trailers.extend_from_slice(rest);
                    }
                    return Ok(Step::More);
                }
                Piece::Data(start, end) => {
                    return Ok(Step::Data {
                        skip: at + start,
                        len: end - start,
                    });
                }
                Piece::Trailers(start) => {
                    self.in_trailers = true;
                    at += start;
                }
                Piece::End(end) => {
                    self.trailers.extend_from_slice(&rest[..end]);
                    return Ok(Step::End {
                        used: at + end,
                        trailers: fields(&self.trailers)?,
                    });
                }
            }
        }
    }
}

impl From<Broken> for Malformed {
    fn from(_: Broken) -> Self {
        Malformed
    }
}

/// The fields of a complete trailer section; `None` for an empty one.
fn fields(section: &[u8]) -> Result<Option<HeaderMap>, Malformed> {
    if section == b"\r\n" {
        return Ok(None);
    }
    let mut lines = [httparse::EMPTY_HEADER; MAX_TRAILER_LINES];
    let Ok(httparse::Status::Complete((_, lines))) = httparse::parse_headers(section, &mut lines)
    else {
        return Err(Malformed);
    };
    let mut fields = HeaderMap::with_capacity(lines.len());
    for line in lines {
        let name = HeaderName::from_bytes(line.name.as_bytes()).map_err(|_| Malformed)?;
        let value = HeaderValue::from_bytes(line.value).map_err(|_| Malformed)?;
        fields.append(name, value);
    }
    Ok(Some(fields))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Decodes `bytes` fed in pieces of `piece` bytes, chunks in pieces of `most`; returns data,
    /// trailers and what was left over after the end.
    fn decode_joined(
        bytes: &[u8],
        piece: usize,
        most: usize,
    ) -> Result<(Vec<u8>, Option<HeaderMap>, usize), Malformed> {
        let mut decoder = Decoder::default();
        let mut data = Vec::new();
        let mut fed = 0;
        for slice in bytes.chunks(piece) {
            let mut slice = slice.to_vec();
            fed += slice.len();
            let mut after = None;
            while !slice.is_empty() {
                let joined = decoder.join(&mut slice, after.take(), most);
                assert!(joined.chunks <= most);
                data.extend_from_slice(&slice[joined.data]);
                slice.drain(..joined.next);
                after = joined.after;
                if let Some(Ok(Step::End { used, trailers })) = after {
                    return Ok((data, trailers, bytes.len() - fed + slice.len() - used));
                }
                if let Some(Err(Malformed)) = after {
                    return Err(Malformed);
                }
            }
        }
        Err(Malformed)
    }

    fn decode(
        bytes: &[u8],
        piece: usize,
    ) -> Result<(Vec<u8>, Option<HeaderMap>, usize), Malformed> {
        decode_joined(bytes, piece, usize::MAX)
    }

    #[test]
    fn decodes_chunks_extensions_and_trailers() {
        let text = b"3  \r\nabc\r\nA;x=\"y\"\r\n0123456789\r\n0\r\nSum: 1\r\n\r\nnext";
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
            " 3\r\nabc\r\n0\r\n\r\n",
            "0\r\nContent-Length: 3\r\n\r\n",
        ] {
            assert_eq!(decode(text.as_bytes(), 1), Err(Malformed), "{text:?}");
            assert_eq!(decode(text.as_bytes(), 1000), Err(Malformed), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_split_decodes_alike(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..50), 0..8),
            (piece, most) in (1usize..200, 1usize..9),
        ) {
            let mut text = Vec::new();
            for chunk in &chunks {
                text.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
                text.extend_from_slice(chunk);
                text.extend_from_slice(b"\r\n");
            }
            text.extend_from_slice(b"0\r\n\r\n");
            let (data, trailers, left) = decode_joined(&text, piece, most).unwrap();
            prop_assert_eq!(data, chunks.concat());
            prop_assert!(trailers.is_none() && left == 0);
        }

        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), piece in 1usize..20) {
            let _ = decode(&bytes, piece);
        }
    }
}
