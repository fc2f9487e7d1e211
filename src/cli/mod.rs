//! The command line: its definition, and which function answers each command. One file a
//! command; what `run` starts is in `server`.
//!
//! Exit codes: 0 for success, 1 when a command failed or a configuration has errors, 2 for
//! a command line that was not understood.

mod attempt;
pub mod check;
pub mod config;
pub mod demo;
pub mod dev_cert;
pub mod drain;
pub mod filter;
pub mod health;
pub mod log;
pub mod options;
mod output;
pub mod reload;
pub mod run;
pub mod show;
pub mod status;
pub mod tap;
pub mod top;
pub mod tunnels;
pub mod upgrade;

use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::check::CheckArguments;
use self::dev_cert::DevCertArguments;
use self::drain::{DrainArguments, UndrainArguments};
use self::health::HealthArguments;
use self::log::LogArguments;
use self::options::AdminArguments;
use self::output::{Visible, colour};
use self::run::RunArguments;
use self::status::StatusArguments;
use self::tap::TapArguments;
use self::top::TopArguments;
use self::tunnels::TunnelsArguments;
use self::upgrade::UpgradeArguments;
use crate::logging;
use crate::vocabulary::visible;

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
        /// Speak TLS, with a certificate of a local authority that lives as long as the demo
        #[arg(long)]
        tls: bool,
    },
    /// Check a configuration and print every error and warning
    Check(CheckArguments),
    /// Make a local authority and a certificate for a try-out, and say how to trust them
    DevCert(DevCertArguments),
    /// Print the JSON Schema of the configuration
    Config {
        /// What about it
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Check whether the proxy is running, as a container health check
    Health(HealthArguments),
    /// Reload the configuration, and print what has changed
    Reload(AdminArguments),
    /// Close tunnels gradually while the proxy keeps running, and show the progress
    Drain(DrainArguments),
    /// Cancel drains: tunnels that are still open stay open
    Undrain(UndrainArguments),
    /// Replace the running proxy with a new process that takes over its tunnels
    Upgrade(UpgradeArguments),
    /// Show the state of the running proxy
    Status(StatusArguments),
    /// Show live rates, tunnels, and why handshakes fail and tunnels end
    Top(TopArguments),
    /// List, show or close open tunnels
    Tunnels(Box<TunnelsArguments>),
    /// Follow events: tunnels that open and close, refused handshakes, reloads, drains
    Log(LogArguments),
    /// Show the frames of tunnels as they pass, for debugging
    Tap(Box<TapArguments>),
}

/// What `config` prints.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum ConfigCommand {
    /// Print the JSON Schema of the configuration file
    Schema,
}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    Arguments::try_parse().map_or_else(|error| not_understood(&error), Arguments::run)
}

/// Help, the version, or what is wrong with the command line, of which it repeats parts.
fn not_understood(error: &clap::Error) -> ExitCode {
    let plain = error.render().to_string();
    match visible::lines(&plain) {
        Cow::Borrowed(_) => {
            // With colours, which cannot be told from those of an argument.
            let _ = error.print();
        }
        Cow::Owned(harmless) => {
            let _ = io::Write::write_all(&mut io::stderr(), harmless.as_bytes());
        }
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

impl Arguments {
    /// Does what was asked for.
    pub fn run(self) -> ExitCode {
        let (out, err) = (&mut Visible(io::stdout()), &mut Visible(io::stderr()));
        let code = match self.command {
            Command::Run(arguments) => run::run(&arguments),
            Command::Demo { listen, tls } => demo::run(listen, tls, run::serve),
            Command::Check(arguments) => check::run(&arguments, out, &mut io::stderr(), colour()),
            Command::DevCert(arguments) => dev_cert::run(&arguments, out),
            Command::Config {
                command: ConfigCommand::Schema,
            } => config::schema(out),
            Command::Health(arguments) => health::run(&arguments, out, &mut io::stderr()),
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
            // The reader of our output has gone: there is no one left to tell.
            if error.kind() != io::ErrorKind::BrokenPipe {
                // One write, or lines of another process come in between.
                let error = error.to_string();
                logging::last_words(&format!("sluice: {}\n", visible::lines(&error)));
            }
            ExitCode::FAILURE
        })
    }
}
