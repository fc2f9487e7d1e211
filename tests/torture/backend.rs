//! Backends: each endpoint answers plain requests and runs the far end of tunnels. The path
//! says what is expected of a tunnel, see [`Fate`].

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use futures_util::SinkExt;

use super::message::{self, Sizes, Way};
use super::paced::{Pace, Paced};
use super::peer::{self, Peer, World};

/// Stands for the tunnel's number in the messages of plain requests.
pub const PLAIN: u32 = u32::MAX;

/// What becomes of a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Its route and endpoint stay: not a message is lost.
    Survives,
    /// Its route or endpoint may go: it ends with a Close then.
    Doomed,
    /// Its endpoint restarts.
    Any,
}

impl Fate {
    /// What the tunnel on this path at this endpoint has before it.
    pub fn of(path: &str, endpoint: &str) -> Fate {
        match path.split('/').nth(1) {
            Some("keep") if endpoint == "passing" => Fate::Doomed,
            Some("keep") => Fate::Survives,
            Some("flap") => Fate::Any,
            _ => Fate::Doomed,
        }
    }
}

/// One endpoint.
pub struct Endpoint {
    name: &'static str,
    pub address: SocketAddr,
    world: World,
    task: JoinHandle<()>,
}

impl Endpoint {
    pub async fn start(name: &'static str, world: World) -> io::Result<Endpoint> {
        Endpoint::at("127.0.0.1:0".parse().expect("an address"), name, world).await
    }

    async fn at(address: SocketAddr, name: &'static str, world: World) -> io::Result<Endpoint> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(accept(listener, name, world.clone()));
        Ok(Endpoint {
            name,
            address,
            world,
            task,
        })
    }

    /// Ends with all its connections and begins anew.
    pub async fn restart(&mut self) -> io::Result<()> {
        self.task.abort();
        let _ = (&mut self.task).await;
        *self = Endpoint::at(self.address, self.name, self.world.clone()).await?;
        Ok(())
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, name: &'static str, world: World) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                let (stream, _) = accepted.expect("descriptors are left");
                connections.spawn(serve(stream, name, world.clone()));
            }
        }
    }
}

/// A request's head and what was read behind it.
pub struct Request {
    pub head: String,
    pub rest: Vec<u8>,
}

impl Request {
    /// The next one of a connection; `None` at its end.
    pub async fn read(stream: &mut TcpStream, mut bytes: Vec<u8>) -> Option<Request> {
        loop {
            if let Some(end) = memchr::memmem::find(&bytes, b"\r\n\r\n") {
                let rest = bytes.split_off(end + 4);
                let head = String::from_utf8(bytes).ok()?;
                return Some(Request { head, rest });
            }
            if stream.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        }
    }

    pub fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(':'));
        let found = fields.find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim())
    }

    /// Accepts the handshake, if it is one.
    pub fn switching(&self) -> Option<String> {
        let accept = derive_accept_key(self.field("sec-websocket-key")?.as_bytes());
        Some(format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        ))
    }
}

async fn serve(mut stream: TcpStream, name: &'static str, world: World) {
    let _ = stream.set_nodelay(true);
    let mut bytes = Vec::new();
    while let Some(request) = Request::read(&mut stream, std::mem::take(&mut bytes)).await {
        if let Some(switching) = request.switching() {
            if stream.write_all(switching.as_bytes()).await.is_ok() {
                tunnel(stream, request, name, &world).await;
            }
            return;
        }
        match answer(&mut stream, request, &world).await {
            Ok(rest) => bytes = rest,
            Err(_) => return,
        }
    }
}

/// Answers a plain request; its path ends with its number. Returns what came behind it.
async fn answer(stream: &mut TcpStream, request: Request, world: &World) -> io::Result<Vec<u8>> {
    let path = request.path();
    let number = path
        .rsplit('/')
        .next()
        .and_then(|number| number.parse().ok());
    let number: u32 = number.unwrap_or_default();
    let length = request.field("content-length").map(str::parse::<usize>);
    let length = length.and_then(Result::ok).unwrap_or(0);
    let mut body = request.rest.clone();
    while body.len() < length {
        if stream.read_buf(&mut body).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let rest = body.split_off(length);
    if length > 0
        && let Err(error) = message::check(&body, PLAIN, Way::Up, number, Sizes::Mixed)
    {
        world
            .tally
            .fail(format!("request {path}, its body: {error}"));
    }
    let answer = message::payload(PLAIN, Way::Down, number, Sizes::Mixed);
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
        answer.len()
    );
    stream
        .write_all(&[head.as_bytes(), &answer].concat())
        .await?;
    Ok(rest)
}

async fn tunnel(stream: TcpStream, request: Request, name: &'static str, world: &World) {
    let path = request.path().to_owned();
    let number = path
        .rsplit('/')
        .next()
        .and_then(|number| number.parse().ok());
    let number: u32 = number.unwrap_or_default();
    let stream = Paced::new(stream, Pace::of(number), world.lifted.clone());
    let mut socket = WebSocketStream::from_partially_read(
        stream,
        request.rest,
        Role::Server,
        Some(peer::config()),
    )
    .await;
    let fate = Fate::of(&path, name);
    if let Err(error) = socket.send(Message::text(format!("at {name}"))).await {
        if fate != Fate::Any {
            world
                .tally
                .fail(format!("backend of {path} at {name}: {error}"));
        }
        return;
    }
    let ended = Peer::new(world, number, Way::Down).run(socket).await;
    let fine = match (&ended, fate) {
        (_, Fate::Any) => true,
        (Ok(ended), _) if ended.complete && ended.code == Some(1000) => true,
        (Ok(ended), Fate::Doomed) => ended.code == Some(1001),
        (Ok(_), Fate::Survives) | (Err(_), _) => false,
    };
    if !fine {
        world
            .tally
            .fail(format!("backend of {path} at {name}: {ended:?}"));
    }
}
