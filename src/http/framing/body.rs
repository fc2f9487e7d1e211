//! Takes a body out of a stream of bytes, for answers that sluice reads by itself: an
//! upstream's refusal of a handshake (RFC 9112 section 6.3). Requests are only watched; see
//! `RequestScanner`.

use std::ops::Range;

use super::chunked::{Chunks, Piece};
use super::{Refusal, head};

/// Decodes one body; made from the head in front of it.
#[derive(Debug, Clone)]
pub struct BodyDecoder {
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Length(u64),
    Chunked(Chunks),
    UntilClose,
    Done,
}

/// What [`BodyDecoder::feed`] found in front of the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// The data among the bytes; empty where they are only framing.
    pub data: Range<usize>,
    /// How many bytes are dealt with; feed the rest again.
    pub consumed: usize,
    /// The body is complete; bytes behind `consumed` are not its own.
    pub done: bool,
}

impl BodyDecoder {
    /// A body of `length` bytes.
    pub fn length(length: u64) -> Self {
        BodyDecoder {
            kind: if length == 0 {
                Kind::Done
            } else {
                Kind::Length(length)
            },
        }
    }

    /// A chunked body.
    pub fn chunked() -> Self {
        BodyDecoder {
            kind: Kind::Chunked(Chunks::new()),
        }
    }

    /// A body that ends with the connection.
    pub fn until_close() -> Self {
        BodyDecoder {
            kind: Kind::UntilClose,
        }
    }

    /// The body of an answer to a request other than HEAD and CONNECT, told from the answer's
    /// status and fields (RFC 9112 section 6.3). Lengths that disagree, or stand beside
    /// Transfer-Encoding, are errors: such an answer is not safe to pass on.
    pub fn of_answer<'a>(
        status: u16,
        fields: impl Iterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Self, Refusal> {
        let mut length = None;
        let mut chunked = None;
        for (name, value) in fields {
            if name.eq_ignore_ascii_case("content-length") {
                let this = head::content_length(value)?;
                if length.replace(this).is_some_and(|other| other != this) {
                    return Err(Refusal::ContentLengthRepeated);
                }
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                if chunked.is_some() {
                    return Err(Refusal::TransferEncoding);
                }
                head::transfer_encoding(value)?;
                chunked = Some(());
            }
        }
        if matches!(status, 100..=199 | 204 | 304) {
            return Ok(Self::length(0));
        }
        match (chunked, length) {
            (Some(()), Some(_)) => Err(Refusal::LengthAndEncoding),
            (Some(()), None) => Ok(Self::chunked()),
            (None, Some(length)) => Ok(Self::length(length)),
            (None, None) => Ok(Self::until_close()),
        }
    }

    /// Looks at the next bytes; call again with what is behind `consumed` until that is all
    /// of them or the body is done.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Decoded, Refusal> {
        let (data, consumed) = match &mut self.kind {
            Kind::Length(left) => {
                let take = (*left).min(bytes.len() as u64) as usize;
                *left -= take as u64;
                if *left == 0 {
                    self.kind = Kind::Done;
                }
                (0..take, take)
            }
            Kind::Chunked(chunks) => match chunks.next(bytes)? {
                Piece::More => (0..0, bytes.len()),
                Piece::Data(start, end) => (start..end, end),
                Piece::End(end) => {
                    self.kind = Kind::Done;
                    (0..0, end)
                }
            },
            Kind::UntilClose => (0..bytes.len(), bytes.len()),
            Kind::Done => (0..0, 0),
        };
        Ok(Decoded {
            data,
            consumed,
            done: self.is_done(),
        })
    }

    /// The body's end was seen.
    pub fn is_done(&self) -> bool {
        matches!(self.kind, Kind::Done)
    }

    /// Whether the connection's end at this point is the body's end; otherwise it was cut.
    pub fn may_end_here(&self) -> bool {
        matches!(self.kind, Kind::Done | Kind::UntilClose)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(mut decoder: BodyDecoder, bytes: &[u8], piece: usize) -> (Vec<u8>, usize, bool) {
        let (mut data, mut used) = (Vec::new(), 0);
        for part in bytes.chunks(piece) {
            let mut at = 0;
            while at < part.len() && !decoder.is_done() {
                let found = decoder.feed(&part[at..]).unwrap();
                data.extend_from_slice(&part[at..][found.data]);
                at += found.consumed;
            }
            used += at;
        }
        (data, used, decoder.may_end_here())
    }

    #[test]
    fn answers_are_decoded_by_their_framing() {
        let fields = |list: &[(&'static str, &'static [u8])]| {
            BodyDecoder::of_answer(403, list.iter().copied())
        };
        for piece in 1..30 {
            let chunked = fields(&[("Transfer-Encoding", b"chunked")]).unwrap();
            let body = b"3\r\nabc\r\n2;x\r\nde\r\n0\r\nT: v\r\n\r\nnext";
            assert_eq!(
                decode(chunked.clone(), body, piece),
                (b"abcde".to_vec(), body.len() - 4, true)
            );
            assert!(!decode(chunked, &body[..10], piece).2);
            let length = fields(&[("content-length", b"3"), ("Content-Length", b"3")]).unwrap();
            assert_eq!(
                decode(length.clone(), b"abcd", piece),
                (b"abc".to_vec(), 3, true)
            );
            assert!(!decode(length, b"ab", piece).2);
            assert_eq!(
                decode(fields(&[]).unwrap(), b"abc", piece),
                (b"abc".to_vec(), 3, true)
            );
        }
        let both = fields(&[("Content-Length", b"3"), ("Transfer-Encoding", b"chunked")]);
        assert_eq!(both.unwrap_err(), Refusal::LengthAndEncoding);
        let two = fields(&[("Content-Length", b"3"), ("Content-Length", b"4")]);
        assert_eq!(two.unwrap_err(), Refusal::ContentLengthRepeated);
        assert!(
            BodyDecoder::of_answer(204, [].into_iter())
                .unwrap()
                .is_done()
        );
    }
}
