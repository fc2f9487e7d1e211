//! What the frames of many tunnels say: their payloads, inflated where they are compressed.

use std::collections::HashMap;

use super::inflate::{Inflater, Part, Trouble};
use crate::tap::{FrameView, Origin};

/// Directions that are inflated at once; more of them, and the one that has been silent for
/// the longest time gives way, and is shown from a later message on.
const MOST: usize = 64;

/// What a frame says, as far as that is known.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// Its payload, inflated if it is compressed.
    pub(super) payload: Vec<u8>,
    /// Why not all of a compressed one is there.
    pub(super) trouble: Option<Trouble>,
}

struct Direction {
    inflater: Inflater,
    /// The number of the last frame.
    last: u64,
    /// When that came, in frames of all directions.
    at: u64,
}

/// All directions that have compressed messages.
#[derive(Default)]
pub(super) struct Messages {
    directions: HashMap<(u64, Origin), Direction>,
    frames: u64,
}

impl Messages {
    /// Reads one frame more.
    pub(super) fn read(&mut self, frame: &FrameView) -> Said {
        let said = |payload, trouble| Said { payload, trouble };
        // Without agreement there is nothing to inflate; sluice's own have no number.
        let (Some(takeover), Some(number)) = (frame.takeover, frame.number) else {
            return said(frame.payload(), None);
        };
        let direction = self.direction(frame, number);
        if frame.message.is_none() || frame.compressed == Some(false) {
            return said(frame.payload(), None);
        }
        if frame.captured == 0 && frame.length > 0 {
            // There is nothing to show, and nothing to say of it.
            direction.inflater.interrupted();
            return Said::default();
        }
        let payload = frame.payload();
        let (payload, trouble) = direction.inflater.part(Part {
            first: frame.opcode != "continuation" && !frame.partial,
            last: frame.fin,
            takeover,
            payload: &payload,
            whole: frame.captured == frame.length,
        });
        said(payload, trouble)
    }

    /// The frame's direction, which is interrupted where frames are missing before this one.
    fn direction(&mut self, frame: &FrameView, number: u64) -> &mut Direction {
        self.frames += 1;
        let key = (frame.of.tunnel, frame.from);
        if self.directions.len() >= MOST && !self.directions.contains_key(&key) {
            let silent = self.directions.iter().min_by_key(|(_, one)| one.at);
            if let Some(key) = silent.map(|(key, _)| *key) {
                self.directions.remove(&key);
            }
        }
        let at = self.frames;
        let direction = self.directions.entry(key).or_insert_with(|| Direction {
            inflater: Inflater::new(),
            last: number.saturating_sub(1),
            at,
        });
        if direction.last.checked_add(1) != Some(number) {
            direction.inflater.interrupted();
        }
        (direction.last, direction.at) = (number, at);
        direction
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression, FlushCompress};
    use serde_json::{Value, json};

    use super::*;

    fn view(tunnel: u64, number: u64, payload: &[u8]) -> FrameView {
        let base64 = data_encoding::BASE64.encode(payload);
        let view: Value = json!({
            "time_us": 0, "tunnel": tunnel, "route": "", "upstream": "", "endpoint": "",
            "client": "", "from": "client", "to": "upstream", "number": number,
            "opcode": "text", "fin": true, "rsv1": true, "rsv2": false, "rsv3": false,
            "length": payload.len(), "partial": false, "message": "text", "compressed": true,
            "takeover": true, "passed": true, "spliced": 0, "close": null,
            "captured": payload.len(), "base64": base64,
        });
        serde_json::from_value(view).expect("a view")
    }

    /// A message, and one that refers to it.
    fn pair() -> [Vec<u8>; 2] {
        let mut sender = Compress::new(Compression::default(), false);
        [(); 2].map(|()| {
            let mut payload = Vec::with_capacity(1024);
            sender
                .compress_vec(
                    b"some words that come again",
                    &mut payload,
                    FlushCompress::Sync,
                )
                .expect("there is room");
            payload.truncate(payload.len() - 4);
            payload
        })
    }

    #[test]
    fn frames_that_are_missing_take_the_context_with_them() {
        let [first, second] = pair();
        for (number, trouble) in [(6, None), (7, Some(Trouble::Missing))] {
            let mut messages = Messages::default();
            let said = messages.read(&view(1, 5, &first));
            assert_eq!(said.payload, b"some words that come again");
            assert_eq!(messages.read(&view(1, number, &second)).trouble, trouble);
        }
    }

    #[test]
    fn tunnels_do_not_share_a_context_and_only_so_many_have_one() {
        let [first, second] = pair();
        let mut messages = Messages::default();
        for tunnel in 0..1000 {
            messages.read(&view(tunnel, 1, &first));
            assert!(messages.directions.len() <= MOST);
        }
        assert_eq!(messages.read(&view(999, 2, &second)).trouble, None);
        let gone = messages.read(&view(0, 2, &second));
        assert_eq!(gone.trouble, Some(Trouble::BeforeTap));
    }

    #[test]
    fn what_was_not_agreed_on_is_not_inflated() {
        let mut messages = Messages::default();
        let plain = FrameView {
            takeover: None,
            compressed: Some(false),
            ..view(1, 1, b"plain")
        };
        let said = messages.read(&plain);
        assert_eq!((&said.payload[..], said.trouble), (&b"plain"[..], None));
        assert!(messages.directions.is_empty());
    }
}
