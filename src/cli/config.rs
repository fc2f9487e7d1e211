//! `sluice config schema`: the JSON Schema of the configuration file, on standard output.

use std::io::{self, Write};
use std::process::ExitCode;

/// Prints the schema.
///
/// # Errors
/// When it could not be written.
pub fn schema(out: &mut impl Write) -> io::Result<ExitCode> {
    serde_json::to_writer_pretty(&mut *out, &crate::config_file::schema())?;
    writeln!(out)?;
    Ok(ExitCode::SUCCESS)
}
