//! The load generator: a single-thread closed loop over epoll, with one
//! operation outstanding on each lane. Owns the loop and the tally; what an
//! operation is, the lanes' files say (`http`, `tunnel`, `handshake`).

mod handshake;
mod http;
mod opening;
mod tunnel;

use crate::histogram::Histogram;
use crate::poll::{Poller, Ready};
use crate::sys;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Answers are read through one buffer of this size.
const BUFFER: usize = 256 * 1024;

/// What each lane does again and again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Work {
    /// GET this path on a kept connection; the body has this many bytes.
    Get(&'static str, usize),
    /// Send a message of this many bytes through a tunnel, wait for its echo.
    Echo(usize),
    /// Send messages of this many bytes through a tunnel without end.
    Up(usize),
    /// Receive messages of this many bytes through a tunnel without end.
    Down(usize),
    /// Connect, shake hands, close.
    Handshake,
    /// Send a message of `echo` bytes through each tunnel every [`PACE`] and wait for its echo,
    /// while `tunnels` more move messages of `bulk` bytes without end, half of them in either
    /// direction.
    Beside {
        /// Bytes of an echoed message.
        echo: usize,
        /// Bytes of a message in bulk.
        bulk: usize,
        /// Tunnels of bulk.
        tunnels: usize,
    },
}

/// The time from one paced message of a tunnel to its next.
pub const PACE: Duration = Duration::from_millis(100);

/// What was done since the tally was last taken.
#[derive(Default)]
pub struct Tally {
    /// Operations completed (bulk: none).
    pub operations: u64,
    /// Bytes of frames moved in bulk.
    pub bytes: u64,
    /// Time from an operation's first to its last byte.
    pub latency: Histogram,
}

/// What all lanes share.
struct Shared {
    poller: Poller,
    target: SocketAddr,
    buffer: Vec<u8>,
    tally: Tally,
    /// False while lanes finish what they began and begin nothing more.
    going: bool,
    /// Lanes with an operation outstanding.
    busy: usize,
    /// The first so many lanes begin each [`PACE`], and not when the last operation has ended.
    paced: usize,
}

/// One connection (or a succession of them) and its state.
trait Lane {
    /// Begins an operation.
    fn begin(&mut self, token: u64, shared: &mut Shared) -> io::Result<()>;
    /// Begins an operation that was due at this time, unless one is outstanding.
    fn begin_due(&mut self, token: u64, _: Instant, shared: &mut Shared) -> io::Result<()> {
        self.begin(token, shared)
    }
    /// Goes on with it.
    fn ready(&mut self, event: Ready, shared: &mut Shared) -> io::Result<()>;
}

/// A set of lanes against one proxy.
pub struct Load {
    lanes: Vec<Box<dyn Lane>>,
    shared: Shared,
    idle: bool,
}

impl Load {
    /// Opens `lanes` lanes, one after another; tunnels are open, and have
    /// echoed once where they echo, when this returns.
    pub fn open(target: SocketAddr, work: Work, lanes: usize) -> io::Result<Self> {
        let shared = Shared {
            poller: Poller::new()?,
            target,
            buffer: vec![0; BUFFER],
            tally: Tally::default(),
            going: false,
            busy: 0,
            paced: 0,
        };
        let mut load = Self {
            lanes: Vec::with_capacity(lanes),
            shared,
            idle: true,
        };
        for index in 0..lanes {
            if sys::interrupted() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let (token, shared) = (index as u64, &load.shared);
            let lane: Box<dyn Lane> = match work {
                Work::Get(path, length) => Box::new(http::Get::open(shared, token, path, length)?),
                Work::Echo(size) | Work::Beside { echo: size, .. } => {
                    Box::new(tunnel::Echo::open(shared, token, size)?)
                }
                Work::Up(size) => Box::new(tunnel::Up::open(shared, token, size)?),
                Work::Down(size) => Box::new(tunnel::Down::open(shared, token, size)?),
                Work::Handshake => Box::new(handshake::Handshake::new(shared, token)),
            };
            load.lanes.push(lane);
        }
        if let Work::Beside { bulk, tunnels, .. } = work {
            load.shared.paced = lanes;
            for index in 0..tunnels {
                let (token, shared) = ((lanes + index) as u64, &load.shared);
                load.lanes.push(match index % 2 {
                    0 => Box::new(tunnel::Up::open(shared, token, bulk)?),
                    _ => Box::new(tunnel::Down::open(shared, token, bulk)?),
                });
            }
        }
        Ok(load)
    }

    /// Keeps every lane busy for `time` and returns what was done.
    pub fn run(&mut self, time: Duration) -> io::Result<Tally> {
        self.shared.going = true;
        if self.idle {
            self.idle = false;
            let unpaced = self.lanes.iter_mut().enumerate().skip(self.shared.paced);
            for (token, lane) in unpaced {
                lane.begin(token as u64, &mut self.shared)?;
            }
        }
        self.turn(Instant::now() + time, false)?;
        Ok(std::mem::take(&mut self.shared.tally))
    }

    /// Begins nothing, but answers what comes (Pings), for `time`.
    pub fn linger(&mut self, time: Duration) -> io::Result<()> {
        self.shared.going = false;
        self.turn(Instant::now() + time, false)
    }

    /// Lets outstanding operations end, at most for a second, then closes.
    pub fn close(mut self) -> io::Result<()> {
        self.shared.going = false;
        self.turn(Instant::now() + Duration::from_secs(1), true)
    }

    fn turn(&mut self, end: Instant, until_quiet: bool) -> io::Result<()> {
        let mut ready = Vec::new();
        let mut pacer = Pacer::new(self.shared.paced);
        loop {
            if self.shared.going {
                while let Some((lane, due)) = pacer.due() {
                    self.lanes[lane].begin_due(lane as u64, due, &mut self.shared)?;
                }
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || (until_quiet && self.shared.busy == 0) {
                return Ok(());
            }
            if sys::interrupted() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let left = match self.shared.going {
                true => left.min(pacer.pause()),
                false => left,
            };
            self.shared.poller.wait(Some(left), &mut ready)?;
            for &event in &ready {
                self.lanes[event.token as usize].ready(event, &mut self.shared)?;
            }
        }
    }
}

impl Shared {
    /// Counts an operation that began at `begun`; true when the lane is to
    /// begin another.
    fn completed(&mut self, begun: Instant) -> bool {
        self.tally.operations += 1;
        self.tally.latency.record(begun.elapsed());
        self.busy -= 1;
        self.going && self.paced == 0
    }
}

/// Says which paced lane is due, each once in a [`PACE`], evenly spread over it.
struct Pacer {
    lanes: usize,
    begun: Instant,
    next: u32,
}

impl Pacer {
    fn new(lanes: usize) -> Self {
        Self {
            lanes,
            begun: Instant::now(),
            next: 0,
        }
    }

    fn at(&self) -> Instant {
        self.begun + PACE * self.next / self.lanes as u32
    }

    /// The next lane that is due, and since when.
    fn due(&mut self) -> Option<(usize, Instant)> {
        let at = (self.lanes > 0 && self.at() <= Instant::now()).then(|| self.at())?;
        let lane = self.next as usize % self.lanes;
        self.next += 1;
        Some((lane, at))
    }

    /// Until the next one is due.
    fn pause(&self) -> Duration {
        match self.lanes {
            0 => Duration::MAX,
            _ => self.at().saturating_duration_since(Instant::now()),
        }
    }
}

/// The proxy or the backend did something that no lane expects.
fn unexpected(what: impl Into<String>) -> io::Error {
    io::Error::other(what.into())
}
