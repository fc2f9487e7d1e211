//! What a decision depends on, besides the head of the request.

use super::facts::Facts;
use crate::snapshot::Snapshot;
use crate::trace::Trace;

/// What a decision depends on, besides the head of the request.
#[derive(Debug, Clone, Copy)]
pub struct Grounds<'a> {
    /// The client's connection.
    pub facts: &'a Facts,
    /// The configuration in force.
    pub snapshot: &'a Snapshot,
    /// The drain under way.
    pub drain: Drain,
    /// The request's trace context, which is sent to the upstream.
    pub trace: Option<&'a Trace>,
}

/// The drain under way, besides those of routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drain {
    /// None.
    None,
    /// A drain of all tunnels, ordered by an operator.
    Tunnels,
    /// The drain at the end of the process.
    Process,
}
