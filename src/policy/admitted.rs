//! A request that was admitted, in the form in which its upstream will see it.

use std::ops::Deref;
use std::sync::Arc;

use http::header::{self, HeaderValue};

use super::head::RequestHead;
use crate::route::hop::Hops;
use crate::snapshot::Route;
use crate::upstream::Upstream;

/// A request that was admitted.
#[derive(Debug)]
pub struct Admitted {
    /// The head and the target as the upstream will see them, except for the WebSocket fields.
    pub head: Box<RequestHead>,
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
    /// It may be a step of a login of the connection.
    pub logs_in: bool,
}

impl Deref for Admitted {
    type Target = RequestHead;

    fn deref(&self) -> &RequestHead {
        &self.head
    }
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
