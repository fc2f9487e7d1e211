//! The new side's items: offered, taken, let go by the old process, and running from then on.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;

use super::adopt::{Adoptee, Adopter};
use super::channel::Channel;
use super::protocol::{self, About, Message, Refusal};
use crate::process::order::Remaining;
use crate::process::predecessor::PassedOn;

/// What was taken so far.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Tunnels that run here.
    pub(super) tunnels: u64,
    /// Connections that run here.
    pub(super) connections: u64,
    /// What had to stay.
    pub(super) refused: u64,
    /// The old process hears when an item begins to run.
    acknowledges: bool,
    /// Not let go yet by the old process.
    waiting: HashMap<u64, Adoptee>,
}

impl Taken {
    /// Nothing yet; `acknowledges`: as the old process announced.
    pub(super) fn new(acknowledges: bool) -> Taken {
        Taken {
            acknowledges,
            ..Taken::default()
        }
    }

    /// Handles a message about an item; returns any other one. The future must not be dropped
    /// before it is done.
    pub(super) async fn handle(
        &mut self,
        channel: &Channel,
        adopter: &Adopter,
        message: Message,
        descriptors: Vec<OwnedFd>,
    ) -> io::Result<Option<Message>> {
        let (id, offered) = match message {
            Message::Tunnel(item, bytes) => (item.id, adopter.tunnel(&item, &bytes, descriptors)),
            Message::Connection(item) => (item.id, adopter.connection(&item, descriptors)),
            Message::Go(about) => {
                if self.acknowledges {
                    tell(channel, Message::Begun(about)).await?;
                }
                if let Some(adoptee) = self.waiting.remove(&about.id) {
                    self.bring_to_life(adopter, adoptee);
                }
                return Ok(None);
            }
            Message::Echo => {
                tell(channel, Message::Echo).await?;
                return Ok(None);
            }
            other => return Ok(Some(other)),
        };
        let answer = self.answer(id, offered);
        tell(channel, answer).await?;
        Ok(None)
    }

    fn answer(&mut self, id: u64, offered: Result<Adoptee, String>) -> Message {
        match offered {
            Ok(adoptee) => {
                self.waiting.insert(id, adoptee);
                Message::Taken(About { id })
            }
            Err(why) => {
                self.refused += 1;
                tracing::warn!(item = id, why, "not taken over");
                Message::Refused(Refusal { id, why })
            }
        }
    }

    /// The old process is gone: what it has offered can only go on here.
    pub(super) fn all_go(&mut self, adopter: &Adopter) {
        for (_, adoptee) in std::mem::take(&mut self.waiting) {
            self.bring_to_life(adopter, adoptee);
        }
    }

    fn bring_to_life(&mut self, adopter: &Adopter, adoptee: Adoptee) {
        match adoptee.is_tunnel() {
            true => self.tunnels += 1,
            false => self.connections += 1,
        }
        adopter.go(adoptee);
    }
}

/// An old process that finishes what it has: it reports what is left, and hands over later what
/// its exchanges have kept.
#[derive(Debug)]
pub struct Finishing {
    channel: Channel,
    taken: Taken,
}

/// What was received from it.
#[derive(Debug)]
pub struct Heard(io::Result<Option<(Message, Vec<OwnedFd>)>>);

/// What that means.
#[derive(Debug)]
pub enum Meaning {
    /// This much is left there.
    Left(Remaining),
    /// Nothing except for its items.
    Nothing,
    /// It has ended.
    Ended,
}

impl Finishing {
    pub(super) fn new(channel: Channel, taken: Taken) -> Finishing {
        Finishing { channel, taken }
    }

    /// Waits for its next message. Dropping the future loses nothing.
    pub async fn hear(&mut self) -> Heard {
        Heard(protocol::receive(&mut self.channel).await)
    }

    /// Handles it. The future must not be dropped before it is done.
    pub async fn handle(&mut self, adopter: &Adopter, heard: Heard) -> Meaning {
        let (message, descriptors) = match heard.0 {
            Ok(Some(heard)) => heard,
            Ok(None) => return self.ended(adopter, &io::ErrorKind::UnexpectedEof.into()),
            Err(error) => return self.ended(adopter, &error),
        };
        let handled = self
            .taken
            .handle(&self.channel, adopter, message, descriptors);
        match handled.await {
            Ok(Some(Message::Left(left))) => Meaning::Left(left),
            // A later version may say more.
            Ok(_) => Meaning::Nothing,
            Err(error) => self.ended(adopter, &error),
        }
    }

    /// Passes something on to it.
    pub async fn tell(&self, what: PassedOn) {
        // If that fails, the end of the stream follows.
        let _ = protocol::send(&self.channel, what.into(), &[]).await;
    }

    fn ended(&mut self, adopter: &Adopter, error: &io::Error) -> Meaning {
        // One that goes on itself with what it offered has not ended.
        if is_end(error) {
            self.taken.all_go(adopter);
        }
        Meaning::Ended
    }
}

/// Answers. Where the old process is gone, what it gave before is still to be read.
async fn tell(channel: &Channel, answer: Message) -> io::Result<()> {
    match protocol::send(channel, answer, &[]).await {
        Err(error) if is_end(&error) => Ok(()),
        sent => sent,
    }
}

/// Whether the other end of the stream is closed. An old process that goes on itself has
/// killed this one before it closes it, so a process that sees this end is the only one left.
pub(super) fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}
