//! The frame observer sees the same whatever way the bytes are split.

use sluice::tunnel::frame::Observer;

/// The first byte chooses the split, the rest is one direction of a tunnel.
pub fn run(data: &[u8]) {
    let Some((&split, stream)) = data.split_first() else {
        return;
    };
    let mut whole = Observer::default();
    whole.observe(stream);
    let mut pieces = Observer::default();
    for piece in stream.chunks(usize::from(split % 17) + 1) {
        pieces.observe(piece);
    }
    assert_eq!(format!("{whole:?}"), format!("{pieces:?}"));
}
