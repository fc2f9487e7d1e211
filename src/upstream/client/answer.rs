//! The answer to a request under way: its head, and more of it as it comes.

use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, ReadBuf};

use super::{FlightError, InFlight, RequestContent};
use crate::message::response::ResponseHead;
use crate::net::io::{Io, with_scratch};
use crate::upstream::lent::{self, Lent, Piece, READ};

/// A first read of more than this, in bytes, is not worth copying.
const LARGE: usize = 4 * 1024;
/// Reads of up to so many bytes take no more memory than what they bring.
const SMALL: usize = 8 * 1024;

/// The head of an answer with what was read of its body, or why there is none.
type HeadResult<E> = Result<(Box<ResponseHead>, Bytes), FlightError<E>>;

/// What one read brought, and the head if that made it complete.
type HeadRead<E> = (io::Result<usize>, Option<HeadResult<E>>);

impl<B> InFlight<B>
where
    B: RequestContent,
{
    /// Sends the request and waits for the head of the answer; with it comes what was read
    /// of the body.
    ///
    /// # Errors
    /// [`FlightError`]; the connection is of no further use then.
    pub fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<HeadResult<B::Error>> {
        if let Poll::Ready(Err(error)) = self.poll_send(cx) {
            return Poll::Ready(Err(FlightError::Body(error)));
        }
        if !self.read.is_empty() {
            let bytes = self.read.split().freeze();
            if let Some(done) = self.take_head(&bytes) {
                return Poll::Ready(done);
            }
        }
        loop {
            let (read, done) = ready!(if self.connection.large {
                self.poll_read_large(cx)
            } else {
                with_scratch(|scratch| self.poll_read_head(cx, scratch))
            });
            if let Some(done) = done {
                return Poll::Ready(done);
            }
            let error = match (read, self.write_failed.take()) {
                (Ok(n), _) if n > 0 => continue,
                (_, Some(error)) | (Err(error), None) => error,
                (Ok(_), None) => io::ErrorKind::UnexpectedEof.into(),
            };
            let came = self.read.split().freeze();
            return Poll::Ready(Err(FlightError::Connection { error, came }));
        }
    }

    /// Reads once by way of the worker's scratch buffer: a waiting request holds no buffer,
    /// and a small answer takes no more memory than it needs.
    fn poll_read_head(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
    ) -> Poll<HeadRead<B::Error>> {
        let mut buf = ReadBuf::new(&mut scratch[..READ]);
        if let Err(error) = ready!(self.connection.io.poll_read(cx, &mut buf)) {
            return Poll::Ready((Err(error), None));
        }
        let came = buf.filled();
        self.connection.large = came.len() > LARGE;
        self.heard |= !came.is_empty();
        if self.read.is_empty() {
            return Poll::Ready((Ok(came.len()), self.take_head(came)));
        }
        self.read.extend_from_slice(came);
        let bytes = self.read.split();
        Poll::Ready((Ok(came.len()), self.take_head(&bytes)))
    }

    /// The same into a buffer of its own, of which the body becomes a part without a copy.
    fn poll_read_large(&mut self, cx: &mut Context<'_>) -> Poll<HeadRead<B::Error>> {
        let mut came = std::mem::take(&mut self.read);
        let read = match poll_read(&mut self.connection.io, cx, &mut came, READ) {
            Poll::Ready(read) => read,
            Poll::Pending => {
                self.read = came;
                return Poll::Pending;
            }
        };
        self.heard |= !came.is_empty();
        self.connection.large = came.len() > LARGE;
        if let (Ok(1..), Ok(Some((head, end)))) = (&read, ResponseHead::parse(&came, self.rules)) {
            came.advance(end);
            let rest = snug(came, READ).freeze();
            return Poll::Ready((read, Some(Ok((Box::new(head), rest)))));
        }
        let done = self.take_head(&came);
        Poll::Ready((read, done))
    }

    /// Parses a head off the front of `bytes`; keeps them while it is incomplete.
    fn take_head(&mut self, bytes: &[u8]) -> Option<HeadResult<B::Error>> {
        match ResponseHead::parse(bytes, self.rules) {
            Ok(Some((head, end))) => {
                let rest = Bytes::copy_from_slice(&bytes[end..]);
                Some(Ok((Box::new(head), rest)))
            }
            Ok(None) => {
                self.read = BytesMut::from(bytes);
                None
            }
            Err(error) => {
                let error = ResponseHead::what_remains(error, bytes, self.rules);
                let bytes = Bytes::copy_from_slice(bytes);
                Some(Err(FlightError::Head { error, bytes }))
            }
        }
    }

    /// Puts bytes back in front of what will be read: an interim answer was taken off them.
    pub fn unread(&mut self, rest: Bytes) {
        debug_assert!(self.read.is_empty());
        self.read = BytesMut::from(rest);
    }

    /// Reads more of the answer, `room` bytes at most.
    pub fn poll_more(&mut self, cx: &mut Context<'_>, room: usize) -> Poll<io::Result<Piece>> {
        let io = &mut self.connection.io;
        if room <= SMALL {
            return with_scratch(|scratch| {
                let read = ready!(poll_read_into(io, cx, &mut scratch[..room]))?;
                Poll::Ready(Ok(Piece::Own(BytesMut::from(&scratch[..read]))))
            });
        }
        ready!(poll_readable(io, cx))?;
        if room > READ
            && let Some(mut lent) = Lent::take()
        {
            let room = room.min(lent::SIZE);
            let read = ready!(poll_read_into(io, cx, &mut lent.all_mut()[..room]))?;
            // A small piece does not keep the buffer while it waits.
            return Poll::Ready(Ok(match read < READ {
                true => Piece::Own(BytesMut::from(&lent.as_ref()[..read])),
                false => Piece::Lent(lent, read),
            }));
        }
        let room = room.min(READ);
        let mut buf = BytesMut::new();
        ready!(poll_read(io, cx, &mut buf, room))?;
        Poll::Ready(Ok(Piece::Own(snug(buf, room))))
    }
}

fn poll_read_into(io: &mut Io, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
    let mut buf = ReadBuf::new(buf);
    ready!(io.poll_read(cx, &mut buf))?;
    Poll::Ready(Ok(buf.filled().len()))
}

/// A piece that was read into a buffer of `room` bytes. A small one does not keep the buffer
/// while it waits.
fn snug(piece: BytesMut, room: usize) -> BytesMut {
    match piece.len() < room / 4 {
        true => BytesMut::from(&piece[..]),
        false => piece,
    }
}

/// Reads once, into a buffer that is only made when there is something to read.
fn poll_read(
    io: &mut Io,
    cx: &mut Context<'_>,
    buf: &mut BytesMut,
    room: usize,
) -> Poll<io::Result<usize>> {
    ready!(poll_readable(io, cx))?;
    buf.reserve(room);
    pin!(io.read_buf(buf)).poll(cx)
}

/// Whether there is something to read, as far as the stream tells.
fn poll_readable(io: &Io, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    match io.descriptor() {
        Some(socket) => socket.poll_read_ready(cx),
        None => Poll::Ready(Ok(())),
    }
}
