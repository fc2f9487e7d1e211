//! Where the tunnels of a worker go that are asked to leave, and what becomes of those that
//! nothing takes.

use tokio::sync::mpsc::UnboundedSender;

use super::exported::{Export, ExportedTunnel};
use crate::tunnel_registry::hand_off;
use crate::vocabulary::hand_off::Outlet;

thread_local! {
    static OUTLET: Outlet<Box<ExportedTunnel>> = const { Outlet::closed() };
}

/// Asks up to `most` tunnels of this thread to go, of those that can and were not asked
/// before; each sends exactly one [`Export`] to the sink from its own task. Returns how many
/// were asked; 0: none is left that could go.
pub fn export(most: usize, sink: &UnboundedSender<Export>) -> usize {
    OUTLET.with(|outlet| outlet.open(sink.clone()));
    hand_off::ask(most)
}

/// The hand-over is over, or was given up: the next one asks every tunnel anew.
pub fn end_export() {
    OUTLET.with(Outlet::close);
    hand_off::forget_asked();
}

/// Answers that the tunnel stays.
pub(super) fn stays(id: u64, why: &'static str) {
    // The thread's end may come first.
    let _ = OUTLET.try_with(|outlet| outlet.stays(Some(id), why));
}

/// Sends the tunnel off; where nothing takes it, it goes on here.
pub(super) fn send(exported: Box<ExportedTunnel>) {
    if let Err(exported) = OUTLET.with(|outlet| outlet.send(exported)) {
        let id = exported.state.id;
        if let Err(error) = exported.restore() {
            tracing::warn!(tunnel = id, %error, "a tunnel that was not taken over is lost");
        }
    }
}
