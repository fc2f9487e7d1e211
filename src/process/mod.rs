//! What all workers see of the process: the snapshot in force, where records go, readiness,
//! the ledger of drains, the review of live tunnels, and the words of orders.

pub mod drains;
pub mod order;
pub mod predecessor;
pub mod review;
pub mod state;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use arc_swap::ArcSwap;

use self::state::ProcessState;
use crate::access_log::AccessLog;
use crate::snapshot::Snapshot;
use crate::trace::Tracer;
use crate::upstream::Registry;

/// What all workers see: nothing else is shared between cores.
#[derive(Debug)]
pub struct Shared {
    /// The configuration in force.
    pub snapshot: ArcSwap<Snapshot>,
    /// The endpoints and addresses that outlive configurations.
    pub registry: Arc<Registry>,
    /// Client connections and tunnels of the whole process.
    pub connections: Arc<AtomicUsize>,
    /// Where access records go.
    pub access_log: ArcSwap<AccessLog>,
    /// Where spans go.
    pub tracer: ArcSwap<Tracer>,
    /// What the process is doing.
    pub state: ProcessState,
}
