//! A request that may go to its upstream, as the upstream is to see it.

use std::sync::Arc;

use http::header::{self, HeaderValue};
use http::request::Parts;

use crate::route::hop::Hops;
use crate::route::target::Target;
use crate::snapshot::Route;
use crate::upstream::Upstream;

/// A request that may go to its upstream.
#[derive(Debug)]
pub struct Admitted {
    /// Its head, as the upstream is to see it, but for the WebSocket fields. Its `uri` is not
    /// the target.
    pub parts: Parts,
    /// The target that the upstream is to see.
    pub target: Target,
    /// The route it took.
    pub route: Arc<Route>,
    /// Where it goes.
    pub upstream: Arc<Upstream>,
    /// Whether it asks for another protocol, WebSocket or not.
    pub is_handshake: bool,
    /// Our own fields are not in the map yet: they are written with the head.
    pub direct: bool,
    /// The Host that the client sent, where the route replaces it.
    pub replaced_host: Option<HeaderValue>,
    /// The routes that it has passed.
    pub hops: Hops,
    /// The client waits with its body until it is asked for.
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
