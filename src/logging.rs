//! Events (what sluice itself has to say) through `tracing`, on standard error. Access
//! records are `access_log`'s.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat};

/// Starts the event log and says whether logs are JSON. `RUST_LOG` wins over the
/// configuration; a filter that cannot be read falls back to `info`.
pub fn start(config: &LogConfig) -> bool {
    let json = match config.format {
        LogFormat::Json => true,
        LogFormat::Human => false,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    };
    let filter = EnvFilter::try_from_default_env()
        .or_else(|_| EnvFilter::try_new(&config.level))
        .unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // A second start in one process (the demo) keeps the first one's format.
    let _ = if json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.with_ansi(super::cli::colour()).try_init()
    };
    json
}
