//! A worker's live tunnels and their only clock. Silence is seen by comparing byte counters,
//! so no message reads a clock, and no tunnel owns a timer. A tick reads four bytes for each
//! tunnel, and looks closer only where something can be due. An idle tunnel's task is not
//! woken.
//!
//! Decides when something is due; how it is carried out is the tunnel's own matter.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::frame::Side;
use super::handle::{CloseOrder, Cut, Phase, TunnelHandle, command};
use super::report::ClosedBy;
use crate::config::DrainConfig;

/// How often [`tick`] should be called.
pub const TICK: Duration = Duration::from_millis(250);
/// A moment in tenths of a second since the registry began; enough for 13 years.
type Moment = u32;

const NEVER: Moment = Moment::MAX;

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

fn tenths(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis().div_ceil(100)).unwrap_or(NEVER)
}

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
struct Entry {
    handle: Arc<TunnelHandle>,
    sides: [Pulse; 2],
    max_age: Moment,
    drain: Moment,
    /// When a phase other than [`Phase::Open`] has lasted too long. In that one: when TCP
    /// keep-alive is to be switched on, [`NEVER`] once it is.
    deadline: Moment,
    phase: Phase,
}

/// A drain under way.
#[derive(Debug, Clone)]
struct Drain {
    order: Arc<CloseOrder>,
    from: Moment,
    over: u32,
    deadline: Moment,
}

#[derive(Debug)]
struct Registry {
    epoch: Instant,
    entries: Vec<Entry>,
    /// When each entry must be looked at, at its index: apart from the entries, so that
    /// thousands of idle ones cost a tick a few cache lines.
    due: Vec<Moment>,
    drain: Option<Drain>,
}

thread_local! {
    static REGISTRY: RefCell<Registry> = RefCell::new(Registry {
        epoch: Instant::now(),
        entries: Vec::new(),
        due: Vec::new(),
        drain: None,
    });
}

/// How many tunnels live on this thread.
pub fn count() -> usize {
    REGISTRY
        .try_with(|registry| registry.borrow().entries.len())
        .unwrap_or(0)
}

/// The live tunnels of this thread.
pub fn handles() -> Vec<Arc<TunnelHandle>> {
    REGISTRY.with_borrow(|registry| {
        registry
            .entries
            .iter()
            .map(|entry| entry.handle.clone())
            .collect()
    })
}

/// Serves every deadline of every tunnel of this thread; to be called every [`TICK`].
pub fn tick(now: Instant) {
    REGISTRY.with_borrow_mut(|registry| registry.tick(now));
}

/// Marks every tunnel of this thread, and those still to come, for a close at a moment
/// chosen at random over `drain.over`; what is left at `drain.deadline` is cut.
pub fn drain(config: &DrainConfig, now: Instant) {
    let order = Arc::new(CloseOrder {
        by: ClosedBy::Drain,
        detail: None,
        client_code: config.client_code,
        upstream_code: config.upstream_code,
        reason: config.reason.as_str().into(),
    });
    REGISTRY.with_borrow_mut(|registry| {
        let from = registry.moment(now);
        let drain = Drain {
            order,
            from,
            over: tenths(config.over),
            deadline: from.saturating_add(tenths(config.deadline)),
        };
        for (entry, due) in registry.entries.iter_mut().zip(&mut registry.due) {
            entry.drain = drain.pick(from);
            *due = (*due).min(entry.drain).min(drain.deadline);
        }
        registry.drain = Some(drain);
    });
}

/// Takes a drain back for the tunnels that it has not reached yet.
pub fn undrain() {
    REGISTRY.with_borrow_mut(|registry| {
        registry.drain = None;
        for entry in &mut registry.entries {
            entry.drain = NEVER;
        }
    });
}

/// Ends every tunnel of this thread at once. Returns how many there were.
pub fn cut_all(why: Cut) -> usize {
    let handles = handles();
    for handle in &handles {
        handle.cut(why);
    }
    handles.len()
}

pub(super) fn add(handle: &Arc<TunnelHandle>) {
    REGISTRY.with_borrow_mut(|registry| {
        let now = registry.moment(handle.opened);
        let settings = &handle.settings;
        let max_age = settings.max_age.map_or(NEVER, |age| {
            let share = settings.max_age_jitter.clamp(0.0, 1.0) * fastrand::f64();
            now.saturating_add(tenths(age.mul_f64(1.0 - share)))
        });
        let pulse = Pulse {
            bytes: 0,
            swallowed: 0,
            heard: now,
            active: now,
            pinged: NEVER,
            pings: 0,
            asked: false,
        };
        let drain = registry
            .drain
            .as_ref()
            .map_or(NEVER, |drain| drain.pick(now));
        handle.index.store(registry.entries.len() as u32, Relaxed);
        let entry = Entry {
            handle: handle.clone(),
            sides: [pulse; 2],
            max_age,
            drain,
            deadline: now.saturating_add(AGED),
            phase: Phase::Open,
        };
        let due = entry.next_look(now, registry.drain.as_ref());
        registry.due.push(due);
        registry.entries.push(entry);
    });
}

pub(super) fn remove(handle: &Arc<TunnelHandle>) {
    // The thread's end may come first, and a task may be dropped on another thread.
    let _ = REGISTRY.try_with(|registry| {
        let Ok(mut registry) = registry.try_borrow_mut() else {
            return;
        };
        let index = handle.index.load(Relaxed) as usize;
        let entries = &mut registry.entries;
        if entries
            .get(index)
            .is_some_and(|entry| Arc::ptr_eq(&entry.handle, handle))
        {
            entries.swap_remove(index);
            if let Some(moved) = entries.get(index) {
                moved.handle.index.store(index as u32, Relaxed);
            }
            if entries.is_empty() {
                entries.shrink_to(64);
            }
            registry.due.swap_remove(index);
        }
    });
}

/// The tunnel's phase has changed: the next tick looks at it.
pub(super) fn touch(handle: &TunnelHandle) {
    let _ = REGISTRY.try_with(|registry| {
        let Ok(mut registry) = registry.try_borrow_mut() else {
            return;
        };
        let index = handle.index.load(Relaxed) as usize;
        if let Some(due) = registry.due.get_mut(index) {
            *due = 0;
        }
    });
}

impl Drain {
    /// A moment for one tunnel, uniform over what is left of the span.
    fn pick(&self, now: Moment) -> Moment {
        let end = self.from.saturating_add(self.over).max(now);
        fastrand::u32(now..=end)
    }
}

impl Registry {
    fn moment(&self, now: Instant) -> Moment {
        let elapsed = now.saturating_duration_since(self.epoch);
        Moment::try_from(elapsed.as_millis() / 100).unwrap_or(NEVER - 1)
    }

    fn tick(&mut self, now: Instant) {
        let now = self.moment(now);
        let drain = self.drain.as_ref();
        for (index, due) in self.due.iter_mut().enumerate() {
            if *due > now {
                continue;
            }
            if let Some(entry) = self.entries.get_mut(index) {
                entry.look(now, drain);
                *due = entry.next_look(now, drain);
            }
        }
    }
}

impl Entry {
    fn look(&mut self, now: Moment, drain: Option<&Drain>) {
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
    fn next_look(&self, now: Moment, drain: Option<&Drain>) -> Moment {
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
