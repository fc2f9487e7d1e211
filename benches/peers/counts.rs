//! Instructions (callgrind) and system calls (strace) an operation of sluice: figures that do not
//! depend on what else the machine does, so that a later version can be held against them. Each
//! row runs twice, for a short and for a longer time; what starting, opening and ending cost is in
//! both, and the difference is that of the operations between.

use crate::child::Process;
use crate::load::{Load, Work};
use crate::options::Options;
use crate::proxies::{Candidate, Kind, Tool};
use crate::rows::{ROWS, Row, Setup};
use crate::run::{Directory, start_backend};
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// The rows that are counted.
const COUNTED: [&str; 8] = [
    "get-128",
    "get-16k",
    "get-1m",
    "echo-64",
    "echo-4k",
    "up-64k",
    "down-64k",
    "handshake",
];

/// Seconds of the two runs.
const RUNS: [u64; 2] = [1, 4];

/// Prints the table.
pub fn run(options: &Options) -> io::Result<bool> {
    let directory = Directory::make(options.keep)?;
    let (_backend, upstreams) = start_backend(1, &[])?;
    println!("| work | instructions | system calls |\n|---|---:|---:|");
    let wanted = |row: &Row| options.rows.is_empty() || options.rows.iter().any(|id| id == row.id);
    for row in ROWS
        .iter()
        .filter(|row| COUNTED.contains(&row.id) && wanted(row))
    {
        let count = |tool| per_operation(tool, row, upstreams[0], options, directory.path());
        let (instructions, calls) = (count(Tool::Callgrind)?, count(Tool::Strace)?);
        let each = match row.work {
            Work::Up(_) | Work::Down(_) => ", each message",
            _ => "",
        };
        println!(
            "| {}{each} | {instructions:.0} | {calls:.2} |",
            row.heading()
        );
    }
    Ok(true)
}

fn per_operation(
    tool: Tool,
    row: &Row,
    upstream: SocketAddr,
    options: &Options,
    directory: &Path,
) -> io::Result<f64> {
    let candidate = Candidate::find("sluice", Kind::Counted(tool, options.sluice.clone()))
        .map_err(io::Error::other)?;
    let mut counts = [(0.0, 0.0); 2];
    for (count, seconds) in counts.iter_mut().zip(RUNS) {
        let mut proxy = candidate.start(upstream, Setup::USUAL, options, directory)?;
        let mut load = Load::open(proxy.address_for(row), row.work, row.connections)?;
        let tally = load.run(Duration::from_secs(seconds))?;
        load.close()?;
        end(&mut proxy.process)?;
        let operations = match row.work {
            Work::Up(size) | Work::Down(size) => tally.bytes as f64 / size as f64,
            _ => tally.operations as f64,
        };
        *count = (total(tool, proxy.directory())?, operations);
    }
    let [(short, few), (long, many)] = counts;
    Ok((long - short) / (many - few))
}

/// Has the program end in order, so that its counts are written.
fn end(process: &mut Process) -> io::Result<()> {
    match process.end(Duration::from_secs(60)) {
        true => Ok(()),
        false => Err(io::Error::other("it did not end")),
    }
}

/// All that was counted from start to end.
fn total(tool: Tool, directory: &Path) -> io::Result<f64> {
    let text = fs::read_to_string(directory.join(tool.file()))?;
    let found = match tool {
        Tool::Callgrind => text
            .lines()
            .find_map(|line| {
                line.strip_prefix("summary: ")
                    .or(line.strip_prefix("totals: "))
            })
            .and_then(|line| line.split(' ').next()),
        // % time, seconds, microseconds a call, calls
        Tool::Strace => text
            .lines()
            .rfind(|line| line.ends_with(" total"))
            .and_then(|line| line.split_whitespace().nth(3)),
    };
    let number = found.and_then(|number| number.parse().ok());
    number.ok_or_else(|| io::Error::other(format!("no total in the output of {tool:?}")))
}
