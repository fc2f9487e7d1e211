//! HTTP.
pub mod diagnosis;
pub mod forwarded;
pub mod framing;
pub mod handshake;
pub mod headers;
