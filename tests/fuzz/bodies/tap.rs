//! Fuzz body of the follower that a tap goes by: the first byte chooses the sender and how
//! the rest is cut. Whole and cut must tell the same, as many frames as the scanner finds.

use sluice::tap::{Follower, Frame, Sink};
use sluice::vocabulary::counters::Counters;
use sluice::websocket::frame::{Kind, Opcode, Scanner, Side, Violation};

/// Bytes of payload that are kept.
const KEPT: usize = 20;

#[derive(Default, PartialEq, Eq, Debug)]
struct Seen {
    frames: Vec<Frame>,
    violation: Option<Violation>,
}

impl Sink for Seen {
    fn begins(&mut self, _: Opcode, _: u64) -> Option<usize> {
        Some(KEPT)
    }

    fn frame(&mut self, frame: Frame) {
        self.frames.push(frame);
    }

    fn invalid(&mut self, violation: Violation) {
        assert_eq!(self.violation.replace(violation), None);
    }
}

/// Runs one input.
pub fn run(data: &[u8]) {
    let Some((&choice, bytes)) = data.split_first() else {
        return;
    };
    let sender = match choice & 1 {
        0 => Side::Client,
        _ => Side::Upstream,
    };
    let size = usize::from(choice >> 1).max(1);
    let whole = follow(sender, bytes, bytes.len().max(1));
    assert_eq!(whole, follow(sender, bytes, size), "pieces of {size}");
    let (frames, violation) = scan(sender, bytes);
    assert_eq!((whole.frames.len(), whole.violation), (frames, violation));
    for frame in &whole.frames {
        let kept = frame.length.min(KEPT as u64);
        assert_eq!(frame.payload.len() as u64, kept);
    }
}

fn follow(sender: Side, bytes: &[u8], size: usize) -> Seen {
    let (mut seen, mut follower) = (Seen::default(), Follower::new(sender));
    for piece in bytes.chunks(size) {
        follower.feed(piece, &mut seen);
    }
    seen
}

/// How many frames the scanner finds complete, and what stops it.
fn scan(sender: Side, bytes: &[u8]) -> (usize, Option<Violation>) {
    let (counters, mut scanner) = (Counters::default(), Scanner::new(sender));
    let (mut at, mut controls) = (0, 0);
    let mut violation = None;
    while at < bytes.len() && violation.is_none() {
        let step = scanner.step(&bytes[at..], &counters);
        let last = &bytes[at..at + step.used];
        at += step.used;
        match step.kind {
            Kind::Data => {}
            Kind::Control(_) => {
                scanner.control(last);
                controls += 1;
            }
            Kind::Invalid(what) => violation = Some(what),
        }
    }
    (counters.tally().frames as usize + controls, violation)
}
