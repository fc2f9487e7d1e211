//! The clocks of one tunnel leave one process's registry and go on in another's.

use std::sync::Arc;

use super::super::ages::{Ages, ClockState, PulseState};
use super::super::handle::TunnelHandle;
use super::super::moment::{Moment, NEVER, Now, tenths};
use super::super::phase::Phase;
use super::{AGED, Entry, Pulse};
use crate::vocabulary::Side;

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

    pub(in super::super) fn ages(&mut self, now: Now) -> Ages {
        self.observe(now);
        let now = now.moment;
        let deadline = |phase| (self.phase == phase).then(|| left(self.deadline, now));
        Ages {
            clock: ClockState {
                max_age: left(self.max_age, now),
                keep_alive: deadline(Phase::Open).flatten(),
                half_close: deadline(Phase::Half).flatten(),
            },
            pulses: [Side::Client, Side::Upstream].map(|side| {
                let (pulse, side) = (&self.sides[side as usize], side as usize);
                PulseState {
                    heard: now.saturating_sub(pulse.heard),
                    active: now.saturating_sub(self.active),
                    pinged: (pulse.pinged != NEVER).then(|| now.saturating_sub(pulse.pinged)),
                    pings: self.pings[side],
                    asked: self.ping_asked[side],
                }
            }),
        }
    }

    /// An entry whose clocks go on. A half-closed tunnel's deadline is at most what its
    /// settings allow; one that was not seen to be half-closed yet has all of that. `way`: for
    /// how long it was under way, in tenths of a second.
    pub(in super::super) fn resume(
        handle: Arc<TunnelHandle>,
        ages: &Ages,
        way: u32,
        now: Now,
    ) -> Entry {
        let Now { moment: now, real } = now;
        let settings = handle.settings();
        let before = |age: u32| now.saturating_sub(age.saturating_add(way));
        let after = |left: u32| now.saturating_add(left.saturating_sub(way));
        let (phase, deadline) = match (handle.phase(), ages.clock.half_close) {
            (Phase::Half, Some(left)) => {
                let most = tenths(settings.half_close_timeout);
                (Phase::Half, after(left.min(most)))
            }
            _ => {
                let left = ages.clock.keep_alive.map(|left| left.min(AGED));
                (Phase::Open, left.map_or(NEVER, after))
            }
        };
        let age = tenths(handle.opened.elapsed());
        let max_age = match (ages.clock.max_age, settings.max_age) {
            (Some(left), Some(most)) => Some(after(left.min(tenths(most)))),
            _ => None,
        };
        let pulse = |side: Side| {
            let pulse = &ages.pulses[side as usize];
            Pulse {
                bytes: handle.counters(side).bytes() as u32,
                heard: before(pulse.heard),
                pinged: pulse.pinged.map_or(NEVER, before),
            }
        };
        let [client, upstream] = &ages.pulses;
        let silent = client.active.min(upstream.active);
        let mut entry = Entry {
            sides: [Side::Client, Side::Upstream].map(pulse),
            pings: ages.pulses.each_ref().map(|pulse| pulse.pings),
            ping_asked: ages.pulses.each_ref().map(|pulse| pulse.asked),
            swallowed: handle.swallowed_bytes(),
            active: before(silent),
            seen: real.saturating_sub(silent.saturating_add(way)),
            phase,
            deadline,
            ..Entry::new(handle.clone(), Now { moment: now, real }, age)
        };
        entry.max_age = max_age.unwrap_or(entry.max_age);
        entry
    }
}
