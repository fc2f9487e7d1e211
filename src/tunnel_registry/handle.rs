//! What others see of a tunnel: its numbers, and the way to ask it for something. The
//! registry, a drain and the admin interface hold it; the tunnel's own state stays in its
//! task.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::task::Waker;
use std::time::{Duration, Instant};

use super::close::{CloseOrder, Cut};
use super::phase::Phase;
use super::{command, number};
use crate::config::WebSocketConfig;
use crate::system::lock::lock;
use crate::tunnel_info::{TunnelIdentity, TunnelReport};
use crate::vocabulary::Side;
use crate::vocabulary::counters::{Counters, Tally};

/// What a tunnel that goes on has lived through so far.
#[derive(Debug)]
pub struct Past {
    /// The number that it keeps.
    pub id: u64,
    /// Since its opening.
    pub age: Duration,
    /// One direction has ended.
    pub is_half_closed: bool,
    /// What came from the client and from the upstream.
    pub counters: [Tally; 2],
    /// Our Pings to each of them.
    pub pings: [PingCounts; 2],
}

/// Our Pings to one side, in numbers.
#[derive(Debug, Clone, Copy, Default)]
pub struct PingCounts {
    /// How many were written, modulo 256.
    pub sent: u8,
    /// Bytes of the Pongs that answered them, modulo 2^32.
    pub swallowed: u32,
    /// The last round trip in microseconds; 0 is unknown.
    pub rtt: u32,
}

/// What others see of one tunnel.
#[derive(Debug)]
pub struct TunnelHandle {
    /// Unique in the process.
    pub id: u64,
    /// Whose it is.
    pub identity: Box<TunnelIdentity>,
    /// When it was opened.
    pub opened: Instant,
    /// The settings in force; the registry replaces them.
    settings: Mutex<Arc<WebSocketConfig>>,
    /// Called at the end; it stands here because the allocation has room for it.
    pub(crate) report: fn(&TunnelReport<'_>),
    pub(crate) counters: [Counters; 2],
    /// Last ping round trip of each side in microseconds; 0 is unknown.
    rtt: [AtomicU32; 2],
    waker: OnceLock<Waker>,
    order: OnceLock<Arc<CloseOrder>>,
    /// The place in the worker's registry.
    pub(super) index: AtomicU32,
    /// The place among those that have moved something of late, from 1; 0: it has not.
    pub(super) noted: AtomicU32,
    command: AtomicU8,
    cut: AtomicU8,
    phase: AtomicU8,
    /// A tap follows it; only its own thread looks, and changes this.
    tapped: AtomicBool,
    /// Which directions wait for their sinks, as bits by their senders. Written by the task.
    blocked: AtomicU8,
    /// Pings of ours written to each side, modulo 256.
    pub(super) pinged: [AtomicU8; 2],
    /// Bytes of Pongs from each side that answered our Pings, modulo 2^32.
    pub(super) swallowed: [AtomicU32; 2],
}

impl TunnelHandle {
    /// That of a tunnel that begins now.
    pub fn new(
        identity: Box<TunnelIdentity>,
        settings: Arc<WebSocketConfig>,
        report: fn(&TunnelReport<'_>),
    ) -> Self {
        Self::with_id(number::take(), identity, settings, report)
    }

    fn with_id(
        id: u64,
        identity: Box<TunnelIdentity>,
        settings: Arc<WebSocketConfig>,
        report: fn(&TunnelReport<'_>),
    ) -> Self {
        TunnelHandle {
            id,
            identity,
            opened: Instant::now(),
            settings: Mutex::new(settings),
            report,
            counters: Default::default(),
            rtt: Default::default(),
            waker: OnceLock::new(),
            order: OnceLock::new(),
            index: AtomicU32::new(u32::MAX),
            noted: AtomicU32::new(0),
            command: AtomicU8::new(0),
            cut: AtomicU8::new(0),
            phase: AtomicU8::new(0),
            tapped: AtomicBool::new(false),
            blocked: AtomicU8::new(0),
            pinged: Default::default(),
            swallowed: Default::default(),
        }
    }

    /// That of a tunnel that goes on.
    pub fn restore(
        past: &Past,
        identity: Box<TunnelIdentity>,
        settings: Arc<WebSocketConfig>,
        report: fn(&TunnelReport<'_>),
    ) -> Self {
        let now = Instant::now();
        let phase = match past.is_half_closed {
            true => Phase::Half,
            false => Phase::Open,
        };
        TunnelHandle {
            opened: now.checked_sub(past.age).unwrap_or(now),
            counters: past.counters.each_ref().map(Counters::resume),
            rtt: past.pings.map(|pings| pings.rtt.into()),
            phase: AtomicU8::new(phase as u8),
            pinged: past.pings.map(|pings| pings.sent.into()),
            swallowed: past.pings.map(|pings| pings.swallowed.into()),
            ..TunnelHandle::with_id(past.id, identity, settings, report)
        }
    }

    /// What came from `side` so far.
    pub fn counters(&self, side: Side) -> &Counters {
        &self.counters[side as usize]
    }

    /// What came from the client and from the upstream so far.
    pub(crate) fn moved(&self) -> [Tally; 2] {
        [Side::Client, Side::Upstream].map(|side| self.counters(side).tally())
    }

    /// The settings in force.
    pub fn settings(&self) -> Arc<WebSocketConfig> {
        self.lock_settings().clone()
    }

    /// Puts others in force, and returns those that were.
    pub(super) fn swap_settings(&self, settings: &Arc<WebSocketConfig>) -> Arc<WebSocketConfig> {
        std::mem::replace(&mut *self.lock_settings(), settings.clone())
    }

    fn lock_settings(&self) -> MutexGuard<'_, Arc<WebSocketConfig>> {
        lock(&self.settings)
    }

    /// The last round trip of a Ping to `side`, ours or the peers'.
    pub fn rtt(&self, side: Side) -> Option<Duration> {
        match self.rtt[side as usize].load(Ordering::Relaxed) {
            0 => None,
            micros => Some(Duration::from_micros(u64::from(micros))),
        }
    }

    /// Our Pings to `side` so far.
    pub(crate) fn ping_counts(&self, side: Side) -> PingCounts {
        PingCounts {
            sent: self.pinged[side as usize].load(Ordering::Relaxed),
            swallowed: self.swallowed[side as usize].load(Ordering::Relaxed),
            rtt: self.rtt[side as usize].load(Ordering::Relaxed),
        }
    }

    /// A Ping of ours to `side` is written.
    pub(crate) fn count_ping(&self, side: Side) {
        let pinged = &self.pinged[side as usize];
        pinged.store(
            pinged.load(Ordering::Relaxed).wrapping_add(1),
            Ordering::Relaxed,
        );
    }

    /// A Pong of so many bytes from `side` answered a Ping of ours.
    pub(crate) fn count_swallowed(&self, side: Side, bytes: u32) {
        let swallowed = &self.swallowed[side as usize];
        let sum = swallowed.load(Ordering::Relaxed).wrapping_add(bytes);
        swallowed.store(sum, Ordering::Relaxed);
    }

    /// A Ping to `side` was answered after so many microseconds, which are not 0.
    pub(crate) fn set_rtt(&self, side: Side, micros: u32) {
        self.rtt[side as usize].store(micros, Ordering::Relaxed);
    }

    /// Bytes from both sides that answered our Pings, modulo 2^32.
    pub(super) fn swallowed_bytes(&self) -> u32 {
        let [client, upstream] = &self.swallowed;
        let client = client.load(Ordering::Relaxed);
        client.wrapping_add(upstream.load(Ordering::Relaxed))
    }

    /// How far the tunnel is on its way to its end.
    pub fn phase(&self) -> Phase {
        Phase::from_bits(self.phase.load(Ordering::Relaxed))
    }

    /// Asks for a close; the first order stands, later ones change nothing. Returns whether
    /// this was the first.
    pub fn close(&self, order: Arc<CloseOrder>) -> bool {
        let first = self.order.set(order).is_ok();
        if first {
            self.ask(command::CLOSE);
        }
        first
    }

    /// Whether a close was asked for.
    pub fn is_closing(&self) -> bool {
        self.order.get().is_some()
    }

    /// Asks for an end at once, without a Close.
    pub fn cut(&self, why: Cut) {
        self.cut.store(why as u8, Ordering::Relaxed);
        self.ask(command::CUT);
    }

    pub(crate) fn ask(&self, what: u8) {
        self.command.fetch_or(what, Ordering::Release);
        // Before its first poll the task has no waker here, and is yet to look. The fences
        // here and in `set_waker` order one's store before the other's load.
        fence(Ordering::SeqCst);
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    /// Notes whether the direction from `from` waits for its sink. Returns whether that is new.
    pub(crate) fn set_blocked(&self, from: Side, blocked: bool) -> bool {
        let before = self.blocked.load(Ordering::Relaxed);
        let bit = 1 << from as u8;
        let now = if blocked { before | bit } else { before & !bit };
        if now != before {
            self.blocked.store(now, Ordering::Relaxed);
        }
        now != before
    }

    /// Whether data waits for a side that does not take it.
    pub(crate) fn leaves_unread(&self, side: Side) -> bool {
        self.blocked.load(Ordering::Relaxed) & (1 << side.other() as u8) != 0
    }

    /// Whether a direction waits for its sink.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Relaxed) != 0
    }

    /// Whether a tap follows it.
    #[inline]
    pub(crate) fn is_tapped(&self) -> bool {
        self.tapped.load(Ordering::Relaxed)
    }

    pub(crate) fn set_tapped(&self, tapped: bool) {
        self.tapped.store(tapped, Ordering::Relaxed);
    }

    /// Takes what was asked for. One plain load while nothing is.
    #[inline]
    pub(crate) fn take_commands(&self) -> u8 {
        if self.command.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        self.command.swap(0, Ordering::Acquire)
    }

    pub(crate) fn order(&self) -> Option<&Arc<CloseOrder>> {
        self.order.get()
    }

    pub(crate) fn cut_reason(&self) -> Cut {
        match self.cut.load(Ordering::Relaxed) {
            1 => Cut::HalfClose,
            2 => Cut::Close,
            3 => Cut::Drain,
            5 => Cut::Signal,
            6 => Cut::Upgrade,
            _ => Cut::Command,
        }
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// Keeps the task's waker. A task of the runtime has the same one all its life.
    pub(crate) fn set_waker(&self, waker: &Waker) {
        self.waker.get_or_init(|| waker.clone());
        fence(Ordering::SeqCst);
    }

    pub(crate) fn has_waker(&self) -> bool {
        self.waker.get().is_some()
    }

    /// Microseconds since the opening, wrapping after 71 minutes: for short differences.
    pub(crate) fn micros(&self) -> u32 {
        self.opened.elapsed().as_micros() as u32
    }
}
