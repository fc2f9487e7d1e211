//! The content of a request on its way to the upstream, held to its route's limit.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame};

use super::incoming::{Broken, Incoming};
use super::stream::Stream;
use crate::fault::error::ProxyError;
use crate::message::spelling::Section;
use crate::upstream::client::{BodyFraming, RequestContent};

/// Why the client's body could not be sent on.
#[derive(Debug)]
pub enum RequestBodyError {
    /// It is larger than the route allows.
    TooLarge,
    /// The client ended or broke it.
    Client(Broken),
}

impl RequestBodyError {
    /// The error that says so.
    pub fn into_proxy_error(self, stream: &dyn Stream) -> ProxyError {
        let broken = match self {
            RequestBodyError::TooLarge => {
                let detail = "the request body is larger than this route allows";
                return ProxyError::client(StatusCode::PAYLOAD_TOO_LARGE, detail);
            }
            RequestBodyError::Client(broken) => broken,
        };
        if let Some(refusal) = stream.body_refusal() {
            return refusal.into();
        }
        match broken {
            Broken::Ended => ProxyError::incomplete(
                "the client ended its direction in the middle of its request body",
            ),
            Broken::Connection => ProxyError::client_gone(
                "the client's connection broke in the middle of its request body",
            ),
            Broken::Malformed => {
                ProxyError::client(StatusCode::BAD_REQUEST, "the request body broke off")
            }
        }
    }
}

/// The client's body.
#[derive(Debug)]
pub struct RequestBody {
    incoming: Incoming,
    left: u64,
    stream: Arc<dyn Stream>,
}

impl RequestBody {
    /// Lets at most `max` bytes pass. Returned with the framing for the upstream; `None` where
    /// there is no content.
    pub fn new(
        incoming: Incoming,
        max: Option<u64>,
        stream: &Arc<dyn Stream>,
    ) -> Option<(Self, BodyFraming)> {
        if incoming.is_end_stream() {
            return None;
        }
        let framing = match incoming.size_hint().exact() {
            Some(_) => BodyFraming::Length,
            None => BodyFraming::Chunked,
        };
        let body = RequestBody {
            stream: stream.clone(),
            incoming,
            left: max.unwrap_or(u64::MAX),
        };
        Some((body, framing))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let frame = match ready!(Pin::new(&mut self.incoming).poll_frame(cx)) {
            None => return Poll::Ready(None),
            Some(Err(broken)) => return Poll::Ready(Some(Err(RequestBodyError::Client(broken)))),
            Some(Ok(frame)) => frame,
        };
        if let Some(data) = frame.data_ref() {
            match self.left.checked_sub(data.len() as u64) {
                Some(left) => self.left = left,
                None => return Poll::Ready(Some(Err(RequestBodyError::TooLarge))),
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }
}

impl RequestContent for RequestBody {
    fn trailer_lines(&self) -> Vec<u8> {
        self.stream.take_names(Section::Trailers)
    }
}
