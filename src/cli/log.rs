//! `sluice log`: follows what happens, a line an event. When sluice is restarted or taken
//! over by another process, it turns to that one and goes on where it was.

use std::io::{self, BufRead, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use super::options::AdminArguments;
use super::output::{clean, counted, refused};
use crate::client::api::{Client, Outcome};
use crate::client::sse::{self, SseEvent};
use crate::events::Closed;
use crate::vocabulary::{span, visible};

/// How long there may be no answer before that is said and the command ends.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long to wait between two attempts.
const PAUSE: Duration = Duration::from_millis(250);

/// What is followed of whom.
#[derive(Debug, Default, Args)]
pub struct LogArguments {
    /// Start with the kept events: the last closes, refusals, reloads, drains and failures
    #[arg(long)]
    pub past: bool,
    /// Print each event as a line of JSON
    #[arg(long)]
    pub json: bool,
    /// Of which sluice
    #[command(flatten)]
    pub admin: AdminArguments,
}

/// Follows until sluice ends and no other takes its place.
///
/// # Errors
/// When no sluice answers.
pub fn run(
    arguments: &LogArguments,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<ExitCode> {
    let client = arguments.admin.client()?;
    let mut last = arguments.past.then(|| "0".to_owned());
    let mut lost: Option<Instant> = None;
    loop {
        match connect(&client, last.as_deref()) {
            Ok(Ok(stream)) => {
                lost = None;
                follow(stream, &mut last, arguments.json, out)?;
                // Whatever the next process has told by then is news.
                last.get_or_insert_with(|| "0".to_owned());
            }
            Ok(Err(why)) => return refused(&why, err),
            // No sluice was there from the beginning, or none has come again.
            Err(error) => match lost {
                Some(since) if since.elapsed() < PATIENCE => {}
                Some(_) | None => return Err(error),
            },
        }
        lost.get_or_insert_with(Instant::now);
        std::thread::sleep(PAUSE);
    }
}

fn connect(client: &Client, last: Option<&str>) -> io::Result<Outcome<impl BufRead + use<>>> {
    client.follow("/v1/events", last.map(|id| ("last-event-id", id)))
}

/// Prints what comes; ends where the stream does. `last` is the number of the last event.
fn follow(
    stream: impl BufRead,
    last: &mut Option<String>,
    json: bool,
    out: &mut impl Write,
) -> io::Result<()> {
    for SseEvent { kind, id, data } in sse::events(stream) {
        if id.is_some() {
            *last = id;
        }
        let Ok(mut event) = serde_json::from_str::<Value>(&data) else {
            continue;
        };
        if json {
            event["event"] = kind.into();
            writeln!(out, "{}", visible::json(event.to_string()))?;
        } else {
            writeln!(out, "{}", sentence(&kind, &event))?;
        }
        out.flush()?;
    }
    Ok(())
}

/// How a tunnel ended.
fn end_of_tunnel(closed: &Closed) -> String {
    let detail = closed.detail.as_deref();
    let detail = detail.map_or_else(String::new, |detail| format!(" ({detail})"));
    let span = Duration::from_millis(closed.duration_ms as u64);
    let (id, by, closes) = (closed.id, &closed.closed_by, closed.closes());
    let after = span::written(span);
    format!("#{id} by {by}{detail}: {closes}, after {after}")
}

/// An event for a person.
fn sentence(kind: &str, event: &Value) -> String {
    let text = |name: &str| match &event[name] {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let time = text("time");
    let of = || {
        let (route, endpoint) = (text("route"), text("endpoint"));
        let url = text("host") + &text("path");
        format!("{} -> {route} {endpoint} {url}", text("client"))
    };
    let rest = match kind {
        "opened" => of(),
        "closed" => match Closed::deserialize(event) {
            Ok(closed) => format!("{}, {}", end_of_tunnel(&closed), of()),
            Err(_) => event.to_string(),
        },
        "refused" => {
            let url = text("host") + &text("path");
            let (status, route, cause) = (text("status"), text("route"), text("cause"));
            let (client, likely, fix) = (text("client"), text("likely"), text("fix"));
            let fix = match fix.as_str() {
                "" => String::new(),
                fix => format!("; {fix}"),
            };
            format!("{status} {client} -> {route} {url}: {cause}: {likely}{fix}")
        }
        "reload" => match &event["error"] {
            Value::String(error) => format!("refused: {error}"),
            _ => format!("generation {} is in force", text("generation")),
        },
        "drain" => {
            let tunnels = counted(event["tunnels"].as_u64().unwrap_or(0), "tunnel");
            let state = text("state").replace('_', " ");
            format!("{} {state}: {tunnels}", text("target"))
        }
        "health" => {
            let why = event["why"].as_str();
            let why = why.map_or_else(String::new, |why| format!(": {why}"));
            let (upstream, endpoint, state) = (text("upstream"), text("endpoint"), text("state"));
            format!("{upstream}/{endpoint} is {state}{why}")
        }
        "stood_still" => format!("{} for {} ms", text("worker"), text("still_ms")),
        "lost" => format!("{} events: {}", text("count"), text("why")),
        // A newer sluice may tell more than this binary knows of.
        _ => event.to_string(),
    };
    clean(&format!("{time} {kind} {rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_whatever_is_in_it() {
        let stream = "event: refused\nid: 7\ndata: {\"time\":\"T\",\"route\":null,\"status\":403,\
            \"client\":\"c\",\"host\":\"h\",\"path\":\"/p\",\"cause\":\"origin-not-allowed\",\
            \"likely\":\"l\\u001b[2J\",\"fix\":\"m\"}\n\n: \n\nevent: other\ndata: {\"time\":\"T\"}\n\n";
        let (mut last, mut out) = (None, Vec::new());
        follow(stream.as_bytes(), &mut last, false, &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(
            lines[0],
            "T refused 403 c -> - h/p: origin-not-allowed: l\\u{1b}[2J; m"
        );
        assert_eq!(lines.len(), 2);
        assert_eq!(last.as_deref(), Some("7"));
    }
}
