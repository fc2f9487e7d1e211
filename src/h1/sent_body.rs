//! The body of an answer for hyper. Its upstream is read only while hyper holds little for the
//! client, which hyper itself does not tell.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::context::Context;
use crate::proxy::body::{BrokenAnswer, ExchangeBody};

/// The upstream is read while hyper holds no more than this for the client, in bytes: small
/// pieces are written together, and a client that does not read costs one read.
const HELD: u64 = 8 * 1024;

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
}

impl Body for SentBody {
    type Data = Bytes;
    type Error = BrokenAnswer;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenAnswer>>> {
        let this = &mut *self;
        if this.context.watch.held() > HELD && this.body.can_wait() {
            this.context.wake_when_flushed();
            return Poll::Pending;
        }
        let polled = ready!(Pin::new(&mut this.body).poll_frame(cx));
        if let Some(Ok(frame)) = &polled {
            let len = frame.data_ref().map_or(0, Bytes::len);
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
