//! `sluice status`: what the running sluice is doing, as a table or as JSON.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::options::AdminArguments;
use super::output::{endpoint_state, milliseconds, refused};
use crate::admin::HttpView;
use crate::admin::status::{ConfigStatus, Status};
use crate::config::write_duration;
use crate::vocabulary::visible;

/// In seconds.
const DAY: u64 = 86_400;

/// What is shown of whom.
#[derive(Debug, Default, Args)]
pub struct StatusArguments {
    /// Print all of it as JSON
    #[arg(long)]
    pub json: bool,
    /// Of which sluice
    #[command(flatten)]
    pub admin: AdminArguments,
}

/// Prints the state of the process.
///
/// # Errors
/// When no sluice answers.
pub fn run(
    arguments: &StatusArguments,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<ExitCode> {
    let client = arguments.admin.client()?;
    if arguments.json {
        // As it came: a newer sluice may say more than this binary knows of.
        return match client.get::<serde_json::Value>("/v1/status")? {
            Ok(status) => {
                let text = serde_json::to_string_pretty(&status)?;
                writeln!(out, "{}", visible::json(text))?;
                Ok(ExitCode::SUCCESS)
            }
            Err(why) => refused(&why, err),
        };
    }
    match client.get("/v1/status")? {
        Ok(status) => print(&status, out).map(|()| ExitCode::SUCCESS),
        Err(why) => refused(&why, err),
    }
}

fn print(status: &Status, out: &mut impl Write) -> io::Result<()> {
    print_process(status, out)?;
    let workers = status.workers.iter().enumerate().map(|(index, worker)| {
        let share = vec![worker.connections.to_string(), worker.tunnels.to_string()];
        (index.to_string(), share)
    });
    let columns = ["connections", "tunnels"];
    table(out, "worker", &columns, &workers.collect::<Vec<_>>())?;
    let routes = status.tunnels.routes.iter().map(|route| {
        let name = format!("{}{}", route.name, removed(route.configured));
        (name, vec![route.tunnels.to_string()])
    });
    table(out, "route", &["tunnels"], &routes.collect::<Vec<_>>())?;
    print_http(&status.http, out)?;
    print_endpoints(status, out)?;
    print_certificates(status, out)?;
    print_drains(status, out)
}

/// What is configured no more and still has tunnels.
fn removed(configured: bool) -> &'static str {
    if configured { "" } else { " (removed)" }
}

/// The process as a whole, and the older ones that still drain.
fn print_process(status: &Status, out: &mut impl Write) -> io::Result<()> {
    let phase = status.phase.as_str().replace('_', " ");
    let ready = if status.ready { "" } else { ", not ready" };
    writeln!(
        out,
        "sluice {}, process {}, up {}, {phase}{ready}",
        status.version,
        status.pid,
        write_duration(seconds(status.uptime_ms)),
    )?;
    print_config(&status.config, status.generation, out)?;
    writeln!(
        out,
        "connections: {}, {} of them tunnels",
        status.connections, status.tunnels.total
    )?;
    for hint in &status.hints {
        writeln!(out, "hint: {hint}")?;
    }
    if status.taps > 0 {
        writeln!(out, "taps: {}, which see frames of tunnels", status.taps)?;
    }
    for old in &status.predecessors {
        writeln!(
            out,
            "old process {} ({}): connections: {}, {} of them tunnels; ends in {} at the latest",
            old.pid,
            old.version,
            old.connections,
            old.tunnels,
            write_duration(seconds(old.ends_in_ms)),
        )?;
    }
    Ok(())
}

fn print_endpoints(status: &Status, out: &mut impl Write) -> io::Result<()> {
    let mut rows = Vec::new();
    for upstream in &status.tunnels.upstreams {
        if upstream.endpoints.is_empty() {
            let cells = vec!["-".to_owned(), "no name of it is resolved".to_owned()];
            rows.push((upstream.name.clone(), cells));
        }
        for endpoint in &upstream.endpoints {
            let removed = removed(endpoint.configured);
            let name = format!("{}/{}{removed}", upstream.name, endpoint.address);
            let failure = (
                endpoint.failure.as_deref(),
                endpoint.failing_since.as_deref(),
            );
            let state = endpoint_state(endpoint.state, failure);
            rows.push((name, vec![endpoint.tunnels.to_string(), state]));
        }
    }
    table(out, "endpoint", &["tunnels", "state"], &rows)
}

fn print_certificates(status: &Status, out: &mut impl Write) -> io::Result<()> {
    let rows = status.certificates.iter().map(|certificate| {
        let state = match &certificate.problem {
            Some(_) => "not read again".to_owned(),
            None => certificate.state.replace('_', " "),
        };
        let left = u64::try_from(certificate.ends_in_s).unwrap_or(0);
        // Whole days, where it is days.
        let left = if left >= DAY { left - left % DAY } else { left };
        let cells = vec![
            certificate.listen.clone(),
            certificate.ends.clone(),
            write_duration(Duration::from_secs(left)),
            state,
        ];
        (certificate.names.join(" "), cells)
    });
    let columns = ["listen", "ends", "left", "state"];
    table(out, "certificate", &columns, &rows.collect::<Vec<_>>())
}

fn print_drains(status: &Status, out: &mut impl Write) -> io::Result<()> {
    let drains = status.drains.iter().map(|drain| {
        let undone = if drain.undone { " (taken back)" } else { "" };
        let elapsed = write_duration(seconds(drain.elapsed_ms));
        let numbers = vec![
            drain.left.to_string(),
            drain.closed.to_string(),
            drain.cut.to_string(),
            elapsed,
            write_duration(Duration::from_millis(drain.over_ms)),
        ];
        (format!("{}{undone}", drain.target), numbers)
    });
    let columns = ["left", "closed", "cut", "elapsed", "over"];
    table(out, "drain", &columns, &drains.collect::<Vec<_>>())
}

/// Requests by class of status since the start; their rate and waits of late.
fn print_http(http: &[HttpView], out: &mut impl Write) -> io::Result<()> {
    let asked = http
        .iter()
        .filter(|route| route.requests.values().any(|count| *count > 0));
    let rows = asked.map(|route| {
        let name = match route.route.as_str() {
            "" => "(no route)".to_owned(),
            name => name.to_owned(),
        };
        let mut cells: Vec<String> = ["2xx", "3xx", "4xx", "5xx", "none"]
            .iter()
            .map(|class| route.requests.get(*class).copied().unwrap_or(0).to_string())
            .collect();
        let wait = |micros: Option<u64>| micros.map_or_else(|| "-".to_owned(), milliseconds);
        cells.push(wait(route.first_byte_p50_us));
        cells.push(wait(route.first_byte_p99_us));
        (name, cells)
    });
    let columns = ["2xx", "3xx", "4xx", "5xx", "none", "p50", "p99"];
    table(out, "requests", &columns, &rows.collect::<Vec<_>>())
}

fn print_config(config: &ConfigStatus, generation: u64, out: &mut impl Write) -> io::Result<()> {
    let file = config.file.as_deref().unwrap_or("without a file");
    writeln!(out, "configuration: {file}, generation {generation}")?;
    match &config.last_reload {
        None => Ok(()),
        Some(last) => match &last.error {
            None => writeln!(out, "last reload: {}, ok", last.at),
            Some(error) => writeln!(out, "last reload: {}, refused: {error}", last.at),
        },
    }
}

/// A heading and a row for each name; nothing where there is none.
fn table(
    out: &mut impl Write,
    what: &str,
    columns: &[&str],
    rows: &[(String, Vec<String>)],
) -> io::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let names = rows.iter().map(|(name, _)| name.chars().count());
    let first = names.chain([what.len()]).max().unwrap_or(0);
    let widths = columns.iter().enumerate().map(|(index, column)| {
        let cells = rows.iter().map(|(_, cells)| cells[index].chars().count());
        cells.chain([column.len()]).max().unwrap_or(0)
    });
    let widths: Vec<usize> = widths.collect();
    write!(out, "\n{what:first$}")?;
    for (column, width) in columns.iter().zip(&widths) {
        write!(out, "  {column:>width$}")?;
    }
    writeln!(out)?;
    for (name, cells) in rows {
        write!(out, "{name:first$}")?;
        for (cell, width) in cells.iter().zip(&widths) {
            write!(out, "  {cell:>width$}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// Without the fraction.
fn seconds(millis: u64) -> Duration {
    Duration::from_secs(millis / 1000)
}
