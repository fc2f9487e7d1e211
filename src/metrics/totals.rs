//! The sums that are logged at the end of a run.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::labels::{self, CAUSES, STATUSES};

/// The sum over all workers.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Exchanges by the first digit of their status; 0: the client left before one. Those
    /// that became tunnels are not among them.
    #[serde(serialize_with = "by_class")]
    pub exchanges: [u64; 6],
    /// Answers of our own that were errors.
    pub refused: u64,
    /// Tunnels opened.
    pub tunnels_opened: u64,
    /// Tunnels that have ended.
    pub tunnels_closed: u64,
    /// Refused handshakes by cause.
    pub handshakes_refused: BTreeMap<&'static str, u64>,
}

impl Totals {
    pub(crate) const fn new() -> Totals {
        Totals {
            exchanges: [0; 6],
            refused: 0,
            tunnels_opened: 0,
            tunnels_closed: 0,
            handshakes_refused: BTreeMap::new(),
        }
    }

    pub(crate) fn count_exchanges(&mut self, statuses: &[u64; STATUSES]) {
        for (place, count) in statuses.iter().enumerate() {
            if place != labels::status(101) {
                self.exchanges[labels::status_class(place)] += count;
            }
        }
    }

    pub(crate) fn count_refusals(&mut self, causes: &[u64; CAUSES.len()]) {
        for ((cause, _), count) in CAUSES.iter().zip(causes) {
            if *count > 0 {
                *self.handshakes_refused.entry(cause).or_default() += count;
            }
        }
    }
}

/// `{"2xx": 7, "none": 1}`, without those that did not happen.
fn by_class<S: Serializer>(exchanges: &[u64; 6], to: S) -> Result<S::Ok, S::Error> {
    const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];
    to.collect_map(
        CLASSES
            .iter()
            .zip(exchanges)
            .filter(|(_, count)| **count > 0),
    )
}
