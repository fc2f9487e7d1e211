//! `sluice tunnels show ID`: all that is known of one tunnel, a line a fact.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::options::AdminArguments;
use super::output::{clean, refused};
use crate::admin::{TallyView, TunnelView};
use crate::config::write_duration;
use crate::vocabulary::visible;

/// Which tunnel is shown.
#[derive(Debug, Args)]
pub struct ShowArguments {
    /// The tunnel's number
    #[arg(value_name = "ID")]
    pub id: u64,
    /// Print all of it as JSON
    #[arg(long)]
    pub json: bool,
    /// Of which sluice
    #[command(flatten)]
    pub admin: AdminArguments,
}

/// Shows it.
///
/// # Errors
/// When no sluice answers.
pub fn run(
    arguments: &ShowArguments,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<ExitCode> {
    let client = arguments.admin.client()?;
    let path = format!("/v1/tunnels/{}", arguments.id);
    if arguments.json {
        // As it came: a newer sluice may say more than this binary knows of.
        return match client.get::<serde_json::Value>(&path)? {
            Ok(tunnel) => {
                let text = serde_json::to_string_pretty(&tunnel)?;
                writeln!(out, "{}", visible::json(text))?;
                Ok(ExitCode::SUCCESS)
            }
            Err(why) => refused(&why, err),
        };
    }
    match client.get(&path)? {
        Ok(tunnel) => print(&tunnel, out).map(|()| ExitCode::SUCCESS),
        Err(why) => refused(&why, err),
    }
}

fn print(tunnel: &TunnelView, out: &mut impl Write) -> io::Result<()> {
    let seconds = |millis: u64| write_duration(Duration::from_secs(millis / 1000));
    let or_none =
        |text: Option<&String>| text.map_or_else(|| "none".to_owned(), |text| clean(text));
    let round_trip = |micros: Option<u64>| match micros {
        Some(micros) => format!("{}.{:03} ms", micros / 1000, micros % 1000),
        None => "not measured (ping_interval)".to_owned(),
    };
    let upgrade = tunnel.upgrade.as_deref();
    let framed = upgrade.is_none();
    let protocol = upgrade.map_or_else(|| "WebSocket".to_owned(), clean);
    let facts = [
        ("tunnel", tunnel.id.to_string()),
        ("phase", tunnel.phase.clone()),
        (
            "opened",
            format!("{}, {} ago", tunnel.opened_at, seconds(tunnel.age_ms)),
        ),
        ("silent for", seconds(tunnel.idle_ms)),
        ("client", clean(&tunnel.client)),
        ("url", clean(&format!("{}{}", tunnel.host, tunnel.path))),
        ("protocol", protocol),
        ("request id", clean(&tunnel.request_id)),
        ("route", clean(&tunnel.route)),
        (
            "endpoint",
            clean(&format!("{}/{}", tunnel.upstream, tunnel.endpoint)),
        ),
        ("worker", tunnel.worker.to_string()),
        ("from client", tally(&tunnel.from_client, framed)),
        ("from upstream", tally(&tunnel.from_upstream, framed)),
    ];
    // What only WebSocket has.
    let more = [
        ("origin", or_none(tunnel.origin.as_ref())),
        ("subprotocol", or_none(tunnel.subprotocol.as_ref())),
        ("client ping", round_trip(tunnel.client_rtt_us)),
        ("upstream ping", round_trip(tunnel.upstream_rtt_us)),
    ];
    let more = more.into_iter().filter(|_| framed);
    let facts: Vec<_> = facts.into_iter().chain(more).collect();
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, fact) in facts {
        writeln!(out, "{name:width$}  {fact}")?;
    }
    Ok(())
}

fn tally(tally: &TallyView, framed: bool) -> String {
    if !framed {
        return format!("{} bytes", tally.bytes);
    }
    format!(
        "{} messages ({} text, {} binary), {} bytes in {} frames, {} pings, {} pongs",
        tally.messages,
        tally.text,
        tally.binary,
        tally.bytes,
        tally.frames,
        tally.pings,
        tally.pongs
    )
}
