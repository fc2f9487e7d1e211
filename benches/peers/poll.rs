//! A thin epoll wrapper shared by the backend, the floor and the load
//! generator. Owns the event buffer; knows nothing of what the tokens mean.

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

pub use rustix::event::epoll::EventFlags as Flags;

/// What one descriptor is ready for.
#[derive(Clone, Copy)]
pub struct Ready {
    /// The token the descriptor was added with.
    pub token: u64,
    /// The kernel's flags.
    pub flags: Flags,
}

impl Ready {
    /// Reading would tell something: data, the end, or an error.
    pub fn readable(&self) -> bool {
        self.flags
            .intersects(Flags::IN | Flags::RDHUP | Flags::HUP | Flags::ERR)
    }

    /// Writing would tell something: room, or an error.
    pub fn writable(&self) -> bool {
        self.flags.intersects(Flags::OUT | Flags::HUP | Flags::ERR)
    }

    /// The peer has ended its direction, or the socket is broken: reads will
    /// come to an end without blocking.
    pub fn ending(&self) -> bool {
        self.flags
            .intersects(Flags::RDHUP | Flags::HUP | Flags::ERR)
    }
}

/// An epoll instance.
pub struct Poller {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl Poller {
    /// A new instance that reports up to 512 events a wait.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(512),
        })
    }

    /// Watches `source` until it is closed.
    pub fn add(&self, source: impl AsFd, token: u64, flags: Flags) -> io::Result<()> {
        let data = epoll::EventData::new_u64(token);
        Ok(epoll::add(&self.epoll, source, data, flags)?)
    }

    /// Changes what `source` is watched for.
    pub fn modify(&self, source: impl AsFd, token: u64, flags: Flags) -> io::Result<()> {
        let data = epoll::EventData::new_u64(token);
        Ok(epoll::modify(&self.epoll, source, data, flags)?)
    }

    /// Waits until something is ready, at most `timeout` (`None`: for ever),
    /// and moves the events to `ready`. A signal counts as nothing ready.
    pub fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        ready.clear();
        self.events.clear();
        let timeout = timeout.map(|time| Timespec {
            tv_sec: time.as_secs() as i64,
            tv_nsec: time.subsec_nanos().into(),
        });
        let buffer = spare_capacity(&mut self.events);
        match epoll::wait(&self.epoll, buffer, timeout.as_ref()) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        ready.extend(self.events.iter().map(|event| Ready {
            token: event.data.u64(),
            flags: event.flags,
        }));
        Ok(())
    }
}
