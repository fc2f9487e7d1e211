//! The command line: its definition, and which function answers each command. One file a
//! command; what `run` starts is in `server`.
//!
//! Exit codes: 0 for success, 1 when a command failed or a configuration has errors, 2 for
//! a command line that was not understood.

pub mod check;
pub mod config;
pub mod demo;
pub mod health;
pub mod run;

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// Where `run` and `health` look for a configuration, in this order.
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
    Check {
        /// The configuration file
        file: PathBuf,
    },
    /// About the configuration itself
    Config {
        /// What about it
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Ask a running proxy whether it is well: the health check of a container
    Health(HealthArguments),
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
    #[arg(long, conflicts_with = "config")]
    pub url: Option<String>,
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
        let code = match self.command {
            Command::Run(arguments) => run::run(&arguments),
            Command::Demo { listen } => demo::run(listen, run::serve),
            Command::Check { file } => {
                check::run(&file, &mut io::stdout(), &mut io::stderr(), colour())
            }
            Command::Config {
                command: ConfigCommand::Schema,
            } => config::schema(&mut io::stdout()),
            Command::Health(arguments) => run::health(&arguments),
        };
        code.unwrap_or_else(|error| {
            // Whoever read our output has gone; there is nobody left to tell.
            if error.kind() != io::ErrorKind::BrokenPipe {
                let _ = writeln!(io::stderr(), "sluice: {error}");
            }
            ExitCode::FAILURE
        })
    }
}

/// Whether problems are printed with colours: on a terminal, unless `NO_COLOR` is set.
pub fn colour() -> bool {
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    io::stderr().is_terminal() && !no_colour
}
