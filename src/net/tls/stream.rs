//! A TLS connection after its handshake, as a byte stream: records are opened and sealed by rustls.
//! It has no descriptor of its own bytes, and so works wherever a stream without one does.

use std::io::{self, IoSlice, Read, Write};
use std::task::{Context, Poll, ready};

use rustls::ServerConnection;
use tokio::io::ReadBuf;

use super::super::io::socket::Socket;
use super::super::parting::Parting;
use super::border::Border;
use super::secrets::Secrets;

/// As many bytes as become records before the kernel is given them.
const AT_ONCE: usize = 64 * 1024;

/// A TLS connection.
#[derive(Debug)]
pub struct Stream {
    pub(super) connection: ServerConnection,
    pub(super) socket: Socket,
    /// Where what was read stands.
    pub(super) border: Border,
    pub(super) secrets: Secrets,
    /// Bytes of the caller's that are sealed, while he has not been told that they are taken.
    pub(super) sealed: usize,
    /// Our direction has ended.
    pub(super) ended: bool,
}

impl Stream {
    /// What comes of a complete handshake.
    pub(super) fn new(
        connection: ServerConnection,
        socket: Socket,
        border: Border,
        secrets: Secrets,
    ) -> Stream {
        Stream {
            connection,
            socket,
            border,
            secrets,
            sealed: 0,
            ended: false,
        }
    }

    /// The socket that carries the records.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Reads what the peer has sent. An end without its close_notify is an error
    /// (`UnexpectedEof`): an attacker in between may have cut the stream (RFC 8446 section 6.1).
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let read = self.connection.reader().read(buf.initialize_unfilled());
            match read {
                Ok(n) => {
                    buf.advance(n);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Poll::Ready(Err(cut_off()));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
            let came = self.connection.read_tls(&mut Carrier {
                socket: &mut self.socket,
                border: &mut self.border,
                cx,
            });
            match came {
                Ok(_) => self.open(cx)?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Opens the records that have come. What they are answered with is sent if that can be done at
    /// once, else with the next write.
    fn open(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let opened = self.connection.process_new_packets();
        let sent = self.poll_records(cx);
        match opened {
            Ok(_) => match sent {
                Poll::Ready(Err(error)) => Err(error),
                _ => Ok(()),
            },
            Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
    }

    /// Gives the kernel all records that are sealed.
    fn poll_records(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.connection.wants_write() {
            let sent = self.connection.write_tls(&mut Carrier {
                socket: &mut self.socket,
                border: &mut self.border,
                cx,
            });
            match sent {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Writes; see [`Io::poll_write`](crate::net::io::Io::poll_write) for what a caller must keep.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    /// The same of several slices: as many as are worth a system call become records at once.
    pub fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let offered = bufs.iter().map(|buf| buf.len()).sum::<usize>();
        while self.sealed == 0 && offered > 0 {
            let mut room = AT_ONCE;
            for buf in bufs {
                let part = &buf[..buf.len().min(room)];
                let taken = self.connection.writer().write(part)?;
                self.sealed += taken;
                room -= taken;
                if taken < part.len() || room == 0 {
                    break;
                }
            }
            if self.sealed == 0 {
                // What the peer was to be told first fills the buffer.
                ready!(self.poll_records(cx))?;
            }
        }
        ready!(self.poll_records(cx))?;
        Poll::Ready(Ok(std::mem::take(&mut self.sealed).min(offered)))
    }

    /// No close_notify goes out any more.
    pub fn say_nothing_more(&mut self) {
        self.ended = true;
    }

    /// Ends our direction with a close_notify, after all that was written, and then the socket's.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.ended {
            self.connection.send_close_notify();
            self.ended = true;
        }
        ready!(self.poll_records(cx))?;
        Poll::Ready(self.socket.shutdown_write())
    }
}

impl Parting for Stream {
    fn part(&mut self) {
        if !std::mem::replace(&mut self.ended, true) {
            self.connection.send_close_notify();
            while self.connection.wants_write() {
                if !matches!(
                    self.connection.write_tls(&mut AtOnce(&self.socket)),
                    Ok(1..)
                ) {
                    break;
                }
            }
        }
    }
}

/// Last words that the kernel takes at once or not at all.
pub(super) struct AtOnce<'s>(pub(super) &'s Socket);

impl Write for AtOnce<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.try_write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn cut_off() -> io::Error {
    let why = "the connection ended without the close_notify of TLS";
    io::Error::new(io::ErrorKind::UnexpectedEof, why)
}

/// A socket within one poll, as rustls reads and writes it.
pub(super) struct Carrier<'s, 'c, 'w> {
    pub(super) socket: &'s mut Socket,
    pub(super) border: &'s mut Border,
    pub(super) cx: &'c mut Context<'w>,
}

fn now<T>(polled: Poll<io::Result<T>>) -> io::Result<T> {
    match polled {
        Poll::Ready(done) => done,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl Read for Carrier<'_, '_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut buf = ReadBuf::new(buf);
        now(self.socket.poll_read(self.cx, &mut buf))?;
        self.border.pass(buf.filled());
        Ok(buf.filled().len())
    }
}

impl Write for Carrier<'_, '_, '_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        now(self.socket.poll_write(self.cx, buf))
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        now(self.socket.poll_write_vectored(self.cx, bufs))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
