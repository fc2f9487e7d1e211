//! `sluice tunnels`: the open tunnels of the running sluice, as a table or as JSON, and
//! `sluice tunnels close`, which closes one or all that a filter takes; `show` is in `show`.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};

use super::client::{AdminArguments, QUICK, refused};
use super::show::{self, ShowArguments};
use crate::admin::{CloseOutcome, CloseRequest, FilterRequest, TunnelList, TunnelView};
use crate::vocabulary::{span, visible};

/// What is listed of whom.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct TunnelsArguments {
    /// What else to do with them
    #[command(subcommand)]
    pub command: Option<TunnelsCommand>,
    /// Which of them
    #[command(flatten)]
    pub filter: FilterArguments,
    /// The order: age, idle, bytes or id
    #[arg(long, value_name = "BY", default_value = "age")]
    pub sort: String,
    /// How many at most, up to 1000
    #[arg(long, value_name = "NUMBER", default_value = "100")]
    pub limit: u16,
    /// Print all of it as JSON
    #[arg(long)]
    pub json: bool,
    /// Of which sluice
    #[command(flatten)]
    pub admin: AdminArguments,
}

/// What else is done with tunnels.
#[derive(Debug, Subcommand)]
pub enum TunnelsCommand {
    /// Close one tunnel, or all that a filter takes, at once; `sluice drain` spreads closes
    Close(CloseArguments),
    /// Show all that is known of one tunnel
    Show(ShowArguments),
}

/// What is closed, and with what.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").required(true).multiple(true)
    .args(["id", "all", "route", "upstream", "endpoint", "client", "search", "min_age", "min_idle"])))]
pub struct CloseArguments {
    /// The tunnel's number
    #[arg(value_name = "ID", conflicts_with_all = ["route", "upstream", "endpoint", "client",
        "search", "min_age", "min_idle", "all"])]
    pub id: Option<u64>,
    /// Every tunnel
    #[arg(long, conflicts_with_all = ["route", "upstream", "endpoint", "client", "search",
        "min_age", "min_idle"])]
    pub all: bool,
    /// Which of them
    #[command(flatten)]
    pub filter: FilterArguments,
    /// The close code for both sides
    #[arg(long, value_name = "CODE", default_value = "1001")]
    pub code: u16,
    /// The close reason for both sides, at most 123 bytes
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub reason: String,
    /// Of which sluice
    #[command(flatten)]
    pub admin: AdminArguments,
}

/// Which tunnels: all of what is given must hold.
#[derive(Debug, Default, Args)]
pub struct FilterArguments {
    /// Those of this route
    #[arg(long, value_name = "NAME")]
    pub route: Option<String>,
    /// Those to this upstream
    #[arg(long, value_name = "NAME")]
    pub upstream: Option<String>,
    /// Those to this endpoint: 10.0.0.3:9000 or app/10.0.0.3:9000
    #[arg(long, value_name = "ADDR")]
    pub endpoint: Option<String>,
    /// Those from this client, with or without its port
    #[arg(long, value_name = "ADDR")]
    pub client: Option<String>,
    /// Those with this in their path, host, origin or any other text
    #[arg(long, value_name = "TEXT")]
    pub search: Option<String>,
    /// Those open for at least so long: 30s, 2h
    #[arg(long, value_name = "SPAN")]
    pub min_age: Option<String>,
    /// Those silent for at least so long
    #[arg(long, value_name = "SPAN")]
    pub min_idle: Option<String>,
}

/// Lists, or closes.
///
/// # Errors
/// When no sluice answers.
pub fn run(
    arguments: &TunnelsArguments,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<ExitCode> {
    match &arguments.command {
        Some(TunnelsCommand::Close(arguments)) => return close(arguments, out, err),
        Some(TunnelsCommand::Show(arguments)) => return show::run(arguments, out, err),
        None => {}
    }
    let client = arguments.admin.client()?;
    let limit = arguments.limit.to_string();
    let mut parameters = arguments.filter.parameters();
    parameters.push(("sort", &arguments.sort));
    parameters.push(("limit", &limit));
    let path = with_query("/v1/tunnels", &parameters);
    if arguments.json {
        // As it came: a newer sluice may say more than this binary knows of.
        return match client.get::<serde_json::Value>(&path)? {
            Ok(list) => {
                let text = serde_json::to_string_pretty(&list)?;
                writeln!(out, "{}", visible::json(text))?;
                Ok(ExitCode::SUCCESS)
            }
            Err(why) => refused(&why, err),
        };
    }
    match client.get(&path)? {
        Ok(list) => print(&list, out).map(|()| ExitCode::SUCCESS),
        Err(why) => refused(&why, err),
    }
}

fn close(
    arguments: &CloseArguments,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<ExitCode> {
    let client = arguments.admin.client()?;
    let outcome = match arguments.id {
        Some(id) => {
            let code = arguments.code.to_string();
            let parameters = [("code", code.as_str()), ("reason", &arguments.reason)];
            client.delete(&with_query(&format!("/v1/tunnels/{id}"), &parameters))?
        }
        None => {
            let order = CloseRequest {
                filter: arguments.filter.request(),
                all: arguments.all,
                code: Some(arguments.code),
                reason: Some(arguments.reason.clone()),
            };
            client.post("/v1/tunnels/close", &order, Some(QUICK))?
        }
    };
    match outcome {
        Ok(CloseOutcome { closed }) => {
            let tunnels = if closed == 1 { "tunnel" } else { "tunnels" };
            writeln!(out, "closing {closed} {tunnels}")?;
            Ok(ExitCode::SUCCESS)
        }
        Err(why) => refused(&why, err),
    }
}

impl FilterArguments {
    fn request(&self) -> FilterRequest {
        FilterRequest {
            route: self.route.clone(),
            upstream: self.upstream.clone(),
            endpoint: self.endpoint.clone(),
            client: self.client.clone(),
            q: self.search.clone(),
            min_age: self.min_age.clone(),
            min_idle: self.min_idle.clone(),
        }
    }

    pub(super) fn parameters(&self) -> Vec<(&'static str, &str)> {
        let all = [
            ("route", &self.route),
            ("upstream", &self.upstream),
            ("endpoint", &self.endpoint),
            ("client", &self.client),
            ("q", &self.search),
            ("min_age", &self.min_age),
            ("min_idle", &self.min_idle),
        ];
        let given = all.into_iter();
        given
            .filter_map(|(name, value)| Some((name, value.as_deref()?)))
            .collect()
    }
}

const COLUMNS: [&str; 8] = [
    "id", "age", "silent", "messages", "bytes", "route", "endpoint", "client",
];

/// Columns before this one are numbers, which stand to the right.
const TEXTS: usize = 5;

fn print(list: &TunnelList, out: &mut impl Write) -> io::Result<()> {
    let rows: Vec<_> = list.tunnels.iter().map(row).collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|(cells, _)| cells[column].chars().count());
        cells.chain([COLUMNS[column].len()]).max().unwrap_or(0)
    };
    let widths: [usize; COLUMNS.len()] = std::array::from_fn(width);
    let mut line = |cells: &[String; COLUMNS.len()], last: &str| {
        for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
            match column < TEXTS {
                true => write!(out, "{cell:>width$}  ")?,
                false => write!(out, "{cell:width$}  ")?,
            }
        }
        writeln!(out, "{last}")
    };
    if !rows.is_empty() {
        line(&COLUMNS.map(str::to_owned), "url")?;
    }
    for (cells, url) in &rows {
        line(cells, url)?;
    }
    let (shown, matching) = (rows.len() as u64, list.matching);
    let which = match matching == list.total {
        true => String::new(),
        false => format!("{matching} that match, "),
    };
    let part = match shown == matching {
        true => String::new(),
        false => format!("{shown} of {matching} shown, "),
    };
    writeln!(out, "{part}{which}{} open", list.total)
}

fn row(tunnel: &TunnelView) -> ([String; COLUMNS.len()], String) {
    let [ours, theirs] = [tunnel.from_client, tunnel.from_upstream];
    let span = |millis: u64| span::written(Duration::from_secs(millis / 1000));
    let cells = [
        tunnel.id.to_string(),
        span(tunnel.age_ms),
        span(tunnel.idle_ms),
        format!("{}/{}", ours.messages, theirs.messages),
        format!("{}/{}", ours.bytes, theirs.bytes),
        clean(&tunnel.route),
        clean(&format!("{}/{}", tunnel.upstream, tunnel.endpoint)),
        clean(&tunnel.client),
    ];
    (cells, clean(&format!("{}{}", tunnel.host, tunnel.path)))
}

/// Text from outside, for a terminal.
pub(super) fn clean(text: &str) -> String {
    visible::escaped(text).into_owned()
}

/// A path with parameters, percent-encoded.
pub(super) fn with_query(path: &str, parameters: &[(&str, &str)]) -> String {
    let mut whole = path.to_owned();
    for (index, (name, value)) in parameters.iter().enumerate() {
        whole.push(if index == 0 { '?' } else { '&' });
        whole.push_str(name);
        whole.push('=');
        for byte in value.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    whole.push(char::from(byte));
                }
                _ => whole.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_stands_in_a_parameter_stays_in_it() {
        let query = with_query("/x", &[("a", "1&b=2 é%"), ("c", "")]);
        assert_eq!(query, "/x?a=1%26b%3D2%20%C3%A9%25&c=");
    }

    #[test]
    fn a_terminal_is_not_moved() {
        assert_eq!(clean("a\u{1b}[2J\u{9b}b\n"), "a\\u{1b}[2J\\u{9b}b\\u{a}");
    }
}
