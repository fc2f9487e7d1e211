//! The messages between two processes. The old one begins with [`Hello`] and its
//! listeners, the new one answers [`Ready`] or [`Failed`]; the old one stops accepting and says how
//! much is [`Coming`], and the new one accepts. Then each tunnel and each idle
//! connection is offered, taken and let go, and `End` is answered by `Done`. What is late is
//! offered after that, while the old process reports what is [`Left`](Message::Left) there.
//!
//! Fields are added with defaults, never renamed. A change of what is offered that an older
//! process would get wrong raises [`FORMATS`]; what comes before and after the offers stays
//! as it is, so that any two versions can at least pass on the listeners.

mod greeting;
mod item;
mod listener;

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::greeting::{Coming, FORMATS, Failed, Formats, Hello, LISTENERS_ONLY, Ready};
pub use self::item::{About, ConnectionItem, Refusal, TunnelItem};
pub use self::listener::{Address, Offer};
use super::channel::{Channel, Received};
use super::wire::{Frame, Raw};
use crate::process::order::{DrainRequest, Remaining};
use crate::process::predecessor::PassedOn;

/// A message.
#[derive(Debug, Clone)]
pub enum Message {
    /// Old to new, first.
    Hello(Hello),
    /// Old to new: a listener.
    Listener(Offer),
    /// Old to new: the listener of the admin interface.
    Admin(Offer),
    /// Old to new: these were all.
    EndOfListeners,
    /// New to old: it can take over.
    Ready(Ready),
    /// New to old: it gives up.
    Failed(Failed),
    /// Old to new: it accepts no more, and this is to come. The new one accepts.
    Coming(Coming),
    /// Old to new: a tunnel, with what is still to be written and its TLS.
    Tunnel(TunnelItem, Raw),
    /// Old to new: an idle connection.
    Connection(ConnectionItem),
    /// New to old: an item can go on there.
    Taken(About),
    /// New to old: an item has to stay.
    Refused(Refusal),
    /// Old to new: an item belongs to the new process from now on.
    Go(About),
    /// Old to new: nothing more comes.
    End,
    /// New to old: everything that was let go runs.
    Done,
    /// New to old: an item that was let go is about to run. Until then nothing of it
    /// has been touched.
    Begun(About),
    /// Old to new in silence, and back: the process is there.
    Echo,
    /// Old to new, after the hand-over: what is left there.
    Left(Remaining),
    /// New to old, after the hand-over: end as at SIGTERM.
    Stop,
    /// New to old, after the hand-over: a drain that an operator has ordered.
    Drain(DrainRequest),
}

/// The kinds as encoded.
mod kind {
    pub(super) const HELLO: u8 = 1;
    pub(super) const LISTENER: u8 = 2;
    pub(super) const ADMIN: u8 = 3;
    pub(super) const END_OF_LISTENERS: u8 = 4;
    pub(super) const READY: u8 = 5;
    pub(super) const FAILED: u8 = 6;
    pub(super) const TUNNEL: u8 = 7;
    pub(super) const CONNECTION: u8 = 8;
    pub(super) const TAKEN: u8 = 9;
    pub(super) const REFUSED: u8 = 10;
    pub(super) const GO: u8 = 11;
    pub(super) const END: u8 = 12;
    pub(super) const DONE: u8 = 13;
    pub(super) const BEGUN: u8 = 14;
    pub(super) const ECHO: u8 = 15;
    pub(super) const LEFT: u8 = 16;
    pub(super) const STOP: u8 = 17;
    pub(super) const DRAIN: u8 = 18;
    pub(super) const COMING: u8 = 19;
}

impl From<PassedOn> for Message {
    fn from(what: PassedOn) -> Message {
        match what {
            PassedOn::Stop => Message::Stop,
            PassedOn::Drain(request) => Message::Drain(request),
        }
    }
}

impl Message {
    /// The frame of the message, with this many descriptors.
    ///
    /// # Errors
    /// When a path is not Unicode.
    pub fn encode(self, descriptors: usize) -> io::Result<Frame> {
        let mut bytes = Raw::default();
        let (kind, json) = match self {
            Message::Hello(hello) => (kind::HELLO, json(&hello)),
            Message::Listener(offer) => (kind::LISTENER, json(&offer)),
            Message::Admin(offer) => (kind::ADMIN, json(&offer)),
            Message::EndOfListeners => (kind::END_OF_LISTENERS, Ok(Vec::new())),
            Message::Ready(ready) => (kind::READY, json(&ready)),
            Message::Failed(failed) => (kind::FAILED, json(&failed)),
            Message::Tunnel(item, raw) => {
                bytes = raw;
                (kind::TUNNEL, json(&item))
            }
            Message::Connection(item) => (kind::CONNECTION, json(&item)),
            Message::Taken(about) => (kind::TAKEN, json(&about)),
            Message::Refused(refusal) => (kind::REFUSED, json(&refusal)),
            Message::Go(about) => (kind::GO, json(&about)),
            Message::End => (kind::END, Ok(Vec::new())),
            Message::Done => (kind::DONE, Ok(Vec::new())),
            Message::Begun(about) => (kind::BEGUN, json(&about)),
            Message::Echo => (kind::ECHO, Ok(Vec::new())),
            Message::Left(remaining) => (kind::LEFT, json(&remaining)),
            Message::Stop => (kind::STOP, Ok(Vec::new())),
            Message::Drain(request) => (kind::DRAIN, json(&request)),
            Message::Coming(coming) => (kind::COMING, json(&coming)),
        };
        Ok(Frame {
            kind,
            descriptors: u8::try_from(descriptors).unwrap_or(u8::MAX),
            json: json?,
            bytes,
        })
    }

    /// What a frame says.
    ///
    /// # Errors
    /// When its kind is unknown or a field is missing.
    pub fn decode(frame: Frame) -> io::Result<Message> {
        let fields = &frame.json[..];
        Ok(match frame.kind {
            kind::HELLO => Message::Hello(parse(fields)?),
            kind::LISTENER => Message::Listener(parse(fields)?),
            kind::ADMIN => Message::Admin(parse(fields)?),
            kind::END_OF_LISTENERS => Message::EndOfListeners,
            kind::READY => Message::Ready(parse(fields)?),
            kind::FAILED => Message::Failed(parse(fields)?),
            kind::TUNNEL => Message::Tunnel(parse(fields)?, frame.bytes),
            kind::CONNECTION => Message::Connection(parse(fields)?),
            kind::TAKEN => Message::Taken(parse(fields)?),
            kind::REFUSED => Message::Refused(parse(fields)?),
            kind::GO => Message::Go(parse(fields)?),
            kind::END => Message::End,
            kind::DONE => Message::Done,
            kind::BEGUN => Message::Begun(parse(fields)?),
            kind::ECHO => Message::Echo,
            kind::LEFT => Message::Left(parse(fields)?),
            kind::STOP => Message::Stop,
            kind::DRAIN => Message::Drain(parse(fields)?),
            kind::COMING => Message::Coming(parse(fields)?),
            other => {
                let message = format!("a message of an unknown kind, {other}");
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
        })
    }
}

fn json(fields: &impl Serialize) -> io::Result<Vec<u8>> {
    serde_json::to_vec(fields).map_err(io::Error::from)
}

fn parse<T: DeserializeOwned>(fields: &[u8]) -> io::Result<T> {
    serde_json::from_slice(fields).map_err(io::Error::from)
}

/// Sends a message with copies of these descriptors.
///
/// # Errors
/// As [`Channel::send`].
pub async fn send(
    channel: &Channel,
    message: Message,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let frame = message.encode(descriptors.len())?;
    channel.send(&frame, descriptors).await
}

/// The next message with its descriptors; `None` at the end of the stream. Dropping the
/// future loses nothing.
///
/// # Errors
/// When the stream broke, or what came is not a message.
pub async fn receive(channel: &mut Channel) -> io::Result<Option<(Message, Vec<OwnedFd>)>> {
    let Some(Received { frame, descriptors }) = channel.receive().await? else {
        return Ok(None);
    };
    Ok(Some((Message::decode(frame)?, descriptors)))
}

#[cfg(test)]
#[path = "protocol_tests.rs"]
mod tests;
