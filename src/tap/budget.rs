//! What one worker sends to one tap at most, so that a tap costs its tunnels little, however
//! much passes through them. The worker's tick fills it up: no frame reads a clock for it.

use std::time::{Duration, Instant};

/// Frames in a second.
pub const FRAMES: u32 = 1000;

/// Bytes of their payload in a second.
pub const BYTES: u32 = 1 << 20;

/// The longest time that is saved up.
const LONGEST: Duration = Duration::from_secs(1);

/// What is left.
#[derive(Debug)]
pub(super) struct Budget {
    frames: u32,
    bytes: u32,
    filled: Instant,
}

impl Budget {
    /// Enough for a second.
    pub(super) fn new(now: Instant) -> Budget {
        Budget {
            frames: FRAMES,
            bytes: BYTES,
            filled: now,
        }
    }

    /// Adds what has come since the last time.
    pub(super) fn fill(&mut self, now: Instant) {
        let span = now.saturating_duration_since(self.filled).min(LONGEST);
        let share = |rate: u32| (f64::from(rate) * span.as_secs_f64()) as u32;
        self.frames = (self.frames + share(FRAMES)).min(FRAMES);
        self.bytes = (self.bytes + share(BYTES)).min(BYTES);
        self.filled = now;
    }

    /// Whether one more frame may be sent.
    pub(super) fn take_frame(&mut self) -> bool {
        take(&mut self.frames, 1)
    }

    /// Whether so many bytes of its payload may be.
    pub(super) fn take_bytes(&mut self, bytes: usize) -> bool {
        take(&mut self.bytes, u32::try_from(bytes).unwrap_or(u32::MAX))
    }
}

fn take(left: &mut u32, wanted: u32) -> bool {
    let rest = left.checked_sub(wanted);
    *left = rest.unwrap_or(*left);
    rest.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spent_comes_back_with_time_and_no_more_than_that() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        let frames = |budget: &mut Budget| (0..).take_while(|_| budget.take_frame()).count();
        assert_eq!(frames(&mut budget), FRAMES as usize);
        budget.fill(start + Duration::from_millis(250));
        assert_eq!(frames(&mut budget), FRAMES as usize / 4);
        budget.fill(start + Duration::from_secs(60));
        assert_eq!(frames(&mut budget), FRAMES as usize);
        budget.fill(start);
        assert_eq!(frames(&mut budget), 0, "the clock went back");
    }

    #[test]
    fn a_payload_is_sent_whole_or_not_at_all() {
        let mut budget = Budget::new(Instant::now());
        assert!(budget.take_bytes(BYTES as usize - 10));
        assert!(!budget.take_bytes(11));
        assert!(budget.take_bytes(10));
        assert!(budget.take_bytes(0));
        assert!(!budget.take_bytes(usize::MAX));
    }
}
