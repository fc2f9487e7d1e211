//! The time that deadlines are kept in: four bytes each, since a tunnel has a dozen of them.

use std::time::Duration;

/// A moment in tenths of a second of the worker's life since a year before the registry began,
/// so that what happened in another process has one too; enough for 12 years.
pub(super) type Moment = u32;

/// When the registry began.
pub(super) const BEGIN: Moment = 365 * 24 * 3600 * 10;
pub(super) const NEVER: Moment = Moment::MAX;

/// One moment, as time-outs count it and as it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    /// Without the time in which the worker stood still.
    pub(super) moment: Moment,
    /// With it.
    pub(super) real: Moment,
}

/// A duration in tenths of a second, rounded up.
pub(super) fn tenths(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis().div_ceil(100)).unwrap_or(NEVER)
}
