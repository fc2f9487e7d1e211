//! Waiting without waste, for what comes back as long as the process lives. The runtime's own
//! timers wake a thread two or three times for one that is more than 64 ms away: where its slot of
//! the timer wheel begins, when it is due, and once more to take note of the next one.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Interval, MissedTickBehavior, interval_at};

/// A timer of the kernel's, for a thread that waits for it again and again: one wake-up each time.
#[derive(Debug)]
pub struct Alarm(AsyncFd<OwnedFd>);

impl Alarm {
    /// To be called inside the runtime that waits.
    ///
    /// # Errors
    /// Where there is no descriptor for it.
    #[expect(
        deprecated,
        reason = "an `OwnedFd` has the same descriptor all its life, which is what safety asks for"
    )]
    pub fn new() -> io::Result<Alarm> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        AsyncFd::with_interest(timer, Interest::READABLE).map(Alarm)
    }

    /// Waits for so long at least.
    pub async fn after(&mut self, span: Duration) {
        let due = Instant::now() + span;
        let set = Itimerspec {
            it_interval: timespec(Duration::ZERO),
            // Zero would switch it off.
            it_value: timespec(span.max(Duration::from_nanos(1))),
        };
        // To set it takes back what an earlier wait has left, so that nothing is to be read.
        if timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &set).is_err() {
            return tokio::time::sleep_until(due.into()).await;
        }
        while let Ok(mut ready) = self.0.readable().await {
            ready.clear_ready();
            if Instant::now() >= due {
                return;
            }
        }
        tokio::time::sleep_until(due.into()).await;
    }
}

fn timespec(span: Duration) -> Timespec {
    Timespec {
        tv_sec: span.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: span.subsec_nanos().into(),
    }
}

/// Whole seconds of the process: what is done every second is done at the same moment, so that
/// its thread is woken once for all of it.
pub fn seconds() -> Interval {
    const SECOND: Duration = Duration::from_secs(1);
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    let next = *BEGAN + Duration::from_secs(BEGAN.elapsed().as_secs() + 1);
    let mut seconds = interval_at(next.into(), SECOND);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    seconds
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Duration = Duration::from_millis(10);

    #[tokio::test]
    async fn it_comes_again_and_again_and_never_early() {
        let mut alarm = Alarm::new().expect("a descriptor");
        for span in [0, 1, 30, 0, 5, 80, 1] {
            let (began, span) = (Instant::now(), Duration::from_millis(span));
            alarm.after(span).await;
            assert!(began.elapsed() >= span);
        }
        // One that is not waited for leaves nothing behind.
        let once = tokio::time::timeout(Duration::ZERO, alarm.after(TEN)).await;
        assert!(once.is_err(), "it is looked at once");
        tokio::time::sleep(2 * TEN).await;
        let began = Instant::now();
        alarm.after(TEN).await;
        assert!(began.elapsed() >= TEN);
    }

    #[tokio::test]
    async fn seconds_are_the_same_for_all() {
        let mut one = seconds();
        tokio::time::sleep(TEN).await;
        let mut other = seconds();
        let first = one.tick().await;
        let second = other.tick().await;
        let apart = second.duration_since(first).as_millis();
        assert_eq!(apart % 1000, 0);
    }
}
