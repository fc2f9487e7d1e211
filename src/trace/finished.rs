//! What the spans of exchanges and tunnels that have ended are made of.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::header::HeaderValue;
use http::{Method, StatusCode, Version};

use super::context::TraceParent;
use crate::config::Scheme;
use crate::route::target::Target;
use crate::snapshot::Route;
use crate::tunnel_info::Closes;
use crate::vocabulary::ClosedBy;
use crate::vocabulary::counters::Tally;

/// Something that has spans to export.
#[derive(Debug)]
pub(super) enum Finished {
    Exchange(Box<FinishedExchange>),
    Tunnel(Box<FinishedTunnel>),
}

/// What a sampled exchange notes on its way.
#[derive(Debug)]
pub(super) struct Recording {
    pub(super) start: SystemTime,
    pub(super) started: Instant,
    /// The client's span that this one is a child of.
    pub(super) parent: Option<[u8; 8]>,
    /// The client's span, in a trace that was not continued.
    pub(super) link: Option<TraceParent>,
    pub(super) version: Version,
    pub(super) user_agent: Option<HeaderValue>,
    /// The request as the upstream sees it, and when its head was ready.
    pub(super) sent: Option<(Target, Instant)>,
    /// When the answer's head was complete, or an error of ours in its place.
    pub(super) answered: Option<Instant>,
    /// The answer is an error of ours.
    pub(super) refused: bool,
}

/// What is known of an exchange at its end.
#[derive(Debug)]
pub struct Ended {
    /// The method.
    pub method: Method,
    /// The target, as the client sent it.
    pub target: Target,
    /// Whether its query may be exported.
    pub with_query: bool,
    /// The scheme of the listener.
    pub scheme: Scheme,
    /// The authority that was asked for.
    pub host: Option<HeaderValue>,
    /// The client: its address, and its port where it is the peer.
    pub client: String,
    /// The peer; `None` on a unix socket.
    pub peer: Option<SocketAddr>,
    /// The route taken.
    pub route: Option<Arc<Route>>,
    /// The endpoint that was reached.
    pub endpoint: Option<Arc<str>>,
    /// The status of the answer; 101 for a tunnel.
    pub status: Option<StatusCode>,
    /// What went wrong: a kind, and details.
    pub error: Option<(&'static str, Cow<'static, str>)>,
    /// The request's id.
    pub request_id: String,
    /// Bytes of the request's body.
    pub bytes_in: u64,
    /// Bytes of the answer's body.
    pub bytes_out: u64,
}

/// A sampled exchange that has ended.
#[derive(Debug)]
pub(super) struct FinishedExchange {
    pub(super) server: TraceParent,
    pub(super) upstream: [u8; 8],
    pub(super) recording: Box<Recording>,
    pub(super) ended: Instant,
    pub(super) about: Ended,
}

/// A sampled tunnel that has ended.
#[derive(Debug)]
pub(super) struct FinishedTunnel {
    /// The handshake's server span.
    pub(super) handshake: TraceParent,
    pub(super) id: u64,
    pub(super) route: Arc<str>,
    pub(super) upstream: Arc<str>,
    pub(super) endpoint: Arc<str>,
    pub(super) client: String,
    pub(super) host: String,
    pub(super) path: String,
    pub(super) request_id: String,
    pub(super) subprotocol: Option<String>,
    pub(super) closed_by: ClosedBy,
    pub(super) detail: Option<String>,
    pub(super) closes: Closes,
    pub(super) end: SystemTime,
    pub(super) duration: Duration,
    pub(super) from_client: Tally,
    pub(super) from_upstream: Tally,
}
