//! One HTTP/1.1 request on one upstream connection (RFC 9112), driven by the task of the
//! exchange itself: no task, channel or lock stands between a client and its upstream.
//!
//! Knows how to write a request, and in `answer` how to read the head of what comes back; `body`
//! streams the rest.

mod answer;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use http_body::Body;

use super::connection::Connection;
use super::lent::READ;
use crate::message::response::{HeadError, HeadRules};
use crate::message::spelling::{Speller, push_spelled};
use crate::net::io::{PIECE_COST, TURN, yield_turn};

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
    /// What one read may bring of an answer, in bytes.
    room: usize,
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
            room: READ,
            turn: TURN,
        }
    }

    /// Sends the head alone until [`InFlight::release`] (RFC 9110 section 10.1.1).
    pub fn hold(&mut self) {
        self.held = self.body.is_some();
    }

    /// From now on a read brings `room` bytes of an answer at most.
    pub fn read_at_most(&mut self, room: usize) {
        self.room = room;
    }

    /// What a read may bring.
    pub fn room(&self) -> usize {
        self.room
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
}

#[cfg(test)]
mod tests;
