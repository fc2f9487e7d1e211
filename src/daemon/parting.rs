//! The end after a hand-over: the new process serves, what its exchanges have kept goes there
//! late, and what stayed is drained.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::control::Control;
use super::signals::{Signals, Wish, pass_on};
use super::stop::{ANSWERS, POLL};
use crate::handover::contact::{Contact, Followed};
use crate::process::order::{Remaining, millis};
use crate::process::predecessor::PassedOn;
use crate::process::state::Phase;
use crate::snapshot::Snapshot;
use crate::tunnel_registry::{self, Cut, DrainOrder, Review, Selection};
use crate::upstream::pool;

/// How often the new process is told what is left here.
const TELL: Duration = Duration::from_secs(1);

/// What this process does until its end.
struct Parting {
    snapshot: Arc<Snapshot>,
    /// The id of the new process.
    successor: u32,
    /// The way to the new process, while that listens.
    contact: Option<Box<Contact>>,
    /// When what is left is cut, and what rule that is.
    deadline: Instant,
    rule: Cut,
    /// That, from being told to end.
    hurried: Duration,
    /// Tunnels that the new process cannot take.
    staying: Arc<DrainOrder>,
    /// Nothing is handed over any more, and everything is drained.
    drains: bool,
    /// How often it was told to end by a signal, and by the new process: the same wish may
    /// come in both ways.
    signals: u8,
    stops: u8,
}

impl Parting {
    fn new(
        snapshot: Arc<Snapshot>,
        successor: u32,
        contact: Option<Box<Contact>>,
        told: bool,
    ) -> Parting {
        let (drain, whole) = (&snapshot.drain, snapshot.config.upgrade.deadline);
        let hurried = drain.deadline.min(whole);
        let now = Instant::now();
        Parting {
            successor,
            contact,
            deadline: now + if told { hurried } else { whole },
            rule: match told && drain.deadline < whole {
                true => Cut::Drain,
                false => Cut::Upgrade,
            },
            hurried,
            staying: DrainOrder::from_config(drain, Selection::Chosen, now),
            drains: false,
            signals: u8::from(told),
            stops: 0,
            snapshot,
        }
    }

    fn is_hurried(&self) -> bool {
        self.signals + self.stops > 0
    }
}

impl Control {
    /// Finishes what is left here, and says how that went. `pid`: of the process that has taken
    /// over; `signal`: this one was told to end.
    pub(super) async fn part(
        mut self,
        pid: u32,
        signal: Option<&'static str>,
        contact: Option<Box<Contact>>,
        signals: &mut Signals,
    ) -> ExitCode {
        self.shared.state.enter(Phase::Draining);
        for listening in self.listeners.listening() {
            listening.listener.leave_file();
        }
        if let Some(admin) = &self.admin {
            admin.listener().leave_file();
        }
        self.listeners.close().await;
        let snapshot = self.shared.snapshot.load_full();
        let mut parting = Parting::new(snapshot, pid, contact, signal.is_some());
        self.tell_left(&mut parting).await;
        let goes_on = parting
            .contact
            .as_mut()
            .is_some_and(|contact| contact.go_on());
        if goes_on && !parting.is_hurried() {
            self.listeners.workers().each(|| pool::clear);
        } else {
            self.drain_all(&mut parting).await;
        }
        if let Some(admin) = self.admin.take() {
            // Those who follow events are to follow those of the new process.
            admin.close(ANSWERS).await;
        }
        self.wait_for_end(&mut parting, signals).await;
        if let Some(contact) = parting.contact.take() {
            contact.part().await;
        }
        self.drain_all(&mut parting).await;
        let (deadline, rule) = (parting.deadline, parting.rule);
        self.finish(deadline, rule, signals).await
    }

    /// Waits for the end of what is left, for the deadline, or to be told twice to end, by a
    /// signal or by the new process; the first time shortens the wait.
    async fn wait_for_end(&mut self, parting: &mut Parting, signals: &mut Signals) {
        let mut tell = tokio::time::interval(TELL);
        while !self.has_ended() && Instant::now() < parting.deadline {
            let event = tokio::select! {
                wish = signals.next() => {
                    self.heed(wish, parting).await;
                    continue;
                }
                event = next(&mut parting.contact) => event,
                _ = tell.tick() => {
                    self.tell_left(parting).await;
                    continue;
                }
                () = tokio::time::sleep(POLL) => continue,
            };
            let Some(contact) = &mut parting.contact else {
                continue;
            };
            match contact.handle(event).await {
                Followed::Nothing => self.drain_staying(parting),
                Followed::Told(PassedOn::Stop) => {
                    parting.stops += 1;
                    self.hurry(parting).await;
                }
                Followed::Told(PassedOn::Drain(request)) => {
                    // What is gone from this process's configuration is drained anyway.
                    let _ = self.drain(request.clone()).await;
                    let predecessor = self.shared.state.predecessor();
                    predecessor.tell(PassedOn::Drain(request));
                }
                Followed::Over => {
                    parting.contact = None;
                    self.drain_all(parting).await;
                }
            }
        }
    }

    /// A signal may be meant for the process that serves.
    async fn heed(&mut self, wish: Wish, parting: &mut Parting) {
        match wish {
            Wish::End(_) => {
                parting.signals += 1;
                self.hurry(parting).await;
            }
            Wish::Reload => pass_on(Signal::HUP, parting.successor),
            Wish::Reopen => pass_on(Signal::USR1, parting.successor),
            Wish::Upgrade => {
                tracing::warn!(wish = wish.name(), "ignored: this process was replaced");
            }
        }
    }

    /// It was told to end: once more, and what is left is cut.
    async fn hurry(&mut self, parting: &mut Parting) {
        self.shared.state.predecessor().tell(PassedOn::Stop);
        let now = Instant::now();
        if parting.signals.max(parting.stops) > 1 {
            (parting.deadline, parting.rule) = (now, Cut::Signal);
            return;
        }
        let within = parting.hurried;
        tracing::info!(?within, "this process was told to end, too");
        if now + within < parting.deadline {
            (parting.deadline, parting.rule) = (now + within, Cut::Drain);
        }
        self.drain_all(parting).await;
    }

    /// Connections close after their exchange, and every tunnel is drained.
    async fn drain_all(&self, parting: &mut Parting) {
        if !std::mem::replace(&mut parting.drains, true) {
            self.drain_workers(&parting.snapshot.drain).await;
        }
    }

    /// Drains the tunnels that were found to stay since it was last called.
    fn drain_staying(&self, parting: &mut Parting) {
        let staying = parting
            .contact
            .as_mut()
            .map(|contact| contact.take_staying());
        let Some(staying) = staying.filter(|tunnels| !tunnels.is_empty()) else {
            return;
        };
        let staying: Arc<[u64]> = staying.into();
        self.listeners.workers().each(|| {
            let (staying, order) = (staying.clone(), parting.staying.clone());
            move || {
                tunnel_registry::review(
                    Instant::now(),
                    &|tunnel| match staying.contains(&tunnel.id) {
                        true => Review::Drain(order.clone()),
                        false => Review::Keep,
                    },
                );
            }
        });
    }

    async fn tell_left(&self, parting: &mut Parting) {
        let Some(contact) = &mut parting.contact else {
            return;
        };
        let tunnels = self
            .listeners
            .workers()
            .ask(|| tunnel_registry::count)
            .await;
        let left = Remaining {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            connections: self.connections() as u64,
            tunnels: tunnels.iter().map(|count| *count as u64).sum(),
            ends_in_ms: millis(parting.deadline.saturating_duration_since(Instant::now())),
            predecessors: self.shared.state.predecessor().nested(),
        };
        if !contact.tell_left(left).await
            && let Some(contact) = parting.contact.take()
        {
            contact.part().await;
            self.drain_all(parting).await;
        }
    }
}

/// What happens between this process and the new one; nothing any more without a way to it.
async fn next(contact: &mut Option<Box<Contact>>) -> crate::handover::contact::Event {
    match contact {
        Some(contact) => contact.next().await,
        None => std::future::pending().await,
    }
}
