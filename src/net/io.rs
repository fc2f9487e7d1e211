//! One type over the kinds of stream sockets, so that taking a hyper connection apart has one
//! target type and data needs no box.
//!
//! Knows sockets only; HTTP and WebSocket rules live above it.

use std::cell::RefCell;
use std::future::Future;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::sockopt::{socket_error, socket_type};
use rustix::net::{AddressFamily, SocketType, getsockname};
use tokio::io::{Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// Size of a worker's scratch buffer, in bytes.
pub const SCRATCH: usize = 64 * 1024;

/// Bytes that a connection may move before all other tasks get their turn.
pub const TURN: usize = 8 * SCRATCH;
/// What a piece of them, a frame or a chunk, costs of a turn besides its bytes, in bytes that could
/// be moved meanwhile: a turn ends after 2048 empty ones.
pub const PIECE_COST: usize = 256;

thread_local! {
    static SCRATCH_BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
}

/// Lends the worker's scratch buffer for the length of one call; never across a wait.
pub fn with_scratch<R>(use_it: impl FnOnce(&mut [u8]) -> R) -> R {
    SCRATCH_BUFFER.with_borrow_mut(|scratch| use_it(scratch))
}

/// Lets all other tasks that are ready, or become so, have their turn before the task is woken:
/// woken at once it would be polled dozens of times before the runtime looks at the sockets.
#[cold]
pub fn yield_turn(cx: &mut Context<'_>) {
    let once = std::pin::pin!(tokio::task::yield_now());
    let _ = once.poll(cx);
}

/// A connected byte stream.
#[derive(Debug)]
pub enum Io {
    /// A TCP connection.
    Tcp(TcpStream),
    /// A unix stream socket.
    Unix(UnixStream),
}

macro_rules! each {
    ($self:ident, $stream:ident => $body:expr) => {
        match $self {
            Io::Tcp($stream) => $body,
            Io::Unix($stream) => $body,
        }
    };
}

impl Io {
    /// Waits until a read may make progress.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, s => s.poll_read_ready(cx))
    }

    /// Waits until a write may make progress.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, s => s.poll_write_ready(cx))
    }

    /// One `recv`; `WouldBlock` clears the readiness.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        each!(self, s => s.try_read(buf))
    }

    /// One `send`; `WouldBlock` clears the readiness.
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        each!(self, s => s.try_write(buf))
    }

    /// One gathered `send`.
    pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        each!(self, s => s.try_write_vectored(bufs))
    }

    /// Runs a system call on the descriptor; `WouldBlock` clears the readiness.
    pub fn try_io<R>(
        &self,
        interest: Interest,
        call: impl FnOnce(BorrowedFd<'_>) -> io::Result<R>,
    ) -> io::Result<R> {
        each!(self, s => s.try_io(interest, || call(s.as_fd())))
    }

    /// Reads into `buf`, as `AsyncRead` does.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self, s => tokio::io::AsyncRead::poll_read(Pin::new(s), cx, buf))
    }

    /// Writes, as `AsyncWrite` does.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            match self.try_write(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.poll_write_ready(cx))?;
                }
                done => return Poll::Ready(done),
            }
        }
    }

    /// Writes several slices, as `AsyncWrite` does.
    pub fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.try_write_vectored(bufs) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.poll_write_ready(cx))?;
                }
                done => return Poll::Ready(done),
            }
        }
    }

    /// Gives the descriptor up; nothing of this process waits for it any more.
    pub fn into_fd(self) -> io::Result<OwnedFd> {
        Ok(match self {
            Io::Tcp(stream) => stream.into_std()?.into(),
            Io::Unix(stream) => stream.into_std()?.into(),
        })
    }

    /// Registers a connected stream socket of either kind with the current runtime.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Io> {
        let family = getsockname(&fd)?.address_family();
        let unknown = || io::Error::new(io::ErrorKind::InvalidInput, "not a TCP or unix stream");
        if socket_type(&fd)? != SocketType::STREAM {
            return Err(unknown());
        }
        rustix::io::ioctl_fionbio(&fd, true)?;
        match family {
            AddressFamily::INET | AddressFamily::INET6 => {
                Ok(Io::Tcp(TcpStream::from_std(fd.into())?))
            }
            AddressFamily::UNIX => Ok(Io::Unix(UnixStream::from_std(fd.into())?)),
            _ => Err(unknown()),
        }
    }

    /// A second descriptor of the same connection, which stays open until both are closed.
    ///
    /// # Errors
    /// When there are no more descriptors.
    pub fn second(&self) -> io::Result<OwnedFd> {
        self.as_fd().try_clone_to_owned()
    }

    /// Why the connection is broken, if it is, whatever waits in its buffers; `ended`: we
    /// have ended our direction, so that a connection that has ended on both sides is not broken.
    pub fn broken(&self, ended: bool) -> Option<io::Error> {
        let mut asked = [PollFd::new(self, PollFlags::empty())];
        let at_once = Timespec::default();
        rustix::event::poll(&mut asked, Some(&at_once)).ok()?;
        let found = asked[0].revents();
        if found.contains(PollFlags::ERR) {
            let error = socket_error(self.as_fd()).ok().and_then(Result::err);
            return Some(error.map_or(io::ErrorKind::ConnectionReset.into(), Into::into));
        }
        (found.contains(PollFlags::HUP) && !ended).then(|| io::ErrorKind::ConnectionReset.into())
    }

    /// Ends the writing direction (`shutdown(SHUT_WR)`); the other goes on.
    pub fn shutdown_write(&self) -> io::Result<()> {
        Ok(rustix::net::shutdown(
            self.as_fd(),
            rustix::net::Shutdown::Write,
        )?)
    }
}

impl AsFd for Io {
    fn as_fd(&self) -> BorrowedFd<'_> {
        each!(self, s => s.as_fd())
    }
}

impl From<TcpStream> for Io {
    fn from(stream: TcpStream) -> Self {
        Io::Tcp(stream)
    }
}

impl From<UnixStream> for Io {
    fn from(stream: UnixStream) -> Self {
        Io::Unix(stream)
    }
}

impl tokio::io::AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Io::poll_read(&mut self, cx, buf)
    }
}
