//! `sluice reload`: has the running sluice read its configuration again.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use super::options::AdminArguments;
use super::output::refused;
use crate::process::order::Reloaded;

/// How long it may take: names are waited for, and other orders may come first.
const LIMIT: Duration = Duration::from_secs(60);

/// Reloads and says what has changed, or why nothing has.
///
/// # Errors
/// When no sluice answers.
pub fn run(
    arguments: &AdminArguments,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<ExitCode> {
    let order = serde_json::json!({});
    match arguments
        .client()?
        .post("/v1/reload", &order, Some(LIMIT))?
    {
        Ok(reloaded) => print(&reloaded, out).map(|()| ExitCode::SUCCESS),
        Err(why) => {
            let code = refused(&why, err)?;
            writeln!(
                err,
                "sluice: not reloaded: the configuration in force stays"
            )?;
            Ok(code)
        }
    }
}

fn print(reloaded: &Reloaded, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "reloaded: generation {}", reloaded.generation)?;
    if reloaded.changes.is_empty() {
        writeln!(out, "  nothing has changed")?;
    }
    for change in &reloaded.changes {
        writeln!(out, "  {change}")?;
    }
    for setting in &reloaded.needs_restart {
        writeln!(
            out,
            "  {setting} changed, which takes effect at an upgrade or a restart"
        )?;
    }
    for (count, what) in [
        (reloaded.tunnels_changed, "new settings"),
        (reloaded.tunnels_drained, "drained"),
        (reloaded.tunnels_closed, "closed"),
    ] {
        if count > 0 {
            writeln!(out, "  live tunnels: {count} {what}")?;
        }
    }
    Ok(())
}
