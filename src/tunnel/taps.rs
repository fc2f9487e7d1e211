//! Where taps come to the tunnels of a worker. A tap knows a tunnel by its number and what it
//! says of itself; that it is tapped at all is a flag of the tunnel's own, so that one without
//! a tap reads one byte and no more.

use std::time::Instant;

use crate::tap::{self, Candidate, Subscription, Tap};
use crate::tunnel_registry::{TunnelHandle, snapshots};

/// Begins a tap on this thread. Returns how many of its tunnels it takes.
pub fn begin(subscription: &Subscription, now: Instant) -> usize {
    let mut tap = Tap::new(subscription);
    for tunnel in snapshots(now) {
        let handle = &tunnel.handle;
        if tap.offer(&candidate(handle, tunnel.heard)) {
            handle.set_tapped(true);
        }
    }
    tap.begin()
}

/// A tunnel begins or goes on, and nothing of it has passed yet.
pub(super) fn opened(handle: &TunnelHandle, heard: Instant) {
    if tap::opened(&candidate(handle, heard)) {
        handle.set_tapped(true);
    }
}

fn candidate(handle: &TunnelHandle, heard: Instant) -> Candidate<'_> {
    Candidate {
        number: handle.id,
        identity: &handle.identity,
        opened: handle.opened,
        heard,
    }
}
