//! Against what flate2 compresses.

use flate2::{Compress, Compression, FlushCompress};
use proptest::prelude::*;

use super::*;

/// A sender, which keeps its context from message to message.
struct Sender(Compress);

impl Sender {
    fn new() -> Sender {
        Sender(Compress::new(Compression::default(), false))
    }

    /// A message's payload (RFC 7692 section 7.2.1).
    fn message(&mut self, text: &[u8]) -> Vec<u8> {
        let mut payload = Vec::with_capacity(text.len() + 1024);
        self.0
            .compress_vec(text, &mut payload, FlushCompress::Sync)
            .expect("there is room");
        assert!(payload.ends_with(&TAIL));
        payload.truncate(payload.len() - TAIL.len());
        payload
    }
}

fn whole(payload: &[u8], takeover: bool) -> Part<'_> {
    Part {
        first: true,
        last: true,
        takeover,
        payload,
        whole: true,
    }
}

#[test]
fn messages_that_build_upon_each_other() {
    let (mut sender, mut inflater) = (Sender::new(), Inflater::new());
    for text in [
        "{\"a\":\"hello\"}",
        "",
        "{\"a\":\"hello\"}",
        "{\"a\":\"hello, you\"}",
    ] {
        let payload = sender.message(text.as_bytes());
        let shown = inflater.part(whole(&payload, true));
        assert_eq!(shown, (text.as_bytes().to_vec(), None));
    }
}

#[test]
fn what_refers_to_before_the_tap_is_not_guessed() {
    let (mut sender, mut inflater) = (Sender::new(), Inflater::new());
    let text = b"the same words as in the message before it";
    sender.message(text);
    let refers = sender.message(text);
    let (shown, trouble) = inflater.part(whole(&refers, true));
    assert_eq!(trouble, Some(Trouble::BeforeTap));
    assert!(text.starts_with(&shown), "{shown:?}");
    // One that needs nothing of that is shown, and so is what builds upon it.
    for _ in 0..2 {
        let fresh = sender.message(b"0123456789");
        assert_eq!(
            inflater.part(whole(&fresh, true)),
            (b"0123456789".to_vec(), None)
        );
    }
    let again = sender.message(text);
    assert_eq!(
        inflater.part(whole(&again, true)).1,
        Some(Trouble::BeforeTap)
    );
}

#[test]
fn without_takeover_each_message_is_for_itself() {
    let mut inflater = Inflater::new();
    for _ in 0..2 {
        let payload = Sender::new().message(b"hello hello hello");
        let shown = inflater.part(whole(&payload, false));
        assert_eq!(shown, (b"hello hello hello".to_vec(), None));
    }
    let mut sender = Sender::new();
    sender.message(b"hello hello hello");
    let refers = sender.message(b"hello hello hello");
    let (_, trouble) = inflater.part(whole(&refers, false));
    assert_eq!(
        trouble,
        Some(Trouble::Invalid),
        "it says that it does not refer back"
    );
}

#[test]
fn fragments_are_shown_as_they_come() {
    let text = b"a message in fragments, with a message in fragments in it".repeat(50);
    let payload = Sender::new().message(&text);
    for size in [1, 7, payload.len()] {
        let (mut inflater, mut shown) = (Inflater::new(), Vec::new());
        let pieces: Vec<&[u8]> = payload.chunks(size).collect();
        for (index, piece) in pieces.iter().enumerate() {
            let (text, trouble) = inflater.part(Part {
                first: index == 0,
                last: index + 1 == pieces.len(),
                takeover: true,
                payload: piece,
                whole: true,
            });
            assert_eq!(trouble, None);
            shown.extend(text);
        }
        assert_eq!(shown, text, "{size}");
    }
}

#[test]
fn a_payload_that_is_not_all_there_is_shown_as_far_as_it_is() {
    let (mut sender, mut inflater) = (Sender::new(), Inflater::new());
    let text: Vec<u8> = (0..200_u32)
        .flat_map(|n| n.to_string().into_bytes())
        .collect();
    let payload = sender.message(&text);
    let (shown, trouble) = inflater.part(Part {
        payload: &payload[..payload.len() / 2],
        whole: false,
        ..whole(&payload, true)
    });
    assert_eq!(trouble, Some(Trouble::Cut));
    assert!(!shown.is_empty() && text.starts_with(&shown));
    let refers = sender.message(&text);
    assert_eq!(
        inflater.part(whole(&refers, true)).1,
        Some(Trouble::Missing)
    );
}

#[test]
fn a_gap_is_no_context_and_the_rest_of_a_message_nothing() {
    let (mut sender, mut inflater) = (Sender::new(), Inflater::new());
    let text = b"some words that come again";
    inflater.part(whole(&sender.message(text), true));
    inflater.interrupted();
    let refers = sender.message(text);
    let rest = Part {
        first: false,
        ..whole(&refers, true)
    };
    assert_eq!(inflater.part(rest), (Vec::new(), Some(Trouble::Missing)));
    assert_eq!(
        inflater.part(whole(&refers, true)).1,
        Some(Trouble::Missing)
    );
    let mut other = Inflater::new();
    assert_eq!(other.part(rest), (Vec::new(), Some(Trouble::Begun)));
}

#[test]
fn a_bomb_is_not_set_off() {
    let mut inflater = Inflater::new();
    let bomb = Sender::new().message(&vec![0; 64 << 20]);
    assert!(bomb.len() < 128 * 1024, "{}", bomb.len());
    let (shown, trouble) = inflater.part(whole(&bomb, true));
    assert_eq!(trouble, Some(Trouble::TooLarge));
    assert_eq!(shown.len(), LARGEST + 1);
    assert!(inflater.buffer.capacity() <= 2 * LARGEST);
    let fits = Sender::new().message(&vec![0; LARGEST]);
    let (shown, trouble) = inflater.part(whole(&fits, true));
    assert_eq!((shown.len(), trouble), (LARGEST, None));
    assert!(inflater.buffer.capacity() <= 2 * WINDOW);
}

#[test]
fn a_block_marked_as_the_last_is_not_the_end_of_messages() {
    let mut inflater = Inflater::new();
    for _ in 0..2 {
        let mut payload = Vec::with_capacity(1024);
        Compress::new(Compression::default(), false)
            .compress_vec(b"Hello", &mut payload, FlushCompress::Finish)
            .expect("there is room");
        payload.push(0);
        let shown = inflater.part(whole(&payload, true));
        assert_eq!(shown, (b"Hello".to_vec(), None));
    }
}

proptest! {
    #[test]
    fn whatever_comes_is_survived(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..8),
    ) {
        let mut inflater = Inflater::new();
        for payload in &payloads {
            inflater.part(whole(payload, true));
        }
    }
}
