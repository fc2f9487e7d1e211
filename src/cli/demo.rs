//! `sluice demo`: a backend and the proxy in front of it, in one process.

use std::io;
use std::net::SocketAddr;

/// Runs the demonstration until it is told to stop.
///
/// # Errors
/// Always: the demonstration isn't there yet.
pub fn run(_listen: SocketAddr) -> io::Result<()> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "the demo isn't there yet",
    ))
}
