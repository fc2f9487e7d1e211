//! A WebSocket handshake that was admitted: sent to the upstream, its answer judged, and
//! on a valid 101 both sockets taken for a tunnel. Until then nothing that the client sent
//! behind its handshake goes anywhere. On any other answer it never does.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, StatusCode};

use super::body::RequestBody;
use super::connection::{Context, write_all};
use super::diagnosis::{self, Diagnosis, Sent};
use super::error::{Kind, ProxyError};
use super::exchange::{Admitted, Answer, Takeover, refuse};
use super::forward::{self, Answered, Failed};
use super::handshake::{Accepted, UpstreamProblem, encode_101, encode_request, validate_101};
use super::headers;
use super::live;
use super::record::Record;
use super::watch::{UpstreamWait, Verdict};
use crate::config::WebSocketConfig;
use crate::io::Io;
use crate::upstream::body::AnswerBody;
use crate::upstream::client::{FlightError, InFlight};
use crate::upstream::response::{Framing, ResponseHead};
use crate::upstream::Lease;

/// Opens the upstream's side; the client's follows when hyper has let go of it.
pub async fn open(context: Arc<Context>, admitted: Admitted, mut record: Record) -> Answer {
    match attempt(&context, &admitted, &mut record).await {
        Ok(Attempt::Tunnel(tunnel)) => {
            context.wait_flushed().await;
            context.set_tunnel(tunnel);
            record.silence();
            Err(Takeover)
        }
        Ok(Attempt::Refused(answered)) => Ok(forward::answer(&context, &admitted, *answered, record)),
        Err(error) => Ok(refuse(&context, &error.closing(), record)),
    }
}

enum Attempt {
    Tunnel(Box<PendingTunnel>),
    Refused(Box<Answered>),
}
