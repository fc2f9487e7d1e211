//! `sluice tunnels`: the open tunnels of the running sluice, as a table or as JSON, and
//! `sluice tunnels close`, which closes one or all that a filter takes; `show` is in `show`.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};

use super::filter::{FilterArguments, with_query};
use super::options::AdminArguments;
use super::output::{clean, counted, refused};
use super::show::{self, ShowArguments};
use crate::admin::{
    CloseOutcome, CloseRequest, LARGEST_PAGE, TunnelList, TunnelView, check_reason, is_sendable,
    unsendable,
};
use crate::client::api::QUICK;
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
    #[arg(long, value_name = "BY", default_value = "age", value_parser = ["age", "idle", "bytes",
        "id"])]
    pub sort: String,
    /// How many at most, up to 1000
    #[arg(long, value_name = "NUMBER", default_value = "100",
        value_parser = clap::value_parser!(u16).range(1..=LARGEST_PAGE as i64))]
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
    /// Close one tunnel, or all that match a filter, at once; `sluice drain` spreads closes
    Close(CloseArguments),
    /// Show one tunnel in detail
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
    #[arg(long, value_name = "CODE", default_value = "1001", value_parser = code)]
    pub code: u16,
    /// The close reason for both sides, at most 123 bytes
    #[arg(long, value_name = "TEXT", default_value = "", value_parser = reason)]
    pub reason: String,
    /// Of which sluice
    #[command(flatten)]
    pub admin: AdminArguments,
}

/// Checked here already, so that the option is named.
fn code(text: &str) -> Result<u16, String> {
    let code: u16 = text.parse().map_err(|_| unsendable("it"))?;
    match is_sendable(code) {
        true => Ok(code),
        false => Err(unsendable(text)),
    }
}

fn reason(text: &str) -> Result<String, String> {
    check_reason(text).map(|()| text.to_owned())
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
            writeln!(out, "closing {}", counted(closed, "tunnel"))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(why) => refused(&why, err),
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
    let url = format!("{}{}", tunnel.host, tunnel.path);
    let (messages, url) = match &tunnel.upgrade {
        Some(protocol) => ("-".to_owned(), format!("{url} ({protocol})")),
        None => (format!("{}/{}", ours.messages, theirs.messages), url),
    };
    let cells = [
        tunnel.id.to_string(),
        span(tunnel.age_ms),
        span(tunnel.idle_ms),
        messages,
        format!("{}/{}", ours.bytes, theirs.bytes),
        clean(&tunnel.route),
        clean(&format!("{}/{}", tunnel.upstream, tunnel.endpoint)),
        clean(&tunnel.client),
    ];
    (cells, clean(&url))
}
