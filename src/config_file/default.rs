//! Where commands find the configuration file that is meant.

use std::io;
use std::path::{Path, PathBuf};

/// Where `run`, `check` and `health` look for a configuration, in this order.
pub const DEFAULT_FILES: [&str; 2] = ["./sluice.toml", "/etc/sluice/sluice.toml"];

/// The file that was named, or the first default one that exists; `otherwise` says how the
/// command goes without one.
///
/// # Errors
/// When none was named and none of the default ones exists.
pub fn file(named: Option<&Path>, otherwise: &str) -> io::Result<PathBuf> {
    let found = match named {
        Some(named) => Some(named.to_owned()),
        None => DEFAULT_FILES
            .iter()
            .map(PathBuf::from)
            .find(|path| path.exists()),
    };
    found.ok_or_else(|| {
        let message = format!(
            "no configuration: neither {} nor {} exists; name one with --config FILE, {otherwise}",
            DEFAULT_FILES[0], DEFAULT_FILES[1]
        );
        io::Error::new(io::ErrorKind::NotFound, message)
    })
}
