//! What a request is decided by, besides its head.

use super::facts::Facts;
use crate::snapshot::Snapshot;
use crate::trace::Trace;

/// What a request is decided by, besides its head.
#[derive(Debug, Clone, Copy)]
pub struct Grounds<'a> {
    /// The client's connection.
    pub facts: &'a Facts,
    /// The configuration in force.
    pub snapshot: &'a Snapshot,
    /// Which drain is under way.
    pub drain: Drain,
    /// The request's place in its trace, which the upstream is told.
    pub trace: Option<&'a Trace>,
}

/// Which drain is under way, besides those of routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drain {
    /// None.
    None,
    /// That of all tunnels, by an operator's command.
    Tunnels,
    /// That of the process, which ends.
    Process,
}
