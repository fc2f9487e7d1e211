//! TLS 1.3 over a socket, without the library that did its handshake: records are opened in the
//! reader's buffer and sealed in one that the worker has for all, so an idle stream holds neither.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use tokio::io::ReadBuf;

use super::io::socket::Socket;
use super::parting::Parting;
use crate::tls_record::{Exported, Fault, MAX_RECORD, Reading, SEAL_BUFFER, Session};

/// Our last record, an alert, with room to spare.
const LAST: usize = 64;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; SEAL_BUFFER]);
}

/// A socket that carries the records of a session.
#[derive(Debug)]
pub struct Records {
    socket: Socket,
    session: Session,
}

impl Records {
    /// Goes on with a session whose records come and go on this socket.
    pub fn new(socket: Socket, session: Session) -> Records {
        Records { socket, session }
    }

    /// The session as it stands; `None`: it has failed.
    pub fn export(&self) -> Option<Exported> {
        self.session.export()
    }

    /// The socket, without a word to the peer.
    pub fn into_socket(self) -> Socket {
        self.socket
    }

    /// The socket that carries the records.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// No close_notify goes out any more.
    pub fn say_nothing_more(&mut self) {
        self.session.say_nothing_more();
    }

    /// Reads what the peer has sent. An end without its close_notify is an error
    /// (`UnexpectedEof`): an attacker in between may have cut the stream (RFC 8446 section 6.1).
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let room = buf.initialize_unfilled();
        let n = ready!(self.poll_data(cx, room))?;
        buf.advance(n);
        Poll::Ready(Ok(()))
    }

    fn poll_data(&mut self, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            let n = self.session.take_back(room);
            if n > 0 || room.is_empty() {
                return Poll::Ready(Ok(n));
            }
            match self.session.reading() {
                Reading::Open => {}
                Reading::Ended => return Poll::Ready(Ok(0)),
                Reading::Failed(fault) => return Poll::Ready(Err(fault.into())),
            }
            let n = match room.len() >= MAX_RECORD {
                true => ready!(self.poll_open(cx, room))?,
                false => ready!(BUFFER.with_borrow_mut(|buffer| {
                    let n = ready!(self.poll_open(cx, &mut buffer[..MAX_RECORD]))?;
                    let (now, later) = buffer[..n].split_at(n.min(room.len()));
                    room[..now.len()].copy_from_slice(now);
                    self.session.put_back(later);
                    Poll::Ready(Ok::<_, io::Error>(now.len()))
                }))?,
            };
            if n > 0 {
                return Poll::Ready(Ok(n));
            }
        }
    }

    /// Receives once, and opens what has come.
    fn poll_open(&mut self, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        let begun = self.session.begin(room);
        let mut rest = ReadBuf::new(&mut room[begun..]);
        ready!(self.socket.poll_read(cx, &mut rest))?;
        let came = rest.filled().len();
        if came == 0 {
            let why = "the connection ended without the close_notify of TLS";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, why)));
        }
        let n = self.session.open(room, begun + came);
        if let Reading::Failed(Fault::Broken(..)) = self.session.reading() {
            self.tell_fault(cx);
        }
        Poll::Ready(Ok(n))
    }

    /// Sends the alert of a broken protocol, if the socket takes it at once.
    #[cold]
    fn tell_fault(&mut self, cx: &mut Context<'_>) {
        let mut alert = [0; LAST];
        if let Ok(length) = self.session.close(&mut alert) {
            self.session.keep(&alert[..length], 0);
            // A socket that fails is found out by the error that follows in any case.
            let _ = self.poll_unsent(cx);
        }
    }

    fn poll_unsent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.session.unsent().is_empty() {
            let n = ready!(self.socket.poll_write(cx, self.session.unsent()))?;
            self.session.sent(n);
        }
        Poll::Ready(Ok(()))
    }

    /// Writes; see [`Io::poll_write`](crate::net::io::Io::poll_write) for what a caller must keep.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_unsent(cx))?;
            let taken = self.session.taken(buf.len());
            if taken > 0 || buf.is_empty() {
                return Poll::Ready(Ok(taken));
            }
            let taken = BUFFER.with_borrow_mut(|records| self.write_records(buf, records))?;
            if taken > 0 {
                return Poll::Ready(Ok(taken));
            }
        }
    }

    /// Seals and sends; what was sealed and cannot be sent at once is kept, and counts as taken when
    /// it is sent.
    fn write_records(&mut self, buf: &[u8], records: &mut [u8]) -> io::Result<usize> {
        let sealed = self.session.seal(buf, records)?;
        let records = &records[..sealed.length];
        let sent = match self.socket.try_write(records) {
            Ok(n) if n == records.len() => return Ok(sealed.taken),
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        self.session.keep(&records[sent..], sealed.taken);
        Ok(0)
    }

    /// The same of the first slice that has anything.
    pub fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = bufs.iter().find(|buf| !buf.is_empty());
        self.poll_write(cx, first.map_or(&[], |buf| buf))
    }

    /// Ends our direction with a close_notify, after all that was written, and then the socket's.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut last = [0; LAST];
        let length = self.session.close(&mut last)?;
        self.session.keep(&last[..length], 0);
        ready!(self.poll_unsent(cx))?;
        Poll::Ready(self.socket.shutdown_write())
    }
}

impl Parting for Records {
    fn part(&mut self) {
        let mut last = [0; LAST];
        // After half a record it could not be read.
        if self.session.unsent().is_empty()
            && let Ok(length) = self.session.close(&mut last)
            && length > 0
        {
            let _ = self.socket.try_write(&last[..length]);
        }
    }
}

#[cfg(test)]
mod tests;
