//! One `[[route]]`: what it takes, what it does with it, and what it changes on the way.
//! Its rules for tunnels are in `websocket`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};

use super::websocket::WebSocketConfig;
use crate::route::matches::RouteMatch;

/// One `[[route]]` block.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteConfig {
    /// `name`; by default made from what the route matches. Unique.
    pub name: String,
    /// The 1-based line of the route's `[[route]]` header in the file; 0 without a file.
    pub line: usize,
    /// What a request must look like to take this route.
    pub matches: Arc<RouteMatch>,
    /// What happens to a request that took it.
    pub action: Action,
    /// What becomes of the matched path prefix. Default: kept.
    pub rewrite: PathRewrite,
    /// The Host that the upstream sees. Default: the client's, with its port.
    pub host: HostPolicy,
    /// Changes to the request's header fields, after ours were added.
    pub request_headers: HeaderEdits,
    /// Changes to the response's header fields.
    pub response_headers: HeaderEdits,
    /// Deadlines of an exchange; none of them outlives a 101.
    pub timeouts: RouteTimeouts,
    /// Protocols besides WebSocket that an `Upgrade` may switch to, as they are written.
    /// Default: none.
    pub upgrade: Vec<String>,
    /// Largest request body in bytes. Default: unlimited.
    pub max_body: Option<u64>,
    /// Origin policy and tunnel settings.
    pub websocket: Arc<WebSocketConfig>,
}

impl RouteConfig {
    /// Whether the other one does the same, wherever it stands in its file.
    pub fn equals(&self, other: &RouteConfig) -> bool {
        let moved = RouteConfig {
            line: self.line,
            ..other.clone()
        };
        *self == moved
    }
}

/// What a route does with its requests.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Forward to this upstream, a key of [`Config::upstreams`].
    Upstream(String),
    /// Answer at once.
    Respond {
        /// Status of the answer.
        status: StatusCode,
        /// Body, sent as `text/plain; charset=utf-8`.
        body: String,
    },
    /// Redirect to another URL.
    Redirect {
        /// 301, 302, 303, 307 or 308. Default: 308.
        status: StatusCode,
        /// The target; `{scheme}`, `{host}` (with its port), `{hostname}` (without), `{path}` and
        /// `{query}` (with its `?`) stand for the request's.
        to: String,
    },
}

/// What becomes of the path prefix that a route matched.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PathRewrite {
    /// The path is sent as it was received, without dot segments: see `route::path`.
    #[default]
    Keep,
    /// The matched prefix is replaced; `strip_prefix = true` is the empty replacement.
    /// Held without a trailing slash. The rest stays as it was received.
    ReplacePrefix(String),
}

/// The Host that an upstream is sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum HostPolicy {
    /// What the client sent, with its port.
    #[default]
    Preserve,
    /// This value.
    Set(HeaderValue),
}

/// Changes to header fields: removed first, then set, then added.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HeaderEdits {
    /// Names to remove.
    pub remove: Vec<HeaderName>,
    /// Fields to replace.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// Lines to append.
    pub add: Vec<(HeaderName, HeaderValue)>,
    /// The names that are written with capitals, each with its colon and an LF: they are sent so.
    pub spelling: Bytes,
}

impl HeaderEdits {
    /// Whether they change nothing.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }
}

/// `[route.timeouts]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteTimeouts {
    /// From the request's last byte sent to the response's head. Default: 60 s.
    pub response_head: Duration,
    /// Longest silence inside a response body. Default: 5 min.
    pub response_idle: Duration,
    /// How long a body announced with `Expect: 100-continue` waits to be asked for.
    /// Default: 1 s.
    pub expect_continue: Duration,
}

impl Default for RouteTimeouts {
    fn default() -> Self {
        RouteTimeouts {
            response_head: Duration::from_secs(60),
            response_idle: Duration::from_secs(300),
            expect_continue: Duration::from_secs(1),
        }
    }
}
