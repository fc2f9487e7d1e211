//! Lanes inside a WebSocket tunnel: echoed messages, and bulk in either
//! direction. Frames are followed (RFC 6455, section 5.2); a Ping from the
//! proxy is answered, a Close or a lost byte fails the row.

use super::{Lane, Shared, opening, unexpected};
use crate::poll::{Flags, Ready};
use crate::websocket::{self, Scanner, Step};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::time::Instant;

thread_local! {
    /// The last message built: all lanes of a row send the same.
    static MESSAGE: std::cell::RefCell<Rc<[u8]>> = std::cell::RefCell::new(Rc::from([]));
}

fn payload(size: usize) -> Vec<u8> {
    (0..size).map(|i| (i % 253) as u8).collect()
}

/// A masked binary message of `size` bytes, shared by the lanes that ask for
/// the same size in turn.
fn message(size: usize) -> Rc<[u8]> {
    let frame = websocket::frame(websocket::BINARY, &payload(size), Some(websocket::MASK));
    MESSAGE.with_borrow_mut(|last| {
        if **last != *frame {
            *last = frame.into();
        }
        Rc::clone(last)
    })
}

fn open(shared: &Shared, token: u64, path: &str) -> io::Result<TcpStream> {
    let mut stream = opening::connect(shared.target, token)?;
    opening::upgrade(&mut stream, shared.target, path)?;
    Ok(stream)
}

fn register(shared: &Shared, stream: &TcpStream, token: u64, flags: Flags) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    shared.poller.add(stream, token, flags)
}

fn read(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    match stream.read(buffer) {
        Ok(0) => Err(unexpected("a tunnel was closed")),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}

/// What comes down a tunnel.
#[derive(Default)]
struct Receiver {
    scanner: Scanner,
    control: Vec<u8>,
}

impl Receiver {
    /// Follows `input`; returns the messages completed in it. Answers Pings.
    fn take(&mut self, mut input: &[u8], stream: &mut TcpStream) -> io::Result<u64> {
        let mut messages = 0;
        while !input.is_empty() {
            let (taken, step) = self.scanner.step(input);
            let (piece, rest) = input.split_at(taken);
            input = rest;
            let opcode = self.scanner.header.opcode;
            match step {
                Step::Partial => break,
                Step::Header(header) if header.mask.is_some() => {
                    return Err(unexpected("a masked frame from the server"));
                }
                Step::Header(_) => self.control.clear(),
                Step::Payload { .. } if opcode >= websocket::CLOSE => {
                    self.control.extend_from_slice(piece);
                }
                Step::Payload { .. } => {}
            }
            if !self.scanner.frame_done() {
                continue;
            }
            match opcode {
                websocket::PING => {
                    let mask = Some(websocket::MASK);
                    stream.write_all(&websocket::frame(websocket::PONG, &self.control, mask))?;
                }
                websocket::CLOSE => return Err(unexpected("a Close frame in a live tunnel")),
                _ => messages += 1,
            }
        }
        Ok(messages)
    }
}

/// Sends a message, waits for it to come back.
pub(super) struct Echo {
    stream: TcpStream,
    message: Rc<[u8]>,
    receiver: Receiver,
    begun: Instant,
    waits: bool,
}

impl Echo {
    /// Opens the tunnel and has one message echoed and compared.
    pub(super) fn open(shared: &Shared, token: u64, size: usize) -> io::Result<Self> {
        let mut stream = open(shared, token, "/ws/echo")?;
        let message = message(size);
        stream.write_all(&message)?;
        let expected = websocket::frame(websocket::BINARY, &payload(size), None);
        let mut echo = vec![0; expected.len()];
        stream.read_exact(&mut echo)?;
        if echo != expected {
            return Err(unexpected("the echo differs from the message"));
        }
        register(shared, &stream, token, Flags::IN)?;
        Ok(Self {
            stream,
            message,
            receiver: Receiver::default(),
            begun: Instant::now(),
            waits: false,
        })
    }
}

impl Lane for Echo {
    fn begin(&mut self, _: u64, shared: &mut Shared) -> io::Result<()> {
        self.begun = Instant::now();
        self.waits = true;
        shared.busy += 1;
        // The socket's buffer is empty and larger than any echoed message.
        self.stream.write_all(&self.message)
    }

    fn begin_due(&mut self, token: u64, due: Instant, shared: &mut Shared) -> io::Result<()> {
        if self.waits {
            return Ok(());
        }
        self.begin(token, shared)?;
        // What the message waited for its turn in this loop is not left out.
        self.begun = due;
        Ok(())
    }

    fn ready(&mut self, event: Ready, shared: &mut Shared) -> io::Result<()> {
        let read = read(&mut self.stream, &mut shared.buffer)?;
        let messages = self
            .receiver
            .take(&shared.buffer[..read], &mut self.stream)?;
        match messages {
            0 => Ok(()),
            1 if self.waits => {
                self.waits = false;
                match shared.completed(self.begun) {
                    true => self.begin(event.token, shared),
                    false => Ok(()),
                }
            }
            _ => Err(unexpected("an echo of nothing that was sent")),
        }
    }
}

/// Sends messages as fast as they are taken.
pub(super) struct Up {
    stream: TcpStream,
    message: Rc<[u8]>,
    sent: usize,
    receiver: Receiver,
}

impl Up {
    pub(super) fn open(shared: &Shared, token: u64, size: usize) -> io::Result<Self> {
        let stream = open(shared, token, "/ws/sink")?;
        register(shared, &stream, token, Flags::IN | Flags::OUT)?;
        Ok(Self {
            stream,
            message: message(size),
            sent: 0,
            receiver: Receiver::default(),
        })
    }
}

impl Lane for Up {
    fn begin(&mut self, _: u64, _: &mut Shared) -> io::Result<()> {
        Ok(())
    }

    fn ready(&mut self, event: Ready, shared: &mut Shared) -> io::Result<()> {
        if event.readable() {
            let read = read(&mut self.stream, &mut shared.buffer)?;
            self.receiver
                .take(&shared.buffer[..read], &mut self.stream)?;
        }
        if !event.writable() || !shared.going {
            return Ok(());
        }
        match self.stream.write(&self.message[self.sent..]) {
            Ok(sent) => {
                shared.tally.bytes += sent as u64;
                self.sent = (self.sent + sent) % self.message.len();
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Receives messages as fast as they come.
pub(super) struct Down {
    stream: TcpStream,
    receiver: Receiver,
}

impl Down {
    pub(super) fn open(shared: &Shared, token: u64, size: usize) -> io::Result<Self> {
        let stream = open(shared, token, &format!("/ws/source/{size}"))?;
        register(shared, &stream, token, Flags::IN)?;
        Ok(Self {
            stream,
            receiver: Receiver::default(),
        })
    }
}

impl Lane for Down {
    fn begin(&mut self, _: u64, _: &mut Shared) -> io::Result<()> {
        let go = websocket::frame(websocket::BINARY, b"go", Some(websocket::MASK));
        self.stream.write_all(&go)
    }

    fn ready(&mut self, _: Ready, shared: &mut Shared) -> io::Result<()> {
        let read = read(&mut self.stream, &mut shared.buffer)?;
        self.receiver
            .take(&shared.buffer[..read], &mut self.stream)?;
        shared.tally.bytes += read as u64;
        Ok(())
    }
}
