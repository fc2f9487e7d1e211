//! A tunnel in pieces, as it leaves its task.

use std::any::Any;
use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::state::TunnelState;
use crate::tls_record::Exported;
use crate::tunnel_registry::TunnelHandle;
use crate::vocabulary::hand_off::HandOff;

/// What a tunnel holds besides its sockets: leases, permits.
pub type Guard = Box<dyn Any + Send>;

/// What became of a tunnel that was asked to go.
pub type Export = HandOff<Box<ExportedTunnel>>;

/// A tunnel in pieces. Dropping it closes this process's descriptors, which ends the
/// connections unless another process holds them, and lets the guard go.
pub struct ExportedTunnel {
    /// The client's connection.
    pub client: OwnedFd,
    /// The upstream's connection.
    pub upstream: OwnedFd,
    /// The TLS of the client's and of the upstream's, where they have it.
    pub tls: [Option<Exported>; 2],
    /// Everything else about the tunnel.
    pub state: TunnelState,
    /// What was received and not yet written: from the client, and from the upstream. Up to
    /// a few hundred KiB each.
    pub spill: [Vec<u8>; 2],
    pub(super) handle: Arc<TunnelHandle>,
    pub(super) guard: Guard,
}

impl fmt::Debug for ExportedTunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExportedTunnel")
            .field("client", &self.client)
            .field("upstream", &self.upstream)
            .field("tls", &self.tls)
            .field("state", &self.state)
            .field("spill", &self.spill.each_ref().map(Vec::len))
            .finish_non_exhaustive()
    }
}
