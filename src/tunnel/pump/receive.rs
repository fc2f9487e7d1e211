//! One receive for one wake-up: the waker is registered only where it may not be, and
//! readiness is given up behind a short read without asking the kernel again.

use std::io;
use std::task::{Context, Poll};

use rustix::net::{RecvFlags, recv};
use tokio::io::Interest;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::coop;

use crate::io::Io;

/// Whether the task's waker stands at a source. To ask again, which takes a lock and a copy
/// of the waker, costs more than all else that a direction does when it has nothing to read.
#[derive(Debug)]
pub(super) struct Watch {
    /// Set when the last poll found nothing, and with that left the waker at the source.
    /// It stays there until the source is ready; and nobody takes that readiness back
    /// but [`receive`] and whoever calls [`Watch::disarm`]. So: set, and the source is not
    /// ready, means that the waker is there.
    armed: bool,
    /// Only where readiness and wake-up come in one piece, seen from the task, is that true:
    /// where the thread that runs the tasks also waits for events.
    may_arm: bool,
}

impl Watch {
    pub(super) fn new() -> Watch {
        let flavor = Handle::try_current().map(|handle| handle.runtime_flavor());
        Watch {
            armed: false,
            may_arm: matches!(flavor, Ok(RuntimeFlavor::CurrentThread)),
        }
    }

    /// To be called before anybody else polls or reads the source.
    pub(super) fn disarm(&mut self) {
        self.armed = false;
    }
}

/// Reads once, as `AsyncRead` does: 0 is the end of the stream. `Pending` leaves the waker
/// at the source.
#[inline]
pub(super) fn receive(
    from: &Io,
    watch: &mut Watch,
    buffer: &mut [u8],
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    loop {
        if !watch.armed {
            // Without budget it is not the source that says `Pending`.
            let asked = coop::has_budget_remaining();
            match from.poll_read_ready(cx) {
                Poll::Pending => {
                    watch.armed = asked && watch.may_arm;
                    return Poll::Pending;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) => {}
            }
        }
        let mut tried = false;
        let mut short = 0;
        let result = from.try_io(Interest::READABLE, |fd| {
            tried = true;
            let (n, _) = recv(fd, &mut *buffer, RecvFlags::empty())?;
            if n > 0 && n < buffer.len() {
                // The socket is empty: the next bytes are a new event of the kernel's, and
                // an end that has come already keeps its own readiness.
                short = n;
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(n)
        });
        if tried {
            watch.armed = false;
        }
        match result {
            _ if short > 0 => return Poll::Ready(Ok(short)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if watch.armed {
                    return Poll::Pending;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return Poll::Ready(done),
        }
    }
}
