//! Whether and how this process takes part in traces, and the tracer of each thread.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::export::Exporter;
use super::finished::Finished;
use crate::config::{ParentRule, TraceConfig};

thread_local! {
    /// The tracer of this worker's process; `None` while tracing is off.
    static TRACER: RefCell<Option<Arc<Running>>> = const { RefCell::new(None) };
}

/// The tracer of a process that takes part in traces, or nothing.
#[derive(Debug, Clone, Default)]
pub struct Tracer(Option<Arc<Running>>);

#[derive(Debug)]
pub(super) struct Running {
    parent: ParentRule,
    /// A trace is sampled where the right-most 56 bits of its id are below this.
    below: u64,
    exporter: Exporter,
}

impl Tracer {
    /// Starts the exporter, if tracing is on.
    ///
    /// # Errors
    /// When its thread cannot be started, or the environment (`OTEL_*`) asks for something
    /// that is not there, such as compression.
    pub fn start(config: &TraceConfig) -> io::Result<Tracer> {
        let Some(endpoint) = &config.endpoint else {
            return Ok(Tracer(None));
        };
        let exporter = Exporter::start(endpoint, &config.service_name)?;
        Ok(Tracer(Some(Arc::new(Running {
            parent: config.parent,
            below: threshold(config.sample),
            exporter,
        }))))
    }

    /// Makes this the tracer of the calling thread.
    pub fn install(&self) {
        TRACER.set(self.0.clone());
    }

    /// Waits, at most `limit`, until all spans so far were sent or given up.
    pub fn flush(&self, limit: Duration) {
        if let Some(running) = &self.0 {
            running.exporter.flush(limit);
        }
    }

    /// Spans that never reached the collector, counted from the tracer's start.
    pub fn lost(&self) -> u64 {
        self.0.as_ref().map_or(0, |running| running.exporter.lost())
    }
}

/// The share as a bound for 56 random bits.
fn threshold(share: f64) -> u64 {
    (share.clamp(0.0, 1.0) * (1_u64 << 56) as f64) as u64
}

impl Running {
    pub(super) fn is_sampled(&self, trace_id: [u8; 16]) -> bool {
        (u128::from_be_bytes(trace_id) as u64) << 8 >> 8 < self.below
    }

    pub(super) fn continues(&self, peer_is_trusted: bool) -> bool {
        match self.parent {
            ParentRule::Continue => true,
            ParentRule::Trusted => peer_is_trusted,
            ParentRule::Ignore => false,
        }
    }
}

impl Running {
    /// Whether the client's span is linked from a trace that does not continue its own.
    pub(super) fn links(&self) -> bool {
        self.parent != ParentRule::Ignore
    }
}

/// Calls `what` with this thread's tracer, where tracing is on.
pub(super) fn with<R>(what: impl FnOnce(&Running) -> R) -> Option<R> {
    TRACER.with_borrow(|tracer| tracer.as_deref().map(what))
}

/// Hands a finished thing to the exporter; `make` is not called where there is none.
pub(super) fn finish(make: impl FnOnce() -> Finished) {
    TRACER.with_borrow(|tracer| {
        if let Some(tracer) = tracer {
            tracer.exporter.push(make());
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_that_of_random_ids() {
        assert_eq!(threshold(0.0), 0);
        assert_eq!(threshold(1.0), 1 << 56);
        assert_eq!(threshold(0.5), 1 << 55);
        assert_eq!(threshold(f64::NAN), 0);
    }
}
