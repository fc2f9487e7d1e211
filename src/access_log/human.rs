//! A record for a person at a terminal, one line: when, what came of it, what was asked, who
//! asked, where it went, how long it took, and why where it failed. What is there to be copied
//! stands as it is; only characters that are not what they seem are spelled.

use std::io::Write as _;
use std::time::Duration;

use super::line::Gathered;
use crate::vocabulary::span;
use crate::vocabulary::visible::push_escaped;

/// What the line has places for, or that is only of use to programs.
const PLACED: [&str; 22] = [
    "method",
    "host",
    "path",
    "query",
    "status",
    "client",
    "route",
    "upstream",
    "endpoint",
    "duration_ms",
    "bytes_in",
    "bytes_out",
    "error",
    "detail",
    "cause",
    "likely",
    "fix",
    "protocol",
    "closed_by",
    "tunnel",
    "request_id",
    "trace_id",
];

pub(super) fn write(out: &mut Vec<u8>, time: &str, kind: &str, fields: &Gathered, colour: bool) {
    let paint = |code: &'static str| if colour { code } else { "" };
    let (dim, end) = (paint("\x1b[2m"), paint("\x1b[0m"));
    let _ = write!(out, "{dim}{time}{end} ");
    let status = fields.get("status");
    let what = paint(match (kind, status.as_bytes().first()) {
        ("exchange", Some(b'5')) => "\x1b[31m",
        ("exchange", Some(b'4')) => "\x1b[33m",
        ("exchange", _) => "\x1b[32m",
        _ => "\x1b[36m",
    });
    match kind {
        "tunnel_open" => {
            let _ = write!(out, "{what} open{end} #");
            push_escaped(out, fields.get("tunnel"));
        }
        "tunnel_close" => {
            let _ = write!(out, "{what}close{end} #");
            push_escaped(out, fields.get("tunnel"));
            out.extend_from_slice(b" by ");
            push_escaped(out, fields.get("closed_by"));
            let detail = fields.get("detail");
            if !detail.is_empty() {
                out.extend_from_slice(b" (");
                push_escaped(out, detail);
                out.push(b')');
            }
        }
        _ => {
            let status = if status.is_empty() { "-" } else { status };
            let method = fields.get("method");
            let method = if method.is_empty() { "-" } else { method };
            let _ = write!(out, "{what}{status:>5}{end} ");
            push_escaped(out, method);
            out.extend(std::iter::repeat_n(
                b' ',
                4_usize.saturating_sub(method.len()),
            ));
        }
    }
    out.push(b' ');
    push_escaped(out, fields.get("host"));
    push_escaped(out, fields.get("path"));
    if !fields.get("query").is_empty() {
        out.push(b'?');
        push_escaped(out, fields.get("query"));
    }
    let _ = write!(out, "  {dim}from{end} ");
    push_escaped(out, fields.get("client"));
    way(out, fields, dim, end);
    figures(out, fields);
    for (name, value) in fields.all() {
        if !PLACED.contains(&name) && !value.is_empty() && value != "0" {
            let _ = write!(out, "  {dim}{name}={end}");
            push_escaped(out, value);
        }
    }
    if kind == "exchange" {
        why(out, fields, paint("\x1b[33m"), end);
    }
    out.push(b'\n');
}

/// The route and the endpoint.
fn way(out: &mut Vec<u8>, fields: &Gathered, dim: &str, end: &str) {
    let (route, endpoint) = (fields.get("route"), fields.get("endpoint"));
    if route.is_empty() {
        return;
    }
    let _ = write!(out, "  {dim}to{end} ");
    push_escaped(out, route);
    if !endpoint.is_empty() {
        out.push(b' ');
        push_escaped(out, endpoint);
    }
}

/// How long it took, and what was moved.
fn figures(out: &mut Vec<u8>, fields: &Gathered) {
    if let Ok(millis) = fields.get("duration_ms").parse::<f64>() {
        let took = Duration::from_micros((millis * 1000.0) as u64);
        let _ = write!(out, "  {}", span::written(took));
    }
    for (name, word) in [("bytes_in", "in"), ("bytes_out", "out")] {
        let bytes = fields.get(name);
        if !matches!(bytes, "" | "0") {
            let _ = write!(out, "  {word} {bytes}B");
        }
    }
}

/// Why it failed, and what would help.
fn why(out: &mut Vec<u8>, fields: &Gathered, paint: &str, end: &str) {
    let first = |names: &[&'static str]| {
        let texts = names.iter().map(|name| fields.get(name));
        texts
            .into_iter()
            .find(|text| !text.is_empty())
            .unwrap_or("")
            .to_owned()
    };
    let cause = first(&["cause", "error"]);
    if cause.is_empty() {
        return;
    }
    let _ = write!(out, "  {paint}");
    push_escaped(out, &cause);
    out.extend_from_slice(end.as_bytes());
    for (text, between) in [
        (first(&["likely", "detail"]), ": "),
        (first(&["fix"]), "; fix: "),
    ] {
        if !text.is_empty() {
            out.extend_from_slice(between.as_bytes());
            push_escaped(out, &text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::{Line, tests::fields};
    use super::*;
    use crate::vocabulary::visible::escaped;

    fn line(kind: &'static str, colour: bool) -> String {
        let (mut gathered, mut out) = (Gathered::new(), Vec::new());
        Line::gather(&mut gathered, fields);
        write(&mut out, "T", kind, &gathered, colour);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_stays_one_line_and_can_be_copied_from() {
        assert_eq!(
            line("exchange", false),
            "T   502 GET  a.example/a\"b\\u{a}\\é\\u{202e}  from 192.0.2.7:4711  to app  1s2ms  \
             out 17B  user_agent=curl/8 \"x\" é\\u{9b}  headers=x-tenant: a b  \
             client_close=1000 so long  connection-refused: nothing listens there; \
             fix: start the \"backend\"\n"
        );
    }

    #[test]
    fn colours_are_all_that_colours_change() {
        for kind in ["exchange", "tunnel_open", "tunnel_close"] {
            let (plain, mut coloured) = (line(kind, false), line(kind, true));
            for code in ["\x1b[2m", "\x1b[0m", "\x1b[31m", "\x1b[33m", "\x1b[36m"] {
                coloured = coloured.replace(code, "");
            }
            assert_eq!(plain, coloured);
        }
    }

    #[test]
    fn no_text_reaches_a_terminal_as_it_is() {
        let text = "\x1b[2J\x07\r\n\u{85}\u{9b}31m\u{202e}\u{2028}\u{feff}";
        let is_text = |name: &&str| !matches!(*name, "status" | "bytes_in" | "bytes_out");
        for name in PLACED.into_iter().chain(["user_agent"]).filter(is_text) {
            for kind in ["exchange", "tunnel_open", "tunnel_close"] {
                let (mut gathered, mut out) = (Gathered::new(), Vec::new());
                Line::gather(&mut gathered, |line| line.text(name, text));
                write(&mut out, "T", kind, &gathered, false);
                let line = String::from_utf8(out).unwrap();
                let line = line.strip_suffix('\n').unwrap();
                assert_eq!(escaped(line), line, "{name}");
            }
        }
    }
}
