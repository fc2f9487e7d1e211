//! How many connections and tunnels a worker has: new ones go to the worker with the fewest, and
//! are refused above `max_connections`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// A worker's share of the process's load. One allocation, so that each connection and
/// each tunnel holds one pointer to it.
#[derive(Debug)]
pub struct Load {
    worker: AtomicUsize,
    process: Arc<AtomicUsize>,
}

impl Load {
    /// No load yet, within that of the process.
    pub fn new(process: Arc<AtomicUsize>) -> Arc<Load> {
        Arc::new(Load {
            worker: AtomicUsize::new(0),
            process,
        })
    }

    /// Connections and tunnels of the worker.
    pub fn worker(&self) -> usize {
        self.worker.load(Relaxed)
    }
}

/// One of the [`Load`], from accept to the end of the connection or of the tunnel it became.
#[derive(Debug)]
pub struct Guard(Arc<Load>);

impl Guard {
    /// Counts one more; `None` when the process already has `max`.
    pub fn take(load: &Arc<Load>, max: Option<usize>) -> Option<Self> {
        if load.process.fetch_add(1, Relaxed) >= max.unwrap_or(usize::MAX) {
            load.process.fetch_sub(1, Relaxed);
            return None;
        }
        load.worker.fetch_add(1, Relaxed);
        Some(Guard(load.clone()))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.worker.fetch_sub(1, Relaxed);
        self.0.process.fetch_sub(1, Relaxed);
    }
}
