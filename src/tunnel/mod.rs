//! The tunnel: two directions that flow independently, and the closing handshake's states
//! (RFC 6455 section 7). It starts after a validated 101 with both sockets in hand, and
//! knows nothing of how they came to be.
//!
//! `relay` holds the two directions and does what is asked of them, `task` runs it, `closing`
//! draws the consequences of what they moved. `pump` moves the bytes of one direction, by
//! `splice` where they are many and when `turns` lets it; `journal` writes down what both have to say together, and
//! `taps` is where taps come to it. `export` and `resume` carry a live tunnel from one process
//! to the next, as the descriptors and the `state` that it consists of; `outlet` is where it
//! goes.
//!
//! Whose tunnel it is stands in [`tunnel_info`](crate::tunnel_info), what others see of it and
//! what it is limited by in [`tunnel_registry`](crate::tunnel_registry).

mod closing;
mod export;
mod exported;
mod journal;
mod outlet;
mod pump;
mod relay;
mod resume;
mod splice;
pub mod state;
pub mod taps;
mod task;
mod turns;
mod unread_end;

#[cfg(test)]
mod tests;

pub use self::exported::{Export, ExportedTunnel, Guard};
pub use self::outlet::{end_export, export};
pub use self::relay::TunnelSpec;
pub use self::resume::{Resume, resume};
pub use self::state::TunnelState;
pub use self::task::spawn;
