//! A new binary takes over: it is started, given the listeners, and once it is ready the
//! tunnels and idle connections. Whatever goes wrong before it says that it is done, this
//! process goes on as if nothing had happened. How things travel is in `handover`.

use std::io;
use std::io::ErrorKind::{BrokenPipe, ConnectionReset, InvalidData, UnexpectedEof};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedReceiver;

use super::Control;
use super::signals::Signals;
use super::stop::{ANSWERS, POLL};
use crate::handover::channel::Channel;
use crate::handover::give::{Given, Giving};
use crate::handover::launch::{NextProcess, Successor};
use crate::handover::protocol::{self, FORMATS, Hello, LISTENERS_ONLY, Message, Offer, Ready};
use crate::logging::structured;
use crate::process::Shared;
use crate::process::order::{Order, Refused, Remaining, UpgradeRequest, Upgraded, millis};
use crate::process::review::Reviewer;
use crate::process::state::Phase;
use crate::supervise::{self, pid_file};
use crate::tunnel::{self, registry};
use crate::worker::site::Workers;

/// How long the new process may take to be ready: names are resolved meanwhile.
const READY: Duration = Duration::from_secs(60);
/// How long this process may take to notice that it has taken over itself.
const MOMENT: Duration = Duration::from_secs(2);
/// How long nobody may accept because the new process, which should, stands still.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often the new process is told what is left here.
const TELL: Duration = Duration::from_secs(1);
/// How often is looked whether it still runs.
const LOOK: Duration = Duration::from_millis(100);

/// How an upgrade ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// This process goes on.
    Refused(Refused),
    /// This process goes on no further than this signal says.
    Interrupted(&'static str, Refused),
    /// The new one has taken over; perhaps this one was told to end besides.
    Replaced(Upgraded, Option<&'static str>),
}

impl Control {
    /// Lets another process take over. Other orders are refused meanwhile.
    pub(super) async fn upgrade(
        &mut self,
        request: &UpgradeRequest,
        signals: &mut Signals,
        orders: &mut UnboundedReceiver<Order>,
    ) -> Outcome {
        let outcome = match self.start_successor(request).await {
            Ok(successor) => self.replace(successor, signals, orders).await,
            Err(refused) => Outcome::Refused(refused),
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

    async fn start_successor(&self, request: &UpgradeRequest) -> Result<Successor, Refused> {
        if std::process::id() == 1 {
            return Err(Refused::new(
                "this is the first process of its container, which ends with it: replace the \
                 container",
            ));
        }
        if !self.has_taken_over().await {
            return Err(Refused::new("this process is still taking over itself"));
        }
        let launch = self.launch.as_ref().ok_or_else(|| {
            Refused::new("only `sluice run` can be upgraded, where it knows its binary")
        })?;
        let (binary, config) = (request.binary.as_deref(), request.config.as_deref());
        launch
            .start(binary, config)
            .map_err(|error| Refused::new(error.to_string()))
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
                let refused = Refused::new(format!("{signal} came before the new process was ready"));
                return Outcome::Interrupted(signal, refused);
            }
            never = refuse_orders(orders) => match never {},
        };
        let ready = match ready {
            Ok(ready) => ready,
            Err(refused) => return Outcome::Refused(refused),
        };
        let pid = ready.pid;
        tracing::info!(pid, version = ready.version, "handing over");
        self.shared.state.enter(Phase::HandingOver);
        self.pause().await;
        let mut giving = Giving::new(self.site.workers().clone(), ready.acknowledges);
        let progress = giving.progress();
        let nothing = ready.format == LISTENERS_ONLY;
        if nothing {
            giving
                .all_stay("the new version has another format for tunnels")
                .await;
        }
        let hurry = AtomicBool::new(nothing);
        let mut told = None;
        let ended = {
            let mut give = std::pin::pin!(giving.give(channel, &hurry));
            let mut look = tokio::time::interval(LOOK);
            let mut accepts = false;
            loop {
                tokio::select! {
                    ended = &mut give => break ended,
                    signal = signals.end() => {
                        told = Some(signal);
                        hurry.store(true, Relaxed);
                    }
                    _ = look.tick() => {
                        let stands = progress.stands_for() > PATIENCE;
                        if stands && !accepts {
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
                    never = refuse_orders(orders) => match never {},
                }
            }
        };
        if let Err(error) = ended {
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
            return match told {
                Some(signal) => Outcome::Interrupted(signal, refused),
                None => Outcome::Refused(refused),
            };
        }
        process.let_go();
        supervise::main_pid(pid);
        self.successor = ready.acknowledges.then_some(successor.channel);
        let given = giving.given();
        let (tunnels, connections) = (given.tunnels, given.connections);
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
        Outcome::Replaced(upgraded, told)
    }

    /// Leaves accepting to the new process.
    async fn pause(&mut self) {
        self.site.pause().await;
        if let Some(admin) = &mut self.admin {
            admin.pause().await;
        }
    }

    /// Accepts, whatever the new process does.
    fn resume(&mut self) {
        self.site.resume();
        if let Some(admin) = &mut self.admin {
            admin.resume();
        }
    }

    /// Introduces this process and its listeners, and waits until the other one accepts.
    async fn wait_ready(
        &self,
        process: &mut NextProcess,
        channel: &mut Channel,
    ) -> Result<Ready, Refused> {
        let pid = process.pid();
        let answer = tokio::select! {
            answer = self.introduce(channel) => answer,
            () = gone(process) => Ok(None),
            () = tokio::time::sleep(READY) => {
                return Err(Refused::new(format!(
                    "the new process {pid} was not ready within {READY:?} and was killed"
                )));
            }
        };
        match answer {
            Ok(Some(Message::Ready(ready))) if ready.pid != pid => Err(Refused::new(format!(
                "process {pid} was started, and {} took over: a script has to `exec` sluice",
                ready.pid
            ))),
            Ok(Some(Message::Ready(ready))) if ready.format > FORMATS.to => Err(Refused::new(
                "the new process speaks a format that this one does not know",
            )),
            Ok(Some(Message::Ready(ready))) => Ok(ready),
            Ok(Some(Message::Failed(failed))) => Err(Refused {
                error: failed.reason,
                details: failed.details,
            }),
            Err(error) if error.kind() == InvalidData => Err(Refused::new(format!(
                "what was started speaks something else: {error}"
            ))),
            Ok(_) | Err(_) => {
                let how = how_ended(process).await;
                Err(Refused::new(format!("{how} before it was ready")))
            }
        }
    }

    async fn introduce(&self, channel: &mut Channel) -> io::Result<Option<Message>> {
        let hello = Hello {
            formats: FORMATS,
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            next_tunnel_id: tunnel::next_id(),
            generation: self.shared.snapshot.load().generation,
            drains: self.shared.state.drains().in_force(),
            acknowledges: true,
        };
        let offered = self.offer_listeners(channel, hello).await;
        // A process that fails early does not read, but it has said why.
        match protocol::receive(channel).await {
            Ok(Some((message, _))) => Ok(Some(message)),
            Ok(None) => Ok(None),
            Err(error) => Err(offered.err().unwrap_or(error)),
        }
    }

    async fn offer_listeners(&self, channel: &Channel, hello: Hello) -> io::Result<()> {
        protocol::send(channel, Message::Hello(hello), &[]).await?;
        let listening = self.site.listening().iter().map(|one| &one.listener);
        for listener in listening.chain(self.site.unused()) {
            let offer = Offer::of(listener);
            protocol::send(channel, Message::Listener(offer), &[listener.as_fd()]).await?;
        }
        if let Some(admin) = &self.admin {
            let listener = admin.listener();
            let offer = Offer::of(listener);
            protocol::send(channel, Message::Admin(offer), &[listener.as_fd()]).await?;
        }
        protocol::send(channel, Message::EndOfListeners, &[]).await
    }

    /// The new process may have put its id there already.
    fn reclaim_pid_file(&self) {
        if let Some(path) = &self.pid_file
            && let Err(error) = pid_file::reclaim(path)
        {
            tracing::error!(%error, "the PID file names a process that is gone");
        }
    }

    /// The end behind a hand-over: exchanges finish, what stayed is drained.
    pub(super) async fn leave(
        mut self,
        signal: Option<&'static str>,
        signals: &mut Signals,
    ) -> ExitCode {
        self.shared.state.enter(Phase::Draining);
        for listening in self.site.listening() {
            listening.listener.leave_file();
        }
        if let Some(admin) = &self.admin {
            admin.listener().leave_file();
        }
        self.site.close().await;
        let snapshot = self.shared.snapshot.load_full();
        let hurried = snapshot
            .drain
            .deadline
            .min(snapshot.config.upgrade.deadline);
        let parting = Parting {
            deadline: Instant::now()
                + match signal {
                    Some(_) => hurried,
                    None => snapshot.config.upgrade.deadline,
                },
            hurried,
            signals: u8::from(signal.is_some()),
            stops: 0,
        };
        let mut channel = self.successor.take();
        if let Some(way) = &channel
            && self.say_what_is_left(way, parting.deadline).await.is_err()
        {
            channel = None;
        }
        if let Some(admin) = self.admin.take() {
            // Who follows events is to follow those of the new process.
            admin.close(ANSWERS).await;
        }
        self.drain_workers(&snapshot.drain).await;
        let deadline = self.part(parting, channel, signals).await;
        self.finish(deadline, signals).await
    }

    /// Waits for the end of what is left, for the deadline, or to be told twice to end, by a
    /// signal or by the new process; the first time shortens the wait. Gives the deadline.
    async fn part(
        &mut self,
        mut parting: Parting,
        mut channel: Option<Channel>,
        signals: &mut Signals,
    ) -> Instant {
        let mut tell = tokio::time::interval(TELL);
        while !self.has_ended() && Instant::now() < parting.deadline {
            let before = parting.signals + parting.stops;
            tokio::select! {
                _ = signals.end() => parting.signals += 1,
                heard = hear(&mut channel) => match heard {
                    Some(Message::Stop) => parting.stops += 1,
                    Some(Message::Drain(request)) => {
                        // What is gone from this process's configuration is drained anyway.
                        let _ = self.drain(request.clone()).await;
                        self.shared.state.predecessor().tell(Message::Drain(request));
                    }
                    Some(_) => {}
                    None => channel = None,
                },
                _ = tell.tick() => {
                    if let Some(way) = &channel
                        && self.say_what_is_left(way, parting.deadline).await.is_err()
                    {
                        channel = None;
                    }
                }
                () = tokio::time::sleep(POLL) => {}
            };
            if parting.signals + parting.stops > before {
                self.shared.state.predecessor().tell(Message::Stop);
                let within = parting.hurried;
                tracing::info!(?within, "this process was told to end, too");
                parting.deadline = parting.deadline.min(Instant::now() + within);
                if parting.signals.max(parting.stops) > 1 {
                    return Instant::now();
                }
            }
        }
        parting.deadline
    }

    async fn say_what_is_left(&self, channel: &Channel, deadline: Instant) -> io::Result<()> {
        let tunnels = self.site.workers().ask(|| registry::count).await;
        let left = Remaining {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            connections: self.connections() as u64,
            tunnels: tunnels.iter().map(|count| *count as u64).sum(),
            ends_in_ms: millis(deadline.saturating_duration_since(Instant::now())),
            predecessors: self.shared.state.predecessor().nested(),
        };
        protocol::send(channel, Message::Left(left), &[]).await
    }
}

/// How long this process stays after the hand-over.
struct Parting {
    deadline: Instant,
    /// From being told to end.
    hurried: Duration,
    /// How often it was told to end by a signal, and by the new process: the same wish may
    /// come in both ways.
    signals: u8,
    stops: u8,
}

/// What the new process says; `None`: it will say nothing more.
async fn hear(channel: &mut Option<Channel>) -> Option<Message> {
    match channel {
        Some(channel) => Some(protocol::receive(channel).await.ok()??.0),
        None => std::future::pending().await,
    }
}

/// Returns when the process has ended, and its last words have had time to be heard.
async fn gone(process: &mut NextProcess) {
    while process.has_ended().is_none() {
        tokio::time::sleep(LOOK).await;
    }
    tokio::time::sleep(LOOK).await;
}

async fn how_ended(process: &mut NextProcess) -> String {
    let pid = process.pid();
    match process.wait().await {
        Some(status) => format!("the new process {pid} ended with {status}"),
        None => format!("the new process {pid} closed its standard input"),
    }
}

fn broken_off(how: &str, given: &Given) -> Refused {
    let (tunnels, connections) = (given.tunnels, given.connections);
    let lost = match (tunnels, connections) {
        (0, 0) => "nothing that was handed over is lost".to_owned(),
        _ => format!("lost with it: {tunnels} tunnels and {connections} idle connections"),
    };
    Refused::new(format!("{how} before it had taken over; {lost}"))
}

/// Nothing is changed while another process takes over.
async fn refuse_orders(orders: &mut UnboundedReceiver<Order>) -> std::convert::Infallible {
    loop {
        let refused = Refused::new("an upgrade is under way");
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
            Some(Order::Upgrade(_, answer)) => {
                let _ = answer.send(Err(refused));
            }
            None => std::future::pending().await,
        }
    }
}

/// Tells tunnels that came from another process what this one's configuration means for
/// them.
pub async fn review_adopted(shared: &Arc<Shared>, workers: &Workers) {
    let snapshot = shared.snapshot.load_full();
    let reviewer = Arc::new(Reviewer::new(None, &snapshot));
    workers
        .ask(|| {
            let reviewer = reviewer.clone();
            move || registry::review(Instant::now(), &|tunnel| reviewer.judge(tunnel))
        })
        .await;
    let mut drains = shared.state.drains();
    for drain in reviewer.drains() {
        drains.note_reload(snapshot.generation, drain.clone());
    }
}
