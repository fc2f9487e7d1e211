//! `sluice check`: says whether a configuration is right, everything that isn't, what is hardly
//! meant, and what `sluice run` would stumble over on this machine. Starts nothing, resolves
//! nothing, leaves no file.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::attempt::{self, Attempt};
use crate::config::{Config, Problems};
use crate::config_file;
use crate::config_file::default::file;
use crate::net::tls::review;
use crate::system::files;
use crate::vocabulary::visible::escaped;

/// How `check` goes without a file.
const OTHERWISE: &str = "or give its text to standard input: sluice check -";

/// Which configuration is checked.
#[derive(Debug, Default, Args)]
pub struct CheckArguments {
    /// The configuration file; `-` is standard input [default: ./sluice.toml, then
    /// /etc/sluice/sluice.toml]
    #[arg(value_name = "FILE", conflicts_with = "config")]
    pub file: Option<PathBuf>,
    /// The same
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Checks the file; 0 when it can be put in force, 1 when it cannot.
///
/// # Errors
/// When there is no file, or the outcome could not be written.
pub fn run(
    arguments: &CheckArguments,
    out: &mut impl Write,
    err: &mut impl Write,
    colour: bool,
) -> io::Result<ExitCode> {
    let named = arguments.file.as_deref().or(arguments.config.as_deref());
    let (name, file, read) = match named {
        Some(dash) if dash == Path::new("-") => ("standard input".to_owned(), None, from_stdin()?),
        named => {
            let file = file(named, OTHERWISE)?;
            let read = config_file::source_given(&file);
            (visible(&file), Some(file), read)
        }
    };
    let reviewed = read.and_then(|source| config_file::review(&source, &name));
    let (config, warnings) = match reviewed {
        Ok(reviewed) => reviewed,
        Err(problems) => {
            err.write_all(problems.render(colour).as_bytes())?;
            return Ok(ExitCode::FAILURE);
        }
    };
    if let Some(warnings) = warnings {
        err.write_all(warnings.render(colour).as_bytes())?;
    }
    let mut attempts = attempt::everything(&config, file.as_deref());
    let certificates = review::of(&config).into_iter();
    attempts.extend(certificates.map(|finding| Attempt {
        message: finding.message,
        fatal: finding.fatal,
    }));
    for attempt in &attempts {
        let level = if attempt.fatal { "error" } else { "warning" };
        writeln!(err, "{level}: {}", escaped(&attempt.message))?;
    }
    if attempts.iter().any(|attempt: &Attempt| attempt.fatal) {
        writeln!(err, "{name}: right, but it cannot be put in force here")?;
        return Ok(ExitCode::FAILURE);
    }
    writeln!(out, "{name}: ok ({})", contents(&config))?;
    Ok(ExitCode::SUCCESS)
}

/// The file's name, for a terminal.
fn visible(file: &Path) -> String {
    escaped(&file.display().to_string()).into_owned()
}

fn from_stdin() -> io::Result<Result<String, Problems>> {
    let bytes = files::read_bounded(io::stdin().lock(), config_file::LARGEST)
        .map_err(|error| io::Error::new(error.kind(), format!("standard input: {error}")))?;
    Ok(config_file::text(bytes, "standard input"))
}

fn contents(config: &Config) -> String {
    let count = |number: usize, what: &str| {
        let plural = if number == 1 { "" } else { "s" };
        format!("{number} {what}{plural}")
    };
    [
        count(config.listeners.len(), "listener"),
        count(config.routes.len(), "route"),
        count(config.upstreams.len(), "upstream"),
    ]
    .join(", ")
}
