//! `[log]`: what is logged, where it goes and in which shape.

use std::path::PathBuf;
use std::sync::Arc;

use http::HeaderName;
use tracing_subscriber::EnvFilter;

use super::form::field::LoggedField;
use crate::setting::list::List;
use crate::setting::read::{FromText, Wrong, nearest};
use crate::setting::scalar::words;
use crate::setting::table::table;
use crate::setting::typed::{Setting, held_as_read};
use crate::setting::written::Written;

table! {
    /// `[log]`: what is logged, and how.
    LogTable in "`[log]`" => LogConfig {
        /// `error`, `warn`, `info`, `debug`, `trace`, `off`, or a tracing filter such as
        /// `info,sluice::tunnel=debug`. The environment variable `RUST_LOG` overrides it.
        level: LogLevel as String = "info",
        /// `human`, `json`, `auto` (human on a terminal, JSON elsewhere), or `combined`: access
        /// records in the combined format of Apache and nginx, events as with `auto`.
        format: LogFormat as LogFormat = "auto",
        /// Where the records of exchanges and tunnels go: `stdout`, `stderr`, `off` or the
        /// path of a file or FIFO, which is appended to.
        access: AccessLog as AccessLog = "stdout",
        /// Whether query strings, which often carry tokens, are logged.
        query: bool as bool = false,
        /// Header fields of requests that access records have besides `user_agent` and
        /// `referer`, such as `x-tenant`. Those for credentials read `redacted`.
        headers: List<LoggedField> as Arc<[HeaderName]> = [],
    }
}

/// The shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Human on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// Words for a person.
    Human,
    /// One JSON object a line.
    Json,
    /// Access records in Apache's combined format; events as with `Auto`.
    Combined,
}
words!(LogFormat, "`\"auto\"`, `\"human\"`, `\"json\"` or `\"combined\"`",
    "auto" => LogFormat::Auto,
    "human" => LogFormat::Human,
    "json" => LogFormat::Json,
    "combined" => LogFormat::Combined,
);

/// Where access records go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AccessLog {
    /// Standard output.
    #[default]
    Stdout,
    /// Standard error, among the events.
    Stderr,
    /// A file, appended to, reopened at a reload.
    File(PathBuf),
    /// Nowhere.
    Off,
}

impl FromText for AccessLog {
    const EXPECTED: &'static str = "`\"stdout\"`, `\"stderr\"`, `\"off\"` or the path of a file";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        match text {
            "stdout" => Ok(AccessLog::Stdout),
            "stderr" => Ok(AccessLog::Stderr),
            "off" => Ok(AccessLog::Off),
            path if path.contains('/') && !path.ends_with('/') && !path.contains('\0') => {
                Ok(AccessLog::File(path.into()))
            }
            _ => Err(
                Wrong::new(format!("`{text}` is not where a log can go")).hint(
                    "`\"stdout\"`, `\"stderr\"`, `\"off\"`, or the path of a file with a `/` in it",
                ),
            ),
        }
    }
}

impl Setting<AccessLog> for AccessLog {
    fn value(&self) -> AccessLog {
        self.clone()
    }

    fn write(value: &AccessLog) -> Written {
        match value {
            AccessLog::Stdout => "stdout".into(),
            AccessLog::Stderr => "stderr".into(),
            AccessLog::Off => "off".into(),
            AccessLog::File(path) => path.display().to_string().into(),
        }
    }
}

/// `log.level`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogLevel(String);

impl FromText for LogLevel {
    const EXPECTED: &'static str = "a level such as `\"info\"`";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
        // A filter takes a word without `=` for the name of a module, so a misspelt level
        // would silence everything.
        let stray = text.split(',').map(str::trim).find(|part| {
            !part.contains('=') && !LEVELS.contains(&part.to_ascii_lowercase().as_str())
        });
        if let Some(part) = stray {
            let wrong = Wrong::new(format!("`{part}` is not a log level"));
            return Err(match nearest(part, LEVELS) {
                Some(meant) => wrong.hint(format!("did you mean `\"{meant}\"`?")),
                None => wrong.hint(
                    "a level is error, warn, info, debug, trace or off; for one module write \
                     `\"info,sluice::tunnel=debug\"`",
                ),
            });
        }
        match EnvFilter::builder().parse(text) {
            Ok(_) => Ok(LogLevel(text.to_owned())),
            Err(error) => Err(Wrong::new(format!("`{text}` is not a log filter: {error}"))),
        }
    }
}

held_as_read!(LogLevel => String);
