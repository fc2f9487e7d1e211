//! A request that was admitted, in the form in which its upstream will see it.

use std::sync::Arc;

use http::header::{self, HeaderValue};
use http::request::Parts;

use crate::route::hop::Hops;
use crate::route::target::Target;
use crate::snapshot::Route;
use crate::upstream::Upstream;

/// A request that was admitted.
#[derive(Debug)]
pub struct Admitted {
    /// The head as the upstream will see it, except for the WebSocket fields. Its `uri` is not
    /// the target.
    pub parts: Parts,
    /// The target as the upstream will see it.
    pub target: Target,
    /// The route that took it.
    pub route: Arc<Route>,
    /// The upstream that it goes to.
    pub upstream: Arc<Upstream>,
    /// Whether it asks for another protocol, WebSocket or not.
    pub is_handshake: bool,
    /// Our own fields are not in the map yet; they are written with the head.
    pub direct: bool,
    /// The Host that the client sent, where the route replaces it.
    pub replaced_host: Option<HeaderValue>,
    /// The routes that it has passed.
    pub hops: Hops,
    /// The client sends its body only when asked to.
    pub expects_continue: bool,
}

impl Admitted {
    /// The Host for the upstream.
    pub fn host(&self) -> &HeaderValue {
        static NONE: HeaderValue = HeaderValue::from_static("");
        self.parts.headers.get(header::HOST).unwrap_or(&NONE)
    }

    /// The Host that the client sent.
    pub fn asked_host(&self) -> &HeaderValue {
        self.replaced_host.as_ref().unwrap_or(self.host())
    }
}
