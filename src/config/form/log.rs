//! The values of `[log]` as they are written: a level, and where records go.

use tracing_subscriber::EnvFilter;

use crate::config::AccessLog;
use crate::setting::read::{FromText, Plain, Wrong, nearest};

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

impl Plain<String> for LogLevel {
    fn plain(&self) -> String {
        self.0.clone()
    }
}

/// `log.access`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AccessTarget(AccessLog);

impl FromText for AccessTarget {
    const EXPECTED: &'static str = "`\"stdout\"`, `\"stderr\"`, `\"off\"` or the path of a file";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        let target = match text {
            "stdout" => AccessLog::Stdout,
            "stderr" => AccessLog::Stderr,
            "off" => AccessLog::Off,
            path if path.contains('/') && !path.ends_with('/') && !path.contains('\0') => {
                AccessLog::File(path.into())
            }
            _ => {
                return Err(Wrong::new(format!("`{text}` is not where a log can go")).hint(
                    "`\"stdout\"`, `\"stderr\"`, `\"off\"`, or the path of a file with a `/` in it",
                ));
            }
        };
        Ok(AccessTarget(target))
    }
}

impl Plain<AccessLog> for AccessTarget {
    fn plain(&self) -> AccessLog {
        self.0.clone()
    }
}
