//! What a client is told when its tunnel can open. The protocol decides how: with a 101, or in
//! HTTP/2 with a 200 (RFC 8441 section 5).

use bytes::Bytes;
use http::HeaderMap;

use super::spelling::Spelling;
use crate::websocket::handshake::Accepted;

/// The upstream's acceptance of a tunnel.
#[derive(Debug)]
pub struct Acceptance {
    /// What the tunnel carries.
    pub protocol: Protocol,
    /// The fields of the upstream's answer, with the route's edits applied.
    pub fields: HeaderMap,
    /// The reason phrase, for HTTP/1.1.
    pub reason: Bytes,
    /// How HTTP/1.1 spells the names.
    pub spelling: Spelling,
}

/// What a tunnel carries.
#[derive(Debug)]
pub enum Protocol {
    /// WebSocket, with the negotiated subprotocol and extensions.
    WebSocket(Accepted),
    /// Another protocol, as the upstream names it.
    Other(String),
}
