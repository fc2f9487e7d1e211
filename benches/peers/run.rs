//! One run of the harness: finds the proxies, starts backend and proxies,
//! goes through rounds, rows and proxies in turn, and hands the results on.

use crate::child::Process;
use crate::measure::{self, Sample};
use crate::observers::Observers;
use crate::options::Options;
use crate::proxies::{Candidate, Kind, Proxy, RECOMMENDED};
use crate::results::{Results, RowResults};
use crate::rows::{ROWS, Row, Setting, Setup, Unit};
use crate::{chart, sys, table};
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What stands while rows are measured. Dropped in this order: proxies,
/// backend, files.
struct Stage {
    proxies: Vec<Result<Proxy, String>>,
    upstreams: Vec<SocketAddr>,
    _backend: Process,
    directory: Directory,
}

/// The place of configurations and logs, removed at the end unless kept.
pub struct Directory {
    path: PathBuf,
    keep: bool,
}

impl Directory {
    /// Makes it.
    pub fn make(keep: bool) -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("sluice-peers-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self { path, keep })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.keep {
            eprintln!("kept {}", self.path.display());
        } else {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Measures what the options ask for; false when something failed.
pub fn run(mut options: Options) -> io::Result<bool> {
    sys::catch_interrupts();
    options.files = sys::raise_file_limit();
    let rows = choose_rows(&options)?;
    let candidates = find_candidates(&options)?;
    let facts = facts(&options, &candidates);
    if options.smoke {
        eprintln!("peers: smoke test only; measure with `cargo bench --bench peers`");
    } else {
        sys::pin(&[options.load_core])?;
        eprintln!("{}", facts.join("\n"));
    }
    let mut stage = Stage::set(&options, &candidates)?;
    let mut results = Results {
        rows: rows
            .into_iter()
            .map(|row| RowResults {
                row,
                cells: candidates.iter().map(|_| Ok(Vec::new())).collect(),
            })
            .collect(),
        proxies: candidates,
        facts,
    };
    for round in 0..options.rounds {
        for row in &mut results.rows {
            if row.row.unit == Unit::Bytes && round > 0 {
                continue;
            }
            stage.measure(row, &results.proxies, round, &options)?;
        }
    }
    let observed = stage.proxies.iter().flatten().filter_map(Proxy::observers);
    results.facts.extend(observed.map(Observers::told));
    drop(stage);
    publish(&results, &options)?;
    let failed = results
        .rows
        .iter()
        .flat_map(|row| &row.cells)
        .any(Result::is_err);
    Ok(!failed)
}

fn publish(results: &Results, options: &Options) -> io::Result<()> {
    if !options.smoke {
        println!("\n{}", table::render(results));
    } else if let Some(error) = results
        .rows
        .iter()
        .flat_map(|row| &row.cells)
        .find_map(|cell| cell.as_ref().err())
    {
        eprintln!("peers: {error}");
    }
    if let Some(path) = &options.json {
        fs::write(path, serde_json::to_string_pretty(&results.json())?)?;
    }
    if let Some(path) = &options.svg {
        fs::write(path, chart::render(results))?;
    }
    Ok(())
}

impl Stage {
    fn set(options: &Options, candidates: &[Candidate]) -> io::Result<Self> {
        let directory = Directory::make(options.keep)?;
        let core = (!options.smoke).then_some(options.load_core);
        let (backend, upstreams) = start_backend(candidates.len(), core.as_slice())?;
        let mut stage = Self {
            proxies: Vec::new(),
            upstreams,
            _backend: backend,
            directory,
        };
        for (candidate, &upstream) in candidates.iter().zip(&stage.upstreams) {
            let proxy = start(
                candidate,
                upstream,
                Setup::USUAL,
                options,
                &stage.directory.path,
            )?;
            stage.proxies.push(proxy);
        }
        Ok(stage)
    }

    /// One row of one round through each proxy in turn, every other round the
    /// other way round, so that what changes meanwhile favours none. A
    /// proxy that failed is replaced by a fresh one, so that its other rows
    /// can be told.
    fn measure(
        &mut self,
        results: &mut RowResults,
        candidates: &[Candidate],
        round: usize,
        options: &Options,
    ) -> io::Result<()> {
        let mut turns: Vec<_> = candidates.iter().enumerate().collect();
        if round % 2 == 1 {
            turns.reverse();
        }
        for (at, candidate) in turns {
            let Ok(samples) = &mut results.cells[at] else {
                continue;
            };
            if !candidate.takes(results.row.setting) {
                continue;
            }
            let outcome = self.sample(&results.row, candidate, at, options);
            if sys::interrupted() {
                return Err(io::Error::other("interrupted"));
            }
            match outcome {
                Ok(sample) => {
                    tell(&results.row, candidate, round, &sample, options);
                    samples.push(sample);
                }
                Err(error) => {
                    eprintln!(
                        "FAILED {} through {}: {error}",
                        results.row.id, candidate.name
                    );
                    results.cells[at] = Err(error);
                    // One that never started would not start now either.
                    if self.proxies[at].is_ok() {
                        let upstream = self.upstreams[at];
                        let directory = &self.directory.path;
                        let fresh = start(candidate, upstream, Setup::USUAL, options, directory)?;
                        self.proxies[at] = fresh;
                    }
                }
            }
        }
        Ok(())
    }

    /// A proxy of its own for one row, so that nothing of other rows is in its figure.
    fn fresh(
        &self,
        candidate: &Candidate,
        at: usize,
        setup: Setup,
        options: &Options,
    ) -> Result<Proxy, String> {
        let upstream = self.upstreams[at];
        start(candidate, upstream, setup, options, &self.directory.path)
            .map_err(|error| error.to_string())?
    }

    fn sample(
        &mut self,
        row: &Row,
        candidate: &Candidate,
        at: usize,
        options: &Options,
    ) -> Result<Sample, String> {
        let connections = connections(row, options);
        let proxy = self.proxies[at].as_ref().map_err(Clone::clone)?;
        let explain = |error: io::Error, proxy: &Proxy| {
            format!("{error}; it said last: {:?}", proxy.last_words())
        };
        if row.unit == Unit::Bytes {
            // What earlier rows left in its heap would hide what idle costs.
            let proxy = self.fresh(candidate, at, Setup::USUAL, options)?;
            return measure::idle(row, connections, &proxy, options)
                .map_err(|error| explain(error, &proxy));
        }
        if row.setting != Setting::Usual {
            let proxy = self.fresh(candidate, at, row.setting.setup(), options)?;
            let (upstream, ended) = (self.upstreams[at], AtomicBool::new(false));
            let sample = std::thread::scope(|scope| {
                if let Setting::Reloads(routes) = row.setting {
                    let (proxy, ended) = (&proxy, &ended);
                    scope.spawn(move || reload(proxy, upstream, routes, ended));
                }
                let sample = measure::work(row, connections, &proxy, options);
                ended.store(true, Ordering::Relaxed);
                sample
            });
            return sample.map_err(|error| explain(error, &proxy));
        }
        let sample = measure::work(row, connections, proxy, options);
        let observed = || proxy.observers().map_or(Ok(()), Observers::check);
        sample
            .and_then(|sample| observed().map(|()| sample))
            .map_err(|error| explain(error, proxy))
    }
}

/// Starts a backend with an address for each proxy.
pub fn start_backend(addresses: usize, cores: &[usize]) -> io::Result<(Process, Vec<SocketAddr>)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--role", "backend", "--role-arg", &addresses.to_string()]);
    let (backend, output) = Process::piped(command, cores)?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    let ports = line.split_whitespace().flat_map(str::parse::<u16>);
    let upstreams: Vec<_> = ports
        .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .collect();
    match upstreams.len() == addresses {
        true => Ok((backend, upstreams)),
        false => Err(io::Error::other("the backend did not start")),
    }
}

/// One changed route each second.
fn reload(proxy: &Proxy, upstream: SocketAddr, routes: usize, ended: &AtomicBool) {
    let mut change = 0;
    while !ended.load(Ordering::Relaxed) {
        change += 1;
        if let Err(error) = proxy.reload(upstream, routes, change) {
            eprintln!("FAILED to reload: {error}");
        }
        let next = Instant::now() + Duration::from_secs(1);
        while Instant::now() < next && !ended.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(10));
        }
    }
}

/// Starts a proxy; the inner error is one to report and live with.
fn start(
    candidate: &Candidate,
    upstream: SocketAddr,
    setup: Setup,
    options: &Options,
    directory: &Path,
) -> io::Result<Result<Proxy, String>> {
    // Another process may take the free port first: a second try.
    let first = candidate.start(upstream, setup, options, directory);
    let started = first.or_else(|_| candidate.start(upstream, setup, options, directory));
    if sys::interrupted() {
        return Err(io::Error::other("interrupted"));
    }
    Ok(started.map_err(|error| error.to_string()))
}

fn tell(row: &Row, candidate: &Candidate, round: usize, sample: &Sample, options: &Options) {
    if options.smoke {
        return;
    }
    let cost = table::show(Some(sample.cost), row.unit);
    let unit = crate::results::unit_name(row.unit);
    eprintln!(
        "round {} {:13} {:9} {cost:>8} {unit:5}  proxy {:5.1} % of its core, others {:4.1} %",
        round + 1,
        row.id,
        candidate.name,
        sample.busy_percent,
        sample.foreign_percent
    );
}

/// The row's connections, fewer in a smoke test or where the limit of open
/// files does not allow two for each.
fn connections(row: &Row, options: &Options) -> usize {
    let possible = (options.files.saturating_sub(300) / 2) as usize;
    let wanted = if options.smoke {
        row.connections.min(20)
    } else {
        row.connections
    };
    if wanted > possible {
        eprintln!(
            "only {possible} connections for {}: RLIMIT_NOFILE is {}",
            row.id, options.files
        );
    }
    wanted.min(possible)
}

fn choose_rows(options: &Options) -> io::Result<Vec<Row>> {
    let asked = &options.rows;
    if let Some(unknown) = asked
        .iter()
        .find(|id| *id != "all" && !ROWS.iter().any(|row| row.id == id.as_str()))
    {
        let known: Vec<_> = ROWS.iter().map(|row| row.id).collect();
        return Err(io::Error::other(format!(
            "no row {unknown}; there are {}",
            known.join(", ")
        )));
    }
    let chosen = |row: &&Row| match asked.is_empty() {
        true => !options.smoke || row.setting == Setting::Usual,
        false => asked.iter().any(|id| id == "all" || id == row.id),
    };
    Ok(ROWS.iter().filter(chosen).copied().collect())
}

fn find_candidates(options: &Options) -> io::Result<Vec<Candidate>> {
    let mut wanted = Vec::new();
    for name in &options.proxies {
        let kind = match name.as_str() {
            "floor" => Kind::Floor,
            "sluice" => Kind::Sluice(fs::canonicalize(&options.sluice)?),
            "observed" => Kind::Observed(fs::canonicalize(&options.sluice)?),
            "nginx" => Kind::Nginx(options.nginx.clone()),
            "haproxy" => Kind::Haproxy(options.haproxy.clone()),
            "caddy" => Kind::Caddy(options.caddy.clone()),
            other => return Err(io::Error::other(format!("no proxy called {other}"))),
        };
        wanted.push((name.as_str(), kind));
    }
    for (name, path) in &options.against {
        wanted.push((name, Kind::Sluice(fs::canonicalize(path)?)));
    }
    let mut found = Vec::new();
    for (name, kind) in wanted {
        match Candidate::find(name, kind) {
            Ok(candidate) => found.push(candidate),
            Err(error) => eprintln!("SKIPPED {name}, it is not here: {error}"),
        }
    }
    Ok(found)
}

/// Machine, settings and versions.
fn facts(options: &Options, candidates: &[Candidate]) -> Vec<String> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let info = read("/proc/cpuinfo");
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name\t: "));
    let load = read("/proc/loadavg");
    let versions: Vec<_> = candidates
        .iter()
        .filter(|candidate| candidate.kind != Kind::Floor)
        .map(|candidate| format!("{}: {}", candidate.name, candidate.version))
        .collect();
    vec![
        format!(
            "{cores} cores of {}, Linux {}, loopback, one worker on one core, access log {}, \
             median of {} x {} s",
            model.unwrap_or("an unknown make"),
            read("/proc/sys/kernel/osrelease").trim(),
            if options.access_log { "on" } else { "off" },
            options.rounds,
            options.seconds,
        ),
        versions.join("; "),
        RECOMMENDED.to_owned(),
        format!(
            "load average at the start {}, open files {}",
            load.split(' ').next().unwrap_or("?"),
            options.files
        ),
    ]
}
