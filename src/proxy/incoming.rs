//! The content of a request as the crate of its protocol delivers it. One type over them, as
//! `net::io` is over sockets: an exchange is compiled once, and a body needs no box.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// The content of a request.
#[derive(Debug)]
pub enum Incoming {
    /// From HTTP/1.1.
    H1(hyper::body::Incoming),
}

/// Why a request's content broke off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// The client has ended its direction; it may still read.
    Ended,
    /// Its connection is gone.
    Connection,
    /// What came is not valid.
    Malformed,
}

impl From<hyper::Error> for Broken {
    fn from(error: hyper::Error) -> Broken {
        let cause = error.source().and_then(|cause| cause.downcast_ref());
        match cause.map(io::Error::kind) {
            Some(io::ErrorKind::UnexpectedEof) => Broken::Ended,
            Some(_) => Broken::Connection,
            None => Broken::Malformed,
        }
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match &mut *self {
            Incoming::H1(body) => Pin::new(body).poll_frame(cx).map_err(Broken::from),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Incoming::H1(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Incoming::H1(body) => body.size_hint(),
        }
    }
}
