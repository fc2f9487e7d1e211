//! The follower against every split and every beginning.

use proptest::prelude::*;

use super::*;

/// All that is reported of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    frames: Vec<Frame>,
    violation: Option<Violation>,
    /// Bytes of payload to keep.
    keep: usize,
}

impl Sink for Seen {
    fn begins(&mut self, opcode: Opcode, _: u64) -> Option<usize> {
        // Something that is left out, for its part in the numbers of the others.
        (opcode != Opcode::Pong).then_some(self.keep)
    }

    fn frame(&mut self, frame: Frame) {
        self.frames.push(frame);
    }

    fn invalid(&mut self, violation: Violation) {
        assert_eq!(self.violation.replace(violation), None, "said once");
    }
}

fn seen(keep: usize) -> Seen {
    Seen {
        keep,
        ..Seen::default()
    }
}

/// A frame of a client or an upstream.
fn frame(sender: Side, first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = if sender == Side::Client { 0x80 } else { 0 };
    let mut bytes = vec![first];
    match payload.len() {
        short @ 0..126 => bytes.push(mask | short as u8),
        long => {
            bytes.push(mask | 126);
            bytes.extend_from_slice(&(long as u16).to_be_bytes());
        }
    }
    let key = [0x12, 0x34, 0x56, 0x78];
    match sender {
        Side::Client => {
            bytes.extend_from_slice(&key);
            let masked = payload.iter().zip(key.iter().cycle());
            bytes.extend(masked.map(|(byte, key)| byte ^ key));
        }
        Side::Upstream => bytes.extend_from_slice(payload),
    }
    bytes
}

/// First bytes and payloads of a valid stream: messages of up to three fragments, with control
/// frames in between.
fn stream() -> impl Strategy<Value = Vec<(u8, Vec<u8>)>> {
    let payload = prop::collection::vec(any::<u8>(), 0..300);
    let control = (0x88_u8..=0x8A, prop::collection::vec(any::<u8>(), 0..=125));
    let fragments = prop::collection::vec(payload, 1..=3);
    let message = (any::<bool>(), any::<bool>(), fragments, control).prop_map(
        |(text, compressed, fragments, control)| {
            let last = fragments.len() - 1;
            let mut frames = Vec::new();
            for (index, payload) in fragments.into_iter().enumerate() {
                let opcode = match (index, text) {
                    (0, true) => 1,
                    (0, false) => 2,
                    _ => 0,
                };
                let rsv = u8::from(compressed && index == 0) << 6;
                let fin = u8::from(index == last) << 7;
                frames.push((fin | rsv | opcode, payload));
                if index == 0 {
                    frames.push(control.clone());
                }
            }
            frames
        },
    );
    prop::collection::vec(message, 1..4).prop_map(|messages| messages.concat())
}

fn follow(sender: Side, bytes: &[u8], pieces: &[usize], keep: usize) -> Seen {
    let (mut sink, mut follower) = (seen(keep), Follower::new(sender));
    let (mut rest, mut sizes) = (bytes, pieces.iter().cycle());
    while !rest.is_empty() {
        let size = sizes.next().map_or(1, |size| *size).min(rest.len());
        follower.feed(&rest[..size], &mut sink);
        rest = &rest[size..];
    }
    sink
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Client), Just(Side::Upstream)]
}

proptest! {
    #[test]
    fn every_split_tells_the_same(
        sender in side(),
        frames in stream(),
        pieces in prop::collection::vec(1_usize..40, 1..20),
        keep in 0_usize..400,
    ) {
        let bytes: Vec<u8> = frames
            .iter()
            .flat_map(|(first, payload)| frame(sender, *first, payload))
            .collect();
        let whole = follow(sender, &bytes, &[bytes.len()], keep);
        prop_assert_eq!(&follow(sender, &bytes, &pieces, keep), &whole);
        prop_assert_eq!(whole.violation, None);
        let told = frames.iter().enumerate().filter(|(_, (first, _))| first & 0xF != 0xA);
        let told: Vec<_> = told.collect();
        prop_assert_eq!(told.len(), whole.frames.len());
        for (told, (index, (first, payload))) in whole.frames.iter().zip(told) {
            prop_assert_eq!(told.number, index as u64 + 1);
            prop_assert_eq!((told.opcode as u8, told.fin), (first & 0xF, first & 0x80 != 0));
            prop_assert_eq!(told.rsv, first >> 4 & 7);
            prop_assert_eq!(told.length, payload.len() as u64);
            prop_assert_eq!(&told.payload, &payload[..payload.len().min(keep)]);
            prop_assert!(told.passed && !told.partial);
        }
    }

    #[test]
    fn garbage_is_survived_and_every_split_of_it_tells_the_same(
        sender in side(),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        pieces in prop::collection::vec(1_usize..20, 1..10),
    ) {
        let whole = follow(sender, &bytes, &[bytes.len().max(1)], 100);
        prop_assert_eq!(follow(sender, &bytes, &pieces, 100), whole);
    }
}

#[test]
fn what_was_moved_unseen_counts_and_leaves_no_hole() {
    let mut bytes = frame(Side::Client, 0x82, &[7; 300]);
    let rest = bytes.split_off(8 + 10);
    let (mut sink, mut follower) = (seen(1000), Follower::new(Side::Client));
    follower.feed(&bytes, &mut sink);
    follower.skip(200, &mut sink);
    follower.feed(&rest[200..], &mut sink);
    follower.feed(&frame(Side::Client, 0x81, b"next"), &mut sink);
    let [long, next] = &sink.frames[..] else {
        panic!("{sink:?}");
    };
    assert_eq!(
        (long.length, long.spliced, &long.payload[..]),
        (300, 200, &[7; 10][..])
    );
    assert_eq!(
        (next.number, next.spliced, &next.payload[..]),
        (2, 0, &b"next"[..])
    );
    // The end of a frame may be what is moved.
    follower.feed(&frame(Side::Client, 0x82, &[0; 300])[..8], &mut sink);
    follower.skip(300, &mut sink);
    assert_eq!(sink.frames.len(), 3);
}

#[test]
fn it_begins_inside_of_a_payload() {
    let position = Position {
        left: 5,
        opcode: Opcode::Text,
        fin: false,
        open: true,
        text: true,
        pending: Vec::new(),
    };
    let mut sink = seen(100);
    let mut follower = Follower::at(Side::Upstream, &position, &mut sink);
    follower.feed(b"xxxxx", &mut sink);
    follower.feed(&frame(Side::Upstream, 0x80, b"end"), &mut sink);
    follower.feed(&frame(Side::Upstream, 0xC1, b"new"), &mut sink);
    let [part, end, new] = &sink.frames[..] else {
        panic!("{sink:?}");
    };
    assert!(part.partial && part.text && !part.fin);
    assert_eq!(
        (part.length, &part.payload[..], part.compressed),
        (5, &b""[..], None)
    );
    // RSV1 stood in front of the tap.
    assert_eq!(
        (end.compressed, end.text, &end.payload[..]),
        (None, true, &b"end"[..])
    );
    assert_eq!((new.compressed, new.number), (Some(true), 3));
}

#[test]
fn it_begins_inside_of_a_header_and_of_a_control_frame() {
    for bytes in [
        frame(Side::Client, 0x82, &[1; 200]),
        frame(Side::Client, 0x89, b"are you there?"),
    ] {
        for at in 1..bytes.len().min(14) {
            let position = Position {
                left: 0,
                opcode: Opcode::Binary,
                fin: true,
                open: false,
                text: false,
                pending: bytes[..at].to_vec(),
            };
            let (mut begun, mut whole) = (seen(300), seen(300));
            Follower::at(Side::Client, &position, &mut begun).feed(&bytes[at..], &mut begun);
            Follower::new(Side::Client).feed(&bytes, &mut whole);
            assert_eq!(begun, whole, "{at}");
            assert_eq!(whole.frames.len(), 1);
        }
    }
}

#[test]
fn what_does_not_go_on_is_said_of_one_frame() {
    let (mut sink, mut follower) = (seen(100), Follower::new(Side::Upstream));
    for (payload, withheld) in [(b"a", false), (b"b", true), (b"c", false)] {
        let bytes = frame(Side::Upstream, 0x89, payload);
        follower.feed(&bytes[..1], &mut sink);
        if withheld {
            follower.withhold();
        }
        follower.feed(&bytes[1..], &mut sink);
    }
    let passed: Vec<bool> = sink.frames.iter().map(|frame| frame.passed).collect();
    assert_eq!(passed, [true, false, true]);
}

#[test]
fn what_is_no_framing_is_said_once() {
    let (mut sink, mut follower) = (seen(100), Follower::new(Side::Client));
    follower.feed(&frame(Side::Client, 0x81, b"x"), &mut sink);
    follower.feed(&frame(Side::Client, 0x83, b"y"), &mut sink);
    follower.feed(&frame(Side::Client, 0x81, b"z"), &mut sink);
    assert_eq!(sink.frames.len(), 1);
    assert_eq!(sink.violation, Some(Violation::ReservedOpcode));
}
