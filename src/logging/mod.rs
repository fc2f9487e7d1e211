//! Events: what sluice itself has to say, through `tracing`, on standard error. They go the way
//! of access records: into a bounded queue that a thread writes out, never waited for. How a
//! line looks is in `line`; access records are `access_log`'s.

mod limit;
mod line;
mod structured;

use std::io::{self, IsTerminal};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, reload};

use self::limit::{Decision, LEFT_OUT, Limits};
use self::line::Form;
use crate::config::{LogConfig, LogFormat};
use crate::metrics::Lines;
use crate::writer::Writer;

pub use self::structured::{Structured, structured};

/// The event log at work.
static LOG: OnceLock<Log> = OnceLock::new();

/// How long last words may take.
const LAST_WORDS: Duration = Duration::from_secs(1);

struct Log {
    filter: reload::Handle<EnvFilter, Registry>,
    writer: Writer,
    form: Form,
    limits: Limits,
}

/// Starts the event log. `RUST_LOG` wins over the configuration; a filter that cannot be read
/// falls back to `info`. A second start in one process keeps the first one's format.
///
/// # Errors
/// When its thread cannot be started.
pub fn start(config: &LogConfig) -> io::Result<()> {
    let is_terminal = io::stderr().is_terminal();
    let form = match config.format {
        LogFormat::Json => Form::Json,
        LogFormat::Auto | LogFormat::Combined if !is_terminal => Form::Json,
        LogFormat::Auto | LogFormat::Combined | LogFormat::Human => Form::Human {
            colour: is_terminal && !plain(),
        },
    };
    let (filter, handle) = reload::Layer::new(filter(config));
    let log = Log {
        filter: handle,
        writer: writer()?,
        form,
        limits: Limits::default(),
    };
    let _ = LOG.set(log);
    let registry = tracing_subscriber::registry().with(filter);
    if registry.with(ToLog).try_init().is_ok() {
        std::panic::set_hook(Box::new(panicked));
    }
    Ok(())
}

/// Puts a new level in force.
pub fn set_level(config: &LogConfig) {
    if let Some(log) = LOG.get()
        && let Err(error) = log.filter.reload(filter(config))
    {
        tracing::warn!(%error, "the log level cannot be changed");
    }
}

/// The way to standard error, which access records may share.
///
/// # Errors
/// When its thread cannot be started.
pub fn writer() -> io::Result<Writer> {
    Writer::stderr(say_what_was_left_out)
}

/// Waits, at most `limit`, until all that was said has been written.
pub fn flush(limit: Duration) {
    if let Some(log) = LOG.get() {
        log.writer.flush(limit);
    }
}

/// A line for standard error at the end of a command, in one piece. It is not waited for
/// longer than a second where events are logged, whose reader may have stopped.
pub fn last_words(line: &str) {
    match LOG.get() {
        Some(log) => {
            log.writer.write(Lines::Events, line.as_bytes().to_vec());
            log.writer.flush(LAST_WORDS);
        }
        None => {
            let _ = io::Write::write_all(&mut io::stderr(), line.as_bytes());
        }
    }
}

/// Whether `NO_COLOR` asks for no colours.
pub fn plain() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

fn filter(config: &LogConfig) -> EnvFilter {
    EnvFilter::try_from_default_env()
        .or_else(|_| EnvFilter::try_new(&config.level))
        .unwrap_or_else(|_| EnvFilter::new("info"))
}

/// Every event that passes the filter becomes a line of [`LOG`].
struct ToLog;

impl<S: Subscriber> Layer<S> for ToLog {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let Some(log) = LOG.get() else { return };
        let metadata = event.metadata();
        let mut left_out = 0;
        if metadata.fields().field(LEFT_OUT).is_some() {
            match log.limits.judge(metadata, Instant::now()) {
                Decision::Write(before) => left_out = before,
                Decision::LeaveOut => return log.writer.wake(),
            }
        }
        let line = line::of(event, left_out, log.form);
        log.writer.write(Lines::Events, line);
    }
}

/// A flood that has ended leaves a line too.
fn say_what_was_left_out() {
    let all = LOG.get().map(|log| log.limits.take_left_out());
    for (of, left_out) in all.unwrap_or_default() {
        tracing::warn!(
            of,
            lines = left_out,
            "lines were left out: too many of one kind"
        );
    }
}

/// The default hook writes to standard error, and waits for its reader.
fn panicked(panic: &std::panic::PanicHookInfo<'_>) {
    let what = panic.payload_as_str().unwrap_or("without a text");
    let at = panic.location().map(ToString::to_string);
    let thread = std::thread::current();
    let backtrace = std::backtrace::Backtrace::capture();
    let is_wanted = backtrace.status() == std::backtrace::BacktraceStatus::Captured;
    let backtrace = is_wanted.then(|| backtrace.to_string());
    tracing::error!(at, thread = thread.name(), backtrace, "panicked: {what}");
}
