//! Large payloads by splice(2): socket to pipe to socket, without a copy to user space.
//!
//! Pipes belong to the worker and are lent to a tunnel only while bytes are in them. Where
//! splice or a pipe is not to be had, or a stream is none of the system's sockets, the caller
//! copies; correctness depends on nothing here.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use rustix::pipe::{PipeFlags, SpliceFlags};
use tokio::io::Interest;

use crate::net::io::{Io, Socket};
use crate::system::descriptors;

/// Capacity asked for each pipe in bytes; the kernel may grant less.
pub(super) const CAPACITY: usize = 256 * 1024;
/// Most pipes of one worker at once: sinks that stall with a full pipe must not exhaust
/// descriptors or the kernel's pipe memory.
const MOST: usize = 64;
/// Empty pipes that a worker keeps.
const KEPT: usize = 4;

thread_local! {
    #[allow(clippy::vec_box, reason = "boxed as they are lent: lending allocates nothing")]
    static POOL: RefCell<Vec<Box<Ends>>> = const { RefCell::new(Vec::new()) };
    static LENT: Cell<usize> = const { Cell::new(0) };
    static UNSUPPORTED: Cell<bool> = const { Cell::new(false) };
}

#[derive(Debug)]
struct Ends {
    read: OwnedFd,
    write: OwnedFd,
    /// Bytes in the pipe.
    filled: usize,
}

/// The place for a pipe on loan from the worker; one pointer, since idle tunnels hold it too.
#[derive(Debug, Default)]
pub(super) struct Pipe(Option<Box<Ends>>);

impl Pipe {
    /// A pooled pipe or a new one; empty where none is available.
    fn borrow() -> Pipe {
        if UNSUPPORTED.get() || LENT.get() >= MOST {
            return Pipe(None);
        }
        let pooled = POOL.with_borrow_mut(Vec::pop);
        let ends = pooled.or_else(|| {
            let flags = PipeFlags::CLOEXEC | PipeFlags::NONBLOCK;
            let (read, write) = rustix::pipe::pipe_with(flags).ok()?;
            if descriptors::is_reserved(&read) || descriptors::is_reserved(&write) {
                return None;
            }
            // Above the user's limit the default capacity stays: smaller moves, same bytes.
            let _ = rustix::pipe::fcntl_setpipe_size(&write, CAPACITY);
            Some(Box::new(Ends {
                read,
                write,
                filled: 0,
            }))
        });
        if ends.is_some() {
            LENT.set(LENT.get() + 1);
        }
        Pipe(ends)
    }

    /// Empties the pipe, if there is one, into memory and gives it back.
    pub(super) fn take_bytes(&mut self) -> io::Result<Vec<u8>> {
        let Some(ends) = &mut self.0 else {
            return Ok(Vec::new());
        };
        let mut bytes = vec![0; ends.filled];
        read_all(&ends.read, &mut bytes)?;
        ends.filled = 0;
        *self = Pipe::default();
        Ok(bytes)
    }

    /// How many bytes are in it.
    pub(super) fn filled(&self) -> usize {
        self.0.as_ref().map_or(0, |ends| ends.filled)
    }

    /// Whether no pipe is here.
    pub(super) fn is_none(&self) -> bool {
        self.0.is_none()
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let Some(ends) = self.0.take() else {
            return;
        };
        // Only an empty pipe may serve another tunnel. The thread's end may come first.
        let _ = LENT.try_with(|lent| lent.set(lent.get().saturating_sub(1)));
        if ends.filled == 0 {
            let _ = POOL.try_with(|pool| {
                let mut pool = pool.borrow_mut();
                if pool.len() < KEPT {
                    pool.push(ends);
                }
            });
        }
    }
}

/// What an attempt to fill a pipe brought.
pub(super) enum Moved {
    /// So many bytes more are in the pipe.
    Bytes(usize),
    /// The pipe takes no more.
    Full,
    /// The source has nothing; its readiness is awaited.
    Wait,
    /// The source has ended its stream.
    End,
    /// The source failed.
    Failed(io::Error),
    /// Copy instead.
    Unable,
}

/// Looks at what comes next, which stays in the socket; 0 is the end of the stream.
pub(super) fn peek(
    from: &Socket,
    into: &mut [u8],
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(from.poll_read_ready(cx))?;
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let peeked = from.try_io(Interest::READABLE, |fd| Ok(recv(fd, &mut *into, flags)?.0));
        match peeked {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return Poll::Ready(done),
        }
    }
}

/// Moves up to `most` bytes from the socket into the pipe in `slot`, or into one that is put there.
pub(super) fn fill(from: &Socket, most: usize, slot: &mut Pipe, cx: &mut Context<'_>) -> Moved {
    if let Some(ends) = &mut slot.0 {
        return add(from, most, ends);
    }
    loop {
        match from.poll_read_ready(cx) {
            Poll::Pending => return Moved::Wait,
            Poll::Ready(Err(error)) => return Moved::Failed(error),
            Poll::Ready(Ok(())) => {}
        }
        let mut pipe = Pipe::borrow();
        let Some(ends) = &mut pipe.0 else {
            return Moved::Unable;
        };
        let moved = from.try_io(Interest::READABLE, |fd| take(fd, ends, most));
        match moved {
            Ok(0) => return Moved::End,
            Ok(n) => {
                *slot = pipe;
                return Moved::Bytes(n);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if unsupported(&error) => {
                UNSUPPORTED.set(true);
                return Moved::Unable;
            }
            Err(error) => return Moved::Failed(error),
        }
    }
}

/// The same, into a pipe that holds bytes. Where nothing is moved it is not known whether the socket
/// has none or the pipe no room, so the socket's readiness stays.
fn add(from: &Socket, most: usize, ends: &mut Ends) -> Moved {
    match take(from.as_fd(), ends, most) {
        Ok(0) => Moved::End,
        Ok(n) => Moved::Bytes(n),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Moved::Full,
        Err(error) => Moved::Failed(error),
    }
}

fn take(from: BorrowedFd<'_>, ends: &mut Ends, most: usize) -> io::Result<usize> {
    let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
    let n = rustix::pipe::splice(from, None, &ends.write, None, most, flags)?;
    ends.filled += n;
    Ok(n)
}

/// How far a pipe was emptied.
pub(super) enum Drained {
    /// It is, and was given back.
    Empty,
    /// The sink takes no more; its readiness is awaited.
    Wait,
    /// It is, but into this: the sink cannot be spliced to.
    Stranded(Vec<u8>),
}

/// Moves the bytes of the pipe in `slot`, if there is one, to the socket.
pub(super) fn drain(slot: &mut Pipe, to: &Io, cx: &mut Context<'_>) -> io::Result<Drained> {
    let Some(to) = to.descriptor() else {
        return match slot.is_none() {
            true => Ok(Drained::Empty),
            false => slot.take_bytes().map(Drained::Stranded),
        };
    };
    while let Some(ends) = &mut slot.0 {
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        let moved = to.try_io(Interest::WRITABLE, |fd| {
            Ok(rustix::pipe::splice(
                &ends.read,
                None,
                fd,
                None,
                ends.filled,
                flags,
            )?)
        });
        match moved {
            Ok(n) => ends.filled -= n.min(ends.filled),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                match to.poll_write_ready(cx) {
                    Poll::Pending => return Ok(Drained::Wait),
                    Poll::Ready(ready) => ready?,
                }
            }
            Err(error) if unsupported(&error) => {
                UNSUPPORTED.set(true);
                return slot.take_bytes().map(Drained::Stranded);
            }
            Err(error) => return Err(error),
        }
        if ends.filled == 0 {
            *slot = Pipe::default();
        }
    }
    Ok(Drained::Empty)
}

/// The bytes are known to be in the pipe.
fn read_all(pipe: &OwnedFd, mut bytes: &mut [u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::read(pipe, &mut *bytes)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => bytes = &mut bytes[n..],
        }
    }
    Ok(())
}

fn unsupported(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    [Errno::INVAL, Errno::NOSYS, Errno::PERM, Errno::OPNOTSUPP]
        .iter()
        .any(|known| code == Some(known.raw_os_error()))
}

/// Pipes on loan to the tunnels of this thread.
#[cfg(test)]
pub(super) fn lent() -> usize {
    LENT.get()
}
