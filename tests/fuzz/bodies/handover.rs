//! Fuzz body of the messages between two processes: the first byte chooses how the rest is
//! cut; whole and cut must tell the same, and a message that is understood must survive
//! being said again.

use sluice::handover::protocol::Message;
use sluice::handover::wire::{Decoder, Frame, HEADER, WireError};

/// Runs one input.
pub fn run(data: &[u8]) {
    let Some((&size, bytes)) = data.split_first() else {
        return;
    };
    let whole = decode(bytes, bytes.len().max(1));
    let cut = decode(bytes, usize::from(size).max(1));
    assert_eq!(whole, cut, "pieces of {size}");
    for frame in whole.0 {
        let descriptors = usize::from(frame.descriptors);
        let Ok(message) = Message::decode(frame) else {
            continue;
        };
        let again = message.clone().encode(descriptors).expect("it was encoded");
        let again = Message::decode(again).expect("it was understood");
        assert_eq!(format!("{message:?}"), format!("{again:?}"));
    }
}

fn decode(bytes: &[u8], size: usize) -> (Vec<Frame>, Option<WireError>) {
    let (mut decoder, mut frames) = (Decoder::default(), Vec::new());
    for mut piece in bytes.chunks(size) {
        while !piece.is_empty() {
            assert!(decoder.wants() > 0, "a decoder is never stuck");
            match decoder.feed(piece) {
                Ok((taken, frame)) => {
                    piece = &piece[taken..];
                    if let Some(frame) = &frame {
                        let header = frame.header().expect("it is within its limits");
                        assert_eq!(header.len(), HEADER);
                    }
                    frames.extend(frame);
                }
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}
