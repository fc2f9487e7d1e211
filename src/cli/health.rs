//! `sluice health`: asks a running proxy whether it is well.

use std::io;

use super::HealthArguments;

/// Asks once; the answer is the exit code.
///
/// # Errors
/// Always: the check isn't there yet.
pub fn run(_arguments: &HealthArguments) -> io::Result<()> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "the health check isn't there yet",
    ))
}
