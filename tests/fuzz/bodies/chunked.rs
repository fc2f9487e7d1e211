//! Fuzz body of the chunked coding (RFC 9112 section 7.1): the first byte chooses how the rest
//! is cut. Whole and cut decode alike; what the strict reader of requests takes, the decoder
//! of answers takes too, with the same end; and both end where a plain reading of the RFC does.

use http::HeaderMap;
use sluice::message::chunked::{Chunks, Piece};
use sluice::upstream::chunked::{Decoder, Step};

/// Runs one input.
pub fn run(data: &[u8]) {
    let Some((&size, bytes)) = data.split_first() else {
        return;
    };
    let size = usize::from(size).max(1);
    let whole = decode(bytes, bytes.len().max(1));
    assert_eq!(whole, decode(bytes, size), "pieces of {size}");
    let strict = skim(bytes, bytes.len().max(1));
    assert_eq!(strict, skim(bytes, size), "pieces of {size}");
    if let Some(end) = strict
        && let Some((data, _, used)) = &whole
    {
        assert_eq!(end, *used);
        assert_eq!(plain(&bytes[..end]).as_ref(), Some(data));
    }
    if let Some((_, Some(trailers), _)) = &whole {
        for name in ["content-length", "transfer-encoding", "host", "trailer"] {
            assert!(!trailers.contains_key(name), "{trailers:?}");
        }
    }
}

/// Data, trailers, and how many bytes belonged to the body.
type Decoded = (Vec<u8>, Option<HeaderMap>, usize);

fn decode(bytes: &[u8], size: usize) -> Option<Decoded> {
    let (mut decoder, mut data, mut taken) = (Decoder::default(), Vec::new(), 0);
    for mut piece in bytes.chunks(size) {
        while !piece.is_empty() {
            match decoder.step(piece).ok()? {
                Step::More => {
                    taken += piece.len();
                    break;
                }
                Step::Data { skip, len } => {
                    assert!(len > 0, "a step makes progress");
                    data.extend_from_slice(&piece[skip..skip + len]);
                    taken += skip + len;
                    piece = &piece[skip + len..];
                }
                Step::End { used, trailers } => return Some((data, trailers, taken + used)),
            }
        }
    }
    None
}

/// Where a body ends that is watched and not decoded.
fn skim(bytes: &[u8], size: usize) -> Option<usize> {
    let (mut chunks, mut taken) = (Chunks::default(), 0);
    for mut piece in bytes.chunks(size) {
        while !piece.is_empty() {
            let used = match chunks.next(piece).ok()? {
                Piece::More => piece.len(),
                Piece::Trailers(used) | Piece::Data(_, used) => used,
                Piece::End(used) => return Some(taken + used),
            };
            assert!(used > 0, "a step makes progress");
            taken += used;
            piece = &piece[used..];
        }
    }
    None
}

/// The data of a body that is sound, by the grammar.
fn plain(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut data = Vec::new();
    loop {
        let line = bytes.windows(2).position(|pair| pair == b"\r\n")?;
        let text = std::str::from_utf8(bytes[..line].split(|byte| *byte == b';').next()?).ok()?;
        let size = usize::from_str_radix(text, 16).ok()?;
        bytes = &bytes[line + 2..];
        if size == 0 {
            return bytes.ends_with(b"\r\n").then_some(data);
        }
        data.extend_from_slice(bytes.get(..size)?);
        bytes = bytes[size..].strip_prefix(b"\r\n")?;
    }
}
