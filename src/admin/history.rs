//! The last minutes: once a second a task of the control thread reads the counts and keeps what
//! has changed since. Workers are asked only while their tunnels move something, for what that
//! is: nothing visits a tunnel that is silent, and a worker that has only such is not woken.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::http::{self, HttpView};
use crate::exposition;
use crate::exposition::{Figures, RouteFigures, Waits};
use crate::metrics;
use crate::system::alarm;
use crate::system::lock::lock;
use crate::tunnel_registry::{self, AT_ONCE};
use crate::worker::workers::Workers;

/// Points that are kept: five minutes.
pub const POINTS: usize = 300;

/// Seconds that "of late" means.
const RECENT: u64 = 60;

/// Looks that are kept of them.
const BASELINES: usize = 6;

/// What happened in one second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// Its end, in seconds since 1970.
    pub time: u64,
    /// Requests, handshakes among them.
    pub requests: u64,
    /// Those among them that were answered with 4xx.
    #[serde(default)]
    pub client_errors: u64,
    /// Those that were answered with 5xx.
    #[serde(default)]
    pub server_errors: u64,
    /// Microseconds to the first byte that half of the plain answers stayed below; 0: there
    /// was none.
    #[serde(default)]
    pub first_byte_p50_us: u64,
    /// The same for 99 of 100.
    #[serde(default)]
    pub first_byte_p99_us: u64,
    /// Tunnels opened.
    pub opened: u64,
    /// Tunnels that ended.
    pub closed: u64,
    /// Handshakes refused.
    pub refused: u64,
    /// Messages from clients.
    pub messages_in: u64,
    /// Messages from upstreams.
    pub messages_out: u64,
    /// Bytes from clients through tunnels.
    pub bytes_in: u64,
    /// Bytes from upstreams through tunnels.
    pub bytes_out: u64,
    /// Live tunnels at its end.
    pub open: u64,
}

/// What was kept.
#[derive(Debug, Default)]
pub(super) struct History(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    totals: Totals,
    points: VecDeque<Point>,
    /// Looks of the last minute, the oldest first.
    baselines: VecDeque<Baseline>,
}

/// An earlier look.
#[derive(Debug)]
struct Baseline {
    /// In seconds since 1970.
    time: u64,
    /// Of routes that had requests.
    figures: Arc<Figures>,
}

/// Sums since the start.
#[derive(Debug, Clone, Copy, Default)]
struct Totals {
    /// In the order of [`Point`]'s rates.
    sums: [u64; 10],
    first_byte: Waits,
    open: u64,
}

impl History {
    /// Plain HTTP by route.
    pub(super) fn http(&self) -> Vec<HttpView> {
        let earlier = { self.lock() }.earlier();
        let (earlier, seconds) = earlier.unwrap_or_default();
        http::of(&exposition::figures(), &earlier, seconds)
    }

    /// The points, the oldest first.
    pub(super) fn points(&self) -> Vec<Point> {
        self.lock().points.iter().copied().collect()
    }

    /// Looks for ever.
    pub(super) async fn keep(self: Arc<Self>, workers: Workers) {
        let mut clock = alarm::seconds();
        let first = look(&workers).await;
        {
            let mut kept = self.lock();
            kept.totals = first;
            kept.keep_baseline(unix_time());
        }
        let mut last = Instant::now();
        loop {
            clock.tick().await;
            let totals = look(&workers).await;
            let now = Instant::now();
            let seconds = (now - last).as_secs_f64().round().max(1.0) as u64;
            last = now;
            self.lock().add(totals, seconds, unix_time());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        lock(&self.0)
    }
}

fn unix_time() -> u64 {
    let time = SystemTime::now().duration_since(UNIX_EPOCH);
    time.unwrap_or_default().as_secs()
}

async fn look(workers: &Workers) -> Totals {
    if metrics::is_moving() {
        let settle = || tunnel_registry::settle(Instant::now(), AT_ONCE);
        workers.ask(|| settle).await;
    }
    Totals::of(&exposition::sums())
}

impl Kept {
    /// What has changed in so many seconds, shared among them.
    fn add(&mut self, now: Totals, seconds: u64, time: u64) {
        let before = std::mem::replace(&mut self.totals, now);
        let waits = now.first_byte.since(&before.first_byte);
        let wait = |share| waits.quantile(share).unwrap_or(0);
        let seconds = seconds.clamp(1, POINTS as u64);
        self.keep_baseline(time);
        for second in 0..seconds {
            let share = |index: usize| {
                // A route that is forgotten takes its counts with it.
                let change = now.sums[index].saturating_sub(before.sums[index]);
                change / seconds + u64::from(second < change % seconds)
            };
            if self.points.len() >= POINTS {
                self.points.pop_front();
            }
            self.points.push_back(Point {
                time: time - (seconds - 1 - second).min(time),
                requests: share(0),
                opened: share(1),
                closed: share(2),
                refused: share(3),
                messages_in: share(4),
                messages_out: share(5),
                bytes_in: share(6),
                bytes_out: share(7),
                client_errors: share(8),
                server_errors: share(9),
                first_byte_p50_us: wait(0.5),
                first_byte_p99_us: wait(0.99),
                open: now.open,
            });
        }
    }

    /// Keeps a look now and then, to compare later ones with.
    fn keep_baseline(&mut self, time: u64) {
        let due = |last: &Baseline| time >= last.time + RECENT / BASELINES as u64;
        if self.baselines.back().is_none_or(due) {
            if self.baselines.len() > BASELINES {
                self.baselines.pop_front();
            }
            let mut figures = exposition::figures();
            let is_used = |route: &RouteFigures| route.requests.iter().any(|count| *count > 0);
            figures.routes.retain(|_, route| is_used(route));
            let figures = Arc::new(figures);
            self.baselines.push_back(Baseline { time, figures });
        }
    }

    /// The oldest look that is kept, and the seconds since.
    fn earlier(&self) -> Option<(Arc<Figures>, u64)> {
        let Baseline { time, figures } = self.baselines.front()?;
        Some((figures.clone(), unix_time().saturating_sub(*time)))
    }
}

impl Totals {
    fn of(all: &RouteFigures) -> Totals {
        Totals {
            sums: [
                all.requests.iter().sum(),
                all.opened,
                all.closed.values().sum(),
                all.refused.values().sum(),
                all.from_client.messages,
                all.from_upstream.messages,
                all.from_client.bytes,
                all.from_upstream.bytes,
                all.requests[4],
                all.requests[5],
            ],
            first_byte: all.first_byte,
            open: all.open,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(opened: u64) -> Totals {
        Totals::of(&RouteFigures {
            opened,
            ..RouteFigures::default()
        })
    }

    #[test]
    fn seconds_without_a_look_share_what_came_in_them() {
        let mut kept = Kept {
            totals: totals(100),
            ..Kept::default()
        };
        kept.add(totals(107), 3, 1000);
        let opened: Vec<_> = kept.points.iter().map(|p| (p.time, p.opened)).collect();
        assert_eq!(opened, [(998, 3), (999, 2), (1000, 2)]);
        kept.add(totals(50), 1, 1001);
        assert_eq!(kept.points[3].opened, 0, "a route was forgotten");
    }

    #[test]
    fn five_minutes_are_kept() {
        let mut kept = Kept::default();
        for second in 0..400 {
            kept.add(totals(second), 1, second);
        }
        assert_eq!(kept.points.len(), POINTS);
        assert_eq!(kept.points[0].time, 100);
        kept.add(totals(1000), u64::MAX, 5);
        assert_eq!(kept.points.len(), POINTS);
    }
}
