//! What the control task owns and can change; what it does with it stands in the files beside.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::watch::Signature;
use crate::admin::Admin;
use crate::config::LogFormat;
use crate::handover::launch::Launch;
use crate::process::Shared;
use crate::supervise::pid_file::PidFile;
use crate::upstream::discover::Discovery;
use crate::worker::listeners::Listeners;

/// Owns what can be changed.
#[derive(Debug)]
pub struct Control {
    /// The workers and the listeners.
    pub listeners: Listeners,
    /// What all workers see.
    pub shared: Arc<Shared>,
    /// Keeps the names of the configuration in force resolved.
    pub discovery: Discovery,
    /// The file that a reload reads; `None`: started without one.
    pub source: Option<PathBuf>,
    /// What that file was when the first configuration was read from it.
    pub read: Option<Signature>,
    /// The format of logs, which stays until the end.
    pub format: LogFormat,
    /// The admin interface; `None`: there is none.
    pub admin: Option<Admin>,
    /// How this process was started; `None`: it cannot be upgraded.
    pub launch: Option<Launch>,
    /// The file that names this process; not what a reload may have read since.
    pub pid_file: Option<PathBuf>,
    /// The hand-over that this process receives, if it was started to take over.
    pub taking: Option<tokio::task::JoinHandle<Option<PidFile>>>,
}

impl Control {
    /// Client connections and tunnels of the process.
    pub(super) fn connections(&self) -> usize {
        self.shared.connections.load(Relaxed)
    }

    /// Whether nothing is left, here and in the process that this one took over from: its
    /// end would be that of the service, and of all that belongs to it.
    pub(super) fn has_ended(&self) -> bool {
        self.connections() == 0 && self.shared.state.predecessor().is_gone()
    }
}
