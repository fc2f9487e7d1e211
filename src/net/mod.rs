//! Sockets: one type over the streams, listeners, and how a connection is closed.

pub mod close;
pub mod io;
pub mod listen;
