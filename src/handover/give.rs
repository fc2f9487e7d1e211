//! The old side: offers every tunnel and idle connection that can leave, a window of them at
//! a time, until only what stays is left. An item belongs to this process until the other
//! one is told `Go`, and is put back where it was if that cannot be said.

use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::channel::Channel;
use super::protocol::{self, About, ConnectionItem, Message, Refusal, TunnelItem};
use crate::net::listen::Accepted;
use crate::net::listen::Front;
use crate::proxy::leave;
use crate::proxy::leave::Leaving;
use crate::proxy::live;
use crate::system::lock::lock;
use crate::tunnel::{Export, Parcel, registry};
use crate::worker::Command;
use crate::worker::site::Workers;

/// Items under way at once: twice as many descriptors are in flight, of which the system
/// allows as many as open files.
const WINDOW: usize = 64;
/// How long exchanges may take to leave their connection idle, or make a tunnel of it.
const EXCHANGES: Duration = Duration::from_secs(5);
/// How often is looked for what can leave meanwhile.
const LOOK: Duration = Duration::from_millis(50);
/// How long nothing may come of the other process before it is asked whether it is there.
const SILENCE: Duration = Duration::from_millis(250);
/// How long the other process may be silent when it has something to answer.
const STALL: Duration = Duration::from_secs(10);
/// How long tunnels that were asked already may take to come to rest.
const REST: Duration = Duration::from_secs(2);

/// What was handed over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given {
    /// Tunnels that the other process was given.
    pub tunnels: u64,
    /// Idle connections.
    pub connections: u64,
    /// Tunnels that stay, by reason.
    pub stay: BTreeMap<String, u64>,
}

/// An item that is offered.
#[derive(Debug)]
enum Item {
    Tunnel(Box<Parcel>),
    Connection(live::Guard, Accepted, Front),
}

/// What a worker let go of.
enum Left {
    Tunnel(Export),
    Connection(Leaving),
}

/// Where one worker's tunnels and connections arrive.
#[derive(Debug)]
struct Source {
    tunnels: (UnboundedSender<Export>, UnboundedReceiver<Export>),
    connections: (UnboundedSender<Leaving>, UnboundedReceiver<Leaving>),
    /// Asked, and not arrived yet: tunnels and connections.
    asked: usize,
}

/// A hand-over under way.
#[derive(Debug)]
pub struct Giving {
    workers: Workers,
    sources: Vec<Source>,
    /// What the other process has not answered for, with the worker that it came from.
    offered: HashMap<u64, (usize, Item)>,
    /// What was let go, and has not begun to run there: it could go on here still.
    gone: HashMap<u64, (usize, Item)>,
    /// The other process says when an item begins to run, and echoes.
    acknowledges: bool,
    /// It was asked whether it is there and has not answered.
    asked_for_echo: bool,
    next: u64,
    given: Given,
    /// Idle connections are offered: none was refused yet.
    connections: bool,
    progress: Progress,
    /// When something last arrived from a worker, or nothing was asked for.
    arrived: Instant,
}

/// When the other process last moved, or had nothing to do.
#[derive(Debug, Clone)]
pub struct Progress(Arc<Mutex<Instant>>);

impl Progress {
    fn new() -> Progress {
        Progress(Arc::new(Mutex::new(Instant::now())))
    }

    fn note(&self) {
        *lock(&self.0) = Instant::now();
    }

    /// How long nothing has moved.
    pub fn stands_for(&self) -> Duration {
        lock(&self.0).elapsed()
    }
}

impl Giving {
    /// Nothing is asked for yet; `acknowledges`: as the other process said when it was ready.
    pub fn new(workers: Workers, acknowledges: bool) -> Giving {
        let source = |_| Source {
            tunnels: mpsc::unbounded_channel(),
            connections: mpsc::unbounded_channel(),
            asked: 0,
        };
        Giving {
            sources: workers.iter().map(source).collect(),
            workers,
            offered: HashMap::new(),
            gone: HashMap::new(),
            acknowledges,
            asked_for_echo: false,
            next: 1,
            given: Given::default(),
            connections: true,
            progress: Progress::new(),
            arrived: Instant::now(),
        }
    }

    /// The other process can take nothing; `hurry` is to be set when giving to it.
    pub async fn all_stay(&mut self, why: &str) {
        let tunnels = self.workers.ask(|| registry::count).await;
        let tunnels = tunnels.iter().map(|count| *count as u64).sum();
        if tunnels > 0 {
            self.given.stay.insert(why.to_owned(), tunnels);
        }
    }

    /// What the other process has been given so far.
    pub fn given(&self) -> &Given {
        &self.given
    }

    /// When something last moved.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Gives until only what stays is left, and hears that everything runs. `hurry`: what has
    /// not been asked to leave stays, too.
    ///
    /// # Errors
    /// When the other process broke off; [`Giving::take_back`] has to follow.
    pub async fn give(&mut self, channel: &mut Channel, hurry: &AtomicBool) -> io::Result<()> {
        let began = Instant::now();
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let hurries = hurry.load(Relaxed);
            let late = hurries || began.elapsed() >= EXCHANGES;
            // Before anybody is asked: an exchange that ends in between may leave a tunnel.
            let last = self.under_way() == 0 && (late || self.no_exchange().await);
            if self.under_way() <= WINDOW / 2 && (hurries || !self.ask().await) && last {
                break;
            }
            tokio::select! {
                message = protocol::receive(channel) => self.answer(channel, message?).await?,
                (worker, left) = next(&mut self.sources) => self.offer(channel, worker, left).await?,
                _ = look.tick() => self.check_stall(channel).await?,
            }
        }
        protocol::send(channel, Message::End, &[]).await?;
        self.progress.note();
        let done = async {
            loop {
                match protocol::receive(channel).await? {
                    Some((Message::Done, _)) => return Ok(()),
                    Some((Message::Echo, _)) => {}
                    Some((message, _)) => return Err(unexpected(&message)),
                    None => return Err(io::ErrorKind::UnexpectedEof.into()),
                }
            }
        };
        let done = tokio::time::timeout(STALL, done).await;
        done.unwrap_or_else(|_| Err(stalled()))
    }

    async fn no_exchange(&self) -> bool {
        let counts = self.workers.ask(|| live::count).await;
        counts.iter().all(|count| *count == 0)
    }

    fn under_way(&self) -> usize {
        let asked: usize = self.sources.iter().map(|source| source.asked).sum();
        self.offered.len() + self.gone.len() + asked
    }

    /// Asks every worker for its share of the window. Returns whether somebody leaves.
    async fn ask(&mut self) -> bool {
        let room = WINDOW.saturating_sub(self.under_way());
        let share = room.div_ceil(2 * self.sources.len().max(1)).max(1);
        let mut answers = Vec::with_capacity(self.sources.len());
        for (worker, source) in self.workers.iter().zip(&self.sources) {
            let (answer, answered) = tokio::sync::oneshot::channel();
            let (tunnels, connections) = (source.tunnels.0.clone(), source.connections.0.clone());
            let most = if self.connections { share } else { 0 };
            worker.tell(Command::Do(Box::new(move || {
                let asked = registry::export(share, &tunnels) + leave::export(most, &connections);
                let _ = answer.send(asked);
            })));
            answers.push(answered);
        }
        let mut any = false;
        for (source, answered) in self.sources.iter_mut().zip(answers) {
            let asked = answered.await.unwrap_or(0);
            source.asked += asked;
            any |= asked > 0;
        }
        any
    }

    /// Offers what a worker let go of.
    async fn offer(&mut self, channel: &Channel, worker: usize, left: Left) -> io::Result<()> {
        if self.offered.is_empty() && !self.acknowledges {
            self.progress.note();
        }
        let Some(item) = self.arrived(worker, left) else {
            return Ok(());
        };
        let id = self.next;
        self.next += 1;
        let offered = match &item {
            Item::Tunnel(parcel) => offer_tunnel(channel, id, parcel).await,
            Item::Connection(_, accepted, front) => {
                let message = ConnectionItem::new(id, accepted.peer(), *front);
                let fds = [accepted.as_fd()];
                protocol::send(channel, Message::Connection(message), &fds).await
            }
        };
        self.offered.insert(id, (worker, item));
        match offered {
            // This one cannot be told; the stream is whole.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                self.keep(id, &error.to_string());
                Ok(())
            }
            offered => offered,
        }
    }

    fn arrived(&mut self, worker: usize, left: Left) -> Option<Item> {
        self.arrived = Instant::now();
        if let Some(source) = self.sources.get_mut(worker) {
            source.asked = source.asked.saturating_sub(1);
        }
        match left {
            Left::Tunnel(Export::Parcel(parcel)) => Some(Item::Tunnel(parcel)),
            Left::Tunnel(Export::Stays(id, why)) => {
                tracing::debug!(tunnel = id, why, "a tunnel stays");
                *self.given.stay.entry(why.to_owned()).or_default() += 1;
                None
            }
            Left::Connection(Leaving::Connection {
                fd,
                peer,
                front,
                guard,
            }) => Some(Item::Connection(
                guard,
                Accepted::from_parts(fd, peer),
                front,
            )),
            Left::Connection(Leaving::Busy) => None,
        }
    }

    /// Does what the other process's message asks for.
    async fn answer(
        &mut self,
        channel: &Channel,
        message: Option<(Message, Vec<OwnedFd>)>,
    ) -> io::Result<()> {
        self.progress.note();
        self.asked_for_echo = false;
        match message {
            Some((Message::Taken(About { id }), _)) if self.offered.contains_key(&id) => {
                protocol::send(channel, Message::Go(About { id }), &[]).await?;
                if let Some(gone) = self.offered.remove(&id) {
                    self.gone.insert(id, gone);
                }
                if !self.acknowledges {
                    self.has_begun(id);
                }
                Ok(())
            }
            Some((Message::Begun(About { id }), _)) => {
                self.has_begun(id);
                Ok(())
            }
            Some((Message::Echo, _)) => Ok(()),
            Some((Message::Refused(Refusal { id, why }), _)) if self.offered.contains_key(&id) => {
                self.keep(id, &why);
                Ok(())
            }
            Some((Message::Failed(failed), _)) => Err(io::Error::other(failed.reason)),
            Some((message, _)) => Err(unexpected(&message)),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// An item is the other process's alone.
    fn has_begun(&mut self, id: u64) {
        match self.gone.remove(&id) {
            Some((_, Item::Tunnel(_))) => self.given.tunnels += 1,
            Some((_, Item::Connection(..))) => self.given.connections += 1,
            None => {}
        }
    }

    async fn check_stall(&mut self, channel: &Channel) -> io::Result<()> {
        let silent = self.progress.stands_for();
        if !self.acknowledges && self.under_way() == 0 {
            self.progress.note();
        } else if self.acknowledges && silent > SILENCE && !self.asked_for_echo {
            self.asked_for_echo = true;
            protocol::send(channel, Message::Echo, &[]).await?;
        }
        let asks = self.sources.iter().any(|source| source.asked > 0);
        if silent > STALL && (self.acknowledges || !self.offered.is_empty()) {
            return Err(stalled());
        }
        if !asks {
            self.arrived = Instant::now();
        }
        if self.arrived.elapsed() <= STALL {
            return Ok(());
        }
        tracing::warn!("something that was asked to leave has not answered, and stays");
        for source in &mut self.sources {
            source.asked = 0;
        }
        Ok(())
    }

    /// An offered item goes on here.
    fn keep(&mut self, id: u64, why: &str) {
        if let Some((worker, item)) = self.offered.remove(&id) {
            match &item {
                Item::Tunnel(parcel) => {
                    tracing::warn!(tunnel = parcel.state.id, why, "a tunnel was not taken");
                    *self.given.stay.entry(why.to_owned()).or_default() += 1;
                }
                // It would be idle again at once, and offered again for ever.
                Item::Connection(..) => self.connections = false,
            }
            self.restore(worker, item);
        }
    }

    fn restore(&self, worker: usize, item: Item) {
        let Some(worker) = self.workers.iter().nth(worker) else {
            return;
        };
        worker.tell(match item {
            Item::Connection(guard, accepted, front) => Command::Serve(accepted, front, guard),
            Item::Tunnel(parcel) => Command::Do(Box::new(move || {
                let id = parcel.state.id;
                if let Err(error) = parcel.restore() {
                    tracing::warn!(tunnel = id, %error, "a tunnel that was not taken is lost");
                }
            })),
        });
    }

    /// Lets everything that was not given go on in this process. The other one must have been
    /// killed: it has copies of the descriptors.
    pub async fn take_back(mut self, channel: &mut Channel) -> Given {
        // What it has begun it said before. The end of the stream is its own.
        let last_words = async {
            while let Ok(Some((message, _))) = protocol::receive(channel).await {
                if let Message::Begun(About { id }) = message {
                    self.has_begun(id);
                }
            }
        };
        let is_dead = tokio::time::timeout(REST, last_words).await.is_ok();
        for (id, (worker, item)) in std::mem::take(&mut self.gone) {
            match is_dead {
                true => self.restore(worker, item),
                false => {
                    self.gone.insert(id, (worker, item));
                    self.has_begun(id);
                }
            }
        }
        for (_, (worker, item)) in std::mem::take(&mut self.offered) {
            self.restore(worker, item);
        }
        // What was asked to leave is still on its way.
        let rest = async {
            while self.sources.iter().any(|source| source.asked > 0) {
                let (worker, left) = next(&mut self.sources).await;
                if let Some(item) = self.arrived(worker, left) {
                    self.restore(worker, item);
                }
            }
        };
        if tokio::time::timeout(REST, rest).await.is_err() {
            tracing::warn!("something that was asked to leave has not answered");
        }
        self.workers.ask(|| registry::end_export).await;
        self.given
    }
}

async fn offer_tunnel(channel: &Channel, id: u64, parcel: &Parcel) -> io::Result<()> {
    let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    let state = serde_json::to_string(&parcel.state).map_err(invalid)?;
    let item = TunnelItem {
        id,
        from_client: parcel.spill[0].len(),
        state: RawValue::from_string(state).map_err(invalid)?,
    };
    let fds = [parcel.client.as_fd(), parcel.upstream.as_fd()];
    let message = Message::Tunnel(item, parcel.spill.concat());
    protocol::send(channel, message, &fds).await
}

/// What arrives next, and from which worker. Dropping the future loses nothing.
async fn next(sources: &mut [Source]) -> (usize, Left) {
    poll_fn(|cx| {
        for (worker, source) in sources.iter_mut().enumerate() {
            if let Some(left) = source.poll(cx) {
                return Poll::Ready((worker, left));
            }
        }
        Poll::Pending
    })
    .await
}

impl Source {
    fn poll(&mut self, cx: &mut Context<'_>) -> Option<Left> {
        if let Poll::Ready(Some(export)) = self.tunnels.1.poll_recv(cx) {
            return Some(Left::Tunnel(export));
        }
        if let Poll::Ready(Some(leaving)) = self.connections.1.poll_recv(cx) {
            return Some(Left::Connection(leaving));
        }
        None
    }
}

fn stalled() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the new process does not answer")
}

fn unexpected(message: &Message) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("an unexpected message from the new process: {message:?}"),
    )
}
