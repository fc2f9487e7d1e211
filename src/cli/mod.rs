//! The command line: its definition, and which function answers each command. One file a
//! command; what `run` starts is in `server`.
//!
//! Exit codes: 0 for success, 1 when a command failed or a configuration has errors, 2 for
//! a command line that was not understood.

mod attempt;
pub mod check;
pub mod client;
pub mod config;
pub mod demo;
pub mod drain;
pub mod health;
pub mod log;
pub mod reload;
pub mod run;
pub mod show;
mod sse;
pub mod status;
pub mod tap;
pub mod top;
pub mod tunnels;
pub mod upgrade;

use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use self::check::CheckArguments;
use self::client::AdminArguments;
use self::drain::{DrainArguments, UndrainArguments};
use self::log::LogArguments;
use self::status::StatusArguments;
use self::tap::TapArguments;
use self::top::TopArguments;
use self::tunnels::TunnelsArguments;
use self::upgrade::UpgradeArguments;
use crate::logging;
use crate::vocabulary::visible;

pub use crate::logging::plain;

/// Where `run`, `check` and `health` look for a configuration, in this order.
pub const DEFAULT_FILES: [&str; 2] = ["./sluice.toml", "/etc/sluice/sluice.toml"];

/// A WebSocket-aware HTTP reverse proxy.
#[derive(Debug, Parser)]
#[command(name = "sluice", version, about, propagate_version = true)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start the proxy
    Run(RunArguments),
    /// Start a backend and the proxy in front of it, and print the URL to open
    Demo {
        /// Where the proxy listens
        #[arg(
            long,
            value_name = "ADDR",
            help = "Where the proxy listens [default: 127.0.0.1:8080, or a free port]"
        )]
        listen: Option<SocketAddr>,
    },
    /// Check a configuration and print everything that is wrong with it
    Check(CheckArguments),
    /// About the configuration itself
    Config {
        /// What about it
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Ask a running proxy whether it is well: the health check of a container
    Health(HealthArguments),
    /// Have the running proxy read its configuration again, and print what has changed
    Reload(AdminArguments),
    /// Have tunnels closed over a span while the proxy goes on, and watch
    Drain(DrainArguments),
    /// Take drains back: tunnels that were not reached yet live on
    Undrain(UndrainArguments),
    /// Replace the running proxy by a new process that takes its tunnels over
    Upgrade(UpgradeArguments),
    /// Print what the running proxy is doing
    Status(StatusArguments),
    /// Watch the running proxy: rates, tunnels, and why handshakes fail and tunnels end
    Top(TopArguments),
    /// List the open tunnels, or close some
    Tunnels(Box<TunnelsArguments>),
    /// Follow what happens: tunnels that open and end, refused handshakes, reloads, drains
    Log(LogArguments),
    /// Watch the frames of tunnels as they pass, for debugging
    Tap(Box<TapArguments>),
}

/// What `run` starts.
#[derive(Debug, Default, Args)]
pub struct RunArguments {
    /// The configuration file [default: ./sluice.toml, then /etc/sluice/sluice.toml]
    #[arg(long, short, value_name = "FILE", conflicts_with_all = ["listen", "to"])]
    pub config: Option<PathBuf>,
    /// Without a file: where to listen, as 127.0.0.1:8080, :8080 or unix:/path
    #[arg(long, value_name = "ADDR", requires = "to")]
    pub listen: Option<String>,
    /// Without a file: where everything goes, as host:9000 or unix:/path
    #[arg(long, value_name = "ADDR", requires = "listen")]
    pub to: Option<String>,
}

/// Whom `health` asks.
#[derive(Debug, Default, Args)]
pub struct HealthArguments {
    /// The URL to ask
    #[arg(long, conflicts_with_all = ["config", "ready"])]
    pub url: Option<String>,
    /// Ask the admin interface whether new clients are welcome, as /readyz says: fails from the
    /// first moment of a drain
    #[arg(long)]
    pub ready: bool,
    /// Ask the first listener of this file [default: ./sluice.toml, then
    /// /etc/sluice/sluice.toml]
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// What `config` prints.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum ConfigCommand {
    /// Print the JSON Schema of the configuration file
    Schema,
}

impl Arguments {
    /// Does what was asked for.
    pub fn run(self) -> ExitCode {
        let (out, err) = (&mut io::stdout(), &mut io::stderr());
        let code = match self.command {
            Command::Run(arguments) => run::run(&arguments),
            Command::Demo { listen } => demo::run(listen, run::serve),
            Command::Check(arguments) => check::run(&arguments, out, err, colour()),
            Command::Config {
                command: ConfigCommand::Schema,
            } => config::schema(out),
            Command::Health(arguments) => run::health(&arguments),
            Command::Reload(arguments) => reload::run(&arguments, out, err),
            Command::Drain(arguments) => drain::run(&arguments, out, err),
            Command::Undrain(arguments) => drain::undo_run(&arguments, out, err),
            Command::Upgrade(arguments) => upgrade::run(&arguments, out, err),
            Command::Status(arguments) => status::run(&arguments, out, err),
            Command::Top(arguments) => top::run(&arguments, out),
            Command::Tunnels(arguments) => tunnels::run(&arguments, out, err),
            Command::Log(arguments) => log::run(&arguments, out, err),
            Command::Tap(arguments) => tap::run(&arguments, out, err),
        };
        code.unwrap_or_else(|error| {
            // Whoever read our output has gone; there is nobody left to tell.
            if error.kind() != io::ErrorKind::BrokenPipe {
                // One write, or lines of another process come in between.
                let error = error.to_string();
                logging::last_words(&format!("sluice: {}\n", visible::lines(&error)));
            }
            ExitCode::FAILURE
        })
    }
}

/// Whether problems are printed with colours: on a terminal, unless `NO_COLOR` is set.
pub fn colour() -> bool {
    io::stderr().is_terminal() && !plain()
}
