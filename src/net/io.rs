//! One type over the kinds of streams, so that taking a hyper connection apart has one target
//! type and data needs no box.
//!
//! A stream is polled for bytes. What takes more, a socket of the system, is a capability that a
//! kind may lack: who wants it asks, and has another way.
//!
//! Knows bytes only; HTTP and WebSocket rules live above it.

#[cfg(test)]
mod foreign;
pub(in crate::net) mod socket;

use std::cell::RefCell;
use std::future::Future;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::ReadBuf;
use tokio::net::{TcpStream, UnixStream};

#[cfg(test)]
pub use self::foreign::Stream;
pub use self::socket::{PeerState, Socket};
use super::parting::Parted;
use super::records::Records;
use super::tls::stream::Stream as TlsStream;
use crate::tls_record::{Exported, Session};

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
    /// A socket, whose bytes are the stream's.
    Socket(Socket),
    /// A TLS connection.
    Tls(Parted<TlsStream>),
    /// The TLS of a tunnel.
    Records(Parted<Records>),
    /// A stream that has none.
    #[cfg(test)]
    Foreign(Box<dyn Stream>),
}

macro_rules! each {
    ($self:ident, $stream:ident => $socket:expr, $other:expr) => {
        match $self {
            Io::Socket($stream) => $socket,
            Io::Tls(parted) => match parted.get_mut() {
                Some($stream) => $socket,
                None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            },
            Io::Records(parted) => match parted.get_mut() {
                Some($stream) => $socket,
                None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            },
            #[cfg(test)]
            Io::Foreign($stream) => $other,
        }
    };
}

impl Io {
    /// The socket that carries the stream's bytes as they are: to splice, receive or peek on its
    /// descriptor, and to give that away. A stream that makes other bytes of them has none.
    #[inline]
    pub fn descriptor(&self) -> Option<&Socket> {
        match self {
            Io::Socket(socket) => Some(socket),
            Io::Tls(_) => None,
            Io::Records(_) => None,
            #[cfg(test)]
            Io::Foreign(_) => None,
        }
    }

    /// The socket whose readiness is all that a read waits for that found nothing, where the stream
    /// has one.
    #[inline]
    pub fn awaited(&self) -> Option<&Socket> {
        match self {
            Io::Socket(socket) => Some(socket),
            Io::Records(records) => records.get().map(Records::socket),
            _ => None,
        }
    }

    /// The socket that carries this stream and no other, whatever its bytes are there: for the
    /// kernel's options and errors.
    #[inline]
    pub fn carrier(&self) -> Option<&Socket> {
        match self {
            Io::Tls(stream) => stream.get().map(TlsStream::socket),
            Io::Records(records) => records.get().map(Records::socket),
            other => other.descriptor(),
        }
    }

    /// The TCP connection that carries this stream and no other.
    pub fn tcp(&self) -> Option<&TcpStream> {
        match self.carrier()? {
            Socket::Tcp(stream) => Some(stream),
            Socket::Unix(_) => None,
        }
    }

    /// Reads into `buf`, as `AsyncRead` does.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self, s => s.poll_read(cx, buf), Pin::new(&mut **s).poll_read(cx, buf))
    }

    /// Writes one byte at least. What is taken needs no flush. What is not must come first when
    /// this is called again: a stream may have made a record of it already.
    #[inline]
    pub fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, s => s.poll_write(cx, buf), Pin::new(&mut **s).poll_write(cx, buf))
    }

    /// The same of several slices.
    pub fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, s => s.poll_write_vectored(cx, bufs), Pin::new(&mut **s).poll_write_vectored(cx, bufs))
    }

    /// Ends the writing direction, after all that was written; the other goes on. Only a stream
    /// that says its end in bytes of its own may have to wait.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, s => s.poll_shutdown(cx), Pin::new(&mut **s).poll_shutdown(cx))
    }

    /// Whether nothing has come, an end included, as far as is known without another look at the
    /// network. A stream that is not silent may have lost what came.
    pub fn is_silent(&mut self) -> bool {
        if let Some(socket) = self.descriptor() {
            let peeked = socket.try_peek();
            return matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        }
        let mut byte = [0];
        let mut cx = Context::from_waker(Waker::noop());
        self.poll_read(&mut cx, &mut ReadBuf::new(&mut byte))
            .is_pending()
    }

    /// Why the connection is broken, if it is, whatever waits in its buffers; `ended`: we have
    /// ended our direction, so that a connection that has ended on both sides is not broken. Of a
    /// stream without a socket only reading and writing tell.
    pub fn broken(&self, ended: bool) -> Option<io::Error> {
        match self.peer_state(ended) {
            PeerState::Broken(error) => Some(error),
            PeerState::Open | PeerState::Ended => None,
        }
    }

    /// The same, and whether the peer has ended its direction although what it sent before is
    /// still unread. A system call.
    pub fn peer_state(&self, ended: bool) -> PeerState {
        let carrier = self.carrier();
        carrier.map_or(PeerState::Open, |socket| socket.peer_state(ended))
    }

    /// The peer is to see no orderly end: when this is dropped, its connection is reset.
    pub fn reset(&mut self) {
        match self {
            Io::Tls(stream) => stream.get_mut().map_or((), TlsStream::say_nothing_more),
            Io::Records(records) => records.get_mut().map_or((), Records::say_nothing_more),
            _ => {}
        }
        if let Some(socket) = self.carrier()
            && let Err(error) = socket2::SockRef::from(socket).set_linger(Some(Duration::ZERO))
        {
            tracing::debug!(%error, "a connection cannot be reset");
        }
    }

    /// The stream as a tunnel is to have it, where it may stay for days: without what is only needed
    /// for a handshake. To be asked after an answer was written whole, and before anything is read.
    ///
    /// # Errors
    /// Where it cannot go on at all.
    pub fn for_tunnel(mut self) -> io::Result<Io> {
        if let Io::Tls(stream) = &mut self
            && stream.get_mut().is_some_and(TlsStream::may_leave)
            && let Io::Tls(stream) = self
        {
            let stream = stream.take().ok_or(io::ErrorKind::NotConnected)?;
            return stream.leave().map(Io::from);
        }
        Ok(self)
    }

    /// Gives the descriptor up; nothing of this process waits for it any more.
    ///
    /// # Errors
    /// Where there is none, and where the runtime does not let it go.
    pub fn into_fd(self) -> io::Result<OwnedFd> {
        match self {
            Io::Socket(socket) => socket.into_fd(),
            Io::Tls(_) => Err(io::ErrorKind::Unsupported.into()),
            Io::Records(_) => Err(io::ErrorKind::Unsupported.into()),
            #[cfg(test)]
            Io::Foreign(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Why the stream cannot go on in another process, where it cannot.
    pub fn must_stay(&self) -> Option<&'static str> {
        match self {
            Io::Socket(_) => None,
            Io::Records(records) => match records.get().and_then(Records::export) {
                Some(_) => None,
                None => Some("its TLS has failed"),
            },
            Io::Tls(_) => Some("its TLS cannot go along"),
            #[cfg(test)]
            Io::Foreign(_) => Some("a side has no socket of its own"),
        }
    }

    /// Gives the stream up for another process: its descriptor, and its TLS where it has that.
    ///
    /// # Errors
    /// Where it [has to stay](Io::must_stay), and where the runtime does not let it go.
    pub fn into_parts(self) -> io::Result<(OwnedFd, Option<Exported>)> {
        match self {
            Io::Records(records) => {
                let records = records.take().ok_or(io::ErrorKind::NotConnected)?;
                let session = records.export().ok_or(io::ErrorKind::Unsupported)?;
                Ok((records.into_socket().into_fd()?, Some(session)))
            }
            other => Ok((other.into_fd()?, None)),
        }
    }

    /// Goes on with a stream of another process.
    ///
    /// # Errors
    /// Where the descriptor is no stream, and where there is no such TLS.
    pub fn from_parts(fd: OwnedFd, tls: Option<&Exported>) -> io::Result<Io> {
        let socket = Socket::from_fd(fd)?;
        let Some(session) = tls else {
            return Ok(Io::Socket(socket));
        };
        let session = Session::import(session)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(Io::from(Records::new(socket, session)))
    }

    /// Registers a connected stream socket of either kind with the current runtime.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Io> {
        Socket::from_fd(fd).map(Io::Socket)
    }
}

impl From<Socket> for Io {
    fn from(socket: Socket) -> Self {
        Io::Socket(socket)
    }
}

impl From<TlsStream> for Io {
    fn from(stream: TlsStream) -> Self {
        Io::Tls(Parted::new(stream))
    }
}

impl From<Records> for Io {
    fn from(records: Records) -> Self {
        Io::Records(Parted::new(records))
    }
}

impl From<TcpStream> for Io {
    fn from(stream: TcpStream) -> Self {
        Io::Socket(Socket::Tcp(stream))
    }
}

impl From<UnixStream> for Io {
    fn from(stream: UnixStream) -> Self {
        Io::Socket(Socket::Unix(stream))
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
