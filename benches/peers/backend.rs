//! The origin server of every proxy: single-thread epoll, fixed HTTP
//! answers (`/128`, `/16k`, `/1m`, keep-alive) and a WebSocket server
//! (RFC 6455) that echoes (`/ws/echo`), swallows (`/ws/sink`) or pours
//! (`/ws/source/BYTES`, from the first message on). As cheap as it can be,
//! for it shares its core with the load generator. Runs as a child process.

use crate::poll::{Flags, Poller, Ready};
use crate::websocket::{self, Scanner, Step};
use rustix::io::Errno;
use rustix::net;
use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::OwnedFd;

/// Tokens of the listeners start here, those of connections at 0.
const LISTENERS: u64 = 1 << 32;
const BUFFER: usize = 256 * 1024;
/// A request head longer than this is refused.
const MAX_HEAD: usize = 16 * 1024;

/// The fixed answers, by path, and the frames that sources repeat, by size.
/// Leaked: they live as long as the process.
struct Content {
    pages: Vec<(&'static str, &'static [u8])>,
    frames: HashMap<usize, &'static [u8]>,
}

enum Role {
    Http,
    Echo,
    Sink,
    /// Pours this frame once the client has said something.
    Source {
        frame: &'static [u8],
        pouring: bool,
    },
}

struct Connection {
    socket: OwnedFd,
    role: Role,
    /// The part of a request head that has come.
    head: Vec<u8>,
    scanner: Scanner,
    /// The payload of a control frame that came in pieces.
    control: Vec<u8>,
    /// What the socket had no room for; nothing is read while there is some.
    spill: Vec<u8>,
    /// The rest of a fixed answer or a poured frame.
    fixed: &'static [u8],
    /// What the poller watches it for.
    watched: Flags,
    /// To be closed when everything is written.
    last: bool,
}

/// Ends the connection; why does not matter to a backend under load.
struct Gone;

impl<E: std::error::Error> From<E> for Gone {
    fn from(_: E) -> Self {
        Gone
    }
}

/// Listens on `ports` free ports of 127.0.0.1, prints them in one line, and
/// serves until killed.
pub fn run(ports: usize) -> io::Result<()> {
    let mut poller = Poller::new()?;
    let mut listeners = Vec::new();
    for index in 0..ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        poller.add(&listener, LISTENERS + index as u64, Flags::IN)?;
        print!("{} ", listener.local_addr()?.port());
        listeners.push(listener);
    }
    println!();
    io::stdout().flush()?;

    let mut content = Content::new();
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut free = Vec::new();
    let mut buffer = vec![0; BUFFER];
    let mut ready = Vec::new();
    loop {
        poller.wait(None, &mut ready)?;
        for &event in &ready {
            if event.token >= LISTENERS {
                let listener = &listeners[(event.token - LISTENERS) as usize];
                accept(listener, &poller, &mut connections, &mut free)?;
                continue;
            }
            let slot = event.token as usize;
            let Some(connection) = &mut connections[slot] else {
                continue;
            };
            let served = connection.serve(event, &mut content, &mut buffer);
            if served.is_err() || connection.watch(&poller, event.token).is_err() {
                connections[slot] = None;
                free.push(slot);
            }
        }
    }
}

fn accept(
    listener: &TcpListener,
    poller: &Poller,
    connections: &mut Vec<Option<Connection>>,
    free: &mut Vec<usize>,
) -> io::Result<()> {
    let flags = net::SocketFlags::NONBLOCK | net::SocketFlags::CLOEXEC;
    loop {
        let socket = match net::accept_with(listener, flags) {
            Ok(socket) => socket,
            Err(Errno::AGAIN | Errno::CONNABORTED) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        net::sockopt::set_tcp_nodelay(&socket, true)?;
        let slot = free.pop().unwrap_or_else(|| {
            connections.push(None);
            connections.len() - 1
        });
        poller.add(&socket, slot as u64, Flags::IN)?;
        connections[slot] = Some(Connection {
            socket,
            role: Role::Http,
            head: Vec::new(),
            scanner: Scanner::default(),
            control: Vec::new(),
            spill: Vec::new(),
            fixed: &[],
            watched: Flags::IN,
            last: false,
        });
    }
}

impl Content {
    fn new() -> Self {
        let page = |length: usize| -> &'static [u8] {
            let mut answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\
                 Content-Length: {length}\r\n\r\n"
            )
            .into_bytes();
            answer.extend((0..length).map(|i| b'a' + (i % 26) as u8));
            answer.leak()
        };
        Self {
            pages: vec![
                ("/128", page(128)),
                ("/16k", page(16 << 10)),
                ("/1m", page(1 << 20)),
            ],
            frames: HashMap::new(),
        }
    }

    fn frame(&mut self, size: usize) -> &'static [u8] {
        self.frames.entry(size).or_insert_with(|| {
            let payload: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
            websocket::frame(websocket::BINARY, &payload, None).leak()
        })
    }
}

impl Connection {
    fn serve(
        &mut self,
        event: Ready,
        content: &mut Content,
        buffer: &mut [u8],
    ) -> Result<(), Gone> {
        if event.writable() {
            self.flush()?;
        }
        if event.readable() && !self.blocked() && !self.last {
            let read = match net::recv(&self.socket, &mut *buffer, net::RecvFlags::empty()) {
                Ok((0, _)) => return Err(Gone),
                Ok((read, _)) => read,
                Err(Errno::AGAIN) => 0,
                Err(_) => return Err(Gone),
            };
            self.take(&mut buffer[..read], content)?;
        }
        self.pour()?;
        if self.last && !self.blocked() {
            return Err(Gone);
        }
        Ok(())
    }

    fn take(&mut self, mut input: &mut [u8], content: &mut Content) -> Result<(), Gone> {
        if matches!(self.role, Role::Http) {
            let rest = self.requests(input, content)?;
            // Frames may stand right after the handshake's head.
            let start = input.len() - rest;
            input = &mut input[start..];
        }
        match self.role {
            Role::Http => Ok(()),
            _ => self.frames(input),
        }
    }

    /// Answers the requests in `input`; returns how many bytes at its end
    /// belong to what follows a handshake.
    fn requests(&mut self, input: &[u8], content: &mut Content) -> Result<usize, Gone> {
        let held;
        let mut rest = input;
        if !self.head.is_empty() {
            self.head.extend_from_slice(input);
            held = std::mem::take(&mut self.head);
            rest = &held;
        }
        while !rest.is_empty() {
            let mut fields = [httparse::EMPTY_HEADER; 48];
            let mut request = httparse::Request::new(&mut fields);
            let httparse::Status::Complete(length) = request.parse(rest)? else {
                if rest.len() > MAX_HEAD {
                    return Err(Gone);
                }
                self.head = rest.to_vec();
                break;
            };
            self.answer(&request, content)?;
            rest = &rest[length..];
            if !matches!(self.role, Role::Http) {
                return Ok(rest.len().min(input.len()));
            }
        }
        Ok(0)
    }

    fn answer(&mut self, request: &httparse::Request, content: &mut Content) -> Result<(), Gone> {
        let field = |name: &str| {
            let mut fields = request.headers.iter();
            let found = fields.find(|field| field.name.eq_ignore_ascii_case(name));
            found.and_then(|field| std::str::from_utf8(field.value).ok())
        };
        let path = request.path.unwrap_or_default();
        let page = content.pages.iter().find(|(name, _)| *name == path);
        if let (Some(&(_, page)), Some("GET")) = (page, request.method) {
            self.last = request.version == Some(0)
                || field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
            return self.send_fixed(page);
        }
        let role = match path.strip_prefix("/ws/") {
            Some("echo") => Role::Echo,
            Some("sink") => Role::Sink,
            Some(source) => {
                let size = source
                    .strip_prefix("source/")
                    .and_then(|size| size.parse().ok());
                let frame = content.frame(size.ok_or(Gone)?);
                Role::Source {
                    frame,
                    pouring: false,
                }
            }
            None => {
                self.last = true;
                return self.send(
                    b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                );
            }
        };
        let upgrade = field("upgrade").is_some_and(|value| value.eq_ignore_ascii_case("websocket"));
        let key = field("sec-websocket-key").filter(|_| upgrade);
        let (Some(key), Some("13")) = (key, field("sec-websocket-version")) else {
            self.last = true;
            return self.send(
                b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            );
        };
        let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
        self.role = role;
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        self.send(head.as_bytes())
    }

    /// Follows the client's frames, answering each piece at once: headers
    /// become unmasked ones, payloads are unmasked in place.
    fn frames(&mut self, input: &mut [u8]) -> Result<(), Gone> {
        let mut reply = Vec::new();
        let mut at = 0;
        while at < input.len() {
            let (taken, step) = self.scanner.step(&input[at..]);
            let piece = &mut input[at..at + taken];
            at += taken;
            let header = self.scanner.header; // the one begun by this step, if any
            match step {
                Step::Partial => break,
                Step::Header(header) => {
                    if header.mask.is_none() {
                        return Err(Gone);
                    }
                    match (&mut self.role, header.opcode) {
                        (_, websocket::CLOSE..) => self.control.clear(),
                        (Role::Echo, _) => {
                            websocket::put_header(&mut reply, header.first, header.length, None);
                        }
                        (Role::Source { pouring, .. }, _) => *pouring = true,
                        _ => {}
                    }
                }
                Step::Payload { offset } => {
                    let control = header.opcode >= websocket::CLOSE;
                    if control || matches!(self.role, Role::Echo) {
                        websocket::apply_mask(piece, header.mask.unwrap_or_default(), offset);
                        let out = if control {
                            &mut self.control
                        } else {
                            &mut reply
                        };
                        out.extend_from_slice(piece);
                    }
                }
            }
            if self.scanner.frame_done() {
                match header.opcode {
                    websocket::CLOSE => {
                        reply.extend(websocket::frame(websocket::CLOSE, &self.control, None));
                        self.last = true;
                        break;
                    }
                    websocket::PING => {
                        reply.extend(websocket::frame(websocket::PONG, &self.control, None));
                    }
                    _ => {}
                }
            }
        }
        self.send(&reply)
    }

    fn pour(&mut self) -> Result<(), Gone> {
        let Role::Source {
            frame,
            pouring: true,
        } = self.role
        else {
            return Ok(());
        };
        // A few frames a turn, so that other connections get theirs; being
        // level-triggered, room for more brings the next turn.
        for _ in 0..4 {
            if self.blocked() {
                break;
            }
            self.send_fixed(frame)?;
        }
        Ok(())
    }

    fn blocked(&self) -> bool {
        !self.spill.is_empty() || !self.fixed.is_empty()
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        let sent = if self.blocked() || bytes.is_empty() {
            0
        } else {
            self.write(bytes)?
        };
        // After a fixed answer (pipelined requests) the order must hold.
        if !self.fixed.is_empty() {
            self.spill
                .extend_from_slice(std::mem::take(&mut self.fixed));
        }
        self.spill.extend_from_slice(&bytes[sent..]);
        Ok(())
    }

    fn send_fixed(&mut self, bytes: &'static [u8]) -> Result<(), Gone> {
        if self.blocked() {
            return self.send(bytes);
        }
        let sent = self.write(bytes)?;
        self.fixed = &bytes[sent..];
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Gone> {
        if !self.spill.is_empty() {
            let sent = self.write(&self.spill)?;
            self.spill.drain(..sent);
        }
        if self.spill.is_empty() && !self.fixed.is_empty() {
            let sent = self.write(self.fixed)?;
            self.fixed = &self.fixed[sent..];
        }
        Ok(())
    }

    fn write(&self, bytes: &[u8]) -> Result<usize, Gone> {
        match net::send(&self.socket, bytes, net::SendFlags::NOSIGNAL) {
            Ok(sent) => Ok(sent),
            Err(Errno::AGAIN) => Ok(0),
            Err(_) => Err(Gone),
        }
    }

    /// Asks for room only while it is missed, for input only while it can be
    /// answered.
    fn watch(&mut self, poller: &Poller, token: u64) -> io::Result<()> {
        let pouring = matches!(self.role, Role::Source { pouring: true, .. });
        let wanted = match (pouring, self.blocked()) {
            (true, _) => Flags::IN | Flags::OUT,
            (false, true) => Flags::OUT,
            (false, false) => Flags::IN,
        };
        if wanted != self.watched {
            poller.modify(&self.socket, token, wanted)?;
            self.watched = wanted;
        }
        Ok(())
    }
}
