//! The end: readiness is given up, accepting stops, exchanges finish, tunnels are drained,
//! what is left at the deadline is cut.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::control::Control;
use super::signals::Signals;
use crate::config::DrainConfig;
use crate::events::{self, DrainState, Event};
use crate::h1::connections;
use crate::logging::{self, structured};
use crate::metrics;
use crate::process::predecessor::PassedOn;
use crate::process::state::Phase;
use crate::supervise::notify;
use crate::tunnel_registry::{self, Cut, DrainOrder, Selection};
use crate::upstream::pool;
use crate::vocabulary::span::millis;

/// Exit code when tunnels or exchanges had to be cut.
pub const EXIT_CUT: u8 = 3;

/// How often a drain looks whether it is done.
pub(super) const POLL: Duration = Duration::from_millis(20);
/// How long answers of the admin interface may take.
pub(super) const ANSWERS: Duration = Duration::from_secs(1);
/// How long everything may take together that follows the last connection or its cut: it comes
/// after `drain.deadline`.
const LAST: Duration = Duration::from_secs(2);
/// How much of that cut connections may take to be gone.
const CUT: Duration = Duration::from_millis(500);
/// How much of that is kept for the last event.
const LAST_EVENT: Duration = Duration::from_millis(500);
/// What the steps in between may take on a busy machine.
const MARGIN: Duration = Duration::from_secs(2);

impl Control {
    /// Drains, and says how it went. A second signal cuts.
    pub(super) async fn stop(mut self, signal: &str, signals: &mut Signals) -> ExitCode {
        let drain = self.shared.snapshot.load().drain.clone();
        self.shared.state.enter(Phase::Draining);
        self.shared.state.predecessor().tell(PassedOn::Stop);
        let within = drain.delay + drain.deadline + LAST + MARGIN;
        notify::stopping("Draining", within);
        if !drain.delay.is_zero() {
            tracing::info!(
                signal,
                delay_ms = millis(drain.delay),
                "not ready any more; still accepting; a second Ctrl-C or SIGTERM ends the delay"
            );
            tokio::select! {
                again = signals.end() => tracing::info!("{} ends the delay", second(again)),
                () = tokio::time::sleep(drain.delay) => {}
            }
        }
        let open = self.connections();
        let deadline = Instant::now() + drain.deadline;
        self.listeners.close().await;
        self.drain_workers(&drain).await;
        tracing::info!(
            signal,
            open,
            over_ms = millis(drain.over),
            deadline_ms = millis(drain.deadline),
            "draining; a second Ctrl-C or SIGTERM cuts what is left"
        );
        self.finish(deadline, Cut::Drain, signals).await
    }

    /// Connections close after their exchange, tunnels over the span; new ones are refused.
    pub(super) async fn drain_workers(&self, drain: &DrainConfig) {
        let order = DrainOrder::from_config(drain, Selection::All, Instant::now());
        // Once every worker has answered, no connection can be added any more.
        self.listeners
            .workers()
            .ask(|| {
                let order = order.clone();
                move || {
                    connections::drain();
                    pool::clear();
                    tunnel_registry::drain(&order, Instant::now());
                }
            })
            .await;
        events::publish(Event::Drain(events::Drain {
            time: events::now(),
            target: "everything, as sluice ends".to_owned(),
            state: DrainState::Begun,
            tunnels: order.progress.total(),
            over_ms: millis(drain.over),
        }));
    }

    /// Waits for the last connection, cuts at the deadline, which is this rule, or at a signal, and
    /// ends the workers.
    pub(super) async fn finish(
        mut self,
        deadline: Instant,
        rule: Cut,
        signals: &mut Signals,
    ) -> ExitCode {
        let cut = self.wait_or_cut(deadline, rule, signals).await;
        let end = Instant::now() + LAST;
        if cut.is_some() {
            self.wait_for_none(Instant::now() + CUT).await;
        }
        if let Some(admin) = self.admin.take() {
            admin.close(ANSWERS.min(left(end - LAST_EVENT))).await;
        }
        self.listeners.workers().stop();
        self.flush(end - LAST_EVENT);
        let totals = metrics::totals();
        let cut = cut.unwrap_or(0);
        tracing::info!(totals = structured(&totals), cut, "stopped");
        logging::flush(left(end));
        if cut == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(EXIT_CUT)
        }
    }

    /// Returns when nothing is left; or how many connections were cut, at the deadline or a
    /// signal.
    async fn wait_or_cut(
        &self,
        deadline: Instant,
        rule: Cut,
        signals: &mut Signals,
    ) -> Option<usize> {
        while !self.has_ended() {
            let reason = tokio::select! {
                signal = signals.end() => Some((second(signal), Cut::Signal)),
                () = tokio::time::sleep(POLL) => {
                    (Instant::now() >= deadline).then(|| ("deadline".to_owned(), rule))
                }
            };
            if let Some((reason, why)) = reason {
                let cut = self.connections();
                self.shared.state.predecessor().tell(PassedOn::Stop);
                tracing::warn!(reason, cut, "what has not ended is cut");
                self.listeners.workers().each(|| {
                    move || {
                        connections::cut(why);
                        tunnel_registry::cut_all(why);
                    }
                });
                return Some(cut);
            }
        }
        None
    }

    async fn wait_for_none(&self, until: Instant) {
        while !self.has_ended() && Instant::now() < until {
            tokio::time::sleep(POLL).await;
        }
    }

    /// Writes the access log out and sends the spans, side by side: neither takes the other's
    /// time where it is not taken.
    fn flush(&self, until: Instant) {
        let (log, tracer) = (self.shared.access_log.load(), self.shared.tracer.load());
        std::thread::scope(|scope| {
            let sending = std::thread::Builder::new();
            let sent = sending.spawn_scoped(scope, || tracer.flush(left(until)));
            log.flush(left(until));
            if let Err(error) = sent {
                tracing::debug!(%error, "no thread for the last spans");
            }
        });
    }
}

/// The time until then.
fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

/// What a signal is called that comes after the one that began the end.
fn second(signal: &str) -> String {
    match signal {
        "SIGINT" => "a second Ctrl-C (SIGINT)".to_owned(),
        signal => format!("a second signal ({signal})"),
    }
}
