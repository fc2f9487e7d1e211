//! The body of an upstream's answer, streamed as it comes. It also goes on sending the
//! request's body, and gives the connection back to the pool once both have ended cleanly.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};

use super::chunked::{Decoder, Joined, Malformed, Step};
use super::client::{InFlight, RequestContent};
use super::lent::{Lent, Piece, READ};
use super::{Lease, pool};
use crate::message::response::{BodyKind, ResponseHead};
use crate::net::io::{PIECE_COST, TURN};

/// Most chunks that are handed on together: as many as end a turn.
const TOGETHER: usize = TURN / PIECE_COST;
/// After so many in one read, the next one is no large one: its end would come late.
const DENSE: usize = TOGETHER / 8;

/// What one read brings at most unless said otherwise, in bytes.
pub const ROOM: usize = READ;

/// Why an answer broke off.
#[derive(Debug)]
pub enum AnswerError<E> {
    /// The upstream ended the connection before the body's end.
    Incomplete,
    /// Its chunks are broken.
    Malformed,
    /// The socket failed.
    Io(io::Error),
    /// The request's body failed while the answer was under way.
    Request(E),
}

#[derive(Debug)]
enum Rest {
    Length(u64),
    Chunked(Decoder),
    UntilClose,
    Ended,
}

/// The rest of an answer after its head.
#[derive(Debug)]
pub struct AnswerBody<B> {
    /// `None` once the connection has been given back or is of no further use.
    flight: Option<Box<InFlight<B>>>,
    rest: Rest,
    /// Bytes read and not yet handed on.
    ready: BytesMut,
    /// What was read since that was last asked, in bytes.
    brought: usize,
    /// What came after the chunks that were handed on together: the end, or an error.
    after: Option<Result<Step, Malformed>>,
    /// The last read brought many chunks.
    is_dense: bool,
    /// The lines of the trailer section that was handed on last.
    trailer_lines: Vec<u8>,
    /// Chunks that were handed on since they were last counted.
    chunks: usize,
    keep_alive: bool,
    /// Counts as a share of the endpoint until the answer has ended.
    lease: Lease,
    /// How many idle connections the pool may keep, and how long.
    idle: (usize, Duration),
    /// The socket failed while the body was peeked at.
    failed: Option<io::Error>,
}

impl<B> AnswerBody<B>
where
    B: RequestContent,
{
    /// Continues after `head`; `ready` is what was read of the body with it. `bodiless`: the
    /// request was a HEAD. `idle`: how many connections the pool may keep, and how long.
    pub fn new(
        flight: Box<InFlight<B>>,
        head: &ResponseHead,
        ready: Bytes,
        bodiless: bool,
        lease: Lease,
        idle: (usize, Duration),
    ) -> Self {
        let rest = match head.body {
            _ if bodiless => Rest::Ended,
            BodyKind::None | BodyKind::Length(0) => Rest::Ended,
            BodyKind::Length(length) => Rest::Length(length),
            BodyKind::Chunked => Rest::Chunked(Decoder::default()),
            BodyKind::UntilClose => Rest::UntilClose,
        };
        let keep_alive = head.persists();
        let mut body = AnswerBody {
            flight: Some(flight),
            rest,
            ready: ready.into(),
            brought: 0,
            after: None,
            is_dense: false,
            trailer_lines: Vec::new(),
            chunks: 0,
            keep_alive,
            lease,
            idle,
            failed: None,
        };
        if body.is_end_stream() {
            body.end();
        }
        body
    }

    /// The endpoint that answers.
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// How many chunks the data handed on since the last call had been.
    pub fn take_chunks(&mut self) -> usize {
        std::mem::take(&mut self.chunks)
    }

    /// What has been read of the body and not yet handed on.
    pub fn peek(&self) -> &[u8] {
        &self.ready
    }

    /// Reads on until something of the body is there, for a look at its first words.
    pub fn poll_peek(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let (true, Some(flight)) = (self.ready.is_empty(), &mut self.flight) {
            match ready!(flight.poll_more(cx, ROOM)) {
                Ok(piece) => self.ready = piece.into_own(),
                Err(error) => self.failed = Some(error),
            }
        }
        Poll::Ready(())
    }

    /// From now on a read brings `room` bytes at most.
    pub fn read_at_most(&mut self, room: usize) {
        if let Some(flight) = &mut self.flight {
            flight.read_at_most(room);
        }
    }

    /// What was read since the last call, in bytes.
    pub fn take_brought(&mut self) -> usize {
        std::mem::take(&mut self.brought)
    }

    /// Whether it is the upstream's turn; else the client has to send more of its request.
    pub fn awaits_upstream(&self) -> bool {
        self.flight.as_deref().is_none_or(InFlight::awaits_upstream)
    }

    /// Bytes of the request that have been sent.
    pub fn request_sent(&self) -> u64 {
        self.flight.as_deref().map_or(0, InFlight::sent)
    }

    /// The lines of the trailer fields that were handed on; given out once.
    pub fn take_trailer_lines(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.trailer_lines)
    }

    /// The answer has ended: the connection serves the next request if nothing is left on
    /// it in either direction.
    fn end(&mut self) {
        self.rest = Rest::Ended;
        if let Some(flight) = self.flight.take()
            && self.keep_alive
            && self.ready.is_empty()
            && flight.is_sent()
        {
            let (max_idle, timeout) = self.idle;
            pool::put(flight.connection, self.lease.endpoint(), max_idle, timeout);
        }
    }

    /// Hands on what is ready; `None` when more must be read first.
    fn take_ready(&mut self) -> Taken<B> {
        match &mut self.rest {
            Rest::Ended => Ok(None),
            _ if self.ready.is_empty() => Ok(None),
            Rest::UntilClose => Ok(Some(Frame::data(self.ready.split().freeze()))),
            Rest::Length(left) => {
                let len = part(left, self.ready.len());
                let data = self.ready.split_to(len).freeze();
                Ok(self.measured(data))
            }
            Rest::Chunked(decoder) => {
                let read = self.ready.len();
                let joined = decoder.join(&mut self.ready, self.after.take(), TOGETHER);
                let Joined { data, next, .. } = &joined;
                self.ready.advance(data.start);
                let bytes = self.ready.split_to(data.len());
                self.ready.advance(next - data.end);
                // Little data does not keep a buffer full of framing.
                let bytes = match bytes.len() < read / 4 {
                    true => Bytes::copy_from_slice(&bytes),
                    false => bytes.freeze(),
                };
                self.joined(joined, bytes)
            }
        }
    }

    /// Hands on what was read into a large buffer, all of it as far as it belongs together.
    fn take_lent(&mut self, mut lent: Lent, read: usize) -> Taken<B> {
        match &mut self.rest {
            Rest::Ended => Ok(None),
            Rest::UntilClose => Ok(Some(Frame::data(lent.into_bytes(0..read)))),
            Rest::Length(left) => {
                let len = part(left, read);
                self.ready = BytesMut::from(&lent.as_ref()[len..read]);
                Ok(self.measured(lent.into_bytes(0..len)))
            }
            Rest::Chunked(decoder) => {
                let joined =
                    decoder.join(&mut lent.all_mut()[..read], self.after.take(), usize::MAX);
                self.ready = BytesMut::from(&lent.as_ref()[joined.next..read]);
                let bytes = match joined.data.len() < read / 4 {
                    true => Bytes::copy_from_slice(&lent.as_ref()[joined.data.clone()]),
                    false => lent.into_bytes(joined.data.clone()),
                };
                self.joined(joined, bytes)
            }
        }
    }

    /// Hands on a part of a body whose length is known.
    fn measured(&mut self, data: Bytes) -> Option<Frame<Bytes>> {
        if matches!(self.rest, Rest::Length(0)) {
            self.end();
        }
        Some(Frame::data(data))
    }

    /// Hands on the data of chunks, or what came after them.
    fn joined(&mut self, joined: Joined, data: Bytes) -> Taken<B> {
        self.chunks += joined.chunks;
        self.is_dense = joined.chunks > DENSE;
        match joined.after {
            Some(Ok(Step::End { used, trailers })) if data.is_empty() || trailers.is_none() => {
                self.ready.advance(used);
                if let (Some(_), Rest::Chunked(decoder)) = (&trailers, &mut self.rest) {
                    self.trailer_lines = decoder.take_trailer_lines();
                }
                self.end();
                let trailers = trailers.map(Frame::trailers);
                Ok(trailers.or_else(|| (!data.is_empty()).then(|| Frame::data(data))))
            }
            Some(Err(Malformed)) if data.is_empty() => Err(AnswerError::Malformed),
            after => {
                self.after = after;
                Ok((!data.is_empty()).then(|| Frame::data(data)))
            }
        }
    }

    /// Hands on what one read brought.
    fn take(&mut self, piece: Piece) -> Taken<B> {
        self.brought = piece.length();
        match piece {
            Piece::Lent(lent, read) => self.take_lent(lent, read),
            Piece::Own(bytes) => {
                self.ready = bytes;
                self.take_ready()
            }
        }
    }
}

/// What is handed on, if there is something.
type Taken<B> = Result<Option<Frame<Bytes>>, AnswerError<<B as Body>::Error>>;

/// As much of `read` bytes as belongs to a body of which `left` are missing; they are not then.
fn part(left: &mut u64, read: usize) -> usize {
    let len = usize::try_from(*left).map_or(read, |left| left.min(read));
    *left -= len as u64;
    len
}

impl<B> Body for AnswerBody<B>
where
    B: RequestContent,
{
    type Data = Bytes;
    type Error = AnswerError<B::Error>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        let mut taken = this.take_ready();
        loop {
            match taken {
                Ok(Some(frame)) => return Poll::Ready(Some(Ok(frame))),
                Ok(None) => {}
                Err(error) => {
                    this.flight = None;
                    return Poll::Ready(Some(Err(error)));
                }
            }
            let Some(flight) = &mut this.flight else {
                return Poll::Ready(None);
            };
            if let Some(error) = this.failed.take() {
                this.flight = None;
                return Poll::Ready(Some(Err(AnswerError::Io(error))));
            }
            if let Poll::Ready(Err(error)) = flight.poll_send(cx) {
                this.flight = None;
                return Poll::Ready(Some(Err(AnswerError::Request(error))));
            }
            // One byte more than is missing, so that the last read comes back short: that tells
            // the reactor, without another call, that nothing is left on the socket.
            let room = flight.room();
            let room = match &this.rest {
                Rest::Length(left) => {
                    usize::try_from(*left).map_or(room, |left| left.saturating_add(1).min(room))
                }
                _ if this.is_dense => room.min(ROOM),
                _ => room,
            };
            taken = match ready!(flight.poll_more(cx, room)) {
                Ok(piece) if piece.length() > 0 => this.take(piece),
                Ok(_) if matches!(this.rest, Rest::UntilClose) => {
                    this.rest = Rest::Ended;
                    this.flight = None;
                    return Poll::Ready(None);
                }
                Ok(_) => Err(AnswerError::Incomplete),
                Err(error) => Err(AnswerError::Io(error)),
            };
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.rest, Rest::Ended)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.rest {
            Rest::Length(left) => SizeHint::with_exact(*left),
            Rest::Ended => SizeHint::with_exact(0),
            _ => SizeHint::default(),
        }
    }
}
