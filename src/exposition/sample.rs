//! A worker as it is seen from its own thread. Looking at it settles what its tunnels have moved,
//! so that the counts by route are whole.

use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::h1::connections;
use crate::tunnel_registry;

/// What a worker knows only by itself.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    /// The thread's name.
    pub worker: String,
    /// Processor time that the thread has used.
    pub cpu: Duration,
    /// Client connections that are still HTTP.
    pub connections: usize,
    /// Live tunnels.
    pub tunnels: usize,
}

/// Looks at the calling worker. To be called on its thread; visits the tunnels that have moved
/// something of late.
pub fn sample() -> Sample {
    tunnel_registry::settle(Instant::now(), usize::MAX);
    let cpu = clock_gettime(ClockId::ThreadCPUTime);
    Sample {
        worker: thread::current().name().unwrap_or_default().to_owned(),
        cpu: Duration::try_from(cpu).unwrap_or_default(),
        connections: connections::count(),
        tunnels: tunnel_registry::count(),
    }
}
