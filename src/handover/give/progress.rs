//! Whether the other process still makes progress.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::system::lock::lock;

/// When the other process last made progress, or had nothing to do.
#[derive(Debug, Clone)]
pub struct Progress(Arc<Mutex<Instant>>);

impl Progress {
    pub(super) fn new() -> Progress {
        Progress(Arc::new(Mutex::new(Instant::now())))
    }

    pub(super) fn note(&self) {
        *lock(&self.0) = Instant::now();
    }

    /// How long nothing has moved.
    pub fn stands_for(&self) -> Duration {
        lock(&self.0).elapsed()
    }
}
