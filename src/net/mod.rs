//! Sockets: one type over the streams, and listeners.

pub mod io;
pub mod listen;
