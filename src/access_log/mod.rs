//! Access records: one line an exchange, two a tunnel. As JSON they are written field by field;
//! `human` and `combined` gather the fields first and put them in an order of their own.
//!
//! A worker gathers lines in a buffer of its own and hands it to the log's writer when it is
//! full or at the next tick, so that no request waits for a log. When the writer cannot keep
//! up, whole buffers are dropped, and their lines counted and reported.

mod combined;
mod human;
mod line;

use std::cell::RefCell;
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use self::line::Gathered;
use crate::config::{AccessLog as Target, LogConfig, LogFormat};
use crate::logging;
use crate::metrics::Lines;
use crate::system::files;
use crate::vocabulary::stamp::Stamp;
use crate::writer::Writer;

pub use self::line::Line;

/// A buffer this full, in bytes, is handed on at once.
const FULL: usize = 32 * 1024;

thread_local! {
    /// The log of this worker's process.
    static LOG: RefCell<Option<AccessLog>> = const { RefCell::new(None) };
    static BUFFER: RefCell<Buffer> = const { RefCell::new(Buffer::new()) };
}

struct Buffer {
    bytes: Vec<u8>,
    stamp: Stamp,
    /// The fields of one record, where they are put in another order.
    gathered: Gathered,
}

/// How a record looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Human { colour: bool },
    Combined,
}

/// Where access records go.
#[derive(Debug, Clone)]
pub struct AccessLog {
    writer: Option<Writer>,
    form: Form,
    query: bool,
    headers: Arc<[HeaderName]>,
}

impl AccessLog {
    /// Opens the target; `format` is that in force since the start.
    ///
    /// # Errors
    /// When the file cannot be opened or a thread not be started.
    pub fn open(config: &LogConfig, format: LogFormat) -> io::Result<Self> {
        let (writer, is_terminal) = match &config.access {
            Target::Off => (None, false),
            Target::Stdout => (Some(Writer::stdout()?), io::stdout().is_terminal()),
            Target::Stderr => (Some(logging::writer()?), io::stderr().is_terminal()),
            Target::File(path) => {
                let file = files::append(path).map_err(|error| {
                    let path = path.display();
                    let message = format!("cannot open the access log {path}: {error}");
                    io::Error::new(error.kind(), message)
                })?;
                let is_terminal = file.is_terminal();
                (Some(Writer::file(file)?), is_terminal)
            }
        };
        let human = Form::Human {
            colour: is_terminal && !logging::plain(),
        };
        let form = match format {
            LogFormat::Json => Form::Json,
            LogFormat::Combined => Form::Combined,
            LogFormat::Human => human,
            LogFormat::Auto if is_terminal => human,
            LogFormat::Auto => Form::Json,
        };
        Ok(AccessLog {
            writer,
            form,
            query: config.query,
            headers: config.headers.clone(),
        })
    }

    /// Makes this the log of the calling thread; what it has gathered goes to the one before.
    pub fn install(&self) {
        tick();
        LOG.set(Some(self.clone()));
    }

    fn record(&self, kind: &'static str, fields: impl FnOnce(&mut Line<'_>)) {
        if self.writer.is_none() {
            return;
        }
        BUFFER.with_borrow_mut(|buffer| {
            let Buffer {
                bytes,
                stamp,
                gathered,
            } = buffer;
            let time = stamp.now();
            match self.form {
                Form::Json => Line::json(bytes, time, kind, fields),
                Form::Human { colour } => {
                    Line::gather(gathered, fields);
                    human::write(bytes, time, kind, gathered, colour);
                }
                Form::Combined => {
                    Line::gather(gathered, fields);
                    combined::write(bytes, time, kind, gathered);
                }
            }
            if bytes.len() >= FULL {
                self.hand_on(buffer);
            }
        });
    }

    fn tick(&self) {
        BUFFER.with_borrow_mut(|buffer| {
            if !buffer.bytes.is_empty() {
                self.hand_on(buffer);
            }
        });
    }

    /// Waits, at most `limit`, until all that was handed on has been written.
    pub fn flush(&self, limit: Duration) {
        self.tick();
        if let Some(writer) = &self.writer {
            writer.flush(limit);
        }
    }

    fn hand_on(&self, buffer: &mut Buffer) {
        let bytes = std::mem::take(&mut buffer.bytes);
        if let Some(writer) = &self.writer {
            writer.write(Lines::Access, bytes);
        }
    }
}

fn installed<R>(then: impl FnOnce(&AccessLog) -> R) -> Option<R> {
    LOG.with_borrow(|log| log.as_ref().map(then))
}

/// Whether this thread's records go anywhere.
pub fn is_on() -> bool {
    installed(|log| log.writer.is_some()).unwrap_or(false)
}

/// Whether query strings are recorded.
pub fn with_query() -> bool {
    installed(|log| log.query).unwrap_or(false)
}

/// The header fields that are recorded, besides those that always are.
pub fn headers() -> Arc<[HeaderName]> {
    installed(|log| log.headers.clone()).unwrap_or_else(|| Arc::new([]))
}

/// Writes one record; `kind` says of what.
pub fn record(kind: &'static str, fields: impl FnOnce(&mut Line<'_>)) {
    installed(|log| log.record(kind, fields));
}

/// Hands on what this thread has gathered; called at each tick.
pub fn tick() {
    installed(AccessLog::tick);
}

impl Buffer {
    const fn new() -> Self {
        Buffer {
            bytes: Vec::new(),
            stamp: Stamp::new(),
            gathered: Gathered::new(),
        }
    }
}
