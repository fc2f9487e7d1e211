//! This process takes over from an old one, beside everything else: what that gives comes to
//! life, is reviewed, and the service manager hears who goes on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::control::Control;
use super::predecessor;
use crate::handover::adopt::Adopter;
use crate::handover::take::Taking;
use crate::process::Shared;
use crate::process::review::Reviewer;
use crate::supervise::notify;
use crate::supervise::pid_file::PidFile;
use crate::supervise::watchdog;
use crate::system::allocator;
use crate::tunnel_registry;
use crate::worker::workers::Workers;

/// How long a take-over needs to come to rest.
const SETTLED: Duration = Duration::from_secs(2);

/// This process as its service manager knows it.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) workers: Workers,
    pub(super) generation: u64,
    pub(super) pid_file: Option<PidFile>,
}

impl Service {
    /// Tells readers of the PID file that this process is the service.
    fn publish(&mut self) {
        if let Some(pid_file) = &mut self.pid_file
            && let Err(error) = pid_file.publish()
        {
            tracing::error!(%error, "the PID file still names the process before");
        }
    }

    /// Tells the manager.
    pub(super) fn announce(&self) {
        watchdog::start(self.workers.clone());
        notify::ready(&format!("Serving configuration {}", self.generation));
    }
}

/// Takes what the old process gives, beside everything else. The service is kept: its PID
/// file is removed with the task that this starts, at the end of the process.
pub(super) fn take(
    mut taking: Taking,
    control: &Control,
    mut service: Service,
) -> JoinHandle<Option<PidFile>> {
    let adopter = Adopter::new(control.shared.clone(), control.listeners.workers().clone());
    tokio::spawn(async move {
        let complete = taking.take(&adopter).await;
        review_adopted(adopter.shared(), adopter.workers()).await;
        // The old process removes the file at its end only where it names that one.
        service.publish();
        if complete && let Some((old, left)) = taking.done().await {
            tokio::spawn(predecessor::follow(adopter, old, left));
        }
        service.announce();
        tokio::spawn(async {
            // What was only needed on the way has been freed by the workers by then.
            tokio::time::sleep(SETTLED).await;
            allocator::collect();
        });
        service.pid_file
    })
}

/// Tells tunnels that came from another process what this one's configuration means for
/// them.
async fn review_adopted(shared: &Arc<Shared>, workers: &Workers) {
    let snapshot = shared.snapshot.load_full();
    let reviewer = Arc::new(Reviewer::new(None, &snapshot));
    workers
        .ask(|| {
            let reviewer = reviewer.clone();
            move || tunnel_registry::review(Instant::now(), &|tunnel| reviewer.judge(tunnel))
        })
        .await;
    // For those that come late.
    shared.state.set_reviewer(reviewer.clone());
    let mut drains = shared.state.drains();
    for drain in reviewer.drains() {
        drains.note_reload(snapshot.generation, drain.clone());
    }
}
