//! The content of an answer on its way to the client, counted and tied to the exchange's record.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::clock::Wait;
use super::drain;
use super::request_body::{RequestBody, RequestBodyError};
use super::underway::Underway;
use crate::fault::error::{Kind, ProxyError};
use crate::net::io::{PIECE_COST, TURN, yield_turn};
use crate::upstream::body::{AnswerBody, AnswerError};

/// An answer broke off: the protocol breaks off the client's stream.
#[derive(Debug)]
pub struct BrokenAnswer;

impl std::fmt::Display for BrokenAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the upstream's answer broke off")
    }
}

impl std::error::Error for BrokenAnswer {}

fn incomplete(detail: &'static str) -> ProxyError {
    ProxyError::upstream(Kind::ResponseIncomplete, detail)
}

/// Where an answer's bytes come from.
#[derive(Debug)]
enum Source {
    /// All of it is in memory.
    Whole(Bytes),
    /// It streams from the upstream.
    Upstream(Box<AnswerBody<RequestBody>>),
    /// It streamed from the upstream and broke off.
    Broken,
}

/// The body of an answer. The exchange ends, and is recorded, when it is dropped.
#[derive(Debug)]
pub struct ExchangeBody {
    source: Source,
    exchange: Box<Underway>,
    /// Bytes of the request that had been sent at the last look.
    request_sent: u64,
    /// What is left of the turn that the answer may take before other tasks run.
    turn: usize,
}

impl ExchangeBody {
    /// An answer that is in memory as a whole.
    pub fn whole(bytes: Bytes, mut exchange: Box<Underway>) -> Self {
        let unasked = bytes.is_empty() || exchange.record().is_head_only();
        let mut body = ExchangeBody::of(Source::Whole(bytes), exchange);
        if unasked {
            // A protocol does not ask for the bytes of such a body.
            body.complete();
        }
        body
    }

    /// An answer that streams.
    pub fn upstream(body: Box<AnswerBody<RequestBody>>, exchange: Box<Underway>) -> Self {
        let unasked = body.is_end_stream();
        let mut body = ExchangeBody::of(Source::Upstream(body), exchange);
        if unasked {
            body.complete();
        }
        body
    }

    fn of(source: Source, exchange: Box<Underway>) -> Self {
        exchange.stream().answer_begins();
        ExchangeBody {
            source,
            exchange,
            request_sent: 0,
            turn: TURN,
        }
    }

    /// Whether the next piece comes from the upstream, which can wait until the client has read.
    pub fn can_wait(&self) -> bool {
        matches!(self.source, Source::Upstream(_))
            && !self.exchange.stream().clock().is_over(Wait::Body)
    }

    /// From now on what is read of the upstream at once is at most `room` bytes.
    pub fn read_at_most(&mut self, room: usize) {
        if let Source::Upstream(body) = &mut self.source {
            body.read_at_most(room);
        }
    }

    /// What was read of the upstream since the last call, in bytes.
    pub fn take_brought(&mut self) -> usize {
        match &mut self.source {
            Source::Upstream(body) => body.take_brought(),
            Source::Whole(_) | Source::Broken => 0,
        }
    }

    /// The lines of the upstream's trailer section, once they have arrived.
    pub fn take_trailer_lines(&mut self) -> Vec<u8> {
        match &mut self.source {
            Source::Upstream(body) => body.take_trailer_lines(),
            Source::Whole(_) | Source::Broken => Vec::new(),
        }
    }

    fn complete(&mut self) {
        self.exchange.record().complete();
        self.exchange.stream().answer_ends();
    }

    fn break_off(&mut self, why: &ProxyError) {
        self.exchange.record().fail(why);
        self.source = Source::Broken;
    }

    /// Breaks the answer off where its upstream has been silent for too long.
    fn limit_silence(&mut self) {
        let clock = self.exchange.stream().clock();
        if let Source::Upstream(body) = &self.source
            && clock.is_over(Wait::Body)
        {
            body.lease().fell_silent(clock.limit());
            self.break_off(&incomplete("the upstream's answer fell silent"));
        }
    }

    /// Breaks the answer off where sluice cuts what has not ended: the end of its stream must not
    /// look like the answer's.
    fn heed_cut(&mut self) {
        if let Some(cut) = drain::cut_error()
            && matches!(self.source, Source::Upstream(_))
        {
            self.break_off(&cut);
        }
    }

    fn why(&self, error: AnswerError<RequestBodyError>) -> ProxyError {
        match error {
            AnswerError::Incomplete => incomplete("the upstream's answer ended before its end"),
            AnswerError::Malformed => incomplete("the upstream's answer has malformed chunks"),
            AnswerError::Io(_) => incomplete("the upstream's connection failed mid-answer"),
            AnswerError::Request(error) => error.into_proxy_error(&**self.exchange.stream()),
        }
    }

    /// The upstream's clock runs while it has to answer or to take more of the request. A client
    /// that sends its body slowly has clocks of its own.
    fn watch_upload(&mut self) {
        let Source::Upstream(body) = &self.source else {
            return;
        };
        let (sent, clock) = (body.request_sent(), self.exchange.stream().clock());
        if sent != self.request_sent {
            self.request_sent = sent;
            clock.moved();
        }
        if body.awaits_upstream() {
            clock.resume(Wait::Body);
        } else {
            clock.pause();
        }
    }
}

impl Body for ExchangeBody {
    type Data = Bytes;
    type Error = BrokenAnswer;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenAnswer>>> {
        let this = &mut *self;
        this.limit_silence();
        this.heed_cut();
        let body = match &mut this.source {
            Source::Whole(bytes) if bytes.is_empty() => return Poll::Ready(None),
            Source::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                this.exchange.record().sent(bytes.len());
                this.complete();
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            Source::Upstream(_) if this.turn == 0 => {
                this.turn = TURN;
                yield_turn(cx);
                return Poll::Pending;
            }
            Source::Upstream(body) => body,
            Source::Broken => return Poll::Ready(Some(Err(BrokenAnswer))),
        };
        let Poll::Ready(polled) = Pin::new(&mut **body).poll_frame(cx) else {
            this.turn = TURN;
            this.watch_upload();
            return Poll::Pending;
        };
        match polled {
            None => {
                this.complete();
                Poll::Ready(None)
            }
            Some(Ok(frame)) => {
                this.exchange.stream().clock().moved();
                body.lease().heard();
                let len = frame.data_ref().map_or(0, Bytes::len);
                let cost = len + body.take_chunks() * PIECE_COST;
                this.turn = this.turn.saturating_sub(cost);
                this.exchange.record().sent(len);
                if body.is_end_stream() {
                    this.complete();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                let why = this.why(error);
                this.break_off(&why);
                // First what was good: with the error hyper drops what it has buffered.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Whole(bytes) => bytes.is_empty(),
            Source::Upstream(body) => body.is_end_stream(),
            Source::Broken => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Source::Upstream(body) => body.size_hint(),
            Source::Broken => SizeHint::default(),
        }
    }
}
