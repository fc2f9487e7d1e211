//! What must hold of a state before a tunnel is built of it; the parts say the rest when they
//! are restored. Every refusal names the field.

use super::super::pump::Direction;
use super::{LONGEST, SettingsState, TunnelState};
use crate::tunnel_registry::next_id;
use crate::vocabulary::Side;
use crate::websocket::control::{MAX_REASON, sendable};
use crate::websocket::frame::restore::{StateError, require};

/// What any count may be at most, and stops at where it is written down: enough for centuries,
/// and what every JSON reader can hold.
pub(in crate::tunnel) const MOST: u64 = (1 << 53) - 1;
/// One byte that is not UTF-8 becomes three in a reason.
const LONGEST_REASON: usize = 3 * MAX_REASON;

impl TunnelState {
    /// Whether a tunnel can go on from here; `spill` is what belongs to it. Its number must
    /// have been reserved, see [`reserve_ids`](crate::tunnel_registry::reserve_ids). Nothing that passes
    /// makes [`resume`](crate::tunnel::resume) fail, but a socket may.
    pub fn check(&self, spill: &[Vec<u8>; 2]) -> Result<(), StateError> {
        self.directions(spill).map(drop)
    }

    /// The directions from the client and from the upstream as they stood, where a tunnel can go
    /// on from here; what `spill` holds is not in them yet.
    pub(in crate::tunnel) fn directions(
        &self,
        spill: &[Vec<u8>; 2],
    ) -> Result<[Direction; 2], StateError> {
        let whole = |valid, field, problem| require(valid, None, field, problem);
        whole((1..next_id()).contains(&self.id), "id", "was not reserved")?;
        whole(self.age <= MOST, "age", "is too large")?;
        self.settings.check()?;
        let direction = |side: Side| {
            self.check_side(side)?;
            Direction::restore(side, self, !spill[side as usize].is_empty())
        };
        let directions = [direction(Side::Client)?, direction(Side::Upstream)?];
        whole(
            !directions.iter().all(Direction::is_done),
            "flow.done",
            "both directions have ended",
        )?;
        whole(
            !directions.iter().all(Direction::has_seen_close),
            "close",
            "the closing handshake is complete",
        )?;
        whole(
            directions.iter().any(Direction::has_said_last) == self.ended_by.is_some(),
            "ended_by",
            "does not agree with what the sides have done",
        )?;
        Ok(directions)
    }

    fn check_side(&self, side: Side) -> Result<(), StateError> {
        let state = self.side(side);
        require(
            state.counters == state.counters.at_most(MOST),
            Some(side),
            "counters",
            "a count is too large",
        )?;
        let pings = &state.pings;
        require(
            self.secret.is_some() || (pings.sequence == 0 && pings.hash == 0),
            None,
            "secret",
            "is missing though Pings have passed",
        )?;
        require(
            state
                .close
                .as_ref()
                .is_none_or(|close| close.reason.len() <= LONGEST_REASON),
            Some(side),
            "close.reason",
            "is too long",
        )
    }
}

impl SettingsState {
    fn check(&self) -> Result<(), StateError> {
        let times = [
            ("settings.idle_timeout", self.idle_timeout),
            ("settings.max_age", self.max_age),
            ("settings.ping_interval", self.ping_interval),
            ("settings.ping_timeout", Some(self.ping_timeout)),
            ("settings.half_close_timeout", Some(self.half_close_timeout)),
            ("settings.close_timeout", Some(self.close_timeout)),
            ("settings.unread_timeout", self.unread_timeout),
        ];
        for (field, millis) in times {
            require(
                millis.is_none_or(|millis| millis <= LONGEST),
                None,
                field,
                "is too long",
            )?;
        }
        let codes = [self.lost.upstream_code, self.lost.client_code];
        require(
            codes.into_iter().flatten().all(sendable) && self.lost.reason.len() <= MAX_REASON,
            None,
            "settings.lost",
            "is no Close",
        )?;
        require(
            (0.0..=1.0).contains(&self.max_age_jitter),
            None,
            "settings.max_age_jitter",
            "is not a share",
        )
    }
}
