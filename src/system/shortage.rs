//! Something that runs out for a while: the beginning and the end of an episode are told, however
//! often it fails in between.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// How often is looked whether an episode is over.
const LOOK: Duration = Duration::from_millis(250);
/// It is over when nothing has failed for so long.
const QUIET: Duration = Duration::from_secs(5);

/// Counts what fails for want of it.
#[derive(Debug)]
pub struct Shortage {
    failed: AtomicU64,
    noted: Notify,
}

/// An episode that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Over {
    /// How often something failed.
    pub failed: u64,
    /// From the first failure to the last, in milliseconds.
    pub lasted_ms: u64,
}

/// An episode under way.
struct Episode {
    began: Instant,
    /// When something failed last.
    last: Instant,
    /// What had failed before it.
    before: u64,
}

impl Shortage {
    /// Nothing has failed yet.
    pub const fn new() -> Shortage {
        Shortage {
            failed: AtomicU64::new(0),
            noted: Notify::const_new(),
        }
    }

    /// Something has failed.
    pub fn note(&self) {
        self.failed.fetch_add(1, Relaxed);
        self.noted.notify_one();
    }

    /// Calls `begins` and `ends` once an episode. Never returns.
    pub async fn watch(&self, begins: impl Fn(), ends: impl Fn(Over)) {
        let mut seen = self.failed.load(Relaxed);
        let mut episode: Option<Episode> = None;
        loop {
            match episode {
                None => self.noted.notified().await,
                Some(_) => tokio::time::sleep(LOOK).await,
            }
            let (failed, now) = (self.failed.load(Relaxed), Instant::now());
            match &mut episode {
                None if failed > seen => {
                    begins();
                    episode = Some(Episode {
                        began: now,
                        last: now,
                        before: seen,
                    });
                }
                Some(episode) if failed > seen => episode.last = now,
                Some(Episode {
                    began,
                    last,
                    before,
                }) if now.duration_since(*last) >= QUIET => {
                    ends(Over {
                        failed: failed - *before,
                        lasted_ms: last.duration_since(*began).as_millis() as u64,
                    });
                    episode = None;
                }
                _ => {}
            }
            seen = failed;
        }
    }
}

impl Default for Shortage {
    fn default() -> Shortage {
        Shortage::new()
    }
}
