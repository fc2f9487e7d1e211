//! One tunnel as its worker's clock sees it: what is due, and when to look again.

mod restore;

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::close::{CloseOrder, Cut};
use super::command;
use super::handle::TunnelHandle;
use super::local_drain::{LocalDrain, pick};
use super::moment::{Moment, NEVER, Now, tenths};
use super::phase::Phase;
use crate::config::WebSocketConfig;
use crate::vocabulary::{ClosedBy, Side};

const SECOND: u32 = 10;
/// How long a complete closing handshake waits for the upstream to end its stream.
const GRACE: u32 = 2;
/// The age at which a tunnel is worth the system calls that TCP keep-alive costs.
const AGED: u32 = 4 * SECOND;
/// The share of the interval by which a Ping may come earlier.
const PING_JITTER: u32 = 4;
/// What new settings make overdue is spread over this, or over the limit where that is
/// shorter: a change of a limit must not bring all clients back in the same second.
const SPREAD: u32 = 30 * SECOND;

/// What the clock knows of one side.
#[derive(Debug, Clone, Copy)]
struct Pulse {
    /// The byte counter when last looked at, its low half.
    bytes: u32,
    /// When bytes were last seen to have come.
    heard: Moment,
    /// When our unanswered Ping was seen to have been written; [`NEVER`] without one.
    pinged: Moment,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) handle: Arc<TunnelHandle>,
    sides: [Pulse; 2],
    /// The handle's counts of our Pings when last looked at.
    pings: [u8; 2],
    /// Which side's Ping was asked for and is not written yet.
    ping_asked: [bool; 2],
    /// Bytes from both that answered our Pings, when last looked at, modulo 2^32.
    swallowed: u32,
    /// When others were last seen to have come from either: keep-alive must not defeat the idle
    /// timeout.
    active: Moment,
    /// The same, for those who ask: no change of settings moves it.
    pub(super) seen: Moment,
    max_age: Moment,
    /// The drain that the tunnel is in.
    pub(super) drain: Option<Rc<LocalDrain>>,
    /// When that closes it; [`NEVER`] once it was told to.
    pub(super) close_at: Moment,
    /// When a phase other than [`Phase::Open`] has lasted too long. In that one: when TCP
    /// keep-alive is to be switched on, [`NEVER`] once it is.
    deadline: Moment,
    phase: Phase,
    /// It came after the deadline of its drain, which does not apply to it.
    pub(super) late: bool,
    /// It was asked to go to another process.
    pub(super) asked: bool,
}

/// Thousands of idle tunnels hold one each.
const _: () = assert!(size_of::<Entry>() <= 72);

impl Entry {
    /// For a tunnel that was opened `age` ago, in tenths of a second.
    pub(super) fn new(handle: Arc<TunnelHandle>, now: Now, age: u32) -> Entry {
        let Now { moment: now, real } = now;
        let pulse = Pulse {
            bytes: 0,
            heard: now,
            pinged: NEVER,
        };
        let life = life(&handle.settings(), handle.id);
        Entry {
            handle,
            sides: [pulse; 2],
            pings: [0; 2],
            ping_asked: [false; 2],
            swallowed: 0,
            active: now,
            seen: real,
            max_age: life.map_or(NEVER, |life| now.saturating_add(life.saturating_sub(age))),
            drain: None,
            close_at: NEVER,
            deadline: now.saturating_add(AGED),
            phase: Phase::Open,
            late: false,
            asked: false,
        }
    }

    /// Goes on under other settings, `age` tenths of a second after the opening.
    pub(super) fn set(&mut self, settings: &Arc<WebSocketConfig>, now: Now, age: u32) {
        self.observe(now);
        let now = now.moment;
        let before = self.handle.swap_settings(settings);
        self.max_age = match life(settings, self.handle.id) {
            None => NEVER,
            Some(life) if life > age => now.saturating_add(life - age),
            Some(life) => self.max_age.min(soon(now, life)),
        };
        if before.unread_timeout != settings.unread_timeout {
            self.handle.ask(command::KEEP_ALIVE);
        }
        if let Some(limit) = settings.idle_timeout.map(tenths) {
            self.active = spread(self.active, limit, before.idle_timeout, now);
        }
        let Some(interval) = settings.ping_interval.map(tenths) else {
            return;
        };
        for (side, pulse) in self.sides.iter_mut().enumerate() {
            if before.ping_interval.is_none() {
                // What became of earlier Pings was not followed.
                self.pings[side] = self.handle.pinged[side].load(Relaxed);
                self.ping_asked[side] = false;
                pulse.pinged = NEVER;
            }
            pulse.heard = spread(pulse.heard, interval, before.ping_interval, now);
        }
    }

    /// Serves what is due.
    pub(super) fn look(&mut self, now: Now) {
        self.observe(now);
        let now = now.moment;
        self.observe_phase(now);
        if self.serve_drain(now) {
            return;
        }
        if now >= self.deadline {
            self.deadline = NEVER;
            match self.phase {
                Phase::Open => self.handle.ask(command::KEEP_ALIVE),
                Phase::Closed => self.handle.ask(command::FINISH),
                Phase::Half => self.handle.cut(Cut::HalfClose),
                Phase::Boundary | Phase::Closing => self.handle.cut(Cut::Close),
            }
        }
        if matches!(self.phase, Phase::Open | Phase::Half) {
            if self.phase == Phase::Half || self.handle.is_blocked() {
                self.handle.ask(command::PROBE);
            }
            self.serve_limits(now);
        }
    }

    /// When the tunnel must be looked at again, if its phase stays what it is, at the latest:
    /// what comes meanwhile puts it off, which is seen then.
    pub(super) fn next_look(&self, now: Moment) -> Moment {
        let mut next = self.next_turn().min(self.deadline);
        if matches!(self.phase, Phase::Open | Phase::Half) {
            next = next.min(self.next_limit(now));
            if self.phase == Phase::Half || self.handle.is_blocked() {
                next = next.min(now.saturating_add(SECOND));
            }
        }
        // What is overdue already waits for the tunnel to act, which changes its phase.
        next.max(now + 1)
    }

    /// When idle timeout, maximum age or keep-alive are due.
    fn next_limit(&self, now: Moment) -> Moment {
        let settings = self.handle.settings();
        let mut next = self.max_age;
        if let Some(limit) = settings.idle_timeout.map(tenths) {
            next = next.min(self.active.saturating_add(limit));
        }
        let interval = settings.ping_interval.filter(|_| self.may_ping());
        if let Some(interval) = interval.map(tenths) {
            for (side, pulse) in self.sides.iter().enumerate() {
                next = next.min(match self.ping_asked[side] || pulse.pinged != NEVER {
                    // Until it is written, and answered.
                    true => now.saturating_add(SECOND),
                    false => pulse.heard.saturating_add(self.ping_after(side, interval)),
                });
            }
        }
        next
    }

    /// Notes what has come since the last time. Whatever visits a tunnel comes here.
    pub(super) fn observe(&mut self, now: Now) {
        #[cfg(test)]
        VISITS.set(VISITS.get() + 1);
        let swallowed = self.handle.swallowed_bytes();
        let mut passed = self.swallowed.wrapping_sub(swallowed);
        for (side, pulse) in self.sides.iter_mut().enumerate() {
            let bytes = self.handle.counters[side].bytes() as u32;
            if bytes != pulse.bytes {
                passed = passed.wrapping_add(bytes.wrapping_sub(pulse.bytes));
                pulse.bytes = bytes;
                pulse.heard = now.moment;
                // They may be the answer to a Ping that was written meanwhile.
                pulse.pinged = NEVER;
                let pings = self.handle.pinged[side].load(Relaxed);
                self.ping_asked[side] &= pings == self.pings[side];
                self.pings[side] = pings;
            }
        }
        self.swallowed = swallowed;
        if passed != 0 {
            self.active = now.moment;
            self.seen = now.real;
        }
    }

    fn observe_phase(&mut self, now: Moment) {
        let phase = self.handle.phase();
        if phase == self.phase {
            return;
        }
        self.phase = phase;
        let settings = self.handle.settings();
        let limit = match phase {
            // An end that could not be read, and whose bytes move again.
            Phase::Open => return self.deadline = now.saturating_add(AGED),
            // Where there are no Close frames, one direction may well be the last (the output
            // of a command whose input has ended): only silence limits it.
            Phase::Half
                if self.handle.identity.upgrade().is_some() && !self.handle.is_closing() =>
            {
                return self.deadline = NEVER;
            }
            Phase::Half | Phase::Boundary => settings.half_close_timeout,
            Phase::Closing => settings.close_timeout,
            Phase::Closed => return self.deadline = now + GRACE,
        };
        self.deadline = now.saturating_add(tenths(limit));
    }

    /// Idle timeout, maximum age and keep-alive.
    fn serve_limits(&mut self, now: Moment) {
        let settings = self.handle.settings();
        let silent = now.saturating_sub(self.active);
        if settings
            .idle_timeout
            .is_some_and(|limit| silent >= tenths(limit))
        {
            self.close(ClosedBy::Idle, "idle timeout");
        } else if now >= self.max_age {
            self.max_age = NEVER;
            self.close(ClosedBy::MaxAge, "maximum age reached");
        } else if let Some(interval) = settings.ping_interval.filter(|_| self.may_ping()) {
            let timeout = tenths(settings.ping_timeout);
            self.keep_alive(Side::Client, now, tenths(interval), timeout);
            self.keep_alive(Side::Upstream, now, tenths(interval), timeout);
        }
    }

    /// The silence after which a side's next Ping is due: `interval`, shortened by a share of
    /// its own for each tunnel, side and Ping. Tunnels that opened together, or whose Pings
    /// were answered together, do not stay together.
    fn ping_after(&self, side: usize, interval: u32) -> u32 {
        let ping = u64::from(self.pings[side]) << 1 | side as u64;
        let mut random = fastrand::Rng::with_seed(self.handle.id << 9 | ping);
        interval - (f64::from(interval / PING_JITTER) * random.f64()) as u32
    }

    /// Whether a Ping can be sent: not without frames.
    fn may_ping(&self) -> bool {
        self.phase == Phase::Open && self.handle.identity.upgrade().is_none()
    }

    fn keep_alive(&mut self, side: Side, now: Moment, interval: u32, timeout: u32) {
        let interval = self.ping_after(side as usize, interval);
        let pulse = &mut self.sides[side as usize];
        let asked = &mut self.ping_asked[side as usize];
        let pings = self.handle.pinged[side as usize].load(Relaxed);
        if pings != self.pings[side as usize] {
            self.pings[side as usize] = pings;
            *asked = false;
            pulse.pinged = now;
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
        } else if !*asked && now.saturating_sub(pulse.heard) >= interval {
            *asked = true;
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

#[cfg(test)]
thread_local! {
    static VISITS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// How often a tunnel of this thread was visited.
#[cfg(test)]
pub(crate) fn visits() -> u64 {
    VISITS.get()
}

/// How long a tunnel may live: `max_age`, shortened by a share that stays the tunnel's own
/// when the settings change, so that a reload does not roll the dice again.
fn life(settings: &WebSocketConfig, id: u64) -> Option<u32> {
    settings.max_age.map(|age| {
        let share = settings.max_age_jitter.clamp(0.0, 1.0) * fastrand::Rng::with_seed(id).f64();
        tenths(age.mul_f64(1.0 - share))
    })
}

/// A moment for what new settings made overdue.
fn soon(now: Moment, limit: u32) -> Moment {
    pick(now, now.saturating_add(limit.min(SPREAD)))
}

/// The beginning that a silence is given, so that it reaches `limit` [`soon`] where it is
/// longer already. One that was too long under the limit `before` is not put off.
fn spread(since: Moment, limit: u32, before: Option<Duration>, now: Moment) -> Moment {
    let silent = now.saturating_sub(since);
    let overdue = before.is_some_and(|before| silent >= tenths(before));
    if silent < limit || overdue {
        since
    } else {
        soon(now, limit).saturating_sub(limit)
    }
}

/// RFC 6455 section 7.4.1.
const GOING_AWAY: u16 = 1001;
