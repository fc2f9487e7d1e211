//! The clocks of one tunnel, on their way from one process's registry to another's: there
//! they are moments, on the way they are distances from now.

use std::sync::Arc;

use super::super::super::state::{ClockState, PulseState, TunnelState};
use super::super::handover::Ages;
use super::super::{Moment, NEVER, tenths};
use super::{AGED, Entry, Phase, Pulse, TunnelHandle};

fn left(moment: Moment, now: Moment) -> Option<u32> {
    (moment != NEVER).then(|| moment.saturating_sub(now))
}

impl Entry {
    /// The tunnel, if it is to be asked to go; then it counts as asked.
    pub(in super::super) fn ask_to_hand_off(&mut self) -> Option<Arc<TunnelHandle>> {
        let can = matches!(self.handle.phase(), Phase::Open | Phase::Half);
        if self.asked || !can || self.handle.order().is_some() {
            return None;
        }
        self.asked = true;
        Some(self.handle.clone())
    }

    pub(in super::super) fn ages(&mut self, now: Moment) -> Ages {
        self.observe_bytes(now);
        let deadline = |phase| (self.phase == phase).then(|| left(self.deadline, now));
        Ages {
            clock: ClockState {
                max_age: left(self.max_age, now),
                keep_alive: deadline(Phase::Open).flatten(),
                half_close: deadline(Phase::Half).flatten(),
            },
            pulses: self.sides.each_ref().map(|pulse| PulseState {
                heard: now.saturating_sub(pulse.heard),
                active: now.saturating_sub(pulse.active),
                pinged: (pulse.pinged != NEVER).then(|| now.saturating_sub(pulse.pinged)),
                pings: pulse.pings,
                asked: pulse.asked,
            }),
        }
    }

    /// An entry whose clocks go on. A half-closed tunnel's deadline is at most what its
    /// settings allow; one that was not seen to be half-closed yet has all of that.
    pub(in super::super) fn resume(
        handle: Arc<TunnelHandle>,
        state: &TunnelState,
        now: Moment,
    ) -> Entry {
        let settings = handle.settings();
        let way = state.tenths_under_way();
        let before = |age: u32| now.saturating_sub(age.saturating_add(way));
        let behind = |left: u32| now.saturating_add(left.saturating_sub(way));
        let (phase, deadline) = match (handle.phase(), state.clock.half_close) {
            (Phase::Half, Some(left)) => {
                let most = tenths(settings.half_close_timeout);
                (Phase::Half, behind(left.min(most)))
            }
            _ => {
                let left = state.clock.keep_alive.map(|left| left.min(AGED));
                (Phase::Open, left.map_or(NEVER, behind))
            }
        };
        let age = tenths(handle.opened.elapsed());
        let max_age = match (state.clock.max_age, settings.max_age) {
            (Some(left), Some(most)) => Some(behind(left.min(tenths(most)))),
            _ => None,
        };
        let [client, upstream] = &handle.counters;
        let counters = [(client, &state.client), (upstream, &state.upstream)];
        let mut entry = Entry {
            sides: counters.map(|(counters, side)| Pulse {
                bytes: counters.bytes() as u32,
                swallowed: side.pings.swallowed,
                heard: before(side.pulse.heard),
                active: before(side.pulse.active),
                pinged: side.pulse.pinged.map_or(NEVER, before),
                pings: side.pulse.pings,
                asked: side.pulse.asked,
            }),
            phase,
            deadline,
            ..Entry::new(handle.clone(), now, age)
        };
        entry.max_age = max_age.unwrap_or(entry.max_age);
        entry
    }
}
