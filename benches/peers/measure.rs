//! One measurement: one row through one proxy once. Owns what is read of the
//! kernel (CPU clocks, private memory) and when.

use crate::child::Process;
use crate::load::{Load, PACE, Tally, Work};
use crate::options::Options;
use crate::proxies::Proxy;
use crate::rows::{Row, Unit};
use crate::sys;
use serde::Serialize;
use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What one measurement found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Sample {
    /// The row's figure, in its unit; lower is better.
    pub cost: f64,
    /// Operations (bulk: bytes) a second.
    pub rate: f64,
    /// Half of the operations were faster than this many microseconds.
    pub p50_us: Option<f64>,
    /// 99 of 100 operations were faster than this many microseconds.
    pub p99_us: Option<f64>,
    /// The proxy's CPU in percent of its core, over the measured time.
    pub busy_percent: f64,
    /// What else ran on the proxy's core, in percent of it.
    pub foreign_percent: f64,
    /// Bytes of access log written, in whole blocks, warm-up included.
    pub logged: u64,
}

/// Puts the row's load through the proxy: warm-up, then measured time.
pub fn work(row: &Row, connections: usize, proxy: &Proxy, options: &Options) -> io::Result<Sample> {
    let mut load = Load::open(proxy.address_for(row), row.work, connections)?;
    quiesce(&proxy.process);
    // Paced lanes begin nothing for most of a short time.
    let least = match row.work {
        Work::Beside { .. } => 5 * PACE,
        _ => Duration::ZERO,
    };
    let time = Duration::from_secs_f64(options.seconds).max(least);
    load.run(time.mul_f64(0.25).min(Duration::from_millis(500)))?;
    let before = Reading::take(&proxy.process, options.proxy_core)?;
    let tally = load.run(time)?;
    let after = Reading::take(&proxy.process, options.proxy_core)?;
    load.close()?;
    quiesce(&proxy.process);
    let logged = proxy.logged();
    proxy.clear_logs();
    let sample = Sample {
        logged,
        ..after.since(&before)
    };
    evaluate(row, &tally, after.since_seconds(&before), sample)
}

/// Opens the row's tunnels through a fresh proxy and watches them idle: the
/// cost is private memory a tunnel, `busy_percent` the CPU used meanwhile.
pub fn idle(row: &Row, connections: usize, proxy: &Proxy, options: &Options) -> io::Result<Sample> {
    // What the first tunnels make it allocate once is not theirs.
    Load::open(proxy.address, row.work, connections.min(64))?.close()?;
    quiesce(&proxy.process);
    sleep(Duration::from_millis(if options.smoke { 0 } else { 500 }));
    let memory_before = private_memory(&proxy.process)?;
    let mut load = Load::open(proxy.address, row.work, connections)?;
    // Collectors of garbage and givers-back of buffers get their chance, and what a proxy does
    // once for a tunnel that has lived for some seconds is not idling.
    load.linger(Duration::from_secs_f64(options.idle_seconds.min(10.0)))?;
    let before = Reading::take(&proxy.process, options.proxy_core)?;
    load.linger(Duration::from_secs_f64(options.idle_seconds))?;
    let after = Reading::take(&proxy.process, options.proxy_core)?;
    let memory = private_memory(&proxy.process)?;
    load.close()?;
    Ok(Sample {
        cost: memory.saturating_sub(memory_before) as f64 / connections as f64,
        ..after.since(&before)
    })
}

fn evaluate(row: &Row, tally: &Tally, seconds: f64, sample: Sample) -> io::Result<Sample> {
    let cpu = sample.busy_percent / 100.0 * seconds;
    // A GET's bytes are its body's, as those of bulk are its frames'.
    let bytes = match row.work {
        Work::Get(_, length) => tally.operations * length as u64,
        _ => tally.bytes,
    };
    let done = match row.unit {
        Unit::SecondsPerGigabyte => bytes,
        _ => tally.operations,
    };
    if done == 0 {
        return Err(io::Error::other("nothing was done in the measured time"));
    }
    let scale = match row.unit {
        Unit::SecondsPerGigabyte => 1e9,
        _ => 1e6,
    };
    let p99 = tally.latency.quantile(0.99);
    Ok(Sample {
        cost: match row.unit {
            Unit::Latency => p99.unwrap_or_default(),
            _ => cpu * scale / done as f64,
        },
        rate: done as f64 / seconds,
        p50_us: tally.latency.quantile(0.5),
        p99_us: p99,
        ..sample
    })
}

/// CPU clocks at one moment.
struct Reading {
    at: Instant,
    proxy: Duration,
    core: Option<Duration>,
}

impl Reading {
    fn take(process: &Process, core: usize) -> io::Result<Self> {
        Ok(Self {
            at: Instant::now(),
            proxy: cpu(process)?,
            core: core_busy(core),
        })
    }

    fn since_seconds(&self, before: &Self) -> f64 {
        (self.at - before.at).as_secs_f64()
    }

    fn since(&self, before: &Self) -> Sample {
        let seconds = self.since_seconds(before);
        let proxy = self.proxy.saturating_sub(before.proxy).as_secs_f64();
        let core = match (self.core, before.core) {
            (Some(after), Some(before)) => after.saturating_sub(before).as_secs_f64(),
            _ => proxy,
        };
        Sample {
            busy_percent: 100.0 * proxy / seconds,
            foreign_percent: (100.0 * (core - proxy) / seconds).max(0.0),
            ..Sample::default()
        }
    }
}

fn cpu(process: &Process) -> io::Result<Duration> {
    process.pids().into_iter().map(sys::cpu_time).sum()
}

/// Time that a core was busy, with whatever, in steps of 10 ms.
fn core_busy(core: usize) -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let name = format!("cpu{core}");
    let line = stat
        .lines()
        .find(|line| line.split(' ').next() == Some(&name))?;
    let ticks: Vec<u64> = line
        .split_whitespace()
        .skip(1)
        .flat_map(str::parse)
        .collect();
    // user nice system, then idle iowait, then irq softirq steal
    let busy: u64 = ticks.get(..3)?.iter().chain(ticks.get(5..8)?).sum();
    Some(Duration::from_millis(10 * busy))
}

/// Memory that is its own and cannot be dropped, over all processes of
/// the proxy, in bytes.
fn private_memory(process: &Process) -> io::Result<u64> {
    let mut sum = 0;
    for pid in process.pids() {
        let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        for line in rollup.lines() {
            let mut words = line.split_whitespace();
            if matches!(words.next(), Some("Private_Dirty:" | "Swap:")) {
                let kibibytes: u64 = words.next().and_then(|n| n.parse().ok()).unwrap_or(0);
                sum += 1024 * kibibytes;
            }
        }
    }
    Ok(sum)
}

/// Waits until the proxy has done what is left from before: less than 2 % of
/// its core over 20 ms; at most two seconds.
fn quiesce(process: &Process) {
    let step = Duration::from_millis(20);
    let deadline = Instant::now() + Duration::from_secs(2);
    let mut last = cpu(process).unwrap_or_default();
    while Instant::now() < deadline && !sys::interrupted() {
        sleep(step);
        let now = cpu(process).unwrap_or_default();
        if now.saturating_sub(last) < step.mul_f64(0.02) {
            return;
        }
        last = now;
    }
}
