//! `sluice run`: finds the configuration and hands it to the server, or prints everything
//! that is wrong with it and starts nothing.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::output::colour;
use crate::config::{Config, Problems};
use crate::config_file::default::file;
use crate::config_file::{self, Reviewed};
use crate::daemon::{start as server, warnings};
use crate::handover::launch::Launch;
use crate::handover::protocol::Failed;
use crate::handover::take::Inherited;
use crate::logging;
use crate::system::allocator;

/// How long the events of a start that failed may take to be written.
const LAST_EVENTS: Duration = Duration::from_secs(2);

/// What `run` starts.
#[derive(Debug, Default, Args)]
pub struct RunArguments {
    /// The configuration file [default: ./sluice.toml, then /etc/sluice/sluice.toml]
    #[arg(long, short, value_name = "FILE", conflicts_with_all = ["listen", "to"])]
    pub config: Option<PathBuf>,
    /// Without a file: where to listen, as 127.0.0.1:8080, :8080 or unix:/path
    #[arg(long, value_name = "ADDR", requires = "to")]
    pub listen: Option<String>,
    /// Without a file: where to send all requests, as host:9000 or unix:/path
    #[arg(long, value_name = "ADDR", requires = "listen")]
    pub to: Option<String>,
}

/// Runs the proxy until it is told to stop.
///
/// # Errors
/// Why the server could not start or did not end cleanly.
pub fn run(arguments: &RunArguments) -> io::Result<ExitCode> {
    // Without it there is no upgrade, and everything else.
    let launch = Launch::capture().ok();
    let inherited = Inherited::from_environment()?;
    let failed = match configuration(arguments) {
        Ok(Ok((reviewed, source))) => return start(reviewed, source, launch, inherited),
        Ok(Err(problems)) => {
            io::stderr().write_all(problems.render(colour()).as_bytes())?;
            Ok(Failed {
                reason: problems.summary(),
                details: problems.render(false),
            })
        }
        Err(error) => Err(error),
    };
    if let Some(inherited) = inherited {
        inherited.fail(match &failed {
            Ok(failed) => failed.clone(),
            Err(error) => Failed {
                reason: error.to_string(),
                ..Failed::default()
            },
        });
    }
    failed.map(|_| ExitCode::FAILURE)
}

/// Runs this configuration until a signal ends it.
///
/// # Errors
/// Why the server could not start.
pub fn serve(config: Config) -> io::Result<ExitCode> {
    start((config, None), None, None, None)
}

/// A reload reads `source` again.
fn start(
    (config, warnings): Reviewed,
    source: Option<PathBuf>,
    launch: Option<Launch>,
    inherited: Option<Inherited>,
) -> io::Result<ExitCode> {
    logging::start(&config.log)?;
    warnings::tell(warnings.as_ref());
    allocator::keep_pages_small();
    let start = server::Start {
        format: config.log.format,
        config,
        source,
        launch,
        inherited,
    };
    let ended = server::run(start).map_err(io::Error::other);
    if ended.is_err() {
        // At its end it has had its time to do that itself.
        logging::flush(LAST_EVENTS);
    }
    ended
}

/// The configuration that the arguments mean, and its file.
fn configuration(
    arguments: &RunArguments,
) -> io::Result<Result<(Reviewed, Option<PathBuf>), Problems>> {
    if let (Some(listen), Some(to)) = (&arguments.listen, &arguments.to) {
        return Ok(Config::from_listen_to(listen, to).map(|config| ((config, None), None)));
    }
    let file = file(arguments.config.as_deref(), WITHOUT_RUN)?;
    Ok(config_file::load_given(&file).map(|reviewed| (reviewed, Some(file))))
}

/// How `run` goes without a file.
const WITHOUT_RUN: &str =
    "or start without a file: sluice run --listen 127.0.0.1:8080 --to 127.0.0.1:9000";
