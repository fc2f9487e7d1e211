//! The process: connections, workers, configuration, drains, and the figures that every
//! Prometheus client tells (`process_…`).

use std::fmt;

use super::super::scrape::Scrape;
use crate::exposition::page::{BYTES, Page, SECONDS, unix};
use crate::metrics::Lines;
use crate::metrics::lines::lost;
use crate::process::order::{DrainView, Target};
use crate::process::state::Phase;

/// How long a drain may be past its deadline before what is left counts as overdue.
const OVERDUE_MS: u64 = 5000;

pub(super) fn write(page: &mut Page<'_>, scrape: &Scrape) -> fmt::Result {
    connections(page, scrape)?;
    workers(page, scrape)?;
    configuration(page, scrape)?;
    drains(page, scrape)?;
    predecessors(page, scrape)?;
    page.counter(
        "sluice_access_log_dropped_lines",
        "Access records lost: the log was read too slowly, or could not be written",
        lost(Lines::Access),
    )?;
    page.counter(
        "sluice_event_log_dropped_lines",
        "Events lost: standard error was read too slowly, or could not be written",
        lost(Lines::Events),
    )?;
    page.counter(
        "sluice_traces_lost",
        "Sampled exchanges and tunnels that the collector did not get, since tracing was set up",
        scrape.traces_lost,
    )?;
    process(page, scrape)
}

fn connections(page: &mut Page<'_>, scrape: &Scrape) -> fmt::Result {
    let own = &scrape.own;
    page.gauge(
        "sluice_connections_open",
        None,
        "Client connections, those of tunnels included",
        Some(scrape.connections),
    )?;
    page.counter(
        "sluice_connections_accepted",
        "Client connections accepted and served",
        own.accepted,
    )?;
    page.counter(
        "sluice_connections_over_limit",
        "Client connections closed at once because there were max_connections",
        own.over_limit,
    )?;
    page.counters(
        "sluice_accept_errors",
        None,
        "Failures to accept; descriptors: the limit of open files is reached",
        |f| {
            let errors = ["descriptors", "memory", "other"].iter();
            { errors.zip(own.accept_errors) }
                .try_for_each(|(error, n)| f.counter(&[("error", error)], n))
        },
    )
}

fn workers(page: &mut Page<'_>, scrape: &Scrape) -> fmt::Result {
    let workers = &scrape.workers;
    page.gauges(
        "sluice_worker_connections",
        None,
        "Client connections of a worker that are no tunnels",
        |f| {
            workers
                .iter()
                .try_for_each(|w| f.gauge(&[("worker", &w.worker)], &w.connections))
        },
    )?;
    page.gauges("sluice_worker_tunnels", None, "Tunnels of a worker", |f| {
        workers
            .iter()
            .try_for_each(|w| f.gauge(&[("worker", &w.worker)], &w.tunnels))
    })?;
    page.counters(
        "sluice_worker_cpu",
        SECONDS,
        "Processor time that a worker has used; its rate is the worker's busy share",
        |f| {
            workers
                .iter()
                .try_for_each(|w| f.seconds(&[("worker", &w.worker)], w.cpu.as_secs_f64()))
        },
    )?;
    page.counter(
        "sluice_worker_ticks",
        "Ticks of all workers' clocks",
        scrape.own.ticks,
    )?;
    page.counter(
        "sluice_worker_ticks_late",
        "Ticks that came more than half a tick late: the worker was held up",
        scrape.own.ticks_late,
    )?;
    page.counter(
        "sluice_worker_stood_still",
        "Times that a worker did not run for a second or more: a stopped process, a starved host",
        scrape.own.stood_still,
    )
}

fn configuration(page: &mut Page<'_>, scrape: &Scrape) -> fmt::Result {
    let failed = scrape
        .last_reload
        .as_ref()
        .is_some_and(|reload| reload.error.is_some());
    page.gauge(
        "sluice_config_last_reload_successful",
        None,
        "0 if the last reload was refused and the configuration before it stays, else 1",
        Some(u32::from(!failed)),
    )?;
    page.gauge(
        "sluice_config_last_reload_success_timestamp",
        SECONDS,
        "When the configuration in force was put in force, in seconds since 1970",
        Some(unix(scrape.snapshot.since)),
    )?;
    page.gauge(
        "sluice_config_generation",
        None,
        "Configurations that were in force in this process",
        Some(scrape.snapshot.generation),
    )
}

fn drains(page: &mut Page<'_>, scrape: &Scrape) -> fmt::Result {
    page.gauge(
        "sluice_ready",
        None,
        "1 while new clients are welcome, else 0",
        Some(u32::from(scrape.ready)),
    )?;
    page.gauges(
        "sluice_phase",
        None,
        "1 for what the process is doing, 0 for the rest",
        |f| {
            let phases = [
                ("starting", Phase::Starting),
                ("ready", Phase::Ready),
                ("draining", Phase::Draining),
                ("handing_over", Phase::HandingOver),
            ];
            phases.iter().try_for_each(|(name, phase)| {
                f.gauge(&[("phase", name)], &u32::from(*phase == scrape.phase))
            })
        },
    )?;
    page.gauges(
        "sluice_drain_tunnels",
        None,
        "Tunnels of drains by command and of reloads, by what became of them",
        |f| {
            for (target, takes) in TARGETS {
                for (state, look) in PROGRESS {
                    let drains = scrape.drains.iter().filter(|drain| takes(&drain.target));
                    let sum: u64 = drains.map(look).sum();
                    f.gauge(&[("target", target), ("state", state)], &sum)?;
                }
            }
            Ok(())
        },
    )?;
    let overdue = scrape.drains.iter().filter(|drain| {
        !drain.undone && drain.elapsed_ms > drain.deadline_ms.saturating_add(OVERDUE_MS)
    });
    page.gauge(
        "sluice_drain_overdue_tunnels",
        None,
        "Tunnels left in drains whose deadline has passed",
        Some(overdue.map(|drain| drain.left).sum::<u64>()),
    )
}

fn predecessors(page: &mut Page<'_>, scrape: &Scrape) -> fmt::Result {
    let all = &scrape.predecessors;
    page.gauge(
        "sluice_predecessors",
        None,
        "Processes that this one has taken over from and that finish what they have",
        Some(all.len()),
    )?;
    page.gauge(
        "sluice_predecessor_connections",
        None,
        "Client connections that are left in them, those of tunnels included",
        Some(all.iter().map(|one| one.connections).sum::<u64>()),
    )?;
    page.gauge(
        "sluice_predecessor_tunnels",
        None,
        "Tunnels that are left in them",
        Some(all.iter().map(|one| one.tunnels).sum::<u64>()),
    )
}

/// Whether a drain is about this.
type Takes = fn(&Target) -> bool;

const TARGETS: [(&str, Takes); 4] = [
    ("all", |target| matches!(target, Target::All)),
    ("route", |target| matches!(target, Target::Route(_))),
    ("endpoint", |target| {
        matches!(target, Target::Endpoint { .. })
    }),
    ("reload", |target| matches!(target, Target::Reload(_))),
];

/// A number of a drain.
type Look = fn(&DrainView) -> u64;

const PROGRESS: [(&str, Look); 4] = [
    ("left", |drain| drain.left),
    ("closed", |drain| drain.closed),
    ("cut", |drain| drain.cut),
    ("spared", |drain| drain.spared),
];

fn process(page: &mut Page<'_>, scrape: &Scrape) -> fmt::Result {
    let process = &scrape.process;
    page.info(
        "sluice_build",
        "What runs",
        &[("version", env!("CARGO_PKG_VERSION"))],
    )?;
    if let Some(cpu) = process.cpu {
        page.counters(
            "process_cpu",
            SECONDS,
            "Processor time used, of user and system",
            |f| f.seconds(&[], cpu.as_secs_f64()),
        )?;
    }
    page.gauge(
        "process_resident_memory",
        BYTES,
        "Memory in use",
        process.resident,
    )?;
    page.gauge(
        "process_virtual_memory",
        BYTES,
        "Address space in use",
        process.virtual_size,
    )?;
    page.gauge(
        "process_open_fds",
        None,
        "Open descriptors",
        process.open_fds,
    )?;
    page.gauge(
        "process_max_fds",
        None,
        "The limit of open descriptors",
        process.max_fds,
    )?;
    page.gauge("process_threads", None, "Threads", process.threads)?;
    page.gauge(
        "process_start_time",
        SECONDS,
        "When the process started, in seconds since 1970",
        process.started,
    )
}
