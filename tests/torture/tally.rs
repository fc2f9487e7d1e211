//! What the load has seen: counts, and every failure with its moment, so that the proxies'
//! events around it can be shown.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::support::process::Line;

/// Failures that are shown in full.
const SHOWN: usize = 12;
/// Events of the proxies this long before and behind a failure are shown with it.
const AROUND: Duration = Duration::from_millis(400);

/// One count.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    pub fn add(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Shared by all of the load.
#[derive(Debug, Default)]
pub struct Tally {
    /// Tunnels that had to survive, opened and ended as they should.
    pub survivors: Count,
    pub survived: Count,
    /// Tunnels on routes and endpoints that come and go, and what became of them.
    pub doomed: Count,
    pub restarted: Count,
    pub left: Count,
    /// Handshakes that found their route removed already.
    pub too_late: Count,
    pub sent: Count,
    pub received: Count,
    pub requests: Count,
    pub connections: Count,
    failures: Mutex<Vec<(Instant, String)>>,
}

impl Tally {
    /// Notes a failure.
    pub fn fail(&self, what: String) {
        self.failures.lock().unwrap().push((Instant::now(), what));
    }

    pub fn failed(&self) -> usize {
        self.failures.lock().unwrap().len()
    }

    /// Messages sent and not yet received.
    pub fn in_flight(&self) -> u64 {
        let received = self.received.get();
        self.sent.get().saturating_sub(received)
    }

    /// Fails the test if anything of the load failed.
    pub fn verify(&self, lines: &[Line], access: &str) {
        let failures = self.failures.lock().unwrap();
        let Some((first, _)) = failures.first() else {
            return;
        };
        let mut report = format!("{} failures\n", failures.len());
        for (at, what) in failures.iter().take(SHOWN) {
            let since = at.duration_since(*first);
            let _ = writeln!(report, "\n* {what} ({since:?} behind the first)");
            for line in lines {
                let behind = line.at > *at;
                let span = line.at.max(*at) - line.at.min(*at);
                if span < AROUND {
                    let sign = if behind { '+' } else { '-' };
                    let _ = writeln!(report, "    {sign}{span:?} {}", line.text);
                }
            }
            let path = what.split_whitespace().find(|word| word.starts_with('/'));
            if let Some(path) = path {
                let path = format!("\"{path}\"");
                for record in access.lines().filter(|record| record.contains(&path)) {
                    let _ = writeln!(report, "    {record}");
                }
            }
        }
        panic!("{report}");
    }
}
