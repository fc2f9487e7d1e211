//! A tunnel as a tap knows it: by its number and by what it says of itself. The tunnel itself
//! is out of reach from here.

use std::sync::Arc;
use std::time::Instant;

use crate::tunnel_info::TunnelIdentity;
use crate::websocket::handshake::Deflate;

/// A tunnel that a tap may take.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Unique in the process.
    pub number: u64,
    /// Whose it is.
    pub identity: &'a TunnelIdentity,
    /// When it was opened.
    pub opened: Instant,
    /// When bytes that were no answer to our Pings were last seen to have come.
    pub heard: Instant,
}

/// A tunnel that a tap follows: what its messages say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Unique in the process.
    pub number: u64,
    /// Its route.
    pub route: Arc<str>,
    /// Its upstream.
    pub upstream: Arc<str>,
    /// Its endpoint.
    pub endpoint: Arc<str>,
    /// Its client.
    pub client: Box<str>,
    /// What its handshake agreed on about compression.
    pub deflate: Option<Deflate>,
    /// Another protocol than WebSocket was switched to: there are no frames.
    pub is_unframed: bool,
}

impl Subject {
    pub(super) fn new(tunnel: &Candidate<'_>) -> Subject {
        let identity = tunnel.identity;
        Subject {
            number: tunnel.number,
            route: identity.route().clone(),
            upstream: identity.upstream().clone(),
            endpoint: identity.endpoint().clone(),
            client: identity.client().into(),
            deflate: identity.deflate(),
            is_unframed: identity.upgrade().is_some(),
        }
    }
}
