//! One process hands its listeners, tunnels and idle connections over to the next one.
//! `wire` frames messages, `channel` moves them with their descriptors, `protocol` has the
//! words; `launch` starts the next process, `give` is the old side, `take` the new one, and
//! `adopt` makes living tunnels and connections of what came.
//!
//! When to hand over, and what becomes of the old process, is decided in `lifecycle`.

pub mod adopt;
pub mod channel;
pub mod give;
pub mod launch;
pub mod protocol;
pub mod take;
pub mod wire;

/// Tells a process that its standard input leads to the one that it takes over from.
pub const ENVIRONMENT: &str = "SLUICE_HANDOVER";
