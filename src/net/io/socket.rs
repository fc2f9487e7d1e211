//! A stream socket of the system: its descriptor, and what the reactor knows of it. Reads and
//! writes go straight to the kernel.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::sockopt::{socket_error, socket_type};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, getsockname};
use tokio::io::{AsyncRead, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// A connected stream socket.
#[derive(Debug)]
pub enum Socket {
    /// A TCP connection.
    Tcp(TcpStream),
    /// A unix stream socket.
    Unix(UnixStream),
}

/// What the kernel knows of a peer, whatever waits unread in its buffers.
#[derive(Debug)]
pub enum PeerState {
    /// It may send.
    Open,
    /// It has ended its direction; it may still read.
    Ended,
    /// The connection is broken.
    Broken(io::Error),
}

macro_rules! each {
    ($self:ident, $stream:ident => $body:expr) => {
        match $self {
            Socket::Tcp($stream) => $body,
            Socket::Unix($stream) => $body,
        }
    };
}

impl Socket {
    /// Waits until a read may make progress.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, s => s.poll_read_ready(cx))
    }

    /// Waits until a write may make progress.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, s => s.poll_write_ready(cx))
    }

    /// Whether the reactor holds it for readable. No system call.
    pub fn is_readable(&self) -> bool {
        self.try_io(Interest::READABLE, |_| Ok(())).is_ok()
    }

    /// One `recv`; `WouldBlock` clears the readiness.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        each!(self, s => s.try_read(buf))
    }

    /// One `send`; `WouldBlock` clears the readiness. Straight to the kernel: the C library's is a
    /// point where threads can be cancelled, which costs more than all that is done here.
    #[inline]
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        self.try_io(Interest::WRITABLE, |fd| {
            Ok(rustix::net::send(fd, buf, SendFlags::NOSIGNAL)?)
        })
    }

    /// One gathered `send`.
    pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        each!(self, s => s.try_write_vectored(bufs))
    }

    /// Whether something has come, an end or an error included, and stays there: `WouldBlock`
    /// where it has not, as far as the reactor knows.
    pub fn try_peek(&self) -> io::Result<()> {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        self.try_io(Interest::READABLE, |fd| {
            rustix::net::recv(fd, &mut [0_u8; 1][..], flags)?;
            Ok(())
        })
    }

    /// Runs a system call on the descriptor; `WouldBlock` clears the readiness.
    #[inline]
    pub fn try_io<R>(
        &self,
        interest: Interest,
        call: impl FnOnce(BorrowedFd<'_>) -> io::Result<R>,
    ) -> io::Result<R> {
        each!(self, s => s.try_io(interest, || call(s.as_fd())))
    }

    pub(in crate::net) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self, s => AsyncRead::poll_read(Pin::new(s), cx, buf))
    }

    /// Writes, as `AsyncWrite` does.
    #[inline]
    pub fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            match self.try_write(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.poll_write_ready(cx))?;
                }
                done => return Poll::Ready(done),
            }
        }
    }

    pub(in crate::net) fn poll_write_vectored(
        &self,
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

    pub(in crate::net) fn poll_shutdown(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.shutdown_write())
    }

    /// Gives the descriptor up; nothing of this process waits for it any more.
    pub fn into_fd(self) -> io::Result<OwnedFd> {
        Ok(match self {
            Socket::Tcp(stream) => stream.into_std()?.into(),
            Socket::Unix(stream) => stream.into_std()?.into(),
        })
    }

    /// Takes a connected stream socket, whichever it is, into the current runtime.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Socket> {
        let family = getsockname(&fd)?.address_family();
        let unknown = || io::Error::new(io::ErrorKind::InvalidInput, "not a TCP or unix stream");
        if socket_type(&fd)? != SocketType::STREAM {
            return Err(unknown());
        }
        rustix::io::ioctl_fionbio(&fd, true)?;
        match family {
            AddressFamily::INET | AddressFamily::INET6 => {
                Ok(Socket::Tcp(TcpStream::from_std(fd.into())?))
            }
            AddressFamily::UNIX => Ok(Socket::Unix(UnixStream::from_std(fd.into())?)),
            _ => Err(unknown()),
        }
    }

    pub(super) fn peer_state(&self, ended: bool) -> PeerState {
        let mut asked = [PollFd::new(self, PollFlags::RDHUP)];
        let at_once = Timespec::default();
        if rustix::event::poll(&mut asked, Some(&at_once)).is_err() {
            return PeerState::Open;
        }
        let found = asked[0].revents();
        if found.contains(PollFlags::ERR) {
            let error = socket_error(self.as_fd()).ok().and_then(Result::err);
            let reset = io::ErrorKind::ConnectionReset.into();
            PeerState::Broken(error.map_or(reset, Into::into))
        } else if found.contains(PollFlags::HUP) && !ended {
            PeerState::Broken(io::ErrorKind::ConnectionReset.into())
        } else if found.intersects(PollFlags::HUP | PollFlags::RDHUP) {
            PeerState::Ended
        } else {
            PeerState::Open
        }
    }

    /// Ends the writing direction (`shutdown(SHUT_WR)`); the other goes on.
    pub fn shutdown_write(&self) -> io::Result<()> {
        Ok(rustix::net::shutdown(
            self.as_fd(),
            rustix::net::Shutdown::Write,
        )?)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        each!(self, s => s.as_fd())
    }
}
