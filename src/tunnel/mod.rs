//! Tunnels.
pub mod frame;
