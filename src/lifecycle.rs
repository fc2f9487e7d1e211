//! From ready to gone: signals, the drain and its phases, the exit code.

use std::io;
use std::process::ExitCode;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::metrics;
use crate::server::{Shared, Site};
use crate::worker::Command;

/// Exit code when tunnels or exchanges had to be cut.
pub const EXIT_CUT: u8 = 3;

/// How often a drain looks whether it is done.
const POLL: Duration = Duration::from_millis(20);
/// How long cut connections may take to be gone.
const CUT: Duration = Duration::from_millis(500);
/// How long the access log may take to be written out.
const FLUSH: Duration = Duration::from_secs(2);

/// The signals that sluice heeds.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Takes the signals over from their defaults.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn listen() -> io::Result<Self> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for a signal to end.
    async fn end(&mut self) -> &'static str {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.hangup.recv() => {
                    tracing::warn!("SIGHUP: the configuration cannot be reloaded yet; restart to apply a new one");
                }
            }
        }
    }
}

/// Waits for the end, drains, and says how it went.
pub async fn run(mut signals: Signals, site: &mut Site, shared: &Shared) -> ExitCode {
    let signal = signals.end().await;
    let drain = shared.snapshot.load().drain.clone();
    let open = shared.connections.load(Relaxed);
    let deadline = Instant::now() + drain.deadline;
    site.stop_accepting().await;
    // Once every worker has let go of its share, no connection can be added any more.
    let (heard, mut all_heard) = tokio::sync::mpsc::channel(1);
    site.tell(|| Command::Drain(drain.clone(), heard.clone()));
    drop(heard);
    let _ = all_heard.recv().await;
    tracing::info!(signal, open, over = ?drain.over, deadline = ?drain.deadline, "draining");
    let mut cut = 0;
    while shared.connections.load(Relaxed) > 0 {
        let reason = tokio::select! {
            signal = signals.end() => Some(signal),
            () = tokio::time::sleep(POLL) => (Instant::now() >= deadline).then_some("deadline"),
        };
        if let Some(reason) = reason {
            cut = shared.connections.load(Relaxed);
            tracing::warn!(reason, cut, "what has not ended is cut");
            site.tell(|| Command::Cut);
            wait_for_none(shared).await;
            break;
        }
    }
    site.tell(|| Command::Stop);
    site.join();
    shared.access_log.flush(FLUSH);
    let totals = metrics::totals();
    tracing::info!(?totals, cut, "stopped");
    if cut == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(EXIT_CUT)
    }
}

async fn wait_for_none(shared: &Shared) {
    let until = Instant::now() + CUT;
    while shared.connections.load(Relaxed) > 0 && Instant::now() < until {
        tokio::time::sleep(POLL).await;
    }
}
