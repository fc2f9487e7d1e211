//! What both directions of a tunnel write down together: who ended it, the Close frames,
//! pings under way. Decides nothing about bytes.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::encode;
use super::frame::{Side, Violation};
use super::handle::{Phase, TunnelHandle};
use super::report::{ClosedBy, Closes, PeerClose};

/// Bytes of our Ping's payload: the tunnel's secret, then a sequence number.
const PING_PAYLOAD: usize = 12;

/// A Ping under way to one side, for its round trip.
#[derive(Debug, Clone, Copy, Default)]
struct Mark {
    hash: u32,
    /// When it passed, in microseconds of the handle's clock.
    at: u32,
}

/// How a tunnel ends.
#[derive(Debug, Default)]
struct Outcome {
    closes: Closes,
    by: Option<ClosedBy>,
    detail: Option<&'static str>,
}

/// The Pings of a tunnel, ours and others.
#[derive(Debug)]
struct Pings {
    /// Begins the payload of our Pings; peers cannot foresee it.
    secret: u64,
    /// Our Pings to each side so far.
    sequence: [u32; 2],
    marks: [Mark; 2],
}

impl Pings {
    fn new() -> Box<Pings> {
        Box::new(Pings {
            secret: encode::unpredictable(),
            sequence: [0; 2],
            marks: Default::default(),
        })
    }
}

/// The shared record of one tunnel.
#[derive(Debug)]
pub(super) struct Journal {
    pub(super) handle: Arc<TunnelHandle>,
    /// Made when the first of it is known.
    outcome: Option<Box<Outcome>>,
    /// Made when the first Ping passes.
    pings: Option<Box<Pings>>,
    /// Invalid framing on a strict route, not yet acted upon.
    pub(super) violation: Option<Violation>,
    /// The side's socket failed: nothing can be written to it any more.
    pub(super) lost: [bool; 2],
    /// A close order is being carried out.
    pub(super) closing: bool,
    /// What the handle's phase was set to.
    pub(super) phase: Phase,
}

impl Journal {
    pub(super) fn new(handle: Arc<TunnelHandle>) -> Journal {
        Journal {
            handle,
            outcome: None,
            pings: None,
            violation: None,
            lost: [false; 2],
            closing: false,
            phase: Phase::Open,
        }
    }

    /// Records who ended the tunnel; the first one stands.
    pub(super) fn ended(&mut self, by: ClosedBy, detail: Option<&'static str>) {
        let outcome = self.outcome.get_or_insert_default();
        outcome.by.get_or_insert(by);
        outcome.detail = outcome.detail.or(detail);
    }

    /// Records that `side` sent a Close or ended its stream.
    pub(super) fn ended_by_peer(&mut self, side: Side, detail: Option<&'static str>) {
        let by = match side {
            Side::Client => ClosedBy::Client,
            Side::Upstream => ClosedBy::Upstream,
        };
        self.ended(by, detail);
    }

    /// Records that the socket of `side` failed.
    pub(super) fn failed(&mut self, side: Side, error: &std::io::Error) {
        use std::io::ErrorKind;
        let detail = match error.kind() {
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => "connection reset",
            ErrorKind::TimedOut => "connection timed out",
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => "host unreachable",
            _ => "socket error",
        };
        self.ended_by_peer(side, Some(detail));
        self.lost[side as usize] = true;
    }

    pub(super) fn close_seen(&mut self, side: Side, close: PeerClose) {
        self.ended_by_peer(side, None);
        let closes = &mut self.outcome.get_or_insert_default().closes;
        match side {
            Side::Client => closes.client = Some(close),
            Side::Upstream => closes.upstream = Some(close),
        }
    }

    pub(super) fn close_sent(&mut self, to: Side, code: u16) {
        let closes = &mut self.outcome.get_or_insert_default().closes;
        match to {
            Side::Client => closes.sent_client = Some(code),
            Side::Upstream => closes.sent_upstream = Some(code),
        }
    }

    /// Whether a Ping of ours was ever sent to `side`, so that its Pongs must be looked at.
    pub(super) fn pinged(&self, side: Side) -> bool {
        self.pings
            .as_ref()
            .is_some_and(|pings| pings.sequence[side as usize] > 0)
    }

    /// Makes our next Ping for `to`, and starts its clock.
    pub(super) fn ping(&mut self, to: Side) -> Vec<u8> {
        let pings = self.pings.get_or_insert_with(Pings::new);
        let sequence = &mut pings.sequence[to as usize];
        *sequence = sequence.wrapping_add(1).max(1);
        let mut payload = [0; PING_PAYLOAD];
        payload[..8].copy_from_slice(&pings.secret.to_be_bytes());
        payload[8..].copy_from_slice(&sequence.to_be_bytes());
        self.ping_passed(to, &payload);
        let pinged = &self.handle.pinged[to as usize];
        pinged.store(pinged.load(Relaxed).wrapping_add(1), Relaxed);
        encode::ping(to, &payload)
    }

    /// A Ping to `to` passes, ours or a peer's.
    pub(super) fn ping_passed(&mut self, to: Side, payload: &[u8]) {
        let pings = self.pings.get_or_insert_with(Pings::new);
        pings.marks[to as usize] = Mark {
            hash: fnv(payload),
            at: self.handle.micros(),
        };
    }

    /// A Pong came from `from`. Returns whether it answers a Ping of ours.
    pub(super) fn pong(&mut self, from: Side, payload: &[u8]) -> bool {
        let Some(pings) = &mut self.pings else {
            return false;
        };
        let mark = &mut pings.marks[from as usize];
        if mark.hash != 0 && mark.hash == fnv(payload) {
            let micros = self.handle.micros().wrapping_sub(mark.at).max(1);
            self.handle.rtt[from as usize].store(micros, Relaxed);
            mark.hash = 0;
        }
        // Answers to older Pings of ours count too: a peer may answer late.
        let ours = payload.len() == PING_PAYLOAD && payload[..8] == pings.secret.to_be_bytes();
        if ours {
            let frame = PING_PAYLOAD as u32 + if from == Side::Client { 6 } else { 2 };
            let swallowed = &self.handle.swallowed[from as usize];
            swallowed.store(swallowed.load(Relaxed).wrapping_add(frame), Relaxed);
        }
        ours
    }

    /// Gives up what the report needs.
    pub(super) fn outcome(&mut self) -> (ClosedBy, Option<&'static str>, Closes) {
        let Outcome { closes, by, detail } = *self.outcome.take().unwrap_or_default();
        match by {
            Some(by) => (by, detail, closes),
            None => (ClosedBy::Error, Some("worker stopped"), closes),
        }
    }
}

/// FNV-1a, never 0: it tells Pings apart, no more.
fn fnv(payload: &[u8]) -> u32 {
    let hash = payload.iter().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    });
    hash.max(1)
}
