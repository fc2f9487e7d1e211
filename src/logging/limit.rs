//! Events that a client can cause, of which only so many are written: those with a field
//! `left_out`, which then has the number of those before that were not.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tracing::Metadata;
use tracing::callsite::Identifier;

use crate::system::lock::lock;

/// Lines of one kind that may come at once, and one more in every [`EVERY`].
const BURST: u32 = 20;
const EVERY: Duration = Duration::from_millis(200);

/// The name of the field that marks such an event.
pub(super) const LEFT_OUT: &str = "left_out";

/// What was written of each kind.
#[derive(Debug, Default)]
pub(super) struct Limits(Mutex<HashMap<Identifier, Bucket>>);

#[derive(Debug)]
struct Bucket {
    left: u32,
    filled: Instant,
    left_out: u64,
    module: &'static str,
}

/// What becomes of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// It is written, with this number of those left out before it.
    Write(u64),
    /// It is left out.
    LeaveOut,
}

impl Limits {
    pub(super) fn judge(&self, metadata: &'static Metadata<'static>, now: Instant) -> Decision {
        let mut all = lock(&self.0);
        let bucket = all.entry(metadata.callsite()).or_insert_with(|| Bucket {
            left: BURST,
            filled: now,
            left_out: 0,
            module: metadata.target(),
        });
        let periods = now.saturating_duration_since(bucket.filled).as_millis() / EVERY.as_millis();
        if let Ok(periods @ 1..) = u32::try_from(periods) {
            bucket.left = bucket.left.saturating_add(periods).min(BURST);
            bucket.filled = now;
        }
        if bucket.left == 0 {
            bucket.left_out += 1;
            return Decision::LeaveOut;
        }
        bucket.left -= 1;
        Decision::Write(std::mem::take(&mut bucket.left_out))
    }

    /// Where lines were left out since the last one, and how many.
    pub(super) fn take_left_out(&self) -> Vec<(&'static str, u64)> {
        let mut all = lock(&self.0);
        let left_out = all.values_mut().filter(|bucket| bucket.left_out > 0);
        left_out
            .map(|bucket| (bucket.module, std::mem::take(&mut bucket.left_out)))
            .collect()
    }
}
