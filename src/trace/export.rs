//! The exporter: a bounded queue that never blocks, and a thread that empties it in batches.
//! What finds the queue full is dropped and counted; so is a batch that the collector does
//! not take. Both are reported from time to time, not for each span.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::time::{Duration, Instant};

use opentelemetry::InstrumentationScope;
use opentelemetry_otlp::{
    Protocol, SpanExporter as OtlpExporter, WithExportConfig, WithHttpConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};

use super::collector::Collector;
use super::finished::Finished;
use super::span;
use crate::vocabulary::span::millis;

/// How often the queue is emptied. Workers do not wake the thread: that would cost them a
/// system call for each span.
const INTERVAL: Duration = Duration::from_millis(250);
/// Exchanges and tunnels that may wait.
const WAITING: usize = 8192;
/// Most of them in one request to the collector.
const BATCH: usize = 256;
/// How long a batch is tried: the exporter repeats what may succeed later.
const PERSIST: Duration = Duration::from_secs(10);
/// Shortest time between two reports of lost spans.
const REPORT: Duration = Duration::from_secs(10);

/// The workers' end of the queue. The thread ends when the last of them is dropped.
#[derive(Debug)]
pub(super) struct Exporter {
    queue: SyncSender<Finished>,
    /// Each asks for everything at once, and is dropped when that is done.
    flushes: Sender<SyncSender<()>>,
    lost: Arc<Lost>,
}

/// Exchanges and tunnels without their spans.
#[derive(Debug, Default)]
struct Lost {
    /// The queue was full.
    dropped: AtomicU64,
    /// The collector did not take them.
    refused: AtomicU64,
}

impl Exporter {
    /// Starts the thread that sends to the collector at `endpoint`.
    pub(super) fn start(endpoint: &str, service: &str) -> io::Result<Exporter> {
        let url = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
        let collector = Collector::default();
        let mut otlp = OtlpExporter::builder()
            .with_http()
            .with_http_client(collector.clone())
            .with_endpoint(url)
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(PERSIST)
            .build()
            .map_err(io::Error::other)?;
        // OTEL_RESOURCE_ATTRIBUTES adds to these, but does not replace the name.
        let resource = Resource::builder()
            .with_service_name(service.to_owned())
            .with_attribute(opentelemetry::KeyValue::new(
                "service.version",
                env!("CARGO_PKG_VERSION"),
            ))
            .build();
        otlp.set_resource(&resource);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (queue, finished) = sync_channel(WAITING);
        let (flushes, flush_wanted) = channel();
        let lost = Arc::<Lost>::default();
        let sending = Sending {
            runtime,
            otlp,
            collector,
            scope: span::scope(),
            finished,
            lost: lost.clone(),
            reported: Reported::default(),
        };
        std::thread::Builder::new()
            .name("trace-export".into())
            .spawn(move || sending.run(&flush_wanted))?;
        Ok(Exporter {
            queue,
            flushes,
            lost,
        })
    }

    /// Queues it, or drops it where the queue is full.
    pub(super) fn push(&self, finished: Finished) {
        if self.queue.try_send(finished).is_err() {
            self.lost.dropped.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn flush(&self, limit: Duration) {
        let (done, wait) = sync_channel(0);
        if self.flushes.send(done).is_ok()
            && wait.recv_timeout(limit) == Err(RecvTimeoutError::Timeout)
        {
            tracing::warn!(
                limit_ms = millis(limit),
                lost = self.lost(),
                "the collector did not take all traces in time"
            );
        }
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost.dropped.load(Relaxed) + self.lost.refused.load(Relaxed)
    }
}

/// The thread's side.
struct Sending {
    runtime: tokio::runtime::Runtime,
    otlp: OtlpExporter,
    collector: Collector,
    scope: InstrumentationScope,
    finished: Receiver<Finished>,
    lost: Arc<Lost>,
    reported: Reported,
}

/// What was reported of lost spans, and when.
#[derive(Default)]
struct Reported {
    at: Option<Instant>,
    dropped: u64,
    refused: u64,
    /// Why the collector did not take the last batch.
    error: Option<String>,
}

impl Sending {
    fn run(mut self, flushes: &Receiver<SyncSender<()>>) {
        loop {
            let wanted = flushes.recv_timeout(INTERVAL);
            self.empty();
            let ends = matches!(wanted, Err(RecvTimeoutError::Disconnected));
            self.report(ends || wanted.is_ok());
            if ends {
                return;
            }
        }
    }

    /// Sends what waits, but no more than the queue holds: requests to flush come in between.
    fn empty(&mut self) {
        for _ in 0..WAITING.div_ceil(BATCH) {
            let batch: Vec<Finished> = self.finished.try_iter().take(BATCH).collect();
            if batch.is_empty() {
                return;
            }
            self.send(&batch);
        }
    }

    fn send(&mut self, batch: &[Finished]) {
        let mut spans: Vec<SpanData> = Vec::with_capacity(2 * batch.len());
        for finished in batch {
            match finished {
                Finished::Exchange(exchange) => {
                    spans.extend(span::of_exchange(exchange, &self.scope));
                }
                Finished::Tunnel(tunnel) => spans.push(span::of_tunnel(tunnel, &self.scope)),
            }
        }
        if let Err(error) = self.runtime.block_on(self.otlp.export(spans)) {
            self.lost.refused.fetch_add(batch.len() as u64, Relaxed);
            let failure = self.collector.failure();
            self.reported.error = Some(failure.unwrap_or_else(|| error.to_string()));
        }
    }

    fn report(&mut self, at_once: bool) {
        let dropped = self.lost.dropped.load(Relaxed);
        let refused = self.lost.refused.load(Relaxed);
        let reported = &mut self.reported;
        let is_new = dropped + refused > reported.dropped + reported.refused;
        let is_due = at_once || reported.at.is_none_or(|at| at.elapsed() >= REPORT);
        if !is_new || !is_due {
            return;
        }
        tracing::warn!(
            queue_full = dropped - reported.dropped,
            not_taken = refused - reported.refused,
            error = reported.error.take(),
            "traces were lost on their way to the collector"
        );
        reported.at = Some(Instant::now());
        (reported.dropped, reported.refused) = (dropped, refused);
    }
}
