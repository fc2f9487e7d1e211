//! Whether an endpoint can be used, judged by its requests: connects that failed or hang, and
//! answers that did not come. Shared by all workers; the atomics are relaxed, since
//! they guide a choice and guard no memory.
//!
//! Which endpoint is chosen, and what is said about a failure, is decided elsewhere.

use std::cell::Cell;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// So many answer time-outs in a row, with nothing heard of the endpoint during any of them,
/// are a failure. One can be a slow page.
const UNANSWERED: u32 = 3;

thread_local! {
    /// [`clock_ms`] at the worker's last tick: precise enough for when an answer came.
    static TICKED: Cell<u64> = const { Cell::new(0) };
}

/// An endpoint's health.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// 0: in order. Otherwise the endpoint is a last resort until this [`clock_ms`]; after
    /// it, one trial is due.
    avoid_until: AtomicU64,
    /// It has failed, and has not been found sound since.
    failed: AtomicBool,
    /// Answer time-outs in a row.
    unanswered: AtomicU32,
    /// When something of an answer last came, as the worker's tick knows the time.
    heard: AtomicU64,
    /// Goes up whenever connections that were kept until then are not to be trusted.
    age: AtomicU32,
}

impl Health {
    /// False while it counts as failed, or a connect to it hangs, and no trial is due.
    pub fn is_usable(&self) -> bool {
        match self.avoid_until.load(Relaxed) {
            0 => true,
            until => until <= clock_ms(),
        }
    }

    /// Whether it has failed: true until it is found sound, trials included, so that what is
    /// looked at now and then does not flicker with them.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Relaxed)
    }

    /// The age that kept connections must have.
    pub fn age(&self) -> u32 {
        self.age.load(Relaxed)
    }

    /// Takes the endpoint for use. After a failure only one caller gets the trial, the
    /// others see the endpoint as failed until that one has reported: an address that
    /// swallows packets must not hold every request for a connect timeout.
    pub fn claim(&self, retry_after: Duration) -> bool {
        let until = self.avoid_until.load(Relaxed);
        if until == 0 {
            return true;
        }
        let now = clock_ms();
        until <= now && self.avoid(until, now + whole_ms(retry_after))
    }

    /// A connect hangs. True for the one caller that waits on; for `rest`, until it has
    /// reported, the endpoint is a last resort for the others.
    pub fn suspect(&self, rest: Duration) -> bool {
        self.avoid(0, clock_ms() + whole_ms(rest))
    }

    fn avoid(&self, from: u64, until: u64) -> bool {
        let avoid = &self.avoid_until;
        avoid
            .compare_exchange(from, until, Relaxed, Relaxed)
            .is_ok()
    }

    /// It is a last resort for this long, and no kept connection is used again. True if it
    /// was in order before.
    pub fn failed(&self, span: Duration) -> bool {
        self.age.fetch_add(1, Relaxed);
        self.avoid_until.store(clock_ms() + whole_ms(span), Relaxed);
        !self.failed.swap(true, Relaxed)
    }

    /// A connect succeeded. That shows an endpoint to be sound unless it failed by silence:
    /// the kernel accepts for a process that hangs. True if it had failed before.
    pub fn connected(&self) -> bool {
        self.unanswered.load(Relaxed) < UNANSWERED && self.recover()
    }

    /// Something of an answer came. True if the endpoint had failed before.
    pub fn heard(&self) -> bool {
        let now = TICKED.get();
        // The plain loads keep the common case from writing to a line that all cores read.
        if self.heard.load(Relaxed) != now {
            self.heard.store(now, Relaxed);
        }
        if self.unanswered.load(Relaxed) != 0 {
            self.unanswered.store(0, Relaxed);
        }
        self.recover()
    }

    fn recover(&self) -> bool {
        if self.avoid_until.load(Relaxed) != 0 {
            self.avoid_until.store(0, Relaxed);
        }
        self.failed.load(Relaxed) && self.failed.swap(false, Relaxed)
    }

    /// Nothing came for `span`. If that is true of every request, the connections that are
    /// kept may lead nowhere: each would cost another wait.
    pub fn fell_silent(&self, span: Duration) -> bool {
        let silent = self.heard.load(Relaxed) + whole_ms(span) <= clock_ms();
        if silent {
            self.age.fetch_add(1, Relaxed);
        }
        silent
    }

    /// No answer began within `limit`. True if the endpoint is to count as failed: a page
    /// that is slow while others answer is not its fault.
    pub fn unanswered(&self, limit: Duration) -> bool {
        self.fell_silent(limit) && self.unanswered.fetch_add(1, Relaxed) + 1 >= UNANSWERED
    }
}

/// Sets the time that this thread's health checks use.
pub(super) fn tick() {
    TICKED.set(clock_ms());
}

/// Milliseconds on a clock that starts with the process, never 0.
fn clock_ms() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    whole_ms(START.elapsed()) + 1
}

fn whole_ms(span: Duration) -> u64 {
    // Half the range, so that adding two of them cannot overflow.
    u64::try_from(span.as_millis())
        .unwrap_or(u64::MAX)
        .min(u64::MAX / 2 - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn one_trial_follows_a_failure() {
        let health = Health::default();
        assert!(health.claim(LONG) && health.claim(LONG));
        assert!(health.failed(Duration::ZERO) && !health.failed(Duration::ZERO));
        assert!(
            health.is_usable(),
            "a retry_after of zero makes a trial due at once"
        );
        assert!(health.claim(LONG), "the trial");
        assert!(!health.claim(LONG), "only one");
        assert!(!health.is_usable());
        assert!(health.connected(), "it had failed");
        assert!(health.is_usable() && health.claim(LONG) && !health.has_failed());
    }

    #[test]
    fn one_waits_for_a_connect_that_hangs() {
        let health = Health::default();
        assert!(health.suspect(LONG) && !health.suspect(LONG));
        assert!(!health.is_usable() && !health.has_failed());
        assert!(!health.connected(), "it never counted as failed");
        assert!(health.is_usable());
    }

    #[test]
    fn silence_fails_only_when_it_repeats_and_only_an_answer_mends_it() {
        let health = Health::default();
        let age = health.age();
        assert!(!health.unanswered(Duration::ZERO), "one may be a slow page");
        assert_ne!(health.age(), age, "but what is kept is not trusted");
        assert!(!health.unanswered(Duration::ZERO));
        health.heard();
        assert!(!health.unanswered(Duration::ZERO), "another answer between");
        assert!(!health.unanswered(Duration::ZERO));
        assert!(health.unanswered(Duration::ZERO));
        health.failed(LONG);
        assert!(!health.connected() && health.has_failed());
        assert!(health.heard() && health.is_usable());
    }

    #[test]
    fn a_page_that_is_slow_while_others_answer_blames_nothing() {
        let health = Health::default();
        tick();
        health.heard();
        let age = health.age();
        for _ in 0..9 {
            assert!(!health.unanswered(LONG));
        }
        assert_eq!(health.age(), age);
    }
}
