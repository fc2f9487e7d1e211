//! What a handshake agrees on about compression.

use serde::{Deserialize, Serialize};

/// permessage-deflate as a handshake agreed on it (RFC 7692 section 7.1.1): which side
/// compresses every message by itself, without reference to those before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deflate {
    /// `client_no_context_takeover`.
    pub client_no_context_takeover: bool,
    /// `server_no_context_takeover`.
    pub server_no_context_takeover: bool,
}
