//! Tunnels that go to another process and that come from one: the registry chooses which
//! to ask, and carries their clocks over.

use std::sync::Arc;
use std::time::Instant;

use super::ages::Ages;
use super::command;
use super::entry::Entry;
use super::handle::TunnelHandle;
use super::moment::tenths;
use super::worker::REGISTRY;
use crate::config::WebSocketConfig;

/// Asks up to `most` tunnels of this thread to go, of those that can and were not asked
/// before. Returns how many were asked; 0: none is left that could go.
pub fn ask(most: usize) -> usize {
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

/// From now on every tunnel may be asked again.
pub fn forget_asked() {
    REGISTRY.with_borrow_mut(|registry| {
        for entry in &mut registry.entries {
            entry.asked = false;
        }
    });
}

/// Takes a tunnel that goes out of the registry, with its clocks. Its drain counts it as moved.
pub fn take_out(handle: &Arc<TunnelHandle>) -> Option<Ages> {
    REGISTRY.with_borrow_mut(|registry| {
        let now = registry.now(Instant::now());
        let mut entry = registry.take(handle)?;
        if let Some(drain) = &entry.drain {
            drain.order.progress.count_moved();
        }
        Some(entry.ages(now))
    })
}

/// Registers a tunnel that goes on, from now on under `settings`; the handle has those that
/// it has lived under. `way`: for how long its clocks were under way, in tenths of a second.
/// `asked`: it was asked to go, and came back.
pub fn adopt(
    handle: &Arc<TunnelHandle>,
    ages: &Ages,
    way: u32,
    settings: &Arc<WebSocketConfig>,
    asked: bool,
) {
    REGISTRY.with_borrow_mut(|registry| {
        let now = registry.now(Instant::now());
        let mut entry = Entry::resume(handle.clone(), ages, way, now);
        entry.asked = asked;
        if !Arc::ptr_eq(&handle.settings(), settings) {
            entry.set(settings, now, tenths(handle.opened.elapsed()));
        }
        registry.insert(entry, now.moment);
    });
}
