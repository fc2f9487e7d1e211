//! What others see of a tunnel: its numbers, and the way to ask it for something. The
//! registry, a drain and the admin interface hold it; the tunnel's own state stays in its
//! task.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::task::Waker;
use std::time::{Duration, Instant};

use super::identity::TunnelIdentity;
use super::report::{ClosedBy, TunnelReport};
use super::state::TunnelState;
use crate::config::WebSocketConfig;
use crate::system::lock::lock;
use crate::vocabulary::counters::{Counters, Tally};
use crate::websocket::frame::Side;

/// Why and with what a tunnel is to be closed by sluice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseOrder {
    /// The reason for the log.
    pub by: ClosedBy,
    /// More about it for the log.
    pub detail: Option<&'static str>,
    /// The close code for the client.
    pub client_code: u16,
    /// The close code for the upstream.
    pub upstream_code: u16,
    /// The close reason for both, at most 123 bytes of it are sent.
    pub reason: Box<str>,
}

/// Why a tunnel is ended at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Cut {
    /// One direction had ended and the other did not within `half_close_timeout`.
    HalfClose = 1,
    /// The closing handshake did not end in time.
    Close = 2,
    /// The drain's deadline came.
    Drain = 3,
    /// An operator's command.
    Command = 4,
}

impl Cut {
    pub(super) fn detail(self) -> &'static str {
        match self {
            Cut::HalfClose => "half-close deadline",
            Cut::Close => "close deadline",
            Cut::Drain => "drain deadline",
            Cut::Command => "cut by command",
        }
    }

    pub(super) fn by(self) -> ClosedBy {
        match self {
            Cut::Drain => ClosedBy::Drain,
            Cut::Command => ClosedBy::Command,
            Cut::HalfClose | Cut::Close => ClosedBy::Policy,
        }
    }
}

/// How far a tunnel is on its way to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Both directions flow.
    Open = 0,
    /// One direction has ended; bounded by `half_close_timeout`.
    Half = 1,
    /// Our Close waits for a frame border; bounded by `half_close_timeout`.
    Border = 2,
    /// The closing handshake is under way; bounded by `close_timeout`.
    Closing = 3,
    /// It is complete with both peers; the upstream has a moment to end its stream first.
    Closed = 4,
}

impl Phase {
    fn from_bits(bits: u8) -> Phase {
        match bits {
            0 => Phase::Open,
            1 => Phase::Half,
            2 => Phase::Border,
            3 => Phase::Closing,
            _ => Phase::Closed,
        }
    }
}

/// What a tunnel is asked for, as bits of one byte.
pub(super) mod command {
    /// Ping the client.
    pub(in crate::tunnel) const PING_CLIENT: u8 = 1;
    /// Ping the upstream.
    pub(in crate::tunnel) const PING_UPSTREAM: u8 = 2;
    /// Carry out the close order.
    pub(in crate::tunnel) const CLOSE: u8 = 4;
    /// End at once.
    pub(in crate::tunnel) const CUT: u8 = 8;
    /// End: the closing handshake is complete, and the upstream has had its moment.
    pub(in crate::tunnel) const FINISH: u8 = 16;
    /// Switch TCP keep-alive on towards the upstream.
    pub(in crate::tunnel) const KEEP_ALIVE: u8 = 32;
    /// Leave this process, or say why not.
    pub(in crate::tunnel) const EXPORT: u8 = 64;
    /// Look whether a side is gone: a direction that waits for its sink does not read.
    pub(in crate::tunnel) const PROBE: u8 = 128;
}

/// The face of one tunnel.
#[derive(Debug)]
pub struct TunnelHandle {
    /// Unique in the process.
    pub id: u64,
    /// Whose it is.
    pub identity: Box<TunnelIdentity>,
    /// When it was opened.
    pub opened: Instant,
    /// Those in force; the registry replaces them.
    settings: Mutex<Arc<WebSocketConfig>>,
    /// Called at the end; it stands here because the allocation has room for it.
    pub(super) report: fn(&TunnelReport<'_>),
    pub(super) counters: [Counters; 2],
    /// Last ping round trip of each side in microseconds; 0 is unknown.
    pub(super) rtt: [AtomicU32; 2],
    waker: OnceLock<Waker>,
    order: OnceLock<Arc<CloseOrder>>,
    /// The place in the worker's registry.
    pub(super) index: AtomicU32,
    command: AtomicU8,
    cut: AtomicU8,
    phase: AtomicU8,
    /// Somebody taps it; only its own thread looks, and changes this.
    pub(crate) tapped: AtomicBool,
    /// Which directions wait for their sinks, as bits by their senders. Written by the task.
    blocked: AtomicU8,
    /// Pings of ours written to each side, modulo 256.
    pub(super) pinged: [AtomicU8; 2],
    /// Bytes of Pongs from each side that answered our Pings, modulo 2^32.
    pub(super) swallowed: [AtomicU32; 2],
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// The number that the next tunnel of this process gets.
pub fn next_id() -> u64 {
    NEXT_ID.load(Ordering::Relaxed)
}

/// Keeps the numbers of another process, whose [`next_id`] is `from`, for the tunnels that
/// come from it; also those that it gives out until it accepts no more connections, of which
/// a million are expected at most. To be called before this process opens a tunnel.
pub fn reserve_ids(from: u64) {
    let first = from.min(MOST_RESERVED).saturating_add(RESERVE);
    NEXT_ID.fetch_max(first, Ordering::Relaxed);
}

const RESERVE: u64 = 1_000_000;
/// Far from the end of the numbers, whoever asks.
const MOST_RESERVED: u64 = 1 << 53;

impl TunnelHandle {
    pub(super) fn new(
        identity: Box<TunnelIdentity>,
        settings: Arc<WebSocketConfig>,
        report: fn(&TunnelReport<'_>),
    ) -> Self {
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        Self::with_id(id, identity, settings, report)
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
            command: AtomicU8::new(0),
            cut: AtomicU8::new(0),
            phase: AtomicU8::new(0),
            tapped: AtomicBool::new(false),
            blocked: AtomicU8::new(0),
            pinged: Default::default(),
            swallowed: Default::default(),
        }
    }

    /// The face of a tunnel that goes on where `state` says; that has been checked.
    pub(super) fn restore(
        state: &TunnelState,
        identity: Box<TunnelIdentity>,
        settings: Arc<WebSocketConfig>,
        report: fn(&TunnelReport<'_>),
    ) -> Self {
        let now = Instant::now();
        let age = Duration::from_micros(state.age) + state.under_way();
        let sides = [&state.client, &state.upstream];
        let half = sides.iter().any(|side| side.flow.done);
        TunnelHandle {
            opened: now.checked_sub(age).unwrap_or(now),
            counters: sides.map(|side| Counters::resume(&side.counters)),
            rtt: sides.map(|side| side.pings.rtt.into()),
            phase: AtomicU8::new(if half { Phase::Half } else { Phase::Open } as u8),
            pinged: sides.map(|side| side.pings.sent.into()),
            swallowed: sides.map(|side| side.pings.swallowed.into()),
            ..TunnelHandle::with_id(state.id, identity, settings, report)
        }
    }

    /// What came from `side` so far.
    pub fn counters(&self, side: Side) -> &Counters {
        &self.counters[side as usize]
    }

    /// What came from the client and from the upstream so far.
    pub(super) fn moved(&self) -> [Tally; 2] {
        [Side::Client, Side::Upstream].map(|side| self.counters(side).tally())
    }

    /// The settings in force.
    pub fn settings(&self) -> Arc<WebSocketConfig> {
        self.lock_settings().clone()
    }

    /// Puts others in force; those until now.
    pub(super) fn swap_settings(&self, settings: &Arc<WebSocketConfig>) -> Arc<WebSocketConfig> {
        std::mem::replace(&mut *self.lock_settings(), settings.clone())
    }

    fn lock_settings(&self) -> MutexGuard<'_, Arc<WebSocketConfig>> {
        lock(&self.settings)
    }

    /// The last round trip of a Ping to `side`, whoever sent it.
    pub fn rtt(&self, side: Side) -> Option<Duration> {
        match self.rtt[side as usize].load(Ordering::Relaxed) {
            0 => None,
            micros => Some(Duration::from_micros(u64::from(micros))),
        }
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

    pub(super) fn ask(&self, what: u8) {
        self.command.fetch_or(what, Ordering::Release);
        // Before its first poll the task has no waker here, and is yet to look. The fences
        // here and in `set_waker` order one's store before the other's load.
        fence(Ordering::SeqCst);
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    /// Notes whether the direction from `from` waits for its sink. Returns whether that is new.
    pub(super) fn set_blocked(&self, from: Side, blocked: bool) -> bool {
        let before = self.blocked.load(Ordering::Relaxed);
        let bit = 1 << from as u8;
        let now = if blocked { before | bit } else { before & !bit };
        if now != before {
            self.blocked.store(now, Ordering::Relaxed);
        }
        now != before
    }

    /// Whether data waits for a side that does not take it.
    pub(super) fn leaves_unread(&self, side: Side) -> bool {
        self.blocked.load(Ordering::Relaxed) & (1 << side.other() as u8) != 0
    }

    /// Whether a direction waits for its sink.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Relaxed) != 0
    }

    /// Whether somebody taps it.
    #[inline]
    pub(super) fn is_tapped(&self) -> bool {
        self.tapped.load(Ordering::Relaxed)
    }

    /// Takes what was asked for. One plain load while nothing is.
    #[inline]
    pub(super) fn take_commands(&self) -> u8 {
        if self.command.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        self.command.swap(0, Ordering::Acquire)
    }

    pub(super) fn order(&self) -> Option<&Arc<CloseOrder>> {
        self.order.get()
    }

    pub(super) fn cut_reason(&self) -> Cut {
        match self.cut.load(Ordering::Relaxed) {
            1 => Cut::HalfClose,
            2 => Cut::Close,
            3 => Cut::Drain,
            _ => Cut::Command,
        }
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// Keeps the task's waker. A task of the runtime has the same one all its life.
    pub(super) fn set_waker(&self, waker: &Waker) {
        self.waker.get_or_init(|| waker.clone());
        fence(Ordering::SeqCst);
    }

    pub(super) fn has_waker(&self) -> bool {
        self.waker.get().is_some()
    }

    /// Microseconds since the opening, wrapping after 71 minutes: for short differences.
    pub(super) fn micros(&self) -> u32 {
        self.opened.elapsed().as_micros() as u32
    }
}
