//! What `sluice top` shows: taken from the answers of the admin interface, in the words and
//! the order in which it is drawn.

use std::collections::BTreeMap;
use std::io;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::numbers::{bytes, clean, clock, short, span};
use crate::admin::status::Status;
use crate::admin::{EndpointState, HttpView, Point, UpstreamView};
use crate::cli::output::{endpoint_state, milliseconds};
use crate::client::api::Client;
use crate::events;
use crate::process::order::DrainView;

/// What of `/v1/stats` is shown.
#[derive(Debug, Deserialize)]
struct Stats {
    upstreams: Vec<UpstreamView>,
    refused: BTreeMap<String, u64>,
    closed: BTreeMap<String, u64>,
    refusals: Vec<events::HandshakeRefused>,
    closes: Vec<events::Closed>,
    history: Vec<Point>,
}

/// Seconds whose mean is the rate of now.
const MEAN: usize = 5;

/// What a look came to; the error is a line for the user.
pub type Look = Result<Figures, String>;

/// Everything at one moment.
#[derive(Debug, Default)]
pub struct Figures {
    /// The phase of the process.
    pub phase: String,
    /// Whether new clients are welcome.
    pub ready: bool,
    /// Which process it is and since when.
    pub process: String,
    /// The configuration and its last reload.
    pub config: String,
    /// Why the last reload was refused.
    pub reload_refused: Option<String>,
    /// Live tunnels.
    pub open: u64,
    /// The rates, with their last minutes.
    pub rates: Vec<Rate>,
    /// Drains that are known of.
    pub drains: Vec<Drain>,
    /// Routes.
    pub routes: Vec<Route>,
    /// Endpoints.
    pub endpoints: Vec<Endpoint>,
    /// How many handshakes were refused, by cause, to stand after a title.
    pub refused_causes: String,
    /// Refused handshakes, the last first, equal ones as one.
    pub refused: Vec<Refusals>,
    /// How many tunnels were closed, by cause, to stand after a title.
    pub closed_causes: String,
    /// Tunnels that have ended, the last first.
    pub closed: Vec<Closed>,
}

/// A rate.
#[derive(Debug)]
pub struct Rate {
    /// Of what.
    pub name: &'static str,
    /// The numbers of now, with a word for each.
    pub now: Vec<(String, &'static str)>,
    /// Its last minutes, a value a second.
    pub plot: Vec<u64>,
}

/// A drain.
#[derive(Debug)]
pub struct Drain {
    /// Of what.
    pub name: String,
    /// How much of it is done, from 0 to 1.
    pub share: f64,
    /// That in words.
    pub text: String,
}

/// A route.
#[derive(Debug)]
pub struct Route {
    /// Its name.
    pub name: String,
    /// Its live tunnels.
    pub tunnels: u64,
    /// Requests a second, of late.
    pub requests: String,
    /// Shares of them that were answered with 4xx and 5xx.
    pub errors: [String; 2],
    /// Whether there were any of 5xx.
    pub well: bool,
    /// Waits for the first byte: the median, and what 99 of 100 stay below.
    pub waits: [String; 2],
}

/// An endpoint.
#[derive(Debug)]
pub struct Endpoint {
    /// Upstream and address.
    pub name: String,
    /// Its state in a word, and why where it is a bad one.
    pub state: String,
    /// Whether that is a good one.
    pub well: bool,
    /// Its live tunnels.
    pub tunnels: u64,
}

/// A refused handshake.
#[derive(Debug)]
pub struct Refusals {
    /// The time of day.
    pub when: String,
    /// Its cause.
    pub cause: String,
    /// Status, route, how often.
    pub about: String,
    /// What probably happened.
    pub likely: String,
    /// What would fix it.
    pub fix: String,
}

/// A tunnel that has ended.
#[derive(Debug)]
pub struct Closed {
    /// The time of day.
    pub when: String,
    /// Who or what ended it.
    pub cause: String,
    /// The rest of it.
    pub about: String,
}

impl Figures {
    /// Asks for all of it.
    ///
    /// # Errors
    /// When an answer is missing or a refusal.
    pub fn of(client: &Client) -> io::Result<Figures> {
        let stats: Stats = ask(client, "/v1/stats")?;
        let status: Status = ask(client, "/v1/status")?;
        Ok(Figures::new(&stats, &status))
    }

    fn new(stats: &Stats, status: &Status) -> Figures {
        let last = status.config.last_reload.as_ref();
        let reload = last.map(|last| {
            let how = if last.ok { "in force" } else { "refused" };
            format!(", last reload {} {how}", clock(&last.at))
        });
        let reload = reload.unwrap_or_default();
        let file = status.config.file.as_deref().unwrap_or("without a file");
        Figures {
            phase: status.phase.as_str().replace('_', " "),
            ready: status.ready,
            process: format!(
                "version {}, process {}, up {}, {} connections",
                status.version,
                status.pid,
                span(status.uptime_ms),
                status.connections
            ),
            config: format!("{file}, generation {}{reload}", status.generation),
            reload_refused: last.and_then(|last| last.error.as_deref().map(clean)),
            open: status.tunnels.total,
            rates: rates(&stats.history),
            drains: status.drains.iter().map(Drain::from).collect(),
            routes: routes(status),
            endpoints: endpoints(&stats.upstreams),
            refused_causes: causes(&stats.refused),
            refused: refused(&stats.refusals),
            closed_causes: causes(&stats.closed),
            closed: stats.closes.iter().rev().map(Closed::from).collect(),
        }
    }
}

fn ask<T: DeserializeOwned>(client: &Client, path: &str) -> io::Result<T> {
    client
        .get(path)?
        .map_err(|refused| io::Error::other(refused.error))
}

fn rates(history: &[Point]) -> Vec<Rate> {
    /// A number of a second, and a word for it.
    type Series = (fn(&Point) -> u64, &'static str);
    let rate = |name, write: fn(f64) -> String, series: &[Series]| {
        let now = series.iter().map(|(of, what)| {
            let last = &history[history.len().saturating_sub(MEAN)..];
            let sum: u64 = last.iter().map(of).sum();
            (write(sum as f64 / last.len().max(1) as f64), *what)
        });
        let all = |point| series.iter().map(|(of, _)| of(point)).sum();
        Rate {
            name,
            now: now.collect(),
            plot: history.iter().map(all).collect(),
        }
    };
    vec![
        rate(
            "requests",
            short,
            &[
                (
                    |point| point.requests.saturating_sub(point.server_errors),
                    "below 5xx",
                ),
                (|point| point.server_errors, "5xx"),
            ],
        ),
        rate(
            "tunnels",
            short,
            &[
                (|point| point.opened, "opened"),
                (|point| point.closed, "closed"),
            ],
        ),
        rate("handshakes", short, &[(|point| point.refused, "refused")]),
        rate(
            "messages",
            short,
            &[
                (|point| point.messages_in, "in"),
                (|point| point.messages_out, "out"),
            ],
        ),
        rate(
            "bytes",
            bytes,
            &[
                (|point| point.bytes_in, "in"),
                (|point| point.bytes_out, "out"),
            ],
        ),
    ]
}

/// Every route that has tunnels or could, and those that only answer HTTP.
fn routes(status: &Status) -> Vec<Route> {
    let mut http: BTreeMap<&str, &HttpView> = BTreeMap::new();
    for view in &status.http {
        if !view.route.is_empty() || view.requests.values().any(|count| *count > 0) {
            http.insert(&view.route, view);
        }
    }
    let mut routes = Vec::new();
    for route in &status.tunnels.routes {
        let gone = if route.configured { "" } else { " (removed)" };
        let name = format!("{}{gone}", clean(&route.name));
        routes.push(Route::new(name, route.tunnels, http.remove(&*route.name)));
    }
    for (name, view) in http {
        let name = match name {
            "" => "(no route)".to_owned(),
            name => clean(name),
        };
        routes.push(Route::new(name, 0, Some(view)));
    }
    routes
}

impl Route {
    fn new(name: String, tunnels: u64, http: Option<&HttpView>) -> Route {
        let none = || "-".to_owned();
        let count =
            |class: &str| http.map_or(0, |http| http.recent.get(class).copied().unwrap_or(0));
        let all: u64 = http.map_or(0, |http| http.recent.values().sum());
        let seconds = http.map_or(0, |http| http.recent_seconds);
        let share = |class| match (all, count(class)) {
            (_, 0) => none(),
            (all, some) => format!("{:.0}%", (some as f64 * 100.0 / all as f64).max(1.0)),
        };
        let wait = |micros: Option<u64>| micros.map_or_else(none, milliseconds);
        Route {
            name,
            tunnels,
            requests: match all {
                0 => none(),
                all => short(all as f64 / seconds.max(1) as f64),
            },
            errors: [share("4xx"), share("5xx")],
            well: count("5xx") == 0,
            waits: [
                wait(http.and_then(|http| http.first_byte_p50_us)),
                wait(http.and_then(|http| http.first_byte_p99_us)),
            ],
        }
    }
}

fn endpoints(upstreams: &[UpstreamView]) -> Vec<Endpoint> {
    let all = upstreams.iter().flat_map(|upstream| {
        upstream.endpoints.iter().map(|endpoint| Endpoint {
            name: clean(&format!("{}/{}", upstream.name, endpoint.address)),
            state: {
                let since = endpoint.failing_since.as_deref().map(clock);
                let failure = (endpoint.failure.as_deref(), since);
                clean(&endpoint_state(endpoint.state, failure))
            },
            well: endpoint.state == EndpointState::Up,
            tunnels: endpoint.tunnels.into(),
        })
    });
    all.collect()
}

/// `: 12 client, 3 idle`, the most frequent first; empty where there is none.
fn causes(counts: &BTreeMap<String, u64>) -> String {
    let mut counts: Vec<_> = counts.iter().filter(|(_, count)| **count > 0).collect();
    counts.sort_by(|a, b| b.1.cmp(a.1));
    let words = counts
        .iter()
        .map(|(cause, count)| format!("{count} {cause}"));
    let words = words.collect::<Vec<_>>().join(", ");
    if words.is_empty() {
        words
    } else {
        format!(": {words}")
    }
}

/// Those that say the same are one, the latest of them first.
fn refused(events: &[events::HandshakeRefused]) -> Vec<Refusals> {
    let mut groups: Vec<(&events::HandshakeRefused, u32)> = Vec::new();
    for event in events.iter().rev() {
        let same = |(first, _): &&mut (&events::HandshakeRefused, u32)| {
            (&first.route, &first.cause, &first.fix) == (&event.route, &event.cause, &event.fix)
        };
        match groups.iter_mut().find(same) {
            Some((_, times)) => *times += 1,
            None => groups.push((event, 1)),
        }
    }
    let refused = groups.into_iter().map(|(event, times)| {
        let often = match times {
            1 => String::new(),
            _ => format!(", {times} times"),
        };
        let route = event.route.as_deref().unwrap_or("no route");
        let status = match event.status {
            Some(status) => status.to_string(),
            None => "no answer".to_owned(),
        };
        Refusals {
            when: clock(&event.time).to_owned(),
            cause: clean(&event.cause),
            about: clean(&format!("{status} on {route}{often}")),
            likely: clean(&event.likely),
            fix: clean(&event.fix),
        }
    });
    refused.collect()
}

impl From<&events::Closed> for Closed {
    fn from(event: &events::Closed) -> Closed {
        let detail = event.detail.as_deref();
        let detail = detail.map_or_else(String::new, |detail| format!("{detail}, "));
        let about = format!(
            "{detail}{}, after {}, {} -> {}, {}",
            event.closes(),
            span(event.duration_ms as u64),
            event.of.route,
            event.of.endpoint,
            event.of.client,
        );
        Closed {
            when: clock(&event.of.time).to_owned(),
            cause: event.closed_by.clone(),
            about: clean(&about),
        }
    }
}

impl From<&DrainView> for Drain {
    fn from(view: &DrainView) -> Drain {
        let undone = if view.undone { ", taken back" } else { "" };
        Drain {
            name: clean(&view.target.to_string()),
            share: match view.total {
                0 => 1.0,
                total => total.saturating_sub(view.left) as f64 / total as f64,
            },
            text: format!(
                "{}/{} left, {}/{}{undone}",
                view.left,
                view.total,
                span(view.elapsed_ms),
                span(view.over_ms)
            ),
        }
    }
}
