//! Access records: one line an exchange, two a tunnel, as JSON or as `key=value`.
//!
//! A worker gathers lines in a buffer of its own and hands it to the writer thread when it
//! is full or at the next tick, so that no request waits for a log. When the writer cannot
//! keep up, whole buffers are dropped, and their lines counted and reported.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::config::{AccessLog as Target, LogConfig};
use crate::metrics;

/// A buffer this full, in bytes, is handed on at once.
const FULL: usize = 32 * 1024;
/// How often a flush looks for room in the writer's queue.
const FULL_QUEUE: Duration = Duration::from_millis(5);
/// Buffers that may wait for the writer.
const WAITING: usize = 256;

thread_local! {
    /// The log of this worker's process.
    static LOG: RefCell<Option<AccessLog>> = const { RefCell::new(None) };
    static BUFFER: RefCell<Buffer> = const { RefCell::new(Buffer::new()) };
}

struct Buffer {
    bytes: Vec<u8>,
    lines: u64,
    /// The second that `stamp` spells, without its fraction.
    second: u64,
    stamp: String,
}

enum Message {
    Lines(Vec<u8>),
    /// Tells when everything before it has been written.
    Flush(SyncSender<()>),
}

/// Where access records go.
#[derive(Debug, Clone)]
pub struct AccessLog {
    writer: Option<SyncSender<Message>>,
    dropped: Arc<AtomicU64>,
    json: bool,
    query: bool,
}

impl AccessLog {
    /// Opens the target and starts its writer; `json` is the format already decided.
    ///
    /// # Errors
    /// When the file cannot be opened or the thread not be started.
    pub fn open(config: &LogConfig, json: bool) -> io::Result<Self> {
        let out: Option<Box<dyn io::Write + Send>> = match &config.access {
            Target::Off => None,
            Target::Stdout => Some(Box::new(io::stdout())),
            Target::Stderr => Some(Box::new(io::stderr())),
            Target::File(path) => Some(Box::new(open(path)?)),
        };
        let dropped = Arc::new(AtomicU64::new(0));
        let writer = match out {
            None => None,
            Some(out) => {
                let (sender, receiver) = sync_channel(WAITING);
                let dropped = dropped.clone();
                std::thread::Builder::new()
                    .name("access-log".into())
                    .spawn(move || write_lines(out, &receiver, &dropped))?;
                Some(sender)
            }
        };
        Ok(AccessLog {
            writer,
            dropped,
            json,
            query: config.query,
        })
    }

    /// Makes this the log of the calling thread; what it has gathered goes to the one before.
    pub fn install(&self) {
        tick();
        LOG.set(Some(self.clone()));
    }

    fn record(&self, kind: &str, fields: impl FnOnce(&mut Line<'_>)) {
        if self.writer.is_none() {
            return;
        }
        BUFFER.with_borrow_mut(|buffer| {
            buffer.stamp_now();
            let mut line = Line {
                out: &mut buffer.bytes,
                json: self.json,
            };
            line.begin(&buffer.stamp, kind);
            fields(&mut line);
            line.end();
            buffer.lines += 1;
            if buffer.bytes.len() >= FULL {
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
        let Some(writer) = &self.writer else {
            return;
        };
        let until = Instant::now() + limit;
        let (sender, receiver) = sync_channel(1);
        let mut message = Message::Flush(sender);
        // Not `send`: a log that nobody reads would hold up the end for ever.
        while let Err(TrySendError::Full(back)) = writer.try_send(message) {
            if Instant::now() >= until {
                return;
            }
            message = back;
            std::thread::sleep(FULL_QUEUE);
        }
        let _ = receiver.recv_timeout(until.saturating_duration_since(Instant::now()));
    }

    fn hand_on(&self, buffer: &mut Buffer) {
        let lines = std::mem::take(&mut buffer.lines);
        let bytes = std::mem::take(&mut buffer.bytes);
        if let Some(writer) = &self.writer
            && writer.try_send(Message::Lines(bytes)).is_err()
        {
            self.dropped.fetch_add(lines, Relaxed);
            metrics::access_lines_dropped(lines);
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

/// Writes one record; `kind` says of what.
pub fn record(kind: &str, fields: impl FnOnce(&mut Line<'_>)) {
    installed(|log| log.record(kind, fields));
}

/// Hands on what this thread has gathered; called at each tick.
pub fn tick() {
    installed(AccessLog::tick);
}

fn open(path: &Path) -> io::Result<File> {
    File::options()
        .append(true)
        .create(true)
        .open(path)
        .map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("cannot open the access log {}: {error}", path.display()),
            )
        })
}

fn write_lines(
    mut out: Box<dyn io::Write + Send>,
    receiver: &Receiver<Message>,
    dropped: &AtomicU64,
) {
    while let Ok(message) = receiver.recv() {
        match message {
            Message::Lines(lines) => {
                if let Err(error) = out.write_all(&lines).and_then(|()| out.flush()) {
                    tracing::warn!(%error, "the access log cannot be written");
                }
            }
            Message::Flush(done) => {
                let _ = done.send(());
            }
        }
        let lines = dropped.swap(0, Relaxed);
        if lines > 0 {
            tracing::warn!(
                lines,
                "access records were dropped: the log is read too slowly"
            );
        }
    }
}

impl Buffer {
    const fn new() -> Self {
        Buffer {
            bytes: Vec::new(),
            lines: 0,
            second: 0,
            stamp: String::new(),
        }
    }

    /// Spells the time to the millisecond, and the date only once a second.
    fn stamp_now(&mut self) {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let second = now.as_secs();
        if second != self.second || self.stamp.is_empty() {
            self.second = second;
            self.stamp.clear();
            spell_second(&mut self.stamp, second);
        }
        self.stamp.truncate(19);
        let _ = write!(self.stamp, ".{:03}Z", now.subsec_millis());
    }
}

/// `2026-01-02T03:04:05.678Z` (RFC 3339).
pub fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut spelled = String::new();
    spell_second(&mut spelled, since.as_secs());
    let _ = write!(spelled, ".{:03}Z", since.subsec_millis());
    spelled
}

/// `2026-01-02T03:04:05`, by the civil calendar.
fn spell_second(out: &mut String, second: u64) {
    let days = (second / 86_400) as i64;
    let of_day = second % 86_400;
    // Counted from 1 March of year 0, so that leap days come last in their year.
    let days = days + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let _ = write!(
        out,
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
    );
}

/// One line under construction.
pub struct Line<'a> {
    out: &'a mut Vec<u8>,
    json: bool,
}

impl Line<'_> {
    fn begin(&mut self, stamp: &str, kind: &str) {
        if self.json {
            self.out.extend_from_slice(b"{\"time\":\"");
            self.out.extend_from_slice(stamp.as_bytes());
            self.out.extend_from_slice(b"\",\"kind\":\"");
            self.out.extend_from_slice(kind.as_bytes());
            self.out.push(b'"');
        } else {
            self.out.extend_from_slice(stamp.as_bytes());
            self.out.push(b' ');
            self.out.extend_from_slice(kind.as_bytes());
        }
    }

    fn end(&mut self) {
        self.out
            .extend_from_slice(if self.json { b"}\n" } else { b"\n" });
    }

    fn name(&mut self, name: &str) {
        if self.json {
            self.out.extend_from_slice(b",\"");
            self.out.extend_from_slice(name.as_bytes());
            self.out.extend_from_slice(b"\":");
        } else {
            self.out.push(b' ');
            self.out.extend_from_slice(name.as_bytes());
            self.out.push(b'=');
        }
    }

    /// A text, escaped: it may come from outside.
    pub fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        let plain = |b: u8| b > b' ' && b < 0x7f && b != b'"' && b != b'\\';
        if !self.json && !value.is_empty() && value.bytes().all(plain) {
            self.out.extend_from_slice(value.as_bytes());
            return;
        }
        self.out.push(b'"');
        for piece in value.split_inclusive(|c: char| c < ' ' || matches!(c, '"' | '\\' | '\x7f')) {
            let mut chars = piece.chars();
            match chars.next_back() {
                Some(c) if c < ' ' || matches!(c, '"' | '\\' | '\x7f') => {
                    self.out.extend_from_slice(chars.as_str().as_bytes());
                    let _ = write!(self.out, "\\u{:04x}", c as u32);
                }
                _ => self.out.extend_from_slice(piece.as_bytes()),
            }
        }
        self.out.push(b'"');
    }

    /// A text that may be missing; then the field is too.
    pub fn optional(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// A count.
    pub fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        let _ = write!(self.out, "{value}");
    }

    /// A duration, in milliseconds with three decimals.
    pub fn millis(&mut self, name: &str, value: Duration) {
        self.name(name);
        let micros = value.as_micros();
        let _ = write!(self.out, "{}.{:03}", micros / 1000, micros % 1000);
    }

    /// A close code and its reason: `{"code":1000,"reason":"bye"}`.
    pub fn close(&mut self, name: &str, code: u16, reason: &str) {
        if !self.json {
            let text = if reason.is_empty() {
                format!("{code}")
            } else {
                format!("{code} {reason}")
            };
            return self.text(name, &text);
        }
        self.name(name);
        let _ = write!(self.out, "{{\"code\":{code}");
        self.text("reason", reason);
        self.out.push(b'}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(json: bool) -> String {
        let mut out = Vec::new();
        let mut line = Line {
            out: &mut out,
            json,
        };
        line.begin("T", "exchange");
        line.text("path", "/a\"b\n\\é");
        line.optional("gone", None);
        line.number("status", 200);
        line.millis("duration_ms", Duration::from_micros(1_002_003));
        line.close("client_close", 1000, "so long");
        line.end();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_lines_parse_whatever_is_in_them() {
        let value: serde_json::Value = serde_json::from_str(&line(true)).unwrap();
        assert_eq!(value["path"], "/a\"b\n\\é");
        assert_eq!(value["status"], 200);
        assert_eq!(value["duration_ms"], 1002.003);
        assert_eq!(value["client_close"]["reason"], "so long");
    }

    #[test]
    fn a_human_line_stays_one_line() {
        let line = line(false);
        assert_eq!(line.matches('\n').count(), 1);
        assert!(line.starts_with("T exchange path=\"/a\\u0022b\\u000a\\u005cé\" status=200 "));
    }

    #[test]
    fn seconds_are_spelled_by_the_calendar() {
        for (second, spelled) in [
            (0, "1970-01-01T00:00:00"),
            (951_782_400, "2000-02-29T00:00:00"),
            (1_709_251_199, "2024-02-29T23:59:59"),
            (4_102_444_800, "2100-01-01T00:00:00"),
        ] {
            let mut out = String::new();
            spell_second(&mut out, second);
            assert_eq!(out, spelled);
        }
    }
}
