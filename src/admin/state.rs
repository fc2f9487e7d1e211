//! What answers are made of: the process as it is, who carries out orders, and what the
//! interface itself keeps.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use super::guard::AccessGuard;
use super::history::History;
use super::token::Token;
use crate::process::Shared;
use crate::process::order::Handle;
use crate::worker::workers::Workers;

/// What answers are made of.
#[derive(Debug)]
pub struct Context {
    /// What all workers see.
    pub shared: Arc<Shared>,
    /// Who knows of tunnels.
    pub workers: Workers,
    /// Who carries out orders.
    pub orders: Handle,
    /// The configuration file; `None`: started without one.
    pub source: Option<PathBuf>,
    /// What requests over TCP have to bring; `None`: nothing.
    pub token: Option<Token>,
}

/// What answers are made with.
#[derive(Debug)]
pub(super) struct AdminState {
    pub(super) context: Context,
    pub(super) guard: AccessGuard,
    pub(super) history: Arc<History>,
    /// True from when no more is to be said than what is under way.
    pub(super) closing: watch::Sender<bool>,
}
