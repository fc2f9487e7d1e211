//! One event as a line: a JSON object with the same first fields as an access record, or words
//! for a person at a terminal.

use std::fmt;
use std::io::Write as _;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use super::limit::LEFT_OUT;
use super::structured::{in_words, written};
use crate::vocabulary::span;
use crate::vocabulary::stamp::rfc3339;
use crate::vocabulary::visible::{push_escaped, push_json};

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// An object a line.
    Json,
    /// For a person.
    Human {
        /// On a terminal that shows them.
        colour: bool,
    },
}

/// The names that every line has; a field of such a name gets another one.
const RESERVED: [&str; 5] = ["time", "level", "kind", "message", "module"];

/// The line of an event, with its line feed; `left_out` are lines like it before.
pub(super) fn of(event: &Event<'_>, left_out: u64, form: Form) -> Vec<u8> {
    let mut fields = Fields::default();
    event.record(&mut fields);
    if left_out > 0 {
        fields.set(LEFT_OUT, left_out.into());
    }
    let time = rfc3339(SystemTime::now());
    let metadata = event.metadata();
    let mut out = Vec::with_capacity(256);
    match form {
        Form::Json => fields.json(&mut out, &time, *metadata.level(), metadata.target()),
        Form::Human { colour } => fields.human(&mut out, &time, *metadata.level(), colour),
    }
    out.push(b'\n');
    out
}

/// What an event tells, each name once.
#[derive(Default)]
struct Fields {
    message: String,
    all: Vec<(String, Value)>,
}

impl Fields {
    fn set(&mut self, name: &str, value: Value) {
        let mut name = name.to_owned();
        while RESERVED.contains(&name.as_str()) || self.all.iter().any(|(known, _)| *known == name)
        {
            name.push('_');
        }
        self.all.push((name, value));
    }

    fn json(&self, out: &mut Vec<u8>, time: &str, level: Level, module: &str) {
        let _ = write!(
            out,
            "{{\"time\":\"{time}\",\"level\":\"{level}\",\"kind\":\"event\""
        );
        out.extend_from_slice(b",\"message\":");
        push_json(out, &self.message);
        for (name, value) in &self.all {
            out.push(b',');
            push_json(out, name);
            out.push(b':');
            json_value(out, value);
        }
        out.extend_from_slice(b",\"module\":");
        push_json(out, module);
        out.push(b'}');
    }

    /// The time, the level, what happened, then what belongs to it. A text of several lines
    /// follows below, each of its lines indented.
    fn human(&self, out: &mut Vec<u8>, time: &str, level: Level, colour: bool) {
        let paint = |code: &'static str| if colour { code } else { "" };
        let (dim, bold, end) = (paint("\x1b[2m"), paint("\x1b[1m"), paint("\x1b[0m"));
        let level_colour = paint(match level {
            Level::ERROR => "\x1b[31m",
            Level::WARN => "\x1b[33m",
            Level::INFO => "\x1b[32m",
            _ => "\x1b[34m",
        });
        let _ = write!(out, "{dim}{time}{end} {level_colour}{level:>5}{end} {bold}");
        push_escaped(out, &self.message);
        let _ = write!(out, "{end}");
        let mut blocks = Vec::new();
        for (name, value) in &self.all {
            let (name, text) = human_value(name, value);
            if text.is_empty() {
                continue;
            }
            if text.contains('\n') {
                blocks.push(text);
                continue;
            }
            let _ = write!(out, "  {dim}{name}={end}");
            let quote = if text.contains(' ') { "\"" } else { "" };
            let _ = write!(out, "{quote}");
            push_escaped(out, &text);
            let _ = write!(out, "{quote}");
        }
        for line in blocks.iter().flat_map(|block| block.lines()) {
            out.extend_from_slice(b"\n    ");
            push_escaped(out, line);
        }
    }
}

/// A span of time in its units, a structure in words.
fn human_value<'a>(name: &'a str, value: &Value) -> (&'a str, String) {
    if let (Some(name), Some(millis)) = (name.strip_suffix("_ms"), value.as_u64()) {
        return (name, span::written(Duration::from_millis(millis)));
    }
    (name, in_words(value))
}

/// As `serde_json` writes it, but for characters that are not what they seem.
fn json_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::String(text) => push_json(out, text),
        Value::Array(all) => {
            out.push(b'[');
            for (at, one) in all.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                json_value(out, one);
            }
            out.push(b']');
        }
        Value::Object(all) => {
            out.push(b'{');
            for (at, (name, one)) in all.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                push_json(out, name);
                out.push(b':');
                json_value(out, one);
            }
            out.push(b'}');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            let _ = write!(out, "{value}");
        }
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field.name(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field.name(), value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" && self.message.is_empty() {
            self.message = value.to_owned();
        } else {
            self.set(field.name(), value.into());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match written(value) {
            Value::String(text) => self.record_str(field, &text),
            value => self.set(field.name(), value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> Fields {
        let mut fields = Fields {
            message: "it \"ends\"\u{9b}".to_owned(),
            ..Fields::default()
        };
        fields.set("target", "all".into());
        fields.set("target", "twice".into());
        fields.set("time", "not that one".into());
        fields.set("over_ms", 90_000.into());
        fields.set("changes", serde_json::json!(["a", "b\u{202e}"]));
        fields.set("details", "line 1\nline 2\x1b".into());
        fields
    }

    #[test]
    fn an_object_has_every_name_once() {
        let mut out = Vec::new();
        fields().json(&mut out, "T", Level::INFO, "sluice::x");
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            "{\"time\":\"T\",\"level\":\"INFO\",\"kind\":\"event\",\
             \"message\":\"it \\\"ends\\\"\\u009b\",\"target\":\"all\",\"target_\":\"twice\",\
             \"time_\":\"not that one\",\"over_ms\":90000,\"changes\":[\"a\",\"b\\u202e\"],\
             \"details\":\"line 1\\nline 2\\u001b\",\"module\":\"sluice::x\"}"
        );
    }

    #[test]
    fn a_person_reads_words() {
        let mut out = Vec::new();
        fields().human(&mut out, "T", Level::WARN, false);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            "T  WARN it \"ends\"\\u{9b}  target=all  target_=twice  time_=\"not that one\"  \
             over=1m30s  changes=\"a, b\\u{202e}\"\n    line 1\n    line 2\\u{1b}"
        );
    }
}
