//! A tunnel whose upstream side is open: it waits until the client's stream is free, and then gets
//! a task of its own.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{self, HeaderValue};

use super::acceptance::Acceptance;
use super::load::Guard;
use super::record::Record;
use super::tunnel_record;
use super::underway::Underway;
use crate::config::WebSocketConfig;
use crate::fault::error::{Kind, ProxyError};
use crate::net::close::Unwritten;
use crate::net::io::Io;
use crate::policy::admitted::Admitted;
use crate::policy::facts::Facts;
use crate::process::Shared;
use crate::tunnel::{self, TunnelSpec};
use crate::tunnel_info::{IdentityParts, TunnelIdentity};
use crate::tunnel_registry;
use crate::upstream::Lease;
use crate::websocket::handshake::Deflate;

/// What both sides agreed on about the tunnel's protocol.
#[derive(Debug)]
pub struct Agreed<'a> {
    /// The WebSocket subprotocol.
    pub subprotocol: Option<Cow<'a, str>>,
    /// The protocol, where it is not WebSocket.
    pub upgrade: Option<&'a str>,
    /// WebSocket's compression.
    pub deflate: Option<Deflate>,
}

impl Agreed<'_> {
    /// The tunnel's identity, for lists and records.
    pub fn identity(
        &self,
        facts: &Facts,
        admitted: &Admitted,
        record: &Record,
        lease: &Lease,
    ) -> Box<TunnelIdentity> {
        fn text(value: &HeaderValue) -> Cow<'_, str> {
            String::from_utf8_lossy(value.as_bytes())
        }
        let origin = admitted.parts.headers.get(header::ORIGIN);
        let origin = origin.filter(|_| self.upgrade.is_none());
        TunnelIdentity::new(IdentityParts {
            route: admitted.route.slot.clone(),
            endpoint: lease.endpoint().slot().clone(),
            client: &record.client(facts),
            host: &text(admitted.asked_host()),
            path: &record.asked_path(),
            subprotocol: self.subprotocol.as_deref(),
            upgrade: self.upgrade,
            origin: origin.map(text).as_deref(),
            request_id: record.known_request_id(),
            traceparent: record.traceparent().as_deref().unwrap_or_default(),
            deflate: self.deflate,
        })
    }
}

/// A tunnel whose upstream side is open, waiting for the client's stream.
#[derive(Debug)]
pub struct PendingTunnel {
    upstream: Io,
    from_upstream: Bytes,
    /// What the client is told.
    acceptance: Acceptance,
    identity: Box<TunnelIdentity>,
    /// It is under way until the client is told.
    exchange: Option<Box<Underway>>,
    settings: Arc<WebSocketConfig>,
    /// The generation of the configuration that admitted it.
    generation: u64,
    lease: Lease,
}

impl PendingTunnel {
    /// For an admitted request: the upstream's side with what was read after its 101, and what the
    /// client is to be told.
    pub fn new(
        admitted: &Admitted,
        upstream: Io,
        from_upstream: Bytes,
        acceptance: Acceptance,
        identity: Box<TunnelIdentity>,
        lease: Lease,
    ) -> Self {
        PendingTunnel {
            upstream,
            from_upstream,
            acceptance,
            identity,
            exchange: None,
            settings: admitted.route.config.websocket.clone(),
            generation: admitted.route.generation,
            lease: lease.into_tunnel(),
        }
    }

    /// With the exchange whose outcome it is.
    pub fn of(mut self: Box<Self>, exchange: Box<Underway>) -> Box<Self> {
        self.exchange = Some(exchange);
        self
    }

    /// What the client is to be told before the tunnel starts.
    pub fn acceptance(&self) -> &Acceptance {
        &self.acceptance
    }

    /// Why the upstream's side is broken, if it is.
    pub fn broken(&self) -> Option<io::Error> {
        self.upstream.broken(false)
    }

    /// The client could not be told: the exchange ends without an answer, and its record says why.
    pub fn untold(mut self, why: &Unwritten) {
        let Some(exchange) = &mut self.exchange else {
            return;
        };
        let record = exchange.record();
        match why {
            Unwritten::Gone(_) => record.client_left("the client was gone before its 101"),
            Unwritten::Unread => record.client_stalled("the client did not take its 101"),
            Unwritten::Other(error) => record.error(&ProxyError::upstream(
                Kind::ConnectionTerminated,
                format!("the upstream was gone before the client took its 101: {error}"),
            )),
        }
    }

    /// The client has been told: lets the tunnel run as a task of its own. `from_client` is what
    /// came after the request.
    pub fn start(mut self, client: Io, from_client: Bytes, guard: Guard, shared: &Shared) {
        let mut exchange = self.exchange.take();
        let asked = exchange
            .as_mut()
            .and_then(|exchange| exchange.record().switched());
        drop(exchange);
        let handle = tunnel::spawn(TunnelSpec {
            client,
            upstream: self.upstream,
            from_client,
            from_upstream: self.from_upstream,
            settings: self.settings,
            identity: self.identity,
            guard: (self.lease, guard),
            report: tunnel_record::closed,
        });
        // Its task has not run yet: its end comes after this.
        tunnel_record::opened(&handle, asked.as_deref());
        // The reload that came during the handshake has not seen this tunnel.
        if shared.snapshot.load().generation != self.generation
            && let Some(reviewer) = shared.state.reviewer()
        {
            tunnel_registry::apply(&handle, reviewer.judge(&handle), Instant::now());
        }
    }
}
