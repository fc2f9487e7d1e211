//! Events (what sluice itself has to say) through `tracing`, on standard error. Access
//! records are `access_log`'s.

use std::io::IsTerminal;
use std::sync::OnceLock;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, reload};

use crate::config::{LogConfig, LogFormat};

/// The filter at work, for [`set_level`].
static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Starts the event log and says whether logs are JSON. `RUST_LOG` wins over the
/// configuration; a filter that cannot be read falls back to `info`.
pub fn start(config: &LogConfig) -> bool {
    let json = match config.format {
        LogFormat::Json => true,
        LogFormat::Human => false,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    };
    let (filter, handle) = reload::Layer::new(filter(config));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(filter);
    // A second start in one process (the demo) keeps the first one's format.
    let started = if json {
        let lines = lines.json().flatten_event(true);
        registry.with(lines).try_init()
    } else {
        let lines = lines.with_ansi(super::cli::colour());
        registry.with(lines).try_init()
    };
    if started.is_ok() {
        let _ = FILTER.set(handle);
    }
    json
}

/// Puts a new level in force.
pub fn set_level(config: &LogConfig) {
    if let Some(handle) = FILTER.get()
        && let Err(error) = handle.reload(filter(config))
    {
        tracing::warn!(%error, "the log level cannot be changed");
    }
}

fn filter(config: &LogConfig) -> EnvFilter {
    EnvFilter::try_from_default_env()
        .or_else(|_| EnvFilter::try_new(&config.level))
        .unwrap_or_else(|_| EnvFilter::new("info"))
}
