//! `sluice run`: finds the configuration and hands it to the server, or prints everything
//! that is wrong with it and starts nothing.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use super::client::Client;
use super::{DEFAULT_FILES, HealthArguments, RunArguments, health};
use crate::config::{self, Config, Problems};
use crate::daemon::start as server;
use crate::handover::launch::Launch;
use crate::handover::protocol::Failed;
use crate::handover::take::Inherited;
use crate::logging;
use crate::system::allocator;

/// How long the last events may take to be written.
const LAST_EVENTS: Duration = Duration::from_secs(2);

/// Runs the proxy until it is told to stop.
///
/// # Errors
/// Why the server could not start or did not end cleanly.
pub fn run(arguments: &RunArguments) -> io::Result<ExitCode> {
    // Without it there is no upgrade, and everything else.
    let launch = Launch::capture().ok();
    let inherited = Inherited::from_environment()?;
    let failed = match configuration(arguments) {
        Ok(Ok((config, source))) => return start(config, source, launch, inherited),
        Ok(Err(problems)) => {
            io::stderr().write_all(problems.render(super::colour()).as_bytes())?;
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
    start(config, None, None, None)
}

/// A reload reads `source` again.
fn start(
    config: Config,
    source: Option<PathBuf>,
    launch: Option<Launch>,
    inherited: Option<Inherited>,
) -> io::Result<ExitCode> {
    logging::start(&config.log)?;
    allocator::keep_pages_small();
    let start = server::Start {
        format: config.log.format,
        config,
        source,
        launch,
        inherited,
    };
    let ended = server::run(start).map_err(io::Error::other);
    logging::flush(LAST_EVENTS);
    ended
}

/// Asks a running proxy whether it is well.
///
/// # Errors
/// When the arguments name nobody to ask.
pub fn health(arguments: &HealthArguments) -> io::Result<ExitCode> {
    if arguments.ready {
        return health::ready(&Client::find(None, arguments.config.as_deref())?);
    }
    let target = match &arguments.url {
        Some(url) => health::Target::parse(url).map_err(io::Error::other)?,
        None => match config::load_given(&file(arguments.config.as_deref(), WITHOUT_HEALTH)?) {
            Ok(config) => health::Target::of(&config)
                .ok_or_else(|| io::Error::other("the configuration has no listener"))?,
            Err(problems) => {
                io::stderr().write_all(problems.render(super::colour()).as_bytes())?;
                return Ok(ExitCode::FAILURE);
            }
        },
    };
    Ok(health::run(&target, health::TIMEOUT))
}

/// The configuration that the arguments mean, and its file.
fn configuration(
    arguments: &RunArguments,
) -> io::Result<Result<(Config, Option<PathBuf>), Problems>> {
    if let (Some(listen), Some(to)) = (&arguments.listen, &arguments.to) {
        return Ok(Config::from_listen_to(listen, to).map(|config| (config, None)));
    }
    let file = file(arguments.config.as_deref(), WITHOUT_RUN)?;
    Ok(config::load_given(&file).map(|config| (config, Some(file))))
}

/// How `run` goes without a file.
const WITHOUT_RUN: &str =
    "or start without a file: sluice run --listen 127.0.0.1:8080 --to 127.0.0.1:9000";

/// How `health` goes without a file.
const WITHOUT_HEALTH: &str =
    "or say where sluice listens: sluice health --url http://127.0.0.1:8080/";

/// The file that was named, or the first default one that exists; `otherwise` says how the
/// command goes without one.
///
/// # Errors
/// When none was named and none of the default ones exists.
pub fn file(named: Option<&Path>, otherwise: &str) -> io::Result<PathBuf> {
    let found = match named {
        Some(named) => Some(named.to_owned()),
        None => DEFAULT_FILES
            .iter()
            .map(PathBuf::from)
            .find(|path| path.exists()),
    };
    found.ok_or_else(|| {
        let message = format!(
            "no configuration: neither {} nor {} exists; name one with --config FILE, {otherwise}",
            DEFAULT_FILES[0], DEFAULT_FILES[1]
        );
        io::Error::new(io::ErrorKind::NotFound, message)
    })
}
