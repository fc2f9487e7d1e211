//! One record under construction: written as JSON while its fields come, or gathered in a
//! buffer that the next record uses again.

use std::io::Write as _;
use std::ops::Range;
use std::time::Duration;

use crate::vocabulary::visible::push_json;

/// One record under construction. Each name comes once.
pub struct Line<'a>(To<'a>);

enum To<'a> {
    Json { out: &'a mut Vec<u8>, seen: Seen },
    Fields(&'a mut Gathered),
}

/// Where the parts of the message stand in a line of JSON, already escaped.
#[derive(Default)]
struct Seen {
    method: Range<usize>,
    path: Range<usize>,
    closed_by: Range<usize>,
    status: u64,
}

/// The fields of a record, all as text.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    text: Vec<u8>,
    fields: Vec<(&'static str, Range<usize>)>,
}

impl Gathered {
    pub(super) const fn new() -> Gathered {
        Gathered {
            text: Vec::new(),
            fields: Vec::new(),
        }
    }

    /// The text of a field, as it came; empty where it is missing.
    pub(super) fn get(&self, name: &str) -> &str {
        let found = self.fields.iter().find(|(known, _)| *known == name);
        found.map_or("", |(_, place)| self.at(place))
    }

    /// Every field.
    pub(super) fn all(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.fields
            .iter()
            .map(|(name, place)| (*name, self.at(place)))
    }

    fn at(&self, place: &Range<usize>) -> &str {
        str::from_utf8(&self.text[place.clone()]).unwrap_or_default()
    }

    fn add(&mut self, name: &'static str, value: impl FnOnce(&mut Vec<u8>)) {
        let start = self.text.len();
        value(&mut self.text);
        self.fields.push((name, start..self.text.len()));
    }
}

impl Line<'_> {
    /// Writes a whole record as JSON. Every line begins with `time`, `level`, `kind` and
    /// `message`, as events do.
    pub(super) fn json(
        out: &mut Vec<u8>,
        time: &str,
        kind: &str,
        fields: impl FnOnce(&mut Line<'_>),
    ) {
        let start = out.len();
        let mut line = Line(To::Json {
            out,
            seen: Seen::default(),
        });
        fields(&mut line);
        if let To::Json { out, seen } = line.0 {
            let fields = out.len() - start;
            let level = if seen.status >= 500 { "WARN" } else { "INFO" };
            let _ = write!(
                out,
                "{{\"time\":\"{time}\",\"level\":\"{level}\",\"kind\":\"{kind}\",\"message\":\""
            );
            seen.message(out, kind);
            out.push(b'"');
            // They are made of the fields, and stand before them.
            out[start..].rotate_left(fields);
            out.extend_from_slice(b"}\n");
        }
    }

    /// Gathers the fields of one record, in the place of those of the one before.
    pub(super) fn gather(into: &mut Gathered, fields: impl FnOnce(&mut Line<'_>)) {
        into.text.clear();
        into.fields.clear();
        fields(&mut Line(To::Fields(into)));
    }

    /// A text; it may come from outside.
    pub fn text(&mut self, name: &'static str, value: &str) {
        match &mut self.0 {
            To::Fields(gathered) => {
                gathered.add(name, |out| out.extend_from_slice(value.as_bytes()))
            }
            To::Json { out, seen } => {
                json_name(out, name);
                let start = out.len() + 1;
                push_json(out, value);
                let place = start..out.len() - 1;
                match name {
                    "method" => seen.method = place,
                    "path" => seen.path = place,
                    "closed_by" => seen.closed_by = place,
                    _ => {}
                }
            }
        }
    }

    /// A text that may be missing; then the field is too.
    pub fn optional(&mut self, name: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// A count.
    pub fn number(&mut self, name: &'static str, value: u64) {
        self.written(name, |out| {
            let _ = write!(out, "{value}");
        });
        if let To::Json { seen, .. } = &mut self.0
            && name == "status"
        {
            seen.status = value;
        }
    }

    /// A duration, in milliseconds with three decimals.
    pub fn millis(&mut self, name: &'static str, value: Duration) {
        let micros = value.as_micros();
        self.written(name, |out| {
            let _ = write!(out, "{}.{:03}", micros / 1000, micros % 1000);
        });
    }

    /// A close code and its reason: `{"code":1000,"reason":"bye"}`.
    pub fn close(&mut self, name: &'static str, code: u16, reason: &str) {
        match &mut self.0 {
            To::Fields(gathered) => gathered.add(name, |out| {
                let _ = write!(out, "{code}");
                if !reason.is_empty() {
                    let _ = write!(out, " {reason}");
                }
            }),
            To::Json { out, .. } => {
                json_name(out, name);
                let _ = write!(out, "{{\"code\":{code},\"reason\":");
                push_json(out, reason);
                out.push(b'}');
            }
        }
    }

    /// Names with texts: `{"x-tenant":"a"}`. Nothing where there are none.
    pub fn object<'v>(
        &mut self,
        name: &'static str,
        values: impl Iterator<Item = (&'v str, std::borrow::Cow<'v, str>)>,
    ) {
        let mut values = values.peekable();
        if values.peek().is_none() {
            return;
        }
        match &mut self.0 {
            To::Fields(gathered) => gathered.add(name, |out| {
                for (at, (name, value)) in values.enumerate() {
                    let comma = if at > 0 { ", " } else { "" };
                    let _ = write!(out, "{comma}{name}: {value}");
                }
            }),
            To::Json { out, .. } => {
                json_name(out, name);
                for (at, (name, value)) in values.enumerate() {
                    out.push(if at > 0 { b',' } else { b'{' });
                    push_json(out, name);
                    out.push(b':');
                    push_json(out, &value);
                }
                out.push(b'}');
            }
        }
    }

    fn written(&mut self, name: &'static str, value: impl FnOnce(&mut Vec<u8>)) {
        match &mut self.0 {
            To::Fields(gathered) => gathered.add(name, value),
            To::Json { out, .. } => {
                json_name(out, name);
                value(out);
            }
        }
    }
}

impl Seen {
    /// One sentence, of what stands in the line already.
    fn message(&self, out: &mut Vec<u8>, kind: &str) {
        match kind {
            "tunnel_open" => out.extend_from_slice(b"tunnel opened: "),
            "tunnel_close" => {
                out.extend_from_slice(b"tunnel closed by ");
                out.extend_from_within(self.closed_by.clone());
                out.extend_from_slice(b": ");
            }
            _ if self.method.is_empty() => out.extend_from_slice(b"unreadable request"),
            _ => {
                out.extend_from_within(self.method.clone());
                out.push(b' ');
            }
        }
        out.extend_from_within(self.path.clone());
        if self.status > 0 {
            let _ = write!(out, " {}", self.status);
        }
    }
}

fn json_name(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::access_log) fn fields(line: &mut Line<'_>) {
        line.text("client", "192.0.2.7:4711");
        line.text("method", "GET");
        line.text("host", "a.example");
        line.text("path", "/a\"b\n\\é\u{202e}");
        line.text("protocol", "HTTP/1.1");
        line.optional("gone", None);
        line.number("status", 502);
        line.text("route", "app");
        line.millis("duration_ms", Duration::from_micros(1_002_003));
        line.number("bytes_out", 17);
        line.text("user_agent", "curl/8 \"x\" é\u{9b}");
        line.object("headers", [("x-tenant", "a b".into())].into_iter());
        line.close("client_close", 1000, "so long");
        line.text("error", "connection_refused");
        line.text("detail", "nothing listens there");
        line.text("cause", "connection-refused");
        line.text("fix", "start the \"backend\"");
    }

    #[test]
    fn json_lines_parse_whatever_is_in_them() {
        let mut out = Vec::new();
        out.extend_from_slice(b"before\n");
        Line::json(&mut out, "T", "exchange", fields);
        let text = String::from_utf8(out).unwrap();
        let line = text.strip_prefix("before\n").unwrap();
        let start = "{\"time\":\"T\",\"level\":\"WARN\",\"kind\":\"exchange\",\"message\":\"GET /a";
        assert!(line.starts_with(start), "{line}");
        assert!(line.ends_with("\"}\n"), "{line}");
        assert!(
            !line
                .trim_end()
                .contains(crate::vocabulary::visible::is_hidden),
            "{line}"
        );
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(value["path"], "/a\"b\n\\é\u{202e}");
        assert_eq!(value["status"], 502);
        assert_eq!(value["level"], "WARN");
        assert_eq!(value["message"], "GET /a\"b\n\\é\u{202e} 502");
        assert_eq!(value["duration_ms"], 1002.003);
        assert_eq!(value["client_close"]["reason"], "so long");
        assert_eq!(value["headers"]["x-tenant"], "a b");
    }

    #[test]
    fn every_kind_has_a_message() {
        let message = |kind: &str, fields: fn(&mut Line<'_>)| {
            let mut out = Vec::new();
            Line::json(&mut out, "T", kind, fields);
            let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
            value["message"].as_str().unwrap().to_owned()
        };
        assert_eq!(
            message("exchange", |line| line.number("status", 400)),
            "unreadable request 400"
        );
        assert_eq!(
            message("tunnel_open", |line| line.text("path", "/ws")),
            "tunnel opened: /ws"
        );
        let closed = |line: &mut Line<'_>| {
            line.text("path", "/ws");
            line.text("closed_by", "idle");
        };
        assert_eq!(
            message("tunnel_close", closed),
            "tunnel closed by idle: /ws"
        );
    }
}
