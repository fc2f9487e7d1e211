//! The clients' ends of tunnels: those that must survive, those whose route or endpoint
//! goes, and those whose endpoint restarts.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::backend::Fate;
use super::message::Way;
use super::paced::{Pace, Paced};
use super::peer::{self, Peer, World};
use super::plan;

/// The code that a drain or a reload closes clients with.
const SERVICE_RESTART: u16 = 1012;

/// Opens tunnels at the proxy.
#[derive(Clone)]
pub struct Opener {
    pub world: World,
    pub proxy: SocketAddr,
    /// The reload last confirmed.
    pub reload: Arc<AtomicU32>,
    next: Arc<AtomicU32>,
    opening: Arc<AtomicUsize>,
}

/// Why there is no tunnel.
enum NotOpen {
    /// The answer had this status.
    Refused(u16),
    /// What it led to went in the same moment: the proxy's Close came before all else.
    Closed,
    Failed(String),
}

/// An open one.
struct Open {
    socket: WebSocketStream<Paced>,
    number: u32,
    path: String,
    endpoint: String,
}

impl Opener {
    pub fn new(world: World, proxy: SocketAddr, reload: Arc<AtomicU32>) -> Opener {
        Opener {
            world,
            proxy,
            reload,
            next: Arc::default(),
            opening: Arc::default(),
        }
    }

    /// How many survivors are being opened.
    pub fn opening(&self) -> usize {
        self.opening.load(Relaxed)
    }

    /// A tunnel on a route that stays, from now to the end of the load.
    pub fn survivor(self) -> impl Future<Output = ()> + Send {
        self.opening.fetch_add(1, Relaxed);
        self.survive()
    }

    async fn survive(self) {
        let tally = self.world.tally.clone();
        // To which endpoint it led is not known, but the proxy's records are looked at.
        let open = loop {
            match self.open("keep").await {
                Err(NotOpen::Closed) => {}
                open => break open,
            }
        };
        self.opening.fetch_sub(1, Relaxed);
        match open {
            Ok(open) => self.run(open).await,
            Err(NotOpen::Closed) => {}
            Err(NotOpen::Refused(status)) => tally.fail(format!("a handshake got {status}")),
            Err(NotOpen::Failed(error)) => tally.fail(error),
        }
    }

    /// One tunnel after the other on routes that come and go.
    pub async fn doomed(self) {
        let tally = self.world.tally.clone();
        while !*self.world.stop.borrow() {
            let newest = self.reload.load(Relaxed);
            let route = plan::route(newest.saturating_sub(fastrand::u32(..2)));
            match self.open(&route).await {
                Ok(open) => self.run(open).await,
                Err(NotOpen::Closed) => {
                    tally.doomed.add();
                    tally.restarted.add();
                }
                // Nothing else than a removed route gives this.
                Err(NotOpen::Refused(404)) => {
                    tally.too_late.add();
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(NotOpen::Refused(status)) => {
                    return tally.fail(format!("a handshake for {route} got {status}"));
                }
                Err(NotOpen::Failed(error)) => return tally.fail(error),
            }
        }
    }

    /// One tunnel after the other to an endpoint that restarts.
    pub async fn restless(self) {
        while !*self.world.stop.borrow() {
            if let Ok(open) = self.open("flap").await {
                let peer = Peer::new(&self.world, open.number, Way::Up);
                let _ = peer.run(open.socket).await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn open(&self, route: &str) -> Result<Open, NotOpen> {
        let mut number = self.next.fetch_add(1, Relaxed);
        // A Close would stand behind more than a sluggish one reads within `close_timeout`. The
        // first ones, on the route that stays and its endpoints that do, never get one.
        let may_close = route != "keep" || self.reload.load(Relaxed) > 0;
        while may_close && Pace::of(number) == Pace::Sluggish {
            number = self.next.fetch_add(1, Relaxed);
        }
        let path = format!("/{route}/{number}");
        let failed = |error: String| NotOpen::Failed(format!("opening {path} : {error}"));
        let stream = self.connect().await.map_err(|e| failed(e.to_string()))?;
        let stream = Paced::new(stream, Pace::of(number), self.world.lifted.clone());
        let url = format!("ws://{}{path}", self.proxy);
        let mut socket = match client_async_with_config(url, stream, Some(peer::config())).await {
            Ok((socket, _)) => socket,
            Err(Error::Http(answer)) => return Err(NotOpen::Refused(answer.status().as_u16())),
            Err(error) => return Err(failed(error.to_string())),
        };
        match socket.next().await {
            Some(Ok(Message::Text(text))) if text.starts_with("at ") => Ok(Open {
                socket,
                number,
                path,
                endpoint: text[3..].to_owned(),
            }),
            Some(Ok(Message::Close(Some(close)))) if u16::from(close.code) == SERVICE_RESTART => {
                // The answer goes out while the end is awaited.
                while let Some(Ok(_)) = socket.next().await {}
                Err(NotOpen::Closed)
            }
            other => Err(failed(format!("first came {other:?}"))),
        }
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(self.proxy).await?;
        stream.set_nodelay(true)?;
        self.world.tally.connections.add();
        Ok(stream)
    }

    /// Runs an open tunnel and judges its end.
    async fn run(&self, open: Open) {
        let tally = &self.world.tally;
        let fate = Fate::of(&open.path, &open.endpoint);
        match fate {
            Fate::Survives => tally.survivors.add(),
            Fate::Doomed | Fate::Any => tally.doomed.add(),
        }
        let ended = Peer::new(&self.world, open.number, Way::Up)
            .run(open.socket)
            .await;
        match (&ended, fate) {
            (Ok(ended), _) if ended.complete && ended.code == Some(1000) => match fate {
                Fate::Survives => tally.survived.add(),
                Fate::Doomed | Fate::Any => tally.left.add(),
            },
            (Ok(ended), Fate::Doomed) if ended.code == Some(SERVICE_RESTART) => {
                tally.restarted.add();
            }
            _ => tally.fail(format!(
                "client of {} at {}: {ended:?}, should be {fate:?}",
                open.path, open.endpoint
            )),
        }
    }
}
