//! One end of a tunnel, on tungstenite: it sends numbered messages at its own rate, checks
//! those of the other end, and judges how the tunnel ends. Client and backend are the same
//! here, except that the client closes when both have had everything.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::message::{self, Sizes, Way};
use super::paced::{Pace, Paced};
use super::tally::Tally;

/// How long the last messages and the closing handshake may take.
const ENDING: Duration = Duration::from_secs(30);

/// With buffers that thousands of peers can have; the default is 256 KiB for each.
pub fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(8 << 10)
        .write_buffer_size(8 << 10)
}

/// What all peers share.
#[derive(Debug, Clone)]
pub struct World {
    pub tally: Arc<Tally>,
    /// Between two messages of one end.
    pub interval: Duration,
    /// Set at the end: nothing is slow any more.
    pub lifted: Arc<AtomicBool>,
    /// Becomes true when all have sent enough.
    pub stop: watch::Receiver<bool>,
}

/// How a tunnel ended: the code of the Close that came, and whether both ends had all of
/// the other's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    pub code: Option<u16>,
    pub complete: bool,
}

/// One end.
pub struct Peer<'a> {
    pub world: &'a World,
    pub tunnel: u32,
    /// In which direction it sends.
    pub way: Way,
    /// Told when the other end has said that it is through.
    seen_fin: Notify,
    has_fin: AtomicBool,
    received: AtomicU32,
}

impl<'a> Peer<'a> {
    pub fn new(world: &'a World, tunnel: u32, way: Way) -> Peer<'a> {
        Peer {
            world,
            tunnel,
            way,
            seen_fin: Notify::new(),
            has_fin: AtomicBool::new(false),
            received: AtomicU32::new(0),
        }
    }

    /// Runs until the end. The error says what should not have happened.
    pub async fn run(&self, socket: WebSocketStream<Paced>) -> Result<Ended, String> {
        let (sink, stream) = socket.split();
        let mut writer = pin!(self.write(sink));
        let mut reader = pin!(self.read(stream));
        let mut writing = true;
        loop {
            tokio::select! {
                ended = &mut reader => return ended,
                // A sink that fails is the reader's to explain.
                _ = &mut writer, if writing => writing = false,
            }
        }
    }

    fn sizes(&self) -> Sizes {
        match Pace::of(self.tunnel) {
            Pace::Free => Sizes::Mixed,
            Pace::Trickle | Pace::Sluggish => Sizes::Large,
        }
    }

    async fn write(
        &self,
        mut sink: SplitSink<WebSocketStream<Paced>, Message>,
    ) -> Result<(), Error> {
        let interval = match Pace::of(self.tunnel) {
            Pace::Free => self.world.interval,
            // As fast as the socket takes it.
            Pace::Trickle | Pace::Sluggish => Duration::from_millis(1),
        };
        let jitter = interval.mul_f64(fastrand::f64());
        let mut next = Instant::now() + jitter;
        let mut number = 0;
        let mut stop = self.world.stop.clone();
        loop {
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                () = sleep_until(next) => {}
            }
            next = (next + interval).max(Instant::now());
            self.send(&mut sink, number).await?;
            number += 1;
        }
        sink.send(Message::text(format!("fin {number}"))).await?;
        if self.way == Way::Up {
            self.fin().await;
            let close = CloseFrame {
                code: CloseCode::Normal,
                reason: "".into(),
            };
            sink.send(Message::Close(Some(close))).await?;
        }
        Ok(())
    }

    /// When the other end has said that it is through.
    async fn fin(&self) {
        while !self.has_fin.load(Relaxed) {
            self.seen_fin.notified().await;
        }
    }

    async fn send(
        &self,
        sink: &mut SplitSink<WebSocketStream<Paced>, Message>,
        number: u32,
    ) -> Result<(), Error> {
        let payload = message::payload(self.tunnel, self.way, number, self.sizes());
        self.world.tally.sent.add();
        let mut dice = message::dice(self.tunnel, self.way, number);
        if payload.len() < 20 || dice.u8(..10) > 0 {
            return sink.send(Message::binary(payload)).await;
        }
        // In several frames, with a Ping between them (RFC 6455 section 5.4).
        let parts = dice.usize(2..=5);
        let each = payload.len().div_ceil(parts);
        let count = payload.chunks(each).count();
        for (index, part) in payload.chunks(each).enumerate() {
            let opcode = if index == 0 {
                Data::Binary
            } else {
                Data::Continue
            };
            let frame = Frame::message(part.to_vec(), OpCode::Data(opcode), index + 1 == count);
            sink.send(Message::Frame(frame)).await?;
            if index == 0 {
                sink.send(Message::Ping("between".into())).await?;
            }
        }
        Ok(())
    }

    async fn read(&self, mut stream: SplitStream<WebSocketStream<Paced>>) -> Result<Ended, String> {
        let mut code = None;
        let mut stop = self.world.stop.clone();
        let mut late = pin!(late(&mut stop));
        let from = match self.way {
            Way::Up => Way::Down,
            Way::Down => Way::Up,
        };
        loop {
            let next = tokio::select! {
                next = stream.next() => next,
                () = &mut late => return Err(self.say("it has not ended in time")),
            };
            let message = match next {
                None | Some(Err(Error::ConnectionClosed)) => break,
                Some(Ok(message)) => message,
                // Behind its Close the connection may end as it likes.
                Some(Err(Error::Io(_))) if code.is_some() => break,
                Some(Err(error)) => return Err(self.say(&format!("{error} (1006)"))),
            };
            match message {
                Message::Binary(payload) => {
                    let number = self.received.load(Relaxed);
                    message::check(&payload, self.tunnel, from, number, self.sizes())
                        .map_err(|error| self.say(&error))?;
                    self.received.store(number + 1, Relaxed);
                    self.world.tally.received.add();
                }
                Message::Text(text) if text.starts_with("fin ") => {
                    let count = self.received.load(Relaxed);
                    if text.as_str() != format!("fin {count}") {
                        let error = format!("{count} messages came, the other end says {text}");
                        return Err(self.say(&error));
                    }
                    self.has_fin.store(true, Relaxed);
                    self.seen_fin.notify_waiters();
                    self.seen_fin.notify_one();
                }
                Message::Close(close) => {
                    code = Some(close.map_or(1005, |close| close.code.into()));
                }
                Message::Pong(payload) if *payload == *b"between" => {}
                Message::Ping(payload) if *payload == *b"between" => {}
                other => return Err(self.say(&format!("nobody sent {other:?}"))),
            }
        }
        Ok(Ended {
            code,
            complete: self.has_fin.load(Relaxed),
        })
    }

    fn say(&self, what: &str) -> String {
        let (end, count) = match self.way {
            Way::Up => ("client", self.received.load(Relaxed)),
            Way::Down => ("backend", self.received.load(Relaxed)),
        };
        format!("{end}: {what} (behind {count} messages received)")
    }
}

/// Some time behind the end of the load.
async fn late(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
    let _ = timeout(ENDING, std::future::pending::<()>()).await;
}
