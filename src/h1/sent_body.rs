//! The body of an answer for hyper. Its upstream is read only while hyper holds little for the
//! client, which hyper itself does not tell.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::context::Context;
use super::pace;
use crate::proxy::body::{BrokenAnswer, ExchangeBody};

/// The body of an answer.
#[derive(Debug)]
pub struct SentBody {
    body: ExchangeBody,
    /// The length that the head names though no content follows: hyper keeps the field only
    /// where the body confirms it.
    named_length: Option<u64>,
    context: Arc<Context>,
}

impl SentBody {
    /// For an answer on this connection.
    pub fn new(body: ExchangeBody, named_length: Option<u64>, context: Arc<Context>) -> Self {
        SentBody {
            body,
            named_length,
            context,
        }
    }

    /// What may be read of the upstream now, in bytes; `None` while the client has to read first.
    /// Small pieces are written together.
    fn room(&self) -> Option<usize> {
        let watch = &self.context.watch;
        let waits = watch.held() > 0 || watch.is_write_blocked();
        if !waits || !self.body.can_wait() {
            return Some(self.context.pace.room());
        }
        let is_full = watch.is_write_blocked() || watch.held() >= pace::TOGETHER as u64;
        (!is_full).then_some(pace::TOGETHER)
    }
}

impl Body for SentBody {
    type Data = Bytes;
    type Error = BrokenAnswer;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenAnswer>>> {
        let this = &mut *self;
        let Some(room) = this.room() else {
            this.context.wake_when_flushed();
            return Poll::Pending;
        };
        this.body.read_at_most(room);
        let polled = ready!(Pin::new(&mut this.body).poll_frame(cx));
        if let Some(Ok(frame)) = &polled {
            let len = frame.data_ref().map_or(0, Bytes::len);
            let brought = this.body.take_brought();
            if brought > 0 {
                this.context.pace.read(room, brought);
            }
            this.context.watch.handed(len);
            if frame.is_trailers() {
                this.context.spell_trailers(this.body.take_trailer_lines());
            }
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.named_length.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let named = self.named_length.map(SizeHint::with_exact);
        named.unwrap_or_else(|| self.body.size_hint())
    }
}
