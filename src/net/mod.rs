//! Sockets: one type over the streams, TLS, listeners, and how a connection is closed.

pub mod close;
pub mod io;
pub mod listen;
mod parting;
pub mod records;
pub mod tls;
