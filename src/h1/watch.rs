//! What a client connection is waiting for, seen by the worker's tick: head, body,
//! keep-alive, write and upstream time-outs with no timer and no clock read of their own.
//!
//! The connection counts its activity (relaxed stores); the tick compares the counts with
//! those it saw last, and one that has not moved for too long is a [`Timeout`].

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::task::Waker;
use std::time::{Duration, Instant};

use super::turn::Turn;
use crate::config::HttpConfig;
use crate::message::framing::Phase;
use crate::proxy::clock;
use crate::proxy::stream::SlowBody;

/// How long a slow body may take to gather speed before `min_rate` applies.
const RATE_GRACE: Duration = Duration::from_secs(5);

/// How often a client that has ended its direction is asked whether it is still there.
const PROBE: Duration = Duration::from_secs(5);

/// Whose time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Timeout {
    /// There is none.
    None = 0,
    /// The connection was idle between requests.
    KeepAlive = 1,
    /// The request head did not become complete.
    Head = 2,
    /// The request body fell silent.
    BodyIdle = 3,
    /// The request body is slower than `min_rate`.
    BodyRate = 4,
    /// The client does not take its answer.
    Write = 5,
}

/// The activity of one client connection.
#[derive(Debug, Default)]
pub struct Watch {
    waker: OnceLock<Waker>,
    timeout: AtomicU8,
    phase: AtomicU8,
    heads: AtomicU64,
    received: AtomicU64,
    body: AtomicU64,
    sent: AtomicU64,
    /// Bytes of answers that hyper holds and the socket has not taken; what hyper adds to
    /// them is not counted.
    held: AtomicU64,
    read_pending: AtomicBool,
    write_pending: AtomicBool,
    half_closed: AtomicBool,
    look: AtomicBool,
    probe: AtomicBool,
    /// The exchange under way.
    pub turn: Turn,
}

impl Watch {
    /// The task to wake with a timeout: the connection's own.
    pub fn set_waker(&self, waker: &Waker) {
        self.waker.get_or_init(|| waker.clone());
    }

    /// Wakes the connection's task.
    pub fn wake(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    /// Bytes came from the client and were scanned.
    /// `body`: data bytes of the latest request so far.
    pub fn read(&self, n: usize, phase: Phase, heads: u64, body: u64) {
        self.body.store(body, Relaxed);
        self.received
            .store(self.received.load(Relaxed) + n as u64, Relaxed);
        self.phase.store(phase as u8, Relaxed);
        self.heads.store(heads, Relaxed);
        self.read_pending.store(false, Relaxed);
    }

    /// Whether the last request asks for WebSocket.
    pub fn is_after_handshake(&self) -> bool {
        self.phase.load(Relaxed) == Phase::Upgrade as u8
    }

    /// Whether the body of the last request is not complete.
    pub fn is_in_body(&self) -> bool {
        self.phase.load(Relaxed) == Phase::Body as u8
    }

    /// Whether the scanner holds back what comes until the request before it is answered.
    pub fn is_held(&self) -> bool {
        let phase = self.phase.load(Relaxed);
        phase == Phase::Held as u8 || phase == Phase::Upgrade as u8
    }

    /// Whether a read found nothing, with all heads and bodies so far complete.
    pub fn is_between_requests(&self) -> bool {
        self.read_pending.load(Relaxed) && self.phase.load(Relaxed) == Phase::Idle as u8
    }

    /// Whether the next request has begun and waits for the rest of its head.
    pub fn is_in_head(&self) -> bool {
        self.phase.load(Relaxed) == Phase::Head as u8 && !self.turn.is_under_way()
    }

    /// Heads that the scanner has seen the end of.
    pub fn heads(&self) -> u64 {
        self.heads.load(Relaxed)
    }

    /// A read found nothing.
    pub fn read_blocked(&self) {
        self.read_pending.store(true, Relaxed);
    }

    /// hyper is given bytes for the client.
    pub fn handed(&self, n: usize) {
        self.held.store(self.held.load(Relaxed) + n as u64, Relaxed);
    }

    /// Bytes that hyper was given and that have not been written.
    pub fn held(&self) -> u64 {
        self.held.load(Relaxed)
    }

    /// hyper holds nothing any more.
    pub fn flushed(&self) {
        self.held.store(0, Relaxed);
    }

    /// Bytes went to the client; `all`: everything that was offered.
    pub fn wrote(&self, n: usize, all: bool) {
        let held = self.held.load(Relaxed).saturating_sub(n as u64);
        self.held.store(held, Relaxed);
        self.sent.store(self.sent.load(Relaxed) + n as u64, Relaxed);
        self.write_pending.store(!all, Relaxed);
    }

    /// The client's socket is full.
    pub fn write_blocked(&self) {
        self.write_pending.store(true, Relaxed);
    }

    /// Bytes received from the client so far.
    pub fn received(&self) -> u64 {
        self.received.load(Relaxed)
    }

    /// Data bytes of the latest request's body so far.
    pub fn body(&self) -> u64 {
        self.body.load(Relaxed)
    }

    /// Whether hyper still holds bytes that the socket did not take.
    pub fn is_write_blocked(&self) -> bool {
        self.write_pending.load(Relaxed)
    }

    /// The client has ended its direction while an exchange goes on.
    pub fn half_closed(&self) {
        self.half_closed.store(true, Relaxed);
    }

    /// Whether a reset of the client would come without a wake-up: an exchange goes on, and no
    /// read waits for the socket.
    fn is_unread(&self) -> bool {
        self.half_closed.load(Relaxed)
            || (self.turn.is_under_way() && !self.read_pending.load(Relaxed))
    }

    /// Whether the tick asks for a check that the client is still there.
    pub fn take_look(&self) -> bool {
        self.look.load(Relaxed) && self.look.swap(false, Relaxed)
    }

    /// Whether it is time to ask a half-closed client whether it is still there.
    pub fn take_probe(&self) -> bool {
        self.probe.swap(false, Relaxed)
    }

    /// The timeout of the client's body, which the exchange under way answers.
    pub fn take_slow_body(&self) -> Option<SlowBody> {
        let slow = match self.timeout() {
            Timeout::BodyIdle => SlowBody::Idle,
            Timeout::BodyRate => SlowBody::Rate,
            _ => return None,
        };
        self.timeout.store(Timeout::None as u8, Relaxed);
        Some(slow)
    }

    /// The upstream need not ask for the body any more.
    pub fn end_continue(&self) {
        if self.turn.clock.end_continue() {
            self.wake();
        }
    }

    /// Whose time is up, as the last tick saw it.
    pub fn timeout(&self) -> Timeout {
        match self.timeout.load(Relaxed) {
            1 => Timeout::KeepAlive,
            2 => Timeout::Head,
            3 => Timeout::BodyIdle,
            4 => Timeout::BodyRate,
            5 => Timeout::Write,
            _ => Timeout::None,
        }
    }

    /// One tick: compares the activity with the past one and wakes the task on a timeout.
    pub fn tick(&self, past: &mut Past, now: Instant, http: &HttpConfig) {
        if self.half_closed.load(Relaxed) && now - *past.probed.get_or_insert(now) >= PROBE {
            past.probed = Some(now);
            self.probe.store(true, Relaxed);
        }
        if self.is_unread() {
            self.look.store(true, Relaxed);
            self.wake();
        }
        // A client that does not take the answer is not the upstream's silence.
        if self
            .turn
            .clock
            .tick(&mut past.upstream, now, self.is_write_blocked())
        {
            self.wake();
        }
        if self.timeout.load(Relaxed) != 0 {
            return;
        }
        let timeout = self
            .client_read(past, now, http)
            .or_else(|| self.client_write(past, now, http));
        past.last_tick = now;
        if let Some(timeout) = timeout {
            self.timeout.store(timeout as u8, Relaxed);
            self.wake();
        }
    }

    fn client_read(&self, past: &mut Past, now: Instant, http: &HttpConfig) -> Option<Timeout> {
        let heads = self.heads.load(Relaxed);
        let received = self.received.load(Relaxed);
        let phase = self.phase.load(Relaxed);
        let body = phase == Phase::Body as u8;
        let (limit, timeout) = if !self.read_pending.load(Relaxed) {
            (None, Timeout::None)
        } else if phase == Phase::Head as u8 && !self.turn.is_under_way() {
            // The time of a pipelined head begins with its turn.
            (Some(http.head_timeout), Timeout::Head)
        } else if body {
            (Some(http.body_timeout), Timeout::BodyIdle)
        } else if phase == Phase::Idle as u8
            && !self.turn.is_under_way()
            && !self.is_write_blocked()
        {
            // While an answer is still being taken, the client is slow, not idle.
            match heads {
                0 => (Some(http.head_timeout), Timeout::Head),
                _ => (Some(http.keepalive_timeout), Timeout::KeepAlive),
            }
        } else {
            (None, Timeout::None)
        };
        if heads != past.rate_heads {
            past.rate_heads = heads;
            past.rate_base = received;
            past.rate_waited = Duration::ZERO;
        }
        // Only a body's silence counts bytes: a head that drips must still end in time.
        let key = (timeout, heads, if body { received } else { 0 });
        if key != past.read_key {
            past.read_key = key;
            past.read_since = now;
        }
        let limit = limit?;
        if now - past.read_since >= limit {
            return Some(timeout);
        }
        if body && http.min_rate > 0 {
            past.rate_waited += now - past.last_tick;
            let due = past.rate_waited.as_secs() * http.min_rate;
            if past.rate_waited > RATE_GRACE && received - past.rate_base < due {
                return Some(Timeout::BodyRate);
            }
        }
        None
    }

    fn client_write(&self, past: &mut Past, now: Instant, http: &HttpConfig) -> Option<Timeout> {
        let key = self
            .write_pending
            .load(Relaxed)
            .then(|| self.sent.load(Relaxed));
        if key.is_none() || key != past.write_key {
            past.write_key = key;
            past.write_since = now;
            return None;
        }
        (now - past.write_since >= http.write_timeout).then_some(Timeout::Write)
    }
}

/// The activity as the last tick saw it. Owned by the tick alone.
#[derive(Debug)]
pub struct Past {
    last_tick: Instant,
    read_key: (Timeout, u64, u64),
    read_since: Instant,
    rate_heads: u64,
    rate_base: u64,
    rate_waited: Duration,
    write_key: Option<u64>,
    write_since: Instant,
    upstream: clock::Past,
    /// When a half-closed client was last asked.
    probed: Option<Instant>,
}

impl Past {
    /// Leaves a span out of account.
    pub fn forgive(&mut self, span: Duration) {
        for moment in [
            &mut self.last_tick,
            &mut self.read_since,
            &mut self.write_since,
        ] {
            *moment += span;
        }
        self.upstream.forgive(span);
    }

    /// A connection accepted at `now`.
    pub fn new(now: Instant) -> Self {
        Past {
            last_tick: now,
            read_key: (Timeout::None, 0, 0),
            read_since: now,
            rate_heads: 0,
            rate_base: 0,
            rate_waited: Duration::ZERO,
            write_key: None,
            write_since: now,
            upstream: clock::Past::new(now),
            probed: None,
        }
    }
}

#[cfg(test)]
mod tests;
