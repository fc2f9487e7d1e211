//! The floor: a bare single-thread epoll relay that reads no HTTP and copies
//! through one 64 KiB buffer. What a proxy costs above it is what it does
//! besides moving bytes. Runs as a child process of the harness.

use crate::poll::{Flags, Poller, Ready};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};

const LISTENER: u64 = u64::MAX;
const BUFFER: usize = 64 * 1024;

/// One direction's state: what could not be written yet, and its end.
#[derive(Default)]
struct Direction {
    spill: Vec<u8>,
    written: usize,
    /// The source will come to its end without another event.
    ending: bool,
    ended: bool,
}

/// Two sockets; direction `i` reads from socket `i`, writes to the other.
struct Pair {
    sockets: [OwnedFd; 2],
    directions: [Direction; 2],
}

enum Outcome {
    Live,
    Gone,
}

struct Floor {
    poller: Poller,
    listener: TcpListener,
    upstream: SocketAddr,
    pairs: Vec<Option<Pair>>,
    free: Vec<usize>,
    buffer: Vec<u8>,
}

/// Relays connections of `listen` to `upstream` until killed.
pub fn run(listen: SocketAddr, upstream: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind(listen)?;
    listener.set_nonblocking(true)?;
    let mut floor = Floor {
        poller: Poller::new()?,
        listener,
        upstream,
        pairs: Vec::new(),
        free: Vec::new(),
        buffer: vec![0; BUFFER],
    };
    floor.poller.add(&floor.listener, LISTENER, Flags::IN)?;
    let mut ready = Vec::new();
    loop {
        floor.poller.wait(None, &mut ready)?;
        for &event in &ready {
            if event.token == LISTENER {
                floor.accept()?;
            } else {
                floor.relay(event);
            }
        }
    }
}

impl Floor {
    fn accept(&mut self) -> io::Result<()> {
        loop {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let client = match net::accept_with(&self.listener, flags) {
                Ok(client) => client,
                Err(Errno::AGAIN | Errno::CONNABORTED) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let server = net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
            sockopt::set_tcp_nodelay(&client, true)?;
            sockopt::set_tcp_nodelay(&server, true)?;
            match net::connect(&server, &self.upstream) {
                Ok(()) | Err(Errno::INPROGRESS) => {}
                Err(_) => continue,
            }
            let slot = self.free.pop().unwrap_or_else(|| {
                self.pairs.push(None);
                self.pairs.len() - 1
            });
            let interest = Flags::IN | Flags::OUT | Flags::RDHUP | Flags::ET;
            self.poller.add(&client, 2 * slot as u64, interest)?;
            self.poller.add(&server, 2 * slot as u64 + 1, interest)?;
            self.pairs[slot] = Some(Pair {
                sockets: [client, server],
                directions: Default::default(),
            });
        }
    }

    /// An event may be stale when its pair went away in the same batch; the
    /// slot's next owner then only sees a read that would block.
    fn relay(&mut self, event: Ready) {
        let (slot, side) = ((event.token / 2) as usize, (event.token % 2) as usize);
        let Some(pair) = &mut self.pairs[slot] else {
            return;
        };
        pair.directions[side].ending |= event.ending();
        let mut outcome = Outcome::Live;
        // This socket has room again: only matters where it was missed.
        if event.writable() && !pair.directions[1 - side].spill.is_empty() {
            outcome = pair.pump(1 - side, &mut self.buffer);
        }
        if matches!(outcome, Outcome::Live) && event.readable() {
            outcome = pair.pump(side, &mut self.buffer);
        }
        if matches!(outcome, Outcome::Gone) {
            self.pairs[slot] = None;
            self.free.push(slot);
        }
    }
}

impl Pair {
    /// Moves what there is in direction `from`, until a socket would block.
    fn pump(&mut self, from: usize, buffer: &mut [u8]) -> Outcome {
        let (source, sink) = (&self.sockets[from], &self.sockets[1 - from]);
        let direction = &mut self.directions[from];
        if direction.ended {
            return Outcome::Live;
        }
        loop {
            match direction.flush(sink) {
                Ok(true) => {}
                Ok(false) => return Outcome::Live,
                Err(_) => return Outcome::Gone,
            }
            let read = match net::recv(source, &mut *buffer, net::RecvFlags::empty()) {
                Ok((0, _)) => break,
                Ok((read, _)) => read,
                Err(Errno::AGAIN) => return Outcome::Live,
                Err(_) => return Outcome::Gone,
            };
            let sent = match net::send(sink, &buffer[..read], net::SendFlags::NOSIGNAL) {
                Ok(sent) => sent,
                Err(Errno::AGAIN) => 0,
                Err(_) => return Outcome::Gone,
            };
            direction.spill.extend_from_slice(&buffer[sent..read]);
            if read < buffer.len() && !direction.ending && direction.spill.is_empty() {
                return Outcome::Live;
            }
        }
        direction.ended = true;
        if net::shutdown(sink, net::Shutdown::Write).is_err() {
            return Outcome::Gone;
        }
        match self.directions.iter().all(|direction| direction.ended) {
            true => Outcome::Gone,
            false => Outcome::Live,
        }
    }
}

impl Direction {
    /// Writes the spill; true when nothing is left of it.
    fn flush(&mut self, sink: impl AsFd) -> rustix::io::Result<bool> {
        while self.written < self.spill.len() {
            let rest = &self.spill[self.written..];
            match net::send(sink.as_fd(), rest, net::SendFlags::NOSIGNAL) {
                Ok(sent) => self.written += sent,
                Err(Errno::AGAIN) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        if !self.spill.is_empty() {
            self.spill = Vec::new();
            self.written = 0;
        }
        Ok(true)
    }
}
