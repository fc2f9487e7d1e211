//! One tunnel as its worker's clock sees it: what is due, and when to look again.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::super::frame::Side;
use super::super::handle::{CloseOrder, Cut, Phase, TunnelHandle, command};
use super::super::report::ClosedBy;
use super::{Drain, Moment, NEVER, tenths};

const SECOND: u32 = 10;
/// How long a complete closing handshake waits for the upstream to end its stream.
const GRACE: u32 = 2;
/// The age at which a tunnel is worth the system calls that TCP keep-alive costs.
const AGED: u32 = 5 * SECOND;
/// Bytes are noticed at the next look, so silence counts from up to one look too late: at
/// most this share of the limit, and never less than a second.
const IDLE_SHARE: u32 = 64;
const LONGEST_IDLE_LOOK: u32 = 30 * SECOND;
const PING_SHARE: u32 = 16;
const LONGEST_PING_LOOK: u32 = 5 * SECOND;

/// What the clock knows of one side.
#[derive(Debug, Clone, Copy)]
struct Pulse {
    /// The byte counter when last looked at, its low half.
    bytes: u32,
    /// How many of those answered our Pings.
    swallowed: u32,
    /// When bytes were last seen to have come.
    heard: Moment,
    /// The same without answers to our Pings: keep-alive must not defeat the idle timeout.
    active: Moment,
    /// When our unanswered Ping was seen to have been written; [`NEVER`] without one.
    pinged: Moment,
    /// The handle's count of our Pings when last looked at.
    pings: u8,
    /// A Ping was asked for and is not written yet.
    asked: bool,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) handle: Arc<TunnelHandle>,
    sides: [Pulse; 2],
    max_age: Moment,
    pub(super) drain: Moment,
    /// When a phase other than [`Phase::Open`] has lasted too long. In that one: when TCP
    /// keep-alive is to be switched on, [`NEVER`] once it is.
    deadline: Moment,
    phase: Phase,
}

impl Entry {
    pub(super) fn new(
        handle: Arc<TunnelHandle>,
        now: Moment,
        max_age: Moment,
        drain: Moment,
    ) -> Entry {
        let pulse = Pulse {
            bytes: 0,
            swallowed: 0,
            heard: now,
            active: now,
            pinged: NEVER,
            pings: 0,
            asked: false,
        };
        Entry {
            handle,
            sides: [pulse; 2],
            max_age,
            drain,
            deadline: now.saturating_add(AGED),
            phase: Phase::Open,
        }
    }

    /// Serves what is due.
    pub(super) fn look(&mut self, now: Moment, drain: Option<&Drain>) {
        self.observe_bytes(now);
        self.observe_phase(now);
        if let Some(drain) = drain {
            if now >= drain.deadline {
                self.handle.cut(Cut::Drain);
                return;
            }
            if now >= self.drain {
                self.drain = NEVER;
                self.handle.close(drain.order.clone());
            }
        }
        if now >= self.deadline {
            self.deadline = NEVER;
            match self.phase {
                Phase::Open => self.handle.ask(command::KEEP_ALIVE),
                Phase::Closed => self.handle.ask(command::FINISH),
                Phase::Half => self.handle.cut(Cut::HalfClose),
                Phase::Border | Phase::Closing => self.handle.cut(Cut::Close),
            }
        }
        if matches!(self.phase, Phase::Open | Phase::Half) {
            self.serve_limits(now);
        }
    }

    /// When the tunnel must be looked at again, if its phase stays what it is.
    pub(super) fn next_look(&self, now: Moment, drain: Option<&Drain>) -> Moment {
        if self.phase != Phase::Open {
            return now;
        }
        let settings = &self.handle.settings;
        let [client, upstream] = &self.sides;
        let mut next = self.max_age.min(self.drain).min(self.deadline);
        if let Some(drain) = drain {
            next = next.min(drain.deadline);
        }
        let mut serve = |limit: u32, silent_since: Moment, look: u32| {
            let end = silent_since.saturating_add(limit);
            next = next.min(end).min(now.saturating_add(look));
        };
        if let Some(limit) = settings.idle_timeout.map(tenths) {
            let look = (limit / IDLE_SHARE).clamp(SECOND, LONGEST_IDLE_LOOK);
            serve(limit, client.active.max(upstream.active), look);
        }
        if let Some(interval) = settings.ping_interval.map(tenths) {
            let look = (interval / PING_SHARE).clamp(SECOND, LONGEST_PING_LOOK);
            for pulse in &self.sides {
                if pulse.asked || pulse.pinged != NEVER {
                    serve(NEVER, now, SECOND);
                } else {
                    serve(interval, pulse.heard, look);
                }
            }
        }
        // What is overdue already waits for the tunnel to act, which changes its phase.
        next.max(now + 1)
    }

    fn observe_bytes(&mut self, now: Moment) {
        for (i, pulse) in self.sides.iter_mut().enumerate() {
            let bytes = self.handle.counters[i].bytes() as u32;
            if bytes == pulse.bytes {
                continue;
            }
            let swallowed = self.handle.swallowed[i].load(Relaxed);
            if bytes.wrapping_sub(swallowed) != pulse.bytes.wrapping_sub(pulse.swallowed) {
                pulse.active = now;
            }
            pulse.bytes = bytes;
            pulse.swallowed = swallowed;
            pulse.heard = now;
            pulse.pinged = NEVER;
        }
    }

    fn observe_phase(&mut self, now: Moment) {
        let phase = self.handle.phase();
        if phase == self.phase {
            return;
        }
        self.phase = phase;
        let settings = &self.handle.settings;
        let limit = match phase {
            Phase::Open => return self.deadline = NEVER,
            Phase::Half | Phase::Border => settings.half_close_timeout,
            Phase::Closing => settings.close_timeout,
            Phase::Closed => return self.deadline = now + GRACE,
        };
        self.deadline = now.saturating_add(tenths(limit));
    }

    /// Idle timeout, maximum age and keep-alive.
    fn serve_limits(&mut self, now: Moment) {
        let [client, upstream] = &self.sides;
        let settings = self.handle.settings.clone();
        let silent = now.saturating_sub(client.active.max(upstream.active));
        if settings
            .idle_timeout
            .is_some_and(|limit| silent >= tenths(limit))
        {
            self.close(ClosedBy::Idle, "idle timeout");
        } else if now >= self.max_age {
            self.max_age = NEVER;
            self.close(ClosedBy::MaxAge, "maximum age reached");
        } else if let Some(interval) = settings.ping_interval.filter(|_| self.phase == Phase::Open)
        {
            let timeout = tenths(settings.ping_timeout);
            self.keep_alive(Side::Client, now, tenths(interval), timeout);
            self.keep_alive(Side::Upstream, now, tenths(interval), timeout);
        }
    }

    fn keep_alive(&mut self, side: Side, now: Moment, interval: u32, timeout: u32) {
        let pulse = &mut self.sides[side as usize];
        let pings = self.handle.pinged[side as usize].load(Relaxed);
        if pings != pulse.pings {
            pulse.pings = pings;
            pulse.asked = false;
            // Bytes that came since the last look may be the answer already.
            if pulse.heard != now {
                pulse.pinged = now;
            }
        }
        if pulse.pinged != NEVER {
            if now.saturating_sub(pulse.pinged) >= timeout {
                pulse.pinged = NEVER;
                self.close(
                    ClosedBy::KeepAlive,
                    match side {
                        Side::Client => "client did not answer a ping",
                        Side::Upstream => "upstream did not answer a ping",
                    },
                );
            }
        } else if !pulse.asked && now.saturating_sub(pulse.heard) >= interval {
            pulse.asked = true;
            self.handle.ask(match side {
                Side::Client => command::PING_CLIENT,
                Side::Upstream => command::PING_UPSTREAM,
            });
        }
    }

    fn close(&self, by: ClosedBy, why: &'static str) {
        self.handle.close(Arc::new(CloseOrder {
            by,
            detail: (by == ClosedBy::KeepAlive).then_some(why),
            client_code: GOING_AWAY,
            upstream_code: GOING_AWAY,
            reason: why.into(),
        }));
    }
}

/// RFC 6455 section 7.4.1.
const GOING_AWAY: u16 = 1001;
