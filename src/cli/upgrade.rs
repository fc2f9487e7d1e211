//! `sluice upgrade`: has the running sluice replace itself by a new process, which takes its
//! listeners and tunnels over.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::options::address;
use super::output::{counted, refused};
use crate::client::api::Client;
use crate::client::target::Target;
use crate::process::order::{UpgradeRequest, Upgraded};

/// Which sluice is replaced by what.
#[derive(Debug, Default, Args)]
pub struct UpgradeArguments {
    /// The binary to start [default: the path that the running one was started from]
    #[arg(long, value_name = "PATH")]
    pub binary: Option<PathBuf>,
    /// The configuration of the new process; its admin.listen is also used to find the running
    /// one [default: the file that the running one was started with]
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The admin interface of the running one: unix:/path or 127.0.0.1:PORT
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub admin: Option<Target>,
    /// Send the token in the first line of this file [default: that of admin.token_file]
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

/// Upgrades and says what has become of the tunnels.
///
/// # Errors
/// When no sluice answers.
pub fn run(
    arguments: &UpgradeArguments,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<ExitCode> {
    // The running sluice may have another working directory.
    let absolute = |path: &Option<PathBuf>| path.as_deref().map(std::path::absolute).transpose();
    let order = UpgradeRequest {
        binary: absolute(&arguments.binary)?,
        config: absolute(&arguments.config)?,
    };
    let file = arguments.config.as_deref();
    let client = Client::find_for_upgrade(arguments.admin.as_ref(), file)?;
    let client = client.with_token(arguments.token_file.as_deref())?;
    match client.post("/v1/upgrade", &order, None)? {
        Ok(upgraded) => print(&upgraded, out).map(|()| ExitCode::SUCCESS),
        Err(why) => refused(&why, err),
    }
}

fn print(upgraded: &Upgraded, out: &mut impl Write) -> io::Result<()> {
    let Upgraded {
        pid,
        version,
        tunnels,
        connections,
        stay,
    } = upgraded;
    writeln!(out, "upgraded: process {pid}, version {version}")?;
    writeln!(
        out,
        "  handed over: {}, {}",
        counted(*tunnels, "tunnel"),
        counted(*connections, "idle connection")
    )?;
    for (why, count) in stay {
        let tunnels = counted(*count, "tunnel");
        writeln!(out, "  drained by the old process: {tunnels} ({why})")?;
    }
    Ok(())
}
