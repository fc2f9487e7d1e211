//! One HTTP/1.1 request on one upstream connection (RFC 9112), driven by the task of the
//! exchange itself: no task, channel or lock stands between a client and its upstream.
//!
//! Knows how to write a request and to read an answer's head; `body` streams the rest.

use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use http_body::Body;
use tokio::io::{AsyncReadExt, ReadBuf};

use super::connection::Connection;
use crate::message::response::{HeadError, HeadRules, ResponseHead};
use crate::message::spelling::{Speller, push_spelled};
use crate::net::io::{Io, PIECE_COST, TURN, with_scratch, yield_turn};

/// What one read may bring while the size of the answer is unknown, in bytes.
const READ: usize = 32 * 1024;
/// A first read of more than this, in bytes, is not worth copying.
const LARGE: usize = 4 * 1024;
/// What one read may bring of a large body, in bytes. As much is kept for a client that does
/// not take its answer; a processor's nearest caches hold it until it is written.
const READ_LARGE: usize = 32 * 1024;

/// The body of a request.
pub trait RequestContent: Body<Data = Bytes> + Unpin {
    /// The lines in which its trailer fields came, for the spelling of their names.
    fn trailer_lines(&self) -> Vec<u8>;
}

/// How a request's body is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFraming {
    /// As the Content-Length in the head says.
    Length,
    /// Chunked.
    Chunked,
}

/// Why a request did not get the head of an answer.
#[derive(Debug)]
pub enum FlightError<E> {
    /// The request's own body failed; the client's side is to blame.
    Body(E),
    /// The connection failed or ended.
    Connection {
        /// What the socket said.
        error: io::Error,
        /// What had arrived of an answer.
        came: Bytes,
    },
    /// The answer's head is not acceptable.
    Head {
        /// Why not.
        error: HeadError,
        /// Its first bytes, for a diagnosis.
        bytes: Bytes,
    },
}

/// The head of an answer with what was read of its body, or why there is none.
type HeadResult<E> = Result<(ResponseHead, Bytes), FlightError<E>>;

/// What one read brought, and the head if that made it complete.
type HeadRead<E> = (io::Result<usize>, Option<HeadResult<E>>);

/// A request under way: what is still to be written, and the connection.
#[derive(Debug)]
pub struct InFlight<B> {
    /// The connection that it is on.
    pub connection: Connection,
    /// The head, kept until an answer begins so that a retry needs no copy.
    head: Vec<u8>,
    written: usize,
    body: Option<(B, BodyFraming)>,
    /// The limits and leniency for the head of the answer.
    rules: HeadRules,
    /// Chunk framing and data that are to be written before more of the body is asked for.
    prefix: Vec<u8>,
    data: Bytes,
    suffix: &'static [u8],
    read: BytesMut,
    /// The socket refused to take more; an answer may still be there to be read.
    write_failed: Option<io::Error>,
    /// Bytes written so far.
    sent: u64,
    /// The socket is full: the upstream does not take the request as fast as it comes.
    blocked: bool,
    /// Part of an answer has arrived.
    heard: bool,
    /// The body is not asked for yet: the upstream has not said whether it wants it.
    held: bool,
    /// What is left of the body's turn among all that the worker does.
    turn: usize,
}

impl<B> InFlight<B>
where
    B: RequestContent,
{
    /// Begins a request; `head` ends with the empty line.
    pub fn new(
        connection: Connection,
        head: Vec<u8>,
        body: Option<(B, BodyFraming)>,
        rules: HeadRules,
    ) -> Self {
        InFlight {
            connection,
            head,
            written: 0,
            body,
            rules,
            prefix: Vec::new(),
            data: Bytes::new(),
            suffix: b"",
            read: BytesMut::new(),
            write_failed: None,
            sent: 0,
            blocked: false,
            heard: false,
            held: false,
            turn: TURN,
        }
    }

    /// Sends the head alone until [`InFlight::release`] (RFC 9110 section 10.1.1).
    pub fn hold(&mut self) {
        self.held = self.body.is_some();
    }

    /// Whether the body has not been asked for.
    pub fn is_held(&self) -> bool {
        self.held
    }

    /// The body may be sent.
    pub fn release(&mut self) {
        self.held = false;
    }

    /// The answer came before the body was asked for: it is never sent, and nothing can
    /// follow it on this connection.
    pub fn drop_held(&mut self) {
        if self.held {
            self.body = None;
        }
    }

    /// The head, and the body as far as it was not asked for, for sending them again on
    /// another connection.
    pub fn into_request(self) -> (Vec<u8>, Option<(B, BodyFraming)>) {
        (self.head, self.body)
    }

    /// The connection, once nothing of this request is left on it.
    pub fn into_connection(self) -> Connection {
        self.connection
    }

    /// Whether the whole request has been written.
    pub fn is_sent(&self) -> bool {
        self.written == self.head.len() && self.body.is_none() && !self.has_piece() && !self.held
    }

    /// Whether it is the upstream's turn, to answer or to take more of the request; else the
    /// client has to send more of it.
    pub fn awaits_upstream(&self) -> bool {
        self.blocked || self.held || self.write_failed.is_some() || self.is_sent()
    }

    /// Whether the socket refused to take more of the request.
    pub fn has_failed(&self) -> bool {
        self.write_failed.is_some()
    }

    /// Bytes of the request that the socket has taken, chunk framing included.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Whether anything of an answer has come, interim ones included.
    pub fn has_heard(&self) -> bool {
        self.heard
    }

    fn has_piece(&self) -> bool {
        !self.prefix.is_empty() || !self.data.is_empty() || !self.suffix.is_empty()
    }

    /// Writes as much of the request as there is room for.
    ///
    /// # Errors
    /// The body's own error. A socket's error is kept for [`InFlight::poll_head`], because
    /// an upstream may answer and close before it has read everything.
    pub fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), B::Error>> {
        if self.write_failed.is_some() || self.is_sent() {
            return Poll::Ready(Ok(()));
        }
        self.blocked = true;
        while self.written < self.head.len() {
            match ready!(
                self.connection
                    .io
                    .poll_write(cx, &self.head[self.written..])
            ) {
                Ok(0) => return self.fail_write(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    self.written += n;
                    self.sent += n as u64;
                }
                Err(error) => return self.fail_write(error),
            }
        }
        loop {
            while self.has_piece() {
                let pieces = [
                    IoSlice::new(&self.prefix),
                    IoSlice::new(&self.data),
                    IoSlice::new(self.suffix),
                ];
                match ready!(self.connection.io.poll_write_vectored(cx, &pieces)) {
                    Ok(0) => return self.fail_write(io::ErrorKind::WriteZero.into()),
                    Ok(n) => self.advance(n),
                    Err(error) => return self.fail_write(error),
                }
            }
            self.blocked = false;
            if self.held {
                return Poll::Pending;
            }
            if !ready!(self.poll_piece(cx))? {
                return Poll::Ready(Ok(()));
            }
            self.blocked = true;
        }
    }

    fn fail_write(&mut self, error: io::Error) -> Poll<Result<(), B::Error>> {
        self.write_failed = Some(error);
        self.blocked = false;
        self.body = None;
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, mut n: usize) {
        self.sent += n as u64;
        let prefix = n.min(self.prefix.len());
        self.prefix.drain(..prefix);
        n -= prefix;
        let data = n.min(self.data.len());
        self.data.advance(data);
        self.suffix = &self.suffix[n - data..];
    }

    /// Takes the next piece of the body; `false` when there is none left.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, B::Error>> {
        let Some((body, framing)) = &mut self.body else {
            return Poll::Ready(Ok(false));
        };
        let framing = *framing;
        if self.turn == 0 {
            self.turn = TURN;
            yield_turn(cx);
            return Poll::Pending;
        }
        let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) else {
            self.turn = TURN;
            return Poll::Pending;
        };
        let Some(frame) = frame.transpose()? else {
            self.body = None;
            if framing == BodyFraming::Chunked {
                self.suffix = b"0\r\n\r\n";
            }
            return Poll::Ready(Ok(true));
        };
        let len = frame.data_ref().map_or(0, Bytes::len);
        self.turn = self.turn.saturating_sub(len + PIECE_COST);
        match frame.into_data() {
            Ok(data) if data.is_empty() => {}
            Ok(data) => {
                if framing == BodyFraming::Chunked {
                    self.prefix = format!("{:x}\r\n", data.len()).into_bytes();
                    self.suffix = b"\r\n";
                }
                self.data = data;
            }
            Err(frame) => {
                let lines = body.trailer_lines();
                self.body = None;
                if let (Ok(trailers), BodyFraming::Chunked) = (frame.into_trailers(), framing) {
                    self.prefix = b"0\r\n".to_vec();
                    let mut speller = Speller::new(&lines);
                    for (name, value) in &trailers {
                        let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
                        push_spelled(&mut self.prefix, &mut speller, name, value);
                    }
                    self.suffix = b"\r\n";
                }
            }
        }
        Poll::Ready(Ok(true))
    }

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
            return Poll::Ready((read, Some(Ok((head, came.freeze())))));
        }
        let done = self.take_head(&came);
        Poll::Ready((read, done))
    }

    /// Parses a head off the front of `bytes`; keeps them while it is incomplete.
    fn take_head(&mut self, bytes: &[u8]) -> Option<HeadResult<B::Error>> {
        match ResponseHead::parse(bytes, self.rules) {
            Ok(Some((head, end))) => Some(Ok((head, Bytes::copy_from_slice(&bytes[end..])))),
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

    /// Reads more of the answer; `expect` is how much is known to be missing, in bytes.
    pub fn poll_more(&mut self, cx: &mut Context<'_>, expect: u64) -> Poll<io::Result<Bytes>> {
        // One byte more than is missing, so that the last read comes back short: that tells
        // the reactor, without another call, that nothing is left on the socket.
        let room = expect
            .saturating_add(1)
            .clamp(READ as u64, READ_LARGE as u64) as usize;
        let mut buf = BytesMut::new();
        let came = ready!(poll_read(&mut self.connection.io, cx, &mut buf, room))?;
        if came < room / 4 {
            // A piece of a slow stream must not keep the whole buffer while it waits.
            return Poll::Ready(Ok(Bytes::copy_from_slice(&buf)));
        }
        Poll::Ready(Ok(buf.freeze()))
    }
}

/// Reads once, into a buffer that is only made when there is something to read.
fn poll_read(
    io: &mut Io,
    cx: &mut Context<'_>,
    buf: &mut BytesMut,
    room: usize,
) -> Poll<io::Result<usize>> {
    ready!(io.poll_read_ready(cx))?;
    buf.reserve(room);
    pin!(io.read_buf(buf)).poll(cx)
}

#[cfg(test)]
mod tests;
