//! What the running process can be told, and what it answers: the vocabulary between the
//! admin interface, the command line and the control task. As JSON it is the admin API's,
//! so fields are added, never renamed.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

pub use crate::vocabulary::span::millis;

/// The way to the control task.
#[derive(Debug, Clone)]
pub struct Handle(mpsc::UnboundedSender<Order>);

/// An order with the place for its answer.
#[derive(Debug)]
pub enum Order {
    /// Read the configuration again.
    Reload(Reply<Result<Reloaded, OrderError>>),
    /// Close the tunnels of a target over a span.
    Drain(DrainRequest, Reply<Result<DrainView, OrderError>>),
    /// Take drains back; without a target all of them.
    Undrain(Option<Target>, Reply<Result<Vec<DrainView>, OrderError>>),
    /// End the drains that have outlived what they were for.
    SettleDrains(Reply<Result<(), OrderError>>),
    /// Replace the binary.
    Upgrade(UpgradeRequest, Reply<Result<Upgraded, OrderError>>),
}

/// Where an answer is put; who asked may have gone.
pub type Reply<T> = oneshot::Sender<T>;

impl Handle {
    /// A handle and where its orders arrive.
    pub fn new() -> (Handle, mpsc::UnboundedReceiver<Order>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Handle(sender), receiver)
    }

    /// Gives an order whose answer is not waited for.
    pub fn give(&self, order: Order) {
        // Who obeys has ended: there is nothing left to obey.
        let _ = self.0.send(order);
    }

    /// Gives an order and waits for its answer.
    ///
    /// # Errors
    /// [`OrderError`] too when the process ends meanwhile.
    pub async fn ask<T>(
        &self,
        order: impl FnOnce(Reply<Result<T, OrderError>>) -> Order,
    ) -> Result<T, OrderError> {
        let (answer, answered) = oneshot::channel();
        let ending = || OrderError::new("sluice is shutting down");
        self.0.send(order(answer)).map_err(|_| ending())?;
        answered.await.unwrap_or_else(|_| Err(ending()))
    }
}

/// Why an order was not carried out; nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderError {
    /// The reason, one line.
    pub error: String,
    /// All of it, such as every problem of a configuration with its place; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
}

impl OrderError {
    /// Without details.
    pub fn new(error: impl Into<String>) -> OrderError {
        OrderError {
            error: error.into(),
            details: String::new(),
        }
    }
}

/// What a reload did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// The generation now in force.
    pub generation: u64,
    /// What has changed, a line each; empty where nothing has.
    pub changes: Vec<String>,
    /// Settings that changed in the file and take effect at an upgrade or a restart.
    pub needs_restart: Vec<String>,
    /// Live tunnels that got new settings.
    pub tunnels_changed: u64,
    /// Live tunnels that are drained because of it.
    pub tunnels_drained: u64,
    /// Live tunnels that were closed because of it.
    pub tunnels_closed: u64,
}

/// What a drain is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Every tunnel.
    All,
    /// Those of one route, by its name.
    Route(String),
    /// Those of one endpoint.
    Endpoint {
        /// The upstream's name.
        upstream: String,
        /// The endpoint's address as logs show it.
        endpoint: String,
    },
    /// Those that the reload of this generation left without a route or endpoint; not to be
    /// asked for.
    Reload(u64),
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Target::All => f.write_str("everything"),
            Target::Route(name) => write!(f, "route {name}"),
            Target::Endpoint { upstream, endpoint } => write!(f, "endpoint {upstream}/{endpoint}"),
            Target::Reload(generation) => {
                write!(f, "what reload {generation} removed")
            }
        }
    }
}

/// Asks for a drain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrainRequest {
    /// Which tunnels.
    pub target: Target,
    /// The span in milliseconds; without one that of the configuration.
    #[serde(default)]
    pub over_ms: Option<u64>,
    /// When what is left is cut, in milliseconds from the start; without one `over` and the
    /// difference of the configuration's two spans.
    #[serde(default)]
    pub deadline_ms: Option<u64>,
}

/// A drain and how far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainView {
    /// Its number.
    pub id: u64,
    /// What it is about.
    pub target: Target,
    /// Milliseconds since it began.
    pub elapsed_ms: u64,
    /// Its span in milliseconds.
    pub over_ms: u64,
    /// When what is left is cut, in milliseconds from its start.
    pub deadline_ms: u64,
    /// Tunnels that it has had to close so far.
    pub total: u64,
    /// Tunnels still open.
    pub left: u64,
    /// Tunnels that have ended.
    pub closed: u64,
    /// Tunnels that the deadline cut.
    pub cut: u64,
    /// Tunnels that were let go because the drain was taken back.
    pub spared: u64,
    /// It was taken back.
    pub undone: bool,
}

/// Asks for a new binary.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpgradeRequest {
    /// The binary; without one the path that this process was started from.
    #[serde(default)]
    pub binary: Option<PathBuf>,
    /// The configuration; without one the file that this process was started with.
    #[serde(default)]
    pub config: Option<PathBuf>,
}

/// What an upgrade did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upgraded {
    /// The new process.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// Tunnels that live on in it.
    pub tunnels: u64,
    /// Idle client connections that live on in it.
    pub connections: u64,
    /// Tunnels that stay in the old process and are drained, by reason.
    pub stay: Vec<(String, u64)>,
}

/// A process that has handed over and finishes what it has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remaining {
    /// Its process id.
    pub pid: u32,
    /// Its version.
    #[serde(default)]
    pub version: String,
    /// Client connections that are left, tunnels among them.
    #[serde(default)]
    pub connections: u64,
    /// Tunnels that are left.
    #[serde(default)]
    pub tunnels: u64,
    /// Milliseconds until it cuts what is left.
    #[serde(default)]
    pub ends_in_ms: u64,
    /// The processes that it took over from itself.
    #[serde(default)]
    pub predecessors: Vec<Remaining>,
}
