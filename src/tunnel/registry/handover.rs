//! Tunnels that go to another process and that come from one. The registry asks them
//! and carries their clocks over; it never sees their bytes.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc::UnboundedSender;

use super::super::export::{self, Export};
use super::super::handle::{TunnelHandle, command};
use super::super::state::{ClockState, PulseState, TunnelState};
use super::{Entry, REGISTRY, tenths};
use crate::config::WebSocketConfig;

/// A tunnel's clocks, as they travel.
#[derive(Debug)]
pub(in crate::tunnel) struct Ages {
    pub(in crate::tunnel) clock: ClockState,
    pub(in crate::tunnel) pulses: [PulseState; 2],
}

/// Asks up to `most` tunnels of this thread to go, of those that can and were not asked
/// before; each sends exactly one [`Export`] to the sink from its own task. Returns how many
/// were asked; 0: none is left that could go.
pub fn export(most: usize, sink: &UnboundedSender<Export>) -> usize {
    export::send_to(Some(sink.clone()));
    let asked: Vec<_> = REGISTRY.with_borrow_mut(|registry| {
        let entries = registry.entries.iter_mut();
        entries
            .filter_map(Entry::ask_to_hand_off)
            .take(most)
            .collect()
    });
    for handle in &asked {
        handle.ask(command::EXPORT);
    }
    asked.len()
}

/// The hand-over is over, or was given up: the next one asks every tunnel anew.
pub fn end_export() {
    export::send_to(None);
    REGISTRY.with_borrow_mut(|registry| {
        for entry in &mut registry.entries {
            entry.asked = false;
        }
    });
}

/// Takes a tunnel that goes out of the registry, with its clocks. To its drain that is
/// neither an end nor a pardon.
pub(in crate::tunnel) fn export_one(handle: &Arc<TunnelHandle>) -> Option<Ages> {
    REGISTRY.with_borrow_mut(|registry| {
        let now = registry.moment(Instant::now());
        let mut entry = registry.take(handle)?;
        if let Some(drain) = &entry.drain {
            drain.order.progress.count_moved();
        }
        Some(entry.ages(now))
    })
}

/// Registers a tunnel that goes on, from now on under `settings`; the handle has those that
/// it has lived under. `asked`: it was asked to go, and came back.
pub(in crate::tunnel) fn adopt(
    handle: &Arc<TunnelHandle>,
    state: &TunnelState,
    settings: &Arc<WebSocketConfig>,
    asked: bool,
) {
    REGISTRY.with_borrow_mut(|registry| {
        let now = registry.moment(Instant::now());
        let mut entry = Entry::resume(handle.clone(), state, now);
        entry.asked = asked;
        if !Arc::ptr_eq(&handle.settings(), settings) {
            entry.set(settings, now, tenths(handle.opened.elapsed()));
        }
        registry.insert(entry, now);
    });
}
