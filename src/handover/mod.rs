//! One process hands its listeners, tunnels and idle connections over to the next one.
//! `wire` frames messages, `channel` moves them with their descriptors, `protocol` has
//! the messages; `launch` starts the next process. `give` is the old side, with `source` and `item`
//! for what goes, and `contact` for what goes late; `take` and `taken` are the new side,
//! and `adopt` starts what came.
//!
//! When to hand over, and what becomes of the old process, is decided in `daemon`.

pub mod adopt;
pub mod channel;
pub mod contact;
pub mod give;
mod item;
pub mod launch;
pub mod protocol;
mod source;
pub mod take;
pub mod taken;
pub mod wire;

/// Tells a process that its standard input leads to the one that it takes over from.
pub const ENVIRONMENT: &str = "SLUICE_HANDOVER";
