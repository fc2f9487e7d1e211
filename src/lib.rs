//! sluice: a WebSocket-aware HTTP reverse proxy.

pub mod access_log;
pub mod allocator;
pub mod cli;
pub mod config;
pub mod http;
pub mod io;
pub mod lifecycle;
pub mod listen;
pub mod logging;
pub mod metrics;
pub mod route;
pub mod server;
pub mod snapshot;
pub mod tunnel;
pub mod upstream;
pub mod worker;
