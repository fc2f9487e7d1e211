//! The old side: offers every tunnel and idle connection that can go, a window of them at a
//! time. An item belongs to this process until the other one is told `Go`, and is put back where
//! it was if `Go` cannot be sent.
//!
//! First everything goes that can go now, and the hand-over is over. What an exchange keeps is
//! offered when that has ended, to a process that [takes it](protocol::Ready::takes_late).

mod ending;
mod progress;
mod stall;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

pub use self::progress::Progress;
use super::channel::Channel;
use super::item::Item;
use super::protocol::{self, About, Coming, Message, Ready, Refusal};
use super::source::Sources;
use super::taken::is_end;
use crate::vocabulary::hand_off::HandOff;
use crate::worker::workers::Workers;

/// Items under way at once: twice as many descriptors are in flight, of which the system
/// allows as many as open files.
const WINDOW: usize = 64;
/// How often to look for what can go meanwhile.
const LOOK: Duration = Duration::from_millis(50);
/// How long the other process may be silent before it is asked whether it is there.
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

/// A hand-over under way.
#[derive(Debug)]
pub struct Giving {
    sources: Sources,
    /// Offered and not answered, with the worker that it came from.
    offered: HashMap<u64, (usize, Item)>,
    /// Let go and not yet running there: it could still go on here.
    gone: HashMap<u64, (usize, Item)>,
    /// The other process says when an item begins to run, and echoes.
    acknowledges: bool,
    /// It takes tunnels over TLS.
    takes_tls: bool,
    /// It was asked whether it is there and has not answered.
    asked_for_echo: bool,
    next: u64,
    given: Given,
    /// The numbers of tunnels that stay and were not returned by [`Giving::take_staying`].
    staying: Vec<u64>,
    /// Idle connections are offered: none was refused yet.
    connections: bool,
    /// The end was announced; what comes now is late.
    goes_on: bool,
    progress: Progress,
    /// When something last arrived from a worker, or nothing was asked for.
    arrived: Instant,
}

impl Giving {
    /// Nothing is asked for yet; `ready`: what the other process said.
    pub fn new(workers: Workers, ready: &Ready) -> Giving {
        Giving {
            sources: Sources::new(workers),
            offered: HashMap::new(),
            gone: HashMap::new(),
            acknowledges: ready.acknowledges,
            takes_tls: ready.takes_tls,
            asked_for_echo: false,
            next: 1,
            given: Given::default(),
            staying: Vec::new(),
            connections: true,
            goes_on: false,
            progress: Progress::new(),
            arrived: Instant::now(),
        }
    }

    /// The other process can take nothing; `hurry` is to be set when giving to it.
    pub async fn all_stay(&mut self, why: &str) {
        let tunnels = self.sources.tunnels().await;
        if tunnels > 0 {
            self.given.stay.insert(why.to_owned(), tunnels);
        }
    }

    /// Tells the other process how many descriptors are to come from so many `clients`, tunnels
    /// among them, each of which has an upstream besides. It accepts from then on.
    ///
    /// # Errors
    /// When the other process broke off.
    pub async fn announce(&self, channel: &Channel, clients: u64) -> io::Result<()> {
        let upstreams = match clients {
            0 => 0,
            _ => self.sources.tunnels().await,
        };
        let descriptors = clients.saturating_add(upstreams);
        let coming = Message::Coming(Coming { descriptors });
        protocol::send(channel, coming, &[]).await
    }

    /// What the other process has been given so far.
    pub fn given(&self) -> &Given {
        &self.given
    }

    /// When something last moved.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// The numbers of the tunnels that stay, each once.
    pub(super) fn take_staying(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.staying)
    }

    /// Gives until only what stays or is in an exchange is left, and waits until everything
    /// runs. `hurry`: what has not been asked to go stays, too.
    ///
    /// # Errors
    /// When the other process broke off; [`Giving::take_back`] has to follow.
    pub async fn give(&mut self, channel: &mut Channel, hurry: &AtomicBool) -> io::Result<()> {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let no_more =
                self.has_room() && (hurry.load(Relaxed) || !self.ask(self.connections).await);
            if no_more && self.under_way() == 0 {
                break;
            }
            tokio::select! {
                message = protocol::receive(channel) => {
                    let message = self.heard(message?)?;
                    if let Some(other) = self.answer(channel, message).await? {
                        return Err(unexpected(&other));
                    }
                }
                (worker, arrived) = self.sources.next() => {
                    self.offer(channel, worker, arrived).await?;
                }
                _ = look.tick() => self.check_stall(channel).await?,
            }
        }
        self.end(channel).await
    }

    /// Announces the end, and waits until everything runs.
    async fn end(&self, channel: &mut Channel) -> io::Result<()> {
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

    /// Goes on after the end: connections are offered as soon as they are idle, and tunnels
    /// whose handshakes were under way.
    pub(super) fn go_on(&mut self) {
        self.goes_on = true;
        match self.connections {
            true => self.sources.export_all_connections(),
            false => self.sources.close_connections(),
        }
    }

    /// Looks for tunnels that were opened meanwhile.
    pub(super) async fn look(&mut self) {
        if self.has_room() {
            self.ask(false).await;
        }
    }

    /// Whether more may be offered.
    pub(super) fn has_room(&self) -> bool {
        self.under_way() <= WINDOW / 2
    }

    /// What a worker lets go of next. Dropping the future loses nothing.
    pub(super) async fn arrival(&mut self) -> (usize, HandOff<Item>) {
        self.sources.next().await
    }

    fn under_way(&self) -> usize {
        self.offered.len() + self.gone.len() + self.sources.asked()
    }

    /// Asks every worker for its share of the window. Returns whether anything goes.
    async fn ask(&mut self, connections: bool) -> bool {
        let room = WINDOW.saturating_sub(self.under_way());
        self.sources.ask(room, connections).await
    }

    /// Offers what a worker let go of.
    pub(super) async fn offer(
        &mut self,
        channel: &Channel,
        worker: usize,
        arrived: HandOff<Item>,
    ) -> io::Result<()> {
        self.arrived = Instant::now();
        if self.offered.is_empty() && !self.acknowledges {
            self.progress.note();
        }
        let item = match arrived {
            HandOff::Exported(item) => item,
            HandOff::Stays(Some(tunnel), why) => {
                tracing::debug!(tunnel, why, "a tunnel stays");
                self.stays(tunnel, why);
                return Ok(());
            }
            HandOff::Stays(None, _) => return Ok(()),
        };
        let id = self.next;
        self.next += 1;
        let offered = match item.has_tls() && !self.takes_tls {
            true => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the new process takes no TLS",
            )),
            false => item.offer(channel, id).await,
        };
        self.offered.insert(id, (worker, item));
        match offered {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                self.keep(id, &error.to_string());
                Ok(())
            }
            Err(error) if !is_end(&error) => {
                // It was sent only in part, so that the other process cannot have it.
                self.keep(id, "the new process does not read");
                Err(error)
            }
            offered => offered,
        }
    }

    fn heard(&mut self, message: Option<(Message, Vec<OwnedFd>)>) -> io::Result<Message> {
        self.progress.note();
        self.asked_for_echo = false;
        let (message, _) = message.ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(message)
    }

    /// Handles a message of the other process; returns one that is not about an item.
    pub(super) async fn answer(
        &mut self,
        channel: &Channel,
        message: Message,
    ) -> io::Result<Option<Message>> {
        match message {
            Message::Taken(About { id }) if self.offered.contains_key(&id) => {
                protocol::send(channel, Message::Go(About { id }), &[]).await?;
                if let Some(gone) = self.offered.remove(&id) {
                    self.gone.insert(id, gone);
                }
                if !self.acknowledges {
                    self.has_begun(id);
                }
            }
            Message::Begun(About { id }) => self.has_begun(id),
            Message::Echo => {}
            Message::Refused(Refusal { id, why }) if self.offered.contains_key(&id) => {
                self.keep(id, &why);
            }
            Message::Failed(failed) => return Err(io::Error::other(failed.reason)),
            other => return Ok(Some(other)),
        }
        Ok(None)
    }

    /// An item is the other process's alone.
    fn has_begun(&mut self, id: u64) {
        match self.gone.remove(&id) {
            Some((_, Item::Tunnel(_))) => self.given.tunnels += 1,
            Some((_, Item::Connection(_))) => self.given.connections += 1,
            None => {}
        }
    }

    fn stays(&mut self, tunnel: u64, why: &str) {
        *self.given.stay.entry(why.to_owned()).or_default() += 1;
        self.staying.push(tunnel);
    }

    /// An offered item goes on here.
    fn keep(&mut self, id: u64, why: &str) {
        let Some((worker, item)) = self.offered.remove(&id) else {
            return;
        };
        match item.tunnel() {
            Some(tunnel) => {
                tracing::warn!(tunnel, why, "a tunnel was not taken");
                self.stays(tunnel, why);
            }
            // It would be idle at once and be offered again, for ever.
            None if self.connections => {
                self.connections = false;
                if self.goes_on {
                    self.sources.close_connections();
                }
            }
            None => {}
        }
        self.sources.restore(worker, item);
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
