//! The old side after the hand-over: it stays in touch with the new process, receives what that
//! passes on, and hands over later what an exchange has kept until then.

use std::io;
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior};

use super::channel::Channel;
use super::give::Giving;
use super::item::Item;
use super::protocol::{self, Message};
use super::taken::is_end;
use crate::process::order::Remaining;
use crate::process::predecessor::PassedOn;
use crate::vocabulary::hand_off::HandOff;

/// How often to look for tunnels that were opened late.
const LOOK: Duration = Duration::from_millis(50);

/// The connection to the process that has taken over.
#[derive(Debug)]
pub struct Contact {
    channel: Channel,
    /// The hand-over of late items, where the new process takes them.
    giving: Option<Giving>,
    look: Interval,
}

/// What happened; to be handed to [`Contact::handle`].
#[derive(Debug)]
pub struct Event(What);

#[derive(Debug)]
enum What {
    Message(Message),
    Arrival(usize, HandOff<Item>),
    Look,
    /// Nothing more can be received.
    Over(io::Error),
}

/// What this process has to do about it.
#[derive(Debug)]
pub enum Followed {
    /// Nothing.
    Nothing,
    /// The new process passes this on.
    Told(PassedOn),
    /// Nothing more is received or taken.
    Over,
}

impl Contact {
    /// After the hand-over; with `giving` it can hand over late items.
    pub fn new(channel: Channel, giving: Option<Giving>) -> Contact {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Contact {
            channel,
            giving,
            look,
        }
    }

    /// Begins to hand over what comes late, where that is possible; returns whether it is. The
    /// new process has to have been [told](Contact::tell_left) what is left before.
    pub fn go_on(&mut self) -> bool {
        match &mut self.giving {
            Some(giving) => {
                giving.go_on();
                true
            }
            None => false,
        }
    }

    /// The numbers of tunnels that stay, each once.
    pub fn take_staying(&mut self) -> Vec<u64> {
        self.giving
            .as_mut()
            .map_or_else(Vec::new, Giving::take_staying)
    }

    /// Waits for what happens. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Event {
        let channel = &mut self.channel;
        Event(match &mut self.giving {
            Some(giving) => {
                let has_room = giving.has_room();
                tokio::select! {
                    heard = protocol::receive(channel) => What::heard(heard),
                    (worker, item) = giving.arrival(), if has_room => What::Arrival(worker, item),
                    _ = self.look.tick() => What::Look,
                }
            }
            None => What::heard(protocol::receive(channel).await),
        })
    }

    /// Handles it. The future must not be dropped before it is done.
    pub async fn handle(&mut self, event: Event) -> Followed {
        let done = match event.0 {
            What::Message(Message::Stop) => return Followed::Told(PassedOn::Stop),
            What::Message(Message::Drain(request)) => {
                return Followed::Told(PassedOn::Drain(request));
            }
            What::Over(error) => Err(error),
            What::Message(message) => match &mut self.giving {
                Some(giving) => ignore_end(giving.answer(&self.channel, message).await.map(drop)),
                None => Ok(()),
            },
            What::Arrival(worker, item) => match &mut self.giving {
                Some(giving) => ignore_end(giving.offer(&self.channel, worker, item).await),
                None => Ok(()),
            },
            What::Look => {
                if let Some(giving) = &mut self.giving {
                    giving.look().await;
                }
                Ok(())
            }
        };
        match done {
            Ok(()) => Followed::Nothing,
            Err(error) => {
                self.stop_giving(is_end(&error)).await;
                Followed::Over
            }
        }
    }

    /// Tells the new process what is left here. Returns whether it can be told.
    pub async fn tell_left(&mut self, left: Remaining) -> bool {
        let told = protocol::send(&self.channel, Message::Left(left), &[]).await;
        ignore_end(told).is_ok()
    }

    /// Ends it from this side: the new process goes on with all that it was offered.
    pub async fn part(mut self) {
        self.stop_giving(false).await;
    }

    async fn stop_giving(&mut self, ended: bool) {
        if let Some(giving) = self.giving.take() {
            let given = giving.part(ended).await;
            let (tunnels, connections) = (given.tunnels, given.connections);
            tracing::info!(tunnels, connections, "handed over in all");
        }
    }
}

impl What {
    fn heard(heard: io::Result<Option<(Message, Vec<std::os::fd::OwnedFd>)>>) -> What {
        match heard {
            Ok(Some((message, _))) => What::Message(message),
            Ok(None) => What::Over(io::ErrorKind::UnexpectedEof.into()),
            Err(error) => What::Over(error),
        }
    }
}

/// Reads what the other process sent before its end.
fn ignore_end(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if is_end(&error) => Ok(()),
        done => done,
    }
}
