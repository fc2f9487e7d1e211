//! WebSocket as bytes and without I/O: the opening handshake, the frames that pass, and those
//! that sluice sends itself (RFC 6455).

pub mod control;
pub mod frame;
pub mod handshake;
