//! The body of an upstream's answer, streamed as it comes. It also goes on sending the
//! request's body, and gives the connection back to the pool once both have ended cleanly.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};

use super::chunked::{Decoder, Malformed, Step};
use super::client::{InFlight, RequestContent};
use super::{Lease, pool};
use crate::message::response::{BodyKind, ResponseHead};

/// A chunk of at least this many bytes is handed on as it is; smaller ones are put together up
/// to this size. Chunk boundaries mean nothing (RFC 9112 section 7.1).
const TOGETHER: usize = 4 * 1024;

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
    flight: Option<InFlight<B>>,
    rest: Rest,
    /// Bytes read and not yet handed on.
    ready: Bytes,
    /// What came after the chunks that were handed on together: the end, or an error.
    after: Option<Result<Step, Malformed>>,
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
        flight: InFlight<B>,
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
            ready,
            after: None,
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
            match ready!(flight.poll_more(cx, 0)) {
                Ok(bytes) => self.ready = bytes,
                Err(error) => self.failed = Some(error),
            }
        }
        Poll::Ready(())
    }

    /// Whether it is the upstream's turn; else the client has to send more of its request.
    pub fn awaits_upstream(&self) -> bool {
        self.flight.as_ref().is_none_or(InFlight::awaits_upstream)
    }

    /// Bytes of the request that have been sent.
    pub fn request_sent(&self) -> u64 {
        self.flight.as_ref().map_or(0, InFlight::sent)
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
    fn take_ready(&mut self) -> Result<Option<Frame<Bytes>>, AnswerError<B::Error>> {
        match &mut self.rest {
            Rest::Ended => Ok(None),
            _ if self.ready.is_empty() => Ok(None),
            Rest::UntilClose => Ok(Some(Frame::data(std::mem::take(&mut self.ready)))),
            Rest::Length(left) => {
                let len = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(self.ready.len());
                *left -= len as u64;
                let ended = *left == 0;
                let data = self.ready.split_to(len);
                if ended {
                    self.end();
                }
                Ok(Some(Frame::data(data)))
            }
            Rest::Chunked(_) => self.decode(),
        }
    }

    /// Hands chunks on, small ones together: each frame costs as much as a large one.
    fn decode(&mut self) -> Result<Option<Frame<Bytes>>, AnswerError<B::Error>> {
        let Rest::Chunked(decoder) = &mut self.rest else {
            return Ok(None);
        };
        // The first is not copied unless another one follows.
        let (mut first, mut together) = (Bytes::new(), BytesMut::new());
        let after = loop {
            let step = self.after.take();
            match step.unwrap_or_else(|| decoder.step(&self.ready)) {
                Ok(Step::Data { skip, len }) => {
                    self.ready.advance(skip);
                    self.chunks += 1;
                    let data = self.ready.split_to(len);
                    if first.is_empty() {
                        first = data;
                    } else {
                        if together.is_empty() {
                            together.extend_from_slice(&first);
                        }
                        together.extend_from_slice(&data);
                    }
                    if first.len().max(together.len()) >= TOGETHER {
                        break None;
                    }
                }
                Ok(Step::More) => {
                    self.ready.clear();
                    break None;
                }
                after => break Some(after),
            }
        };
        let data = match together.is_empty() {
            true => first,
            false => together.freeze(),
        };
        match after {
            Some(Ok(Step::End { used, trailers })) if data.is_empty() || trailers.is_none() => {
                self.ready.advance(used);
                if trailers.is_some() {
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
        loop {
            match this.take_ready() {
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
            let expect = match &this.rest {
                Rest::Length(left) => *left,
                _ => 0,
            };
            let error = match ready!(flight.poll_more(cx, expect)) {
                Ok(bytes) if !bytes.is_empty() => {
                    this.ready = bytes;
                    continue;
                }
                Ok(_) if matches!(this.rest, Rest::UntilClose) => {
                    this.rest = Rest::Ended;
                    this.flight = None;
                    return Poll::Ready(None);
                }
                Ok(_) => AnswerError::Incomplete,
                Err(error) => AnswerError::Io(error),
            };
            this.flight = None;
            return Poll::Ready(Some(Err(error)));
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
