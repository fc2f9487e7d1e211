//! What goes over the wire, as bytes and without I/O: request framing, header rules, forwarded
//! fields, the WebSocket handshake, heads of answers, the chunked coding, WebSocket frames.

pub mod chunked;
pub mod encode;
pub mod forwarded;
pub mod frame;
pub mod framing;
pub mod handshake;
pub mod headers;
pub mod octets;
pub mod response;
pub mod spelling;
