//! Measures sluice beside its peers, in one run, on one machine.
//!
//! ```text
//! cargo bench --bench peers                                  # everything, about 10 minutes
//! cargo bench --bench peers -- --quick                       # one round, under 2 minutes
//! cargo bench --bench peers -- --rows echo-64,up --proxies sluice,nginx,floor --rounds 5
//! cargo bench --bench peers -- --access-log                  # every proxy writes an access log
//! cargo bench --bench peers -- --proxies sluice,observed --rounds 15   # what being seen costs
//! cargo bench --bench peers -- --proxies sluice --against old=target/old --rounds 15
//! cargo bench --bench peers -- --counts                      # instructions and system calls
//! cargo bench --bench peers -- --json peers.json --svg docs/peers.svg
//! ```
//!
//! Every proxy has one worker, pinned to `--proxy-core`; the backend and the
//! load generator, both programs of this harness, share `--load-core`. All is
//! loopback. Rounds are interleaved: in each, each row, each proxy after the
//! other, so that a noisy minute hurts all alike; the table shows medians.
//! Compare within one run only. In the rows with two workers the proxy has the load's core too.
//! `floor` is a bare relay that reads no HTTP: a
//! lower bound, and not one of the peers. `sluice` runs in its default configuration,
//! `observed` is scraped, followed and traced besides
//! (`observers.rs`). Proxies that are not installed are skipped, loudly. The
//! exit code is 1 when a measurement failed.
//!
//! A bare `cargo bench` runs this bench too, as cargo has no way to leave one
//! out; name the bench that is meant. The machine should do nothing else: the
//! share of others on the proxies' core is measured and printed.
//!
//! Without arguments, as under `cargo test --benches`, it only smokes: the
//! floor, all rows, a few tunnels, about a second.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a bench that cannot go on ends"
)]

mod backend;
mod chart;
mod child;
mod counts;
mod floor;
mod histogram;
mod load;
mod measure;
mod observers;
mod options;
mod poll;
mod proxies;
mod results;
mod rows;
mod run;
mod sys;
mod table;
mod websocket;

use options::Options;
use std::process::ExitCode;

fn main() -> ExitCode {
    let options = Options::read();
    let outcome = match options.role.as_deref() {
        Some("backend") => backend_role(&options).map(|()| true),
        Some("floor") => floor_role(&options).map(|()| true),
        Some(other) => Err(std::io::Error::other(format!("no such role: {other}"))),
        None if options.counts => counts::run(&options),
        None => run::run(options),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}

fn backend_role(options: &Options) -> std::io::Result<()> {
    let ports = options
        .role_arg
        .first()
        .and_then(|ports| ports.parse().ok());
    backend::run(ports.unwrap_or(1))
}

fn floor_role(options: &Options) -> std::io::Result<()> {
    let address = |at: usize| options.role_arg.get(at).and_then(|text| text.parse().ok());
    match (address(0), address(1)) {
        (Some(listen), Some(upstream)) => floor::run(listen, upstream),
        _ => Err(std::io::Error::other("floor wants two addresses")),
    }
}
