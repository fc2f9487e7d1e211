//! How long one exchange waits for its upstream. The worker's tick compares its activity with
//! what it saw before; there is no timer and no clock read of its own.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// What an exchange waits for on the upstream's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Wait {
    /// Nothing that this clock limits.
    None = 0,
    /// The head of the answer.
    Head = 1,
    /// More of its body.
    Body = 2,
    /// A 100, or the head of an answer without one (RFC 9110 section 10.1.1).
    Continue = 3,
}

impl Wait {
    fn of(byte: u8) -> Wait {
        match byte {
            1 => Wait::Head,
            2 => Wait::Body,
            3 => Wait::Continue,
            _ => Wait::None,
        }
    }
}

/// The activity of one exchange.
#[derive(Debug, Default)]
pub struct Clock {
    wait: AtomicU8,
    progress: AtomicU32,
    /// The silence that the wait allows, in milliseconds.
    limit: AtomicU32,
    /// The wait whose time is over.
    over: AtomicU8,
}

impl Clock {
    /// The exchange has ended; the next one starts afresh.
    pub fn reset(&self) {
        self.wait.store(Wait::None as u8, Relaxed);
        self.over.store(Wait::None as u8, Relaxed);
    }

    /// Whether this wait's time is over.
    pub fn is_over(&self, wait: Wait) -> bool {
        self.over.load(Relaxed) == wait as u8
    }

    /// Whether the time for the upstream to ask for the body is over; true once.
    pub fn take_continue(&self) -> bool {
        let over = self.is_over(Wait::Continue);
        if over {
            self.over.store(Wait::None as u8, Relaxed);
        }
        over
    }

    /// The upstream need not ask for the body any more. Returns whether this is new.
    pub fn end_continue(&self) -> bool {
        let first = self.is_over(Wait::None);
        if first {
            self.over.store(Wait::Continue as u8, Relaxed);
        }
        first
    }

    /// The exchange now waits for this, for at most `limit` of silence.
    pub fn start(&self, wait: Wait, limit: Duration) {
        let millis = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX);
        self.limit.store(millis, Relaxed);
        self.wait.store(wait as u8, Relaxed);
        self.moved();
    }

    /// The longest silence allowed.
    pub fn limit(&self) -> Duration {
        Duration::from_millis(self.limit.load(Relaxed).into())
    }

    /// It is the client's turn: the clock stands still until [`resume`](Self::resume).
    pub fn pause(&self) {
        self.wait.store(Wait::None as u8, Relaxed);
    }

    /// The wait goes on, with the limit that it had.
    pub fn resume(&self, wait: Wait) {
        self.wait.store(wait as u8, Relaxed);
    }

    /// What is waited for.
    pub fn wait(&self) -> Wait {
        Wait::of(self.wait.load(Relaxed))
    }

    /// There was activity, or the upstream is not expected to act.
    pub fn moved(&self) {
        let progress = self.progress.load(Relaxed);
        self.progress.store(progress.wrapping_add(1), Relaxed);
    }

    /// One tick: compares the activity with the past one. Returns whether the time is over now; it
    /// does not run while the client `holds_up` the exchange.
    pub fn tick(&self, past: &mut Past, now: Instant, holds_up: bool) -> bool {
        if !self.is_over(Wait::None) {
            return false;
        }
        let wait = self.wait();
        let key = (wait, self.progress.load(Relaxed));
        if wait == Wait::None || key != past.key || holds_up {
            past.key = key;
            past.since = now;
            return false;
        }
        let over = now - past.since >= self.limit();
        if over {
            self.over.store(wait as u8, Relaxed);
        }
        over
    }
}

/// The activity as the last tick saw it. Owned by the tick alone.
#[derive(Debug)]
pub struct Past {
    key: (Wait, u32),
    since: Instant,
}

impl Past {
    /// Nothing was seen before `now`.
    pub fn new(now: Instant) -> Past {
        Past {
            key: (Wait::None, 0),
            since: now,
        }
    }

    /// Leaves a span out of account.
    pub fn forgive(&mut self, span: Duration) {
        self.since += span;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The second at which the time was over, within 20.
    fn run(clock: &Clock, mut between: impl FnMut() -> bool) -> Option<u32> {
        let start = Instant::now();
        let mut past = Past::new(start);
        (1..=20).find(|second| {
            let holds_up = between();
            clock.tick(&mut past, start + SECOND * *second, holds_up)
        })
    }

    #[test]
    fn silence_is_limited_and_what_moves_or_is_held_up_is_not_silent() {
        let clock = Clock::default();
        assert_eq!(run(&clock, || false), None, "nothing is waited for");
        clock.start(Wait::Body, SECOND * 7);
        let moves = || {
            clock.moved();
            false
        };
        assert_eq!(run(&clock, moves), None);
        assert_eq!(run(&clock, || true), None);
        assert_eq!(run(&clock, || false), Some(8));
        assert!(clock.is_over(Wait::Body));
        assert_eq!(run(&clock, || false), None, "it is over once");
        clock.reset();
        assert!(clock.is_over(Wait::None));
    }

    #[test]
    fn the_word_for_the_body_ends_once() {
        let clock = Clock::default();
        assert!(clock.end_continue());
        assert!(!clock.end_continue());
        assert!(clock.take_continue());
        assert!(!clock.take_continue());
    }
}
