//! What the process is doing, for all who ask: readiness, the last reload, the drains.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Instant, SystemTime};

use arc_swap::ArcSwapOption;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::drains::Drains;
use super::order::DrainView;
use super::predecessor::Predecessor;
use super::review::Reviewer;
use crate::system::lock::lock;

/// How far the process is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Phase {
    /// Nothing is accepted yet.
    Starting = 0,
    /// Clients are served.
    Ready = 1,
    /// A drain of everything is under way, or the end; clients should go elsewhere.
    Draining = 2,
    /// A new process takes over.
    HandingOver = 3,
}

impl Phase {
    /// Its name, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Starting => "starting",
            Phase::Ready => "ready",
            Phase::Draining => "draining",
            Phase::HandingOver => "handing_over",
        }
    }
}

/// How the last reload went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastReload {
    /// When.
    pub at: SystemTime,
    /// Why it was refused; `None`: it was not.
    pub error: Option<String>,
}

/// The state of the process.
#[derive(Debug)]
pub struct ProcessState {
    /// When it started.
    pub started: Instant,
    phase: AtomicU8,
    last_reload: Mutex<Option<LastReload>>,
    drains: Mutex<Drains>,
    drain_ordered: Notify,
    drains_all: AtomicBool,
    predecessor: Predecessor,
    /// The review of the last reload.
    reviewer: ArcSwapOption<Reviewer>,
}

impl Default for ProcessState {
    fn default() -> Self {
        ProcessState {
            started: Instant::now(),
            phase: AtomicU8::new(Phase::Starting as u8),
            last_reload: Mutex::default(),
            drains: Mutex::default(),
            drain_ordered: Notify::new(),
            drains_all: AtomicBool::new(false),
            predecessor: Predecessor::default(),
            reviewer: ArcSwapOption::empty(),
        }
    }
}

impl ProcessState {
    /// How far the process is.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Relaxed) {
            0 => Phase::Starting,
            1 => Phase::Ready,
            2 => Phase::Draining,
            _ => Phase::HandingOver,
        }
    }

    /// Moves on, or back.
    pub fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Relaxed);
    }

    /// Whether new clients are welcome: what `/readyz` answers.
    pub fn is_ready(&self) -> bool {
        matches!(self.phase(), Phase::Ready | Phase::HandingOver) && !self.drains_all()
    }

    /// The process that this one has taken over from.
    pub fn predecessor(&self) -> &Predecessor {
        &self.predecessor
    }

    /// Whether every tunnel is drained by command: new handshakes are refused.
    pub fn drains_all(&self) -> bool {
        self.drains_all.load(Relaxed)
    }

    pub(crate) fn set_drains_all(&self, all: bool) {
        self.drains_all.store(all, Relaxed);
    }

    /// What the last reload means for a tunnel that it did not find yet: one whose handshake
    /// was under way.
    pub fn reviewer(&self) -> Option<Arc<Reviewer>> {
        self.reviewer.load_full()
    }

    /// Gives the one before.
    pub(crate) fn set_reviewer(&self, reviewer: Arc<Reviewer>) -> Option<Arc<Reviewer>> {
        self.reviewer.swap(Some(reviewer))
    }

    /// How the last reload went; `None` before the first.
    pub fn last_reload(&self) -> Option<LastReload> {
        lock(&self.last_reload).clone()
    }

    pub(crate) fn reloaded(&self, error: Option<String>) {
        *lock(&self.last_reload) = Some(LastReload {
            at: SystemTime::now(),
            error,
        });
    }

    /// How far each drain is.
    pub fn drain_views(&self) -> Vec<DrainView> {
        self.drains().views()
    }

    /// Wakes who follows the drains by command.
    pub(crate) fn drain_ordered(&self) -> &Notify {
        &self.drain_ordered
    }

    /// The drains by command and those that reloads began.
    pub fn drains(&self) -> MutexGuard<'_, Drains> {
        lock(&self.drains)
    }
}
