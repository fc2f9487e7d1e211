//! Fuzz target body: the request scanner and the body decoder over arbitrary bytes with
//! arbitrary splits. The first two bytes choose the splits, the rest is the client's.

use sluice::message::framing::{HeadLimits, RequestScanner};
use sluice::upstream::chunked::{Decoder, Step};

/// Panics if a split changes the verdict, or on anything that the scanner itself panics on.
pub fn run(data: &[u8]) {
    let [a, b, bytes @ ..] = data else { return };
    let limits = HeadLimits {
        max_head: 1024,
        max_header_lines: 16,
        max_target: 128,
    };
    let mut whole = RequestScanner::new(limits);
    let verdict = whole.feed(bytes);
    let carried = whole.take_carried();
    for target in &carried {
        let place = target.place.start as usize..target.place.end as usize;
        assert!(!bytes[place].contains(&b' '), "{target:?}");
    }
    assert!(whole.unfinished_head() <= bytes.len());
    if let Err(violation) = verdict {
        assert!(violation.safe < bytes.len());
    }

    let mut split = RequestScanner::new(limits);
    let sizes = [usize::from(a % 64) + 1, usize::from(b % 64) + 1];
    let (mut rest, mut passed, mut refusal) = (bytes, 0, None);
    for size in sizes.iter().cycle() {
        let (piece, next) = rest.split_at(rest.len().min(*size));
        if let Err(violation) = split.feed(piece) {
            passed += violation.safe;
            refusal = Some(violation.refusal);
            break;
        }
        passed += piece.len();
        rest = next;
        if rest.is_empty() {
            break;
        }
    }
    assert_eq!(split.take_carried(), carried);
    assert_eq!(refusal, verdict.err().map(|violation| violation.refusal));
    assert!(passed >= verdict.map_or_else(|violation| violation.safe, |()| bytes.len()));
    assert_eq!(split.phase(), whole.phase());
    assert_eq!(
        (split.heads(), split.body_bytes()),
        (whole.heads(), whole.body_bytes())
    );

    assert_eq!(decode(bytes, bytes.len().max(1)), decode(bytes, sizes[0]));
}

/// The data of a chunked body read in pieces of `size`; `None` if it is malformed.
fn decode(bytes: &[u8], size: usize) -> Option<Vec<u8>> {
    let mut decoder = Decoder::default();
    let mut data = Vec::new();
    for piece in bytes.chunks(size) {
        let mut at = 0;
        while at < piece.len() {
            match decoder.step(&piece[at..]).ok()? {
                Step::More => break,
                Step::Data { skip, len } => {
                    data.extend_from_slice(&piece[at + skip..][..len]);
                    at += skip + len;
                }
                Step::End { .. } => return Some(data),
            }
        }
    }
    Some(data)
}
