//! A new binary takes over: it is started, given the listeners, and once it is ready the
//! tunnels and idle connections. Whatever goes wrong before it says that it is done, this
//! process goes on as if nothing had happened. How things travel is in `handover`; what this
//! process does afterwards, in `parting`.

use std::io;
use std::io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedReceiver;

use super::control::Control;
use super::introduce::how_ended;
use super::signals::Signals;
use crate::handover::channel::Channel;
use crate::handover::contact::Contact;
use crate::handover::give::{Given, Giving};
use crate::handover::launch::{Started, Successor};
use crate::handover::protocol::{LISTENERS_ONLY, Ready};
use crate::logging::structured;
use crate::process::order::{Order, OrderError, UpgradeRequest, Upgraded};
use crate::process::state::Phase;
use crate::supervise::{self, pid_file};
use crate::system::files;

/// How long this process may take to notice that it has taken over itself.
const MOMENT: Duration = Duration::from_secs(2);
/// How long no process may accept because the new one, which should, stands still.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often is looked whether it does.
const LOOK: Duration = Duration::from_millis(100);

/// How an upgrade ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// This process goes on.
    Refused(OrderError),
    /// This process goes on no further than this signal says.
    Interrupted(&'static str, OrderError),
    /// The new one has taken over; perhaps this one was told to end besides. Where that listens
    /// there is a way to it.
    Replaced(Upgraded, Option<&'static str>, Option<Box<Contact>>),
}

impl Control {
    /// Lets another process take over. Other orders are refused meanwhile.
    pub(super) async fn upgrade(
        &mut self,
        request: &UpgradeRequest,
        signals: &mut Signals,
        orders: &mut UnboundedReceiver<Order>,
    ) -> Outcome {
        let started = tokio::select! {
            started = self.start_successor(request) => started.map_err(Outcome::Refused),
            signal = signals.end() => {
                let refused = OrderError::new(format!("{signal} came before the new process was started"));
                Err(Outcome::Interrupted(signal, refused))
            }
            never = refuse_orders(orders) => match never {},
        };
        let outcome = match started {
            Ok(successor) => self.replace(successor, signals, orders).await,
            Err(outcome) => outcome,
        };
        if let Outcome::Refused(refused) | Outcome::Interrupted(_, refused) = &outcome {
            tracing::error!(
                error = refused.error,
                details = refused.details,
                "upgrade refused: this process goes on"
            );
        }
        outcome
    }

    async fn start_successor(&self, request: &UpgradeRequest) -> Result<Successor, OrderError> {
        if std::process::id() == 1 {
            return Err(OrderError::new(
                "this is the first process of its container, which ends with it: replace the \
                 container",
            ));
        }
        if !self.has_taken_over().await {
            return Err(OrderError::new("this process is still taking over itself"));
        }
        let launch = self.launch.clone().ok_or_else(|| {
            OrderError::new("only `sluice run` can be upgraded, where it knows its binary")
        })?;
        let (binary, config) = (request.binary.clone(), request.config.clone());
        let start = move || launch.start(binary.as_deref(), config.as_deref());
        let started = files::apart(start).await.flatten();
        started
            .and_then(Started::successor)
            .map_err(|error| OrderError::new(error.to_string()))
    }

    /// Whether nothing comes from an old process any more. That one says that it is done a
    /// moment before this one knows.
    async fn has_taken_over(&self) -> bool {
        let Some(taking) = &self.taking else {
            return true;
        };
        let give_up = Instant::now() + MOMENT;
        while !taking.is_finished() && Instant::now() < give_up {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        taking.is_finished()
    }

    async fn replace(
        &mut self,
        mut successor: Successor,
        signals: &mut Signals,
        orders: &mut UnboundedReceiver<Order>,
    ) -> Outcome {
        let Successor { process, channel } = &mut successor;
        tracing::info!(pid = process.pid(), "a new process was started");
        let ready = tokio::select! {
            ready = self.wait_ready(process, channel) => ready,
            signal = signals.end() => {
                let refused = OrderError::new(format!("{signal} came before the new process was ready"));
                return Outcome::Interrupted(signal, refused);
            }
            never = refuse_orders(orders) => match never {},
        };
        let ready = match ready {
            Ok(ready) => ready,
            Err(refused) => return Outcome::Refused(refused),
        };
        tracing::info!(pid = ready.pid, version = ready.version, "handing over");
        self.shared.state.enter(Phase::HandingOver);
        self.pause().await;
        let mut giving = Giving::new(self.listeners.workers().clone(), &ready);
        let mut told = None;
        let given = tokio::select! {
            given = self.give(&mut giving, channel, &ready, signals, &mut told) => given,
            never = refuse_orders(orders) => match never {},
        };
        match given {
            Ok(()) => self.replaced(successor, ready, giving, told),
            Err(error) => self.go_on(successor, error, giving, told).await,
        }
    }

    /// Gives what can go. Accepts meanwhile where the new process stands still. `told`: a
    /// signal that asks for the end besides, which hurries.
    async fn give(
        &mut self,
        giving: &mut Giving,
        channel: &mut Channel,
        ready: &Ready,
        signals: &mut Signals,
        told: &mut Option<&'static str>,
    ) -> io::Result<()> {
        let nothing = ready.format == LISTENERS_ONLY;
        if nothing {
            let why = "the new version has another format for tunnels";
            giving.all_stay(why).await;
        }
        if ready.makes_room {
            let clients = if nothing { 0 } else { self.connections() };
            giving.announce(channel, clients as u64).await?;
        }
        let hurry = AtomicBool::new(nothing);
        let progress = giving.progress();
        let mut give = std::pin::pin!(giving.give(channel, &hurry));
        let mut look = tokio::time::interval(LOOK);
        let mut accepts = false;
        loop {
            tokio::select! {
                ended = &mut give => return ended,
                signal = signals.end() => {
                    *told = Some(signal);
                    hurry.store(true, Relaxed);
                }
                _ = look.tick() => {
                    let stands = progress.stands_for() > PATIENCE;
                    if stands && !accepts {
                        let pid = ready.pid;
                        tracing::warn!(
                            pid,
                            "the new process stands still: this one accepts meanwhile"
                        );
                        self.resume();
                    } else if accepts && !stands {
                        self.pause().await;
                    }
                    accepts = stands;
                }
            }
        }
    }

    /// Everything that could go runs in the new process; from now on that is the service.
    fn replaced(
        &self,
        successor: Successor,
        ready: Ready,
        giving: Giving,
        told: Option<&'static str>,
    ) -> Outcome {
        let Successor {
            mut process,
            channel,
        } = successor;
        process.let_go();
        supervise::main_pid(ready.pid);
        let given = giving.given();
        let (pid, tunnels, connections) = (ready.pid, given.tunnels, given.connections);
        tracing::info!(
            pid,
            tunnels,
            connections,
            stay = structured(&given.stay),
            "handed over"
        );
        let upgraded = Upgraded {
            pid,
            version: ready.version,
            tunnels,
            connections,
            stay: given.stay.clone().into_iter().collect(),
        };
        let late = (ready.takes_late && ready.format != LISTENERS_ONLY && told.is_none())
            .then_some(giving);
        let contact = ready
            .acknowledges
            .then(|| Box::new(Contact::new(channel, late)));
        Outcome::Replaced(upgraded, told, contact)
    }

    /// The new process broke off: everything that it has not begun with goes on here.
    async fn go_on(
        &mut self,
        mut successor: Successor,
        error: io::Error,
        giving: Giving,
        told: Option<&'static str>,
    ) -> Outcome {
        let Successor { process, channel } = &mut successor;
        let how = match error.kind() {
            UnexpectedEof | BrokenPipe | ConnectionReset => how_ended(process).await,
            _ => error.to_string(),
        };
        process.kill();
        self.reclaim_pid_file();
        self.resume();
        let given = giving.take_back(channel).await;
        self.shared.state.enter(Phase::Ready);
        let refused = broken_off(&how, &given);
        match told {
            Some(signal) => Outcome::Interrupted(signal, refused),
            None => Outcome::Refused(refused),
        }
    }

    /// Leaves accepting to the new process.
    async fn pause(&mut self) {
        self.listeners.pause().await;
        if let Some(admin) = &mut self.admin {
            admin.pause().await;
        }
    }

    /// Accepts, whatever the new process does.
    fn resume(&mut self) {
        self.listeners.resume();
        if let Some(admin) = &mut self.admin {
            admin.resume();
        }
    }

    /// The new process may have put its id there already.
    fn reclaim_pid_file(&self) {
        if let Some(path) = &self.pid_file
            && let Err(error) = pid_file::reclaim(path)
        {
            tracing::error!(%error, "the PID file names a process that is gone");
        }
    }
}

fn broken_off(how: &str, given: &Given) -> OrderError {
    let (tunnels, connections) = (given.tunnels, given.connections);
    let lost = match (tunnels, connections) {
        (0, 0) => "nothing that was handed over is lost".to_owned(),
        _ => format!("lost with it: {tunnels} tunnels and {connections} idle connections"),
    };
    OrderError::new(format!("{how} before it had taken over; {lost}"))
}

/// Nothing is changed while another process takes over.
async fn refuse_orders(orders: &mut UnboundedReceiver<Order>) -> std::convert::Infallible {
    loop {
        let refused = OrderError::new("an upgrade is under way");
        match orders.recv().await {
            Some(Order::Reload(answer)) => {
                let _ = answer.send(Err(refused));
            }
            Some(Order::Drain(_, answer)) => {
                let _ = answer.send(Err(refused));
            }
            Some(Order::Undrain(_, answer)) => {
                let _ = answer.send(Err(refused));
            }
            Some(Order::SettleDrains(answer)) => {
                let _ = answer.send(Err(refused));
            }
            Some(Order::Upgrade(_, answer)) => {
                let _ = answer.send(Err(refused));
            }
            None => std::future::pending().await,
        }
    }
}
