//! What both directions of a tunnel write down together: who ended it, the Close frames,
//! pings under way. Decides nothing about bytes.

use std::borrow::Cow;
use std::sync::Arc;

use super::state::{CloseState, PingState, SideState, TunnelState};
use super::unread_end::UnreadEnd;
use crate::metrics;
use crate::tunnel_info::{Closes, PeerClose, TunnelReport};
use crate::tunnel_registry::{self, Phase, TunnelHandle};
use crate::vocabulary::{ClosedBy, Side};
use crate::websocket::control;
use crate::websocket::frame::Violation;

/// Bytes of our Ping's payload: the tunnel's secret, then a sequence number.
const PING_PAYLOAD: usize = 12;

/// A Ping under way to one side, for its round trip.
#[derive(Debug, Clone, Copy, Default)]
struct Mark {
    hash: u32,
    /// When it passed, in microseconds of the handle's clock.
    at: u32,
}

/// Where a stream ended without a Close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BrokenOff {
    /// Between two frames.
    AtBoundary,
    /// In the middle of a frame.
    MidFrame,
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
    /// Begins the payload of our Pings; peers cannot predict it.
    secret: u64,
    /// Our Pings to each side so far.
    sequence: [u32; 2],
    marks: [Mark; 2],
}

impl Pings {
    fn new() -> Box<Pings> {
        Box::new(Pings {
            secret: control::unpredictable(),
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
    /// Which of these are acted upon already.
    pub(super) seen_lost: [bool; 2],
    /// The client has ended its stream, and the upstream does not take what came before that.
    pub(super) unread_end: UnreadEnd,
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
            seen_lost: [false; 2],
            unread_end: UnreadEnd::default(),
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
        self.ended(by(side), detail);
    }

    /// The direction from `from` waits for its sink: until that is over the clock checks whether
    /// its source is still there.
    #[cold]
    pub(super) fn blocked(&self, from: Side) {
        if self.handle.set_blocked(from, true) {
            tunnel_registry::touch(&self.handle);
        }
    }

    /// Records that the socket of `side` failed.
    pub(super) fn failed(&mut self, side: Side, error: &std::io::Error) {
        use std::io::ErrorKind;
        if error.kind() == ErrorKind::TimedOut && self.handle.leaves_unread(side) {
            let detail = match side {
                Side::Client => "the client left data unread",
                Side::Upstream => "the upstream left data unread",
            };
            self.ended(ClosedBy::Unread, Some(detail));
        }
        let detail = match error.kind() {
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => "connection reset",
            ErrorKind::TimedOut => "connection timed out",
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => "host unreachable",
            ErrorKind::UnexpectedEof => "ended without the close_notify of TLS",
            ErrorKind::InvalidData => "broken TLS record",
            ErrorKind::ConnectionAborted => "TLS alert",
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

    /// A Close of ours was sent. One that only answers the side's own is not noted: the side
    /// began it.
    pub(super) fn close_sent(&mut self, to: Side, code: u16) {
        let closes = &mut self.outcome.get_or_insert_default().closes;
        let (own, sent) = match to {
            Side::Client => (&closes.client, &mut closes.sent_client),
            Side::Upstream => (&closes.upstream, &mut closes.sent_upstream),
        };
        if own.is_none() {
            *sent = Some(code);
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
        self.handle.count_ping(to);
        control::ping(to, &payload)
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
            self.handle.set_rtt(from, micros);
            metrics::round_trip(from, micros);
            mark.hash = 0;
        }
        // Answers to older Pings of ours count too: a peer may answer late.
        let ours = payload.len() == PING_PAYLOAD && payload[..8] == pings.secret.to_be_bytes();
        if ours {
            let frame = PING_PAYLOAD as u32 + if from == Side::Client { 6 } else { 2 };
            self.handle.count_swallowed(from, frame);
        }
        ours
    }

    /// Writes the record of the tunnel, which has ended; `broken_off`: where the side that ended
    /// it did so without a Close.
    pub(super) fn report(&mut self, broken_off: Option<BrokenOff>) {
        let Outcome { closes, by, detail } = *self.outcome.take().unwrap_or_default();
        let (closed_by, detail) = match by {
            Some(by) => (by, detail),
            None => (ClosedBy::Error, Some("worker stopped")),
        };
        let detail = match (detail, broken_off) {
            (Some(detail), Some(BrokenOff::MidFrame)) => {
                Some(Cow::from(format!("{detail}, in mid-frame")))
            }
            (Some(detail), _) => Some(detail.into()),
            (None, Some(BrokenOff::MidFrame)) => Some("ended in mid-frame".into()),
            (None, Some(BrokenOff::AtBoundary)) => Some("ended without a Close".into()),
            (None, None) => None,
        };
        let handle = &self.handle;
        (handle.report)(&TunnelReport {
            id: handle.id,
            identity: &handle.identity,
            closed_by,
            detail: detail.as_deref(),
            closes: &closes,
            duration: handle.opened.elapsed(),
            from_client: handle.counters(Side::Client).tally(),
            from_upstream: handle.counters(Side::Upstream).tally(),
            client_rtt: handle.rtt(Side::Client),
            upstream_rtt: handle.rtt(Side::Upstream),
        });
    }

    /// Whether anything is recorded that only a tunnel on its way to its end has.
    pub(super) fn is_ending(&self) -> bool {
        let outcome = self.outcome.as_deref();
        !matches!(self.phase, Phase::Open | Phase::Half)
            || self.violation.is_some()
            || self.lost != [false; 2]
            || outcome.is_some_and(|outcome| outcome.detail.is_some())
    }

    /// Who was the first to send a Close or to end its stream.
    pub(super) fn ended_by_side(&self) -> Option<Side> {
        match self.outcome.as_ref()?.by? {
            ClosedBy::Client => Some(Side::Client),
            ClosedBy::Upstream => Some(Side::Upstream),
            _ => None,
        }
    }

    /// The Close that `side` has sent.
    pub(super) fn close_of(&self, side: Side) -> Option<CloseState> {
        let closes = &self.outcome.as_ref()?.closes;
        let close = match side {
            Side::Client => &closes.client,
            Side::Upstream => &closes.upstream,
        };
        Some(match close.as_ref()? {
            None => CloseState::default(),
            Some((code, reason)) => CloseState {
                code: Some(*code),
                reason: reason.to_string(),
            },
        })
    }

    /// The code of our Close to `side`.
    pub(super) fn sent_to(&self, side: Side) -> Option<u16> {
        let closes = &self.outcome.as_ref()?.closes;
        match side {
            Side::Client => closes.sent_client,
            Side::Upstream => closes.sent_upstream,
        }
    }

    /// What begins the payload of our Pings, once there was one.
    pub(super) fn secret(&self) -> Option<u64> {
        Some(self.pings.as_ref()?.secret)
    }

    /// The Pings to `side`.
    pub(super) fn pings(&self, side: Side) -> PingState {
        let (counts, index) = (self.handle.ping_counts(side), side as usize);
        let (mut sequence, mut mark) = Default::default();
        if let Some(pings) = &self.pings {
            (sequence, mark) = (pings.sequence[index], pings.marks[index]);
        }
        PingState {
            sequence,
            hash: mark.hash,
            age: self.handle.micros().wrapping_sub(mark.at),
            sent: counts.sent,
            swallowed: counts.swallowed,
            rtt: counts.rtt,
        }
    }

    /// The journal of a tunnel that goes on; the handle is restored already.
    pub(super) fn restore(handle: Arc<TunnelHandle>, state: &TunnelState) -> Journal {
        let sides = [&state.client, &state.upstream];
        let way = state.under_way().as_micros() as u32;
        let pings = state.secret.map(|secret| {
            let now = handle.micros().wrapping_sub(way);
            Box::new(Pings {
                secret,
                sequence: sides.map(|side| side.pings.sequence),
                marks: sides.map(|side| Mark {
                    hash: side.pings.hash,
                    at: now.wrapping_sub(side.pings.age),
                }),
            })
        });
        let outcome = state.ended_by.map(|side| {
            let [client, upstream] = sides.map(seen);
            Box::new(Outcome {
                closes: Closes {
                    client,
                    upstream,
                    sent_client: state.upstream.flow.told,
                    sent_upstream: state.client.flow.told,
                },
                by: Some(by(side)),
                detail: None,
            })
        });
        Journal {
            phase: handle.phase(),
            pings,
            outcome,
            ..Journal::new(handle)
        }
    }
}

fn by(side: Side) -> ClosedBy {
    match side {
        Side::Client => ClosedBy::Client,
        Side::Upstream => ClosedBy::Upstream,
    }
}

fn seen(side: &SideState) -> Option<PeerClose> {
    let close = side.close.as_ref()?;
    Some(close.code.map(|code| (code, close.reason.as_str().into())))
}

/// FNV-1a, never 0: it tells Pings apart, no more.
fn fnv(payload: &[u8]) -> u32 {
    let hash = payload.iter().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    });
    hash.max(1)
}
