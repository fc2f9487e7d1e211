//! Fuzz body of the frame scanner (RFC 6455 section 5.2): the first byte chooses the sender
//! and how the rest is cut; whole and cut must tell the same, and nothing may panic.

use sluice::vocabulary::counters::{Counters, Tally};
use sluice::websocket::frame::{Kind, Scanner, Side, Violation};

/// Runs one input.
pub fn run(data: &[u8]) {
    let Some((&choice, bytes)) = data.split_first() else {
        return;
    };
    let sender = if choice & 1 == 0 {
        Side::Client
    } else {
        Side::Upstream
    };
    let size = usize::from(choice >> 1).max(1);
    let whole = scan(sender, bytes, bytes.len().max(1));
    let cut = scan(sender, bytes, size);
    assert_eq!(whole, cut, "pieces of {size}");
}

type Seen = (Tally, Vec<Vec<u8>>, Option<Violation>, bool);

fn scan(sender: Side, bytes: &[u8], size: usize) -> Seen {
    let (counters, mut scanner) = (Counters::default(), Scanner::new(sender));
    let mut controls = Vec::new();
    for piece in bytes.chunks(size) {
        let mut at = 0;
        while at < piece.len() {
            let step = scanner.step(&piece[at..], &counters);
            let last = &piece[at..at + step.used];
            at += step.used;
            match step.kind {
                Kind::Data => {}
                Kind::Control(_) => controls.push(scanner.control(last).0.to_vec()),
                Kind::Invalid(violation) => {
                    return (counters.tally(), controls, Some(violation), false);
                }
            }
            assert!(step.used > 0, "a step without a violation makes progress");
        }
    }
    (counters.tally(), controls, None, scanner.at_boundary())
}
