//! The scanner against every split, against tokio-tungstenite, and against each violation.

use proptest::prelude::*;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{Frame, FrameHeader};

use super::*;
use crate::vocabulary::counters::Tally;

/// All that can be seen of a scan.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    tally: Tally,
    controls: Vec<(u8, Vec<u8>)>,
    /// Offsets after each frame.
    boundaries: Vec<usize>,
    /// The offset of the frame that is invalid, and why.
    violation: Option<(usize, Violation)>,
}

fn scan<'a>(sender: Side, pieces: impl Iterator<Item = &'a [u8]>) -> Seen {
    let counters = Counters::default();
    let mut scanner = Scanner::new(sender);
    let mut seen = Seen {
        tally: Tally::default(),
        controls: Vec::new(),
        boundaries: Vec::new(),
        violation: None,
    };
    let mut offset = 0;
    'pieces: for piece in pieces {
        let mut at = 0;
        while at < piece.len() {
            let step = scanner.step(&piece[at..], &counters);
            let last = &piece[at..at + step.used];
            at += step.used;
            match step.kind {
                Kind::Data => {}
                Kind::Control(opcode) => {
                    let (payload, raw) = scanner.control(last);
                    if let Some(raw) = raw {
                        assert!(raw.ends_with(last), "raw bytes are the frame's");
                    }
                    seen.controls.push((opcode as u8, payload.to_vec()));
                }
                Kind::Invalid(violation) => {
                    let start = seen.boundaries.last().copied().unwrap_or(0);
                    seen.violation = Some((start, violation));
                    break 'pieces;
                }
            }
            if scanner.at_boundary() {
                seen.boundaries.push(offset + at);
            }
        }
        offset += piece.len();
    }
    seen.tally = counters.tally();
    seen
}

fn scan_whole(sender: Side, bytes: &[u8]) -> Seen {
    scan(sender, std::iter::once(bytes))
}

fn frame(sender: Side, opcode: OpCode, fin: bool, rsv1: bool, payload: Vec<u8>) -> Vec<u8> {
    let mut header = FrameHeader {
        is_final: fin,
        rsv1,
        opcode,
        ..FrameHeader::default()
    };
    if sender == Side::Client {
        header.mask = Some([0x12, 0x34, 0x56, 0x78]);
    }
    let mut bytes = Vec::new();
    Frame::from_payload(header, payload.into())
        .format(&mut bytes)
        .expect("writing to a Vec");
    bytes
}

/// What a valid sequence is made of.
#[derive(Debug, Clone)]
enum Part {
    Message {
        text: bool,
        compressed: bool,
        fragments: Vec<usize>,
        control_between: bool,
    },
    Control {
        opcode: u8,
        payload: Vec<u8>,
    },
}

fn part() -> impl Strategy<Value = Part> {
    let size = prop_oneof![
        0_usize..4,
        120_usize..130,
        65_530_usize..65_540,
        0_usize..2000
    ];
    let control = (
        8_u8..=10,
        proptest::collection::vec(any::<u8>(), 2..=MAX_CONTROL),
    );
    let fragments = proptest::collection::vec(size, 1..4);
    prop_oneof![
        (any::<bool>(), any::<bool>(), fragments, any::<bool>()).prop_map(
            |(text, compressed, fragments, control_between)| Part::Message {
                text,
                compressed,
                fragments,
                control_between,
            }
        ),
        control.prop_map(|(opcode, payload)| Part::Control { opcode, payload }),
    ]
}

fn control_opcode(opcode: u8) -> OpCode {
    OpCode::Control(match opcode {
        8 => Control::Close,
        9 => Control::Ping,
        _ => Control::Pong,
    })
}

/// Encodes the parts with tungstenite, and says what must be seen.
fn encode(sender: Side, parts: &[Part]) -> (Vec<u8>, Seen) {
    let mut bytes = Vec::new();
    let (mut tally, mut controls, mut boundaries) = (Tally::default(), Vec::new(), Vec::new());
    for part in parts {
        match part {
            Part::Message {
                text,
                compressed,
                fragments,
                control_between,
            } => {
                for (i, size) in fragments.iter().enumerate() {
                    let opcode = OpCode::Data(match (i, text) {
                        (0, true) => Data::Text,
                        (0, false) => Data::Binary,
                        _ => Data::Continue,
                    });
                    let fin = i + 1 == fragments.len();
                    let payload = vec![b'x'; *size];
                    bytes.extend(frame(sender, opcode, fin, *compressed && i == 0, payload));
                    boundaries.push(bytes.len());
                    tally.frames += 1;
                    if *control_between && !fin {
                        bytes.extend(frame(sender, control_opcode(9), true, false, vec![7; 3]));
                        boundaries.push(bytes.len());
                        controls.push((9, vec![7; 3]));
                        tally.pings += 1;
                    }
                }
                let payload: usize = fragments.iter().sum();
                let (messages, octets) = if *text {
                    (&mut tally.text, &mut tally.text_bytes)
                } else {
                    (&mut tally.binary, &mut tally.binary_bytes)
                };
                *messages += 1;
                *octets += payload as u64;
            }
            Part::Control { opcode, payload } => {
                let raw = frame(
                    sender,
                    control_opcode(*opcode),
                    true,
                    false,
                    payload.clone(),
                );
                bytes.extend(raw);
                boundaries.push(bytes.len());
                controls.push((*opcode, payload.clone()));
                tally.pings += u32::from(*opcode == 9);
                tally.pongs += u32::from(*opcode == 10);
            }
        }
    }
    (
        bytes,
        Seen {
            tally,
            controls,
            boundaries,
            violation: None,
        },
    )
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Client), Just(Side::Upstream)]
}

/// Cuts `bytes` at the given places.
fn pieces<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    places.push(bytes.len());
    places.sort_unstable();
    let mut start = 0;
    let mut pieces = Vec::new();
    for place in places {
        pieces.push(&bytes[start..place]);
        start = place;
    }
    pieces
}

proptest! {
    #[test]
    fn agrees_with_tungstenite_in_any_split(
        sender in side(),
        parts in proptest::collection::vec(part(), 1..6),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let (bytes, expected) = encode(sender, &parts);
        prop_assert_eq!(&scan_whole(sender, &bytes), &expected);
        prop_assert_eq!(&scan(sender, pieces(&bytes, &cuts).into_iter()), &expected);
    }

    #[test]
    fn any_bytes_in_any_split_give_the_same(
        sender in side(),
        bytes in proptest::collection::vec(
            prop_oneof![Just(0x81_u8), Just(0x82), Just(0x8A), Just(0x00), 0_u8..8, any::<u8>()],
            1..60,
        ),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let whole = scan_whole(sender, &bytes);
        let single = scan(sender, bytes.chunks(1));
        let split = scan(sender, pieces(&bytes, &cuts).into_iter());
        prop_assert_eq!(&whole, &single);
        prop_assert_eq!(&whole, &split);
    }
}

#[test]
fn each_violation_is_told_apart() {
    use Violation::*;
    let cases: &[(Side, &[u8], Violation)] = &[
        (Side::Upstream, &[0x83, 0], ReservedOpcode),
        (Side::Upstream, &[0x8B, 0], ReservedOpcode),
        (Side::Upstream, &[0x09, 0], FragmentedControl),
        (Side::Upstream, &[0x89, 126, 0, 126], LongControl),
        (Side::Upstream, &[0x80, 0], UnexpectedContinuation),
        (Side::Upstream, &[0x01, 0, 0x81, 0], UnfinishedMessage),
        (Side::Client, &[0x81, 0], NotMasked),
        (Side::Upstream, &[0x81, 0x80], Masked),
        (Side::Upstream, &[0x82, 126, 0, 125], NonMinimalLength),
        (
            Side::Upstream,
            &[0x82, 127, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF],
            NonMinimalLength,
        ),
        (
            Side::Upstream,
            &[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0],
            LengthTooLarge,
        ),
    ];
    for (sender, bytes, violation) in cases {
        for seen in [scan_whole(*sender, bytes), scan(*sender, bytes.chunks(1))] {
            assert_eq!(
                seen.violation.map(|(_, why)| why),
                Some(*violation),
                "{bytes:02x?}"
            );
        }
    }
}

#[test]
fn the_longest_length_does_not_overflow() {
    let counters = Counters::default();
    let mut scanner = Scanner::new(Side::Upstream);
    let mut header = vec![0x82, 127];
    header.extend((u64::MAX >> 1).to_be_bytes());
    scanner.step(&header, &counters);
    assert_eq!(scanner.data_left(), u64::MAX >> 1);
    scanner.skip((u64::MAX >> 1) - 1, &counters);
    assert!(!scanner.at_boundary());
    scanner.skip(1, &counters);
    assert!(scanner.at_boundary());
    assert_eq!(counters.tally().binary, 1);
}

#[test]
fn an_unfinished_pong_is_known_from_its_first_byte() {
    let counters = Counters::default();
    let mut scanner = Scanner::new(Side::Upstream);
    for (i, byte) in [0x8A, 3, b'a', b'b', b'c'].iter().enumerate() {
        scanner.step(&[*byte], &counters);
        assert_eq!(scanner.inside_control() == Some(Opcode::Pong), i < 4);
    }
}

#[test]
fn the_scanner_is_small() {
    assert!(size_of::<Scanner>() <= 24, "{}", size_of::<Scanner>());
}
