//! The composition root: builds everything from a configuration and runs it.

use std::io;

use crate::config::Config;

/// Runs the proxy until it is told to stop.
///
/// # Errors
/// Always: the server isn't there yet.
pub fn run(_config: Config) -> io::Result<()> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "the server isn't there yet",
    ))
}
