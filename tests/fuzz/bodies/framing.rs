//! The request-framing scanner neither panics nor depends on how a head is split.

use sluice::http::framing::Scanner;

/// The first byte chooses the split, the rest is what a client sent.
pub fn run(data: &[u8]) {
    let Some((&split, stream)) = data.split_first() else {
        return;
    };
    let mut whole = Scanner::default();
    let verdict = format!("{:?}", whole.scan(stream));
    let mut pieces = Scanner::default();
    let mut last = String::new();
    for piece in stream.chunks(usize::from(split % 17) + 1) {
        last = format!("{:?}", pieces.scan(piece));
    }
    if !stream.is_empty() {
        assert_eq!(verdict, last);
    }
}
