//! What a tunnel is asked for, as bits of one byte.

/// Ping the client.
pub const PING_CLIENT: u8 = 1;
/// Ping the upstream.
pub const PING_UPSTREAM: u8 = 2;
/// Carry out the close order.
pub const CLOSE: u8 = 4;
/// End at once.
pub const CUT: u8 = 8;
/// End: the closing handshake is complete, and the upstream has had its moment.
pub const FINISH: u8 = 16;
/// Switch TCP keep-alive on towards the upstream.
pub const KEEP_ALIVE: u8 = 32;
/// Leave this process, or say why not.
pub const EXPORT: u8 = 64;
/// Look whether a side is gone: a direction that waits for its sink does not read.
pub const PROBE: u8 = 128;
