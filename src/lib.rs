//! sluice: a WebSocket-aware HTTP reverse proxy.

pub mod cli;
pub mod config;
pub mod http;
pub mod io;
pub mod listen;
pub mod route;
pub mod tunnel;
pub mod upstream;
