//! The closing handshake of a tunnel (RFC 6455 section 7): what follows from what its
//! directions have moved, and when nothing is left to wait for.

use std::sync::Arc;
use std::task::Context;

use super::journal::BrokenOff;
use super::pump::Direction;
use super::relay::Tunnel;
use crate::tunnel_registry::{self as registry, CloseOrder, Cut, Phase};
use crate::vocabulary::{ClosedBy, Side};

/// RFC 6455 section 7.4.1.
const GOING_AWAY: u16 = 1001;
const PROTOCOL_ERROR: u16 = 1002;

impl<G> Tunnel<G> {
    /// Begins the closing handshake with both sides. One that a peer has begun is left to
    /// finish by itself: either way the tunnel ends within `close_timeout`.
    pub(super) fn start_close(&mut self, cx: &mut Context<'_>) {
        let Some(order) = self.journal.handle.order().cloned() else {
            return;
        };
        self.journal.closing = true;
        if self.up.has_seen_close() || self.down.has_seen_close() {
            let violated = self.up.is_violated() || self.down.is_violated();
            if !violated && !matches!(order.by, ClosedBy::Command | ClosedBy::Policy) {
                return;
            }
        }
        self.journal.ended(order.by, order.detail);
        self.up.close(&mut self.upstream, cx);
        self.down.close(&mut self.client, cx);
    }

    /// The half-close deadline has come: a Close for the client that had only ended its direction,
    /// which would report 1006 without one. It may not answer any more.
    pub(super) fn say_close(&mut self, cx: &mut Context<'_>) {
        let handle = self.journal.handle.clone();
        if handle.settings().upstream_lost_code.is_none() {
            return;
        }
        let order = CloseOrder {
            by: ClosedBy::Policy,
            detail: Some(Cut::HalfClose.detail()),
            client_code: GOING_AWAY,
            upstream_code: GOING_AWAY,
            reason: Cut::HalfClose.detail().into(),
        };
        if handle.close(Arc::new(order)) {
            self.down.say_close(&mut self.client, cx, &mut self.journal);
        }
    }

    /// Draws the consequences of what was just moved. Returns whether a direction must be
    /// looked at again.
    #[inline]
    pub(super) fn settle(&mut self, cx: &mut Context<'_>) -> bool {
        let quiet = !(self.up.is_ending()
            || self.down.is_ending()
            || self.journal.closing
            || self.journal.violation.is_some()
            || self.journal.lost != [false; 2]);
        if quiet { false } else { self.settle_end(cx) }
    }

    #[cold]
    pub(super) fn settle_end(&mut self, cx: &mut Context<'_>) -> bool {
        let mut again = false;
        if let Some(violation) = self.journal.violation.take() {
            self.journal.handle.close(Arc::new(CloseOrder {
                by: ClosedBy::Policy,
                detail: Some(violation.as_str()),
                client_code: PROTOCOL_ERROR,
                upstream_code: PROTOCOL_ERROR,
                reason: violation.as_str().into(),
            }));
            self.start_close(cx);
            again = true;
        }
        for side in [Side::Client, Side::Upstream] {
            let lost = self.journal.lost[side as usize];
            if lost && !std::mem::replace(&mut self.journal.seen_lost[side as usize], true) {
                let towards = match side {
                    Side::Client => &mut self.down,
                    Side::Upstream => &mut self.up,
                };
                towards.sink_lost();
                again = true;
            }
        }
        // RFC 6455 section 7.1.1: the server ends its stream first, and we are the client's.
        let answered = self.up.is_ending() || self.up.is_violated();
        if self.down.has_sent_close() && answered {
            self.down.end_stream(&mut self.client, cx);
        }
        // A violating upstream gets no chance to answer; nor does one that has gone.
        if self.up.has_sent_close() && (self.down.is_violated() || self.down.is_done()) {
            self.up.end_stream(&mut self.upstream, cx);
        }
        if self.is_over() {
            self.down.end_stream(&mut self.client, cx);
            // Nothing may follow a Close (RFC 6455 section 5.5.1).
            self.up.seal();
        }
        self.set_phase();
        again
    }

    /// Whether the closing handshake is complete with both peers: each was sent a Close,
    /// ours or the other's, and has sent its own or gone.
    pub(super) fn is_over(&self) -> bool {
        self.up.is_over() && self.down.is_over()
    }

    /// Where the side that ended the tunnel did so, if it sent no Close.
    pub(super) fn broken_off(&self) -> Option<BrokenOff> {
        match self.journal.ended_by_side()? {
            Side::Client => self.up.broken_off(),
            Side::Upstream => self.down.broken_off(),
        }
    }

    /// Whether nothing is left to wait for. After a complete closing handshake the client
    /// is not waited for, since we are its server (RFC 6455 section 7.1.1); the upstream,
    /// whose client we are, is: until the tick that follows [`Phase::Closed`].
    pub(super) fn has_ended(&self) -> bool {
        self.down.is_done() && !self.down.owes_end() && (self.up.is_done() || self.is_over())
    }

    /// Whether one side is gone for good, and the other was sent a Close or does not even take
    /// what came before it.
    pub(super) fn has_said_so(&self) -> bool {
        let [client, upstream] = self.journal.lost;
        let at_end = |direction: &Direction| direction.has_sent_close() || !direction.flushed();
        (upstream && at_end(&self.down)) || (client && at_end(&self.up))
    }

    pub(super) fn set_phase(&mut self) {
        let both = self.up.has_seen_close() && self.down.has_seen_close();
        // Without frames there is no Close to wait for, once a side is gone.
        let discards = self.up.discards() || self.down.discards();
        let phase = if self.is_over() {
            Phase::Closed
        } else if discards && self.journal.handle.identity.upgrade().is_some() {
            Phase::Closing
        } else if self.journal.closing && (self.up.awaits_boundary() || self.down.awaits_boundary())
        {
            Phase::Boundary
        } else if self.journal.closing || both || self.has_said_so() {
            Phase::Closing
        } else if discards
            || self.up.is_done()
            || self.down.is_done()
            || self.journal.unread_end.stands()
        {
            Phase::Half
        } else {
            Phase::Open
        };
        if phase != self.journal.phase {
            self.journal.phase = phase;
            self.journal.handle.set_phase(phase);
            registry::touch(&self.journal.handle);
        }
    }
}
