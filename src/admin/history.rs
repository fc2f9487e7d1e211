//! The last minutes: once a second a task of the control thread asks the workers for their
//! counts and keeps what has changed since. Reading them takes a worker a few cache lines
//! for each tunnel; where it has so many that this would hold it up, it is asked less often,
//! and the seconds in between share what came in them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::time::MissedTickBehavior;

use crate::lock::lock;
use crate::metrics::{self, Figures};
use crate::site::Workers;
use crate::tunnel::registry;

/// Points that are kept: five minutes.
pub const POINTS: usize = 300;

/// Tunnels that a worker looks at in one go each second; for so many more it has a second
/// more.
const AT_ONCE: usize = 10_000;

/// What happened in one second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// Its end, in seconds since 1970.
    pub time: u64,
    /// Requests, handshakes among them.
    pub requests: u64,
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
    figures: Arc<Figures>,
    totals: Totals,
    points: VecDeque<Point>,
}

/// Sums since the start.
#[derive(Debug, Clone, Copy, Default)]
struct Totals {
    /// In the order of [`Point`]'s rates.
    sums: [u64; 8],
    open: u64,
}

impl History {
    /// The counts of the last look.
    pub(super) fn figures(&self) -> Arc<Figures> {
        self.lock().figures.clone()
    }

    /// The points, the oldest first.
    pub(super) fn points(&self) -> Vec<Point> {
        self.lock().points.iter().copied().collect()
    }

    /// Looks for ever.
    pub(super) async fn keep(self: Arc<Self>, workers: Workers) {
        const SECOND: Duration = Duration::from_secs(1);
        let mut clock = tokio::time::interval(SECOND);
        clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
        clock.tick().await;
        let first = look(&workers).await;
        self.lock().begin(first);
        let mut last = Instant::now();
        loop {
            let pause = self.lock().pause();
            for _ in 0..pause {
                clock.tick().await;
            }
            let figures = look(&workers).await;
            let now = Instant::now();
            let seconds = (now - last).as_secs_f64().round().max(1.0) as u64;
            last = now;
            let time = SystemTime::now().duration_since(UNIX_EPOCH);
            self.lock()
                .add(figures, seconds, time.unwrap_or_default().as_secs());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        lock(&self.0)
    }
}

async fn look(workers: &Workers) -> Figures {
    let sample = || {
        registry::observe(Instant::now());
        metrics::sample()
    };
    metrics::figures(workers.ask(|| sample).await)
}

impl Kept {
    fn begin(&mut self, figures: Figures) {
        self.totals = Totals::of(&figures);
        self.figures = Arc::new(figures);
    }

    /// Seconds to the next look.
    fn pause(&self) -> usize {
        let most = self.figures.workers.iter().map(|worker| worker.tunnels);
        1 + most.max().unwrap_or(0) / AT_ONCE
    }

    /// What has changed in so many seconds, shared among them.
    fn add(&mut self, figures: Figures, seconds: u64, time: u64) {
        let before = self.totals;
        self.begin(figures);
        let now = self.totals;
        let seconds = seconds.clamp(1, POINTS as u64);
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
                open: now.open,
            });
        }
    }
}

impl Totals {
    fn of(figures: &Figures) -> Totals {
        let mut totals = Totals::default();
        for route in figures.routes.values() {
            let of_route = [
                route.requests.iter().sum(),
                route.opened,
                route.closed.values().sum(),
                route.refused.values().sum(),
                route.from_client.messages,
                route.from_upstream.messages,
                route.from_client.bytes,
                route.from_upstream.bytes,
            ];
            for (sum, count) in totals.sums.iter_mut().zip(of_route) {
                *sum = sum.wrapping_add(count);
            }
            totals.open += route.open;
        }
        totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::RouteFigures;

    fn figures(opened: u64) -> Figures {
        let route = RouteFigures {
            opened,
            ..RouteFigures::default()
        };
        Figures {
            routes: [("chat".into(), route)].into(),
            workers: Vec::new(),
        }
    }

    #[test]
    fn seconds_without_a_look_share_what_came_in_them() {
        let mut kept = Kept::default();
        kept.begin(figures(100));
        kept.add(figures(107), 3, 1000);
        let opened: Vec<_> = kept.points.iter().map(|p| (p.time, p.opened)).collect();
        assert_eq!(opened, [(998, 3), (999, 2), (1000, 2)]);
        kept.add(figures(50), 1, 1001);
        assert_eq!(kept.points[3].opened, 0, "a route was forgotten");
    }

    #[test]
    fn five_minutes_are_kept() {
        let mut kept = Kept::default();
        for second in 0..400 {
            kept.add(figures(second), 1, second);
        }
        assert_eq!(kept.points.len(), POINTS);
        assert_eq!(kept.points[0].time, 100);
        kept.add(figures(1000), u64::MAX, 5);
        assert_eq!(kept.points.len(), POINTS);
    }
}
