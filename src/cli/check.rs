//! `sluice check FILE`: says whether a configuration is right, and everything that isn't.
//! Starts nothing, binds nothing, resolves nothing.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use crate::config;

/// Checks the file; 0 when it is right, 1 when it is not.
///
/// # Errors
/// When the outcome could not be written.
pub fn run(
    file: &Path,
    out: &mut impl Write,
    err: &mut impl Write,
    colour: bool,
) -> io::Result<ExitCode> {
    match config::load(file) {
        Ok(config) => {
            writeln!(
                out,
                "{}: ok ({}, {}, {})",
                file.display(),
                count(config.listeners.len(), "listener"),
                count(config.routes.len(), "route"),
                count(config.upstreams.len(), "upstream"),
            )?;
            Ok(ExitCode::SUCCESS)
        }
        Err(problems) => {
            err.write_all(problems.render(colour).as_bytes())?;
            Ok(ExitCode::FAILURE)
        }
    }
}

fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}
