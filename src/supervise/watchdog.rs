//! The service manager's watchdog: it restarts us when it is not fed. It is fed by the
//! control thread, and only while every worker's clock ticks: a worker that hangs takes its
//! share of the clients with it, however well the others are.

use std::time::{Duration, Instant};

use super::notify;
use crate::tunnel_registry::TICK;
use crate::worker::workers::Workers;

/// The shortest time without a tick that means something: a busy worker ticks late.
const SHORTEST: Duration = TICK.saturating_mul(4);

/// Feeds the watchdog for as long as the runtime that this is called in exists. Does nothing
/// where there is none.
pub fn start(workers: Workers) {
    let variable = |name| std::env::var(name).ok();
    let (usec, pid) = (variable("WATCHDOG_USEC"), variable("WATCHDOG_PID"));
    if let Some(every) = period(usec.as_deref(), pid.as_deref(), std::process::id())
        && notify::is_wanted()
    {
        tokio::spawn(feed(workers, every));
    }
}

/// How often the process with the id `own` feeds it: twice in the time after which the
/// manager restarts it. Without a `WATCHDOG_PID` that is about any process that reads it.
fn period(usec: Option<&str>, pid: Option<&str>, own: u32) -> Option<Duration> {
    let usec: u64 = usec?.parse().ok()?;
    let ours = pid.is_none_or(|pid| pid.parse() == Ok(own));
    (ours && usec > 0).then(|| Duration::from_micros(usec) / 2)
}

async fn feed(workers: Workers, every: Duration) {
    let mut interval = tokio::time::interval(every.max(Duration::from_millis(1)));
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut hanging = false;
    loop {
        interval.tick().await;
        match hangs(&silences(&workers, Instant::now()), every.max(SHORTEST)) {
            None => {
                hanging = false;
                notify::watchdog();
            }
            Some(worker) if !hanging => {
                hanging = true;
                tracing::error!(
                    worker,
                    "a worker hangs: the service manager is not told we live"
                );
            }
            Some(_) => {}
        }
    }
}

/// How long ago each worker ticked.
fn silences(workers: &Workers, now: Instant) -> Vec<Duration> {
    workers.iter().map(|one| one.silence(now)).collect()
}

/// The first worker that was silent for longer than `patience`.
fn hangs(silences: &[Duration], patience: Duration) -> Option<usize> {
    silences.iter().position(|silence| *silence > patience)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc;

    use arc_swap::ArcSwap;

    use super::*;
    use crate::access_log::AccessLog;
    use crate::config::Config;
    use crate::process::Shared;
    use crate::snapshot::Snapshot;
    use crate::worker::Command;

    #[test]
    fn only_our_own_limit_counts() {
        let half = Some(Duration::from_millis(500));
        assert_eq!(period(Some("1000000"), Some("7"), 7), half);
        assert_eq!(period(Some("1000000"), None, 7), half);
        assert_eq!(period(Some("1000000"), Some("8"), 7), None);
        assert_eq!(period(None, Some("7"), 7), None);
        for wrong in ["0", "", "-1", "x"] {
            assert_eq!(period(Some(wrong), Some("7"), 7), None, "{wrong}");
        }
    }

    #[test]
    fn one_silent_worker_is_enough() {
        let patience = Duration::from_secs(5);
        let ok = Duration::from_secs(5);
        let late = Duration::from_millis(5001);
        assert_eq!(hangs(&[ok, ok], patience), None);
        assert_eq!(hangs(&[ok, late, ok], patience), Some(1));
        assert_eq!(hangs(&[], patience), None);
    }

    /// Waits until the workers are judged so.
    fn wait_for(workers: &Workers, wanted: Option<usize>) {
        let give_up = Instant::now() + Duration::from_secs(15);
        while hangs(&silences(workers, Instant::now()), SHORTEST) != wanted {
            assert!(Instant::now() < give_up, "never so: {wanted:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn a_worker_that_is_stuck_is_noticed_until_it_goes_on() {
        let mut config = Config::from_listen_to("127.0.0.1:0", "127.0.0.1:1").unwrap();
        config.log.access = crate::config::AccessLog::Off;
        let access_log = AccessLog::open(&config.log, config.log.format).unwrap();
        let shared = Arc::new(Shared {
            registry: Arc::default(),
            snapshot: ArcSwap::from_pointee(Snapshot::new(Arc::new(config), Default::default())),
            connections: Arc::default(),
            access_log: ArcSwap::from_pointee(access_log),
            tracer: Default::default(),
            state: Default::default(),
        });
        let workers = Workers::start(2, &shared).unwrap();
        wait_for(&workers, None);
        let (release, released) = mpsc::channel::<()>();
        let second = workers.iter().nth(1).unwrap();
        second.tell(Command::Do(Box::new(move || {
            let _ = released.recv();
        })));
        wait_for(&workers, Some(1));
        drop(release);
        wait_for(&workers, None);
        workers.stop();
    }
}
