//! What sluice itself puts into a direction at a frame boundary: Pings, the Close of an order, and
//! the Close that a peer gets whose other side is lost or ends its stream without one
//! (RFC 6455 section 7.1.5: without it that peer would report 1006).
//!
//! A stream that ends in order is carried as a half-close, after that Close: its peer may go on
//! to send, but can tell at once that nothing more will come, and why.

use std::task::Context;

use super::super::journal::{BrokenOff, Journal};
use super::Direction;
use super::states::{Frames, Handshake, Source};
use crate::net::io::Io;
use crate::tap;
use crate::tunnel_registry::CloseOrder;
use crate::websocket::control;
use crate::websocket::frame::Side;

impl Direction {
    /// The source's stream has ended, in order or not.
    pub(super) fn ended(&mut self, to: &mut Io, cx: &mut Context<'_>, journal: &mut Journal) {
        let owed = self.owes_word(journal);
        if !self.frames.are_violated() {
            journal.ended_by_peer(self.scanner.sender(), None);
        }
        self.source = Source::Ended;
        self.handshake.drop_ping();
        if self.handshake == Handshake::CloseDue {
            // At a boundary it still goes out.
        } else if owed {
            let frame = self.last_word(journal);
            self.write(to, &frame, cx, journal);
        } else if self.frames.release() && self.sink.is_open() {
            let held = self.scanner.pending().to_vec();
            self.write(to, &held, cx, journal);
        }
    }

    /// Whether the sink is to be sent a Close because the source has ended without one. A sink that
    /// was the first to end, without a Close of its own, does not wait for one.
    fn owes_word(&self, journal: &Journal) -> bool {
        let from = self.scanner.sender();
        let (to, settings) = (from.other(), journal.handle.settings());
        let is_closed = self.handshake >= Handshake::Sent || self.sink.has_ended();
        let code = match from {
            Side::Client => settings.client_lost_code,
            Side::Upstream => settings.upstream_lost_code,
        };
        let waits = match journal.close_of(to) {
            Some(_) => true,
            None => journal.ended_by_side() != Some(to),
        };
        code.is_some() && waits && !is_closed && !self.is_violated() && self.may_inject()
    }

    /// Whether the bytes passed on so far end at a frame boundary.
    pub(super) fn may_inject(&self) -> bool {
        match self.frames {
            Frames::Followed => self.sink.is_open() && self.scanner.at_boundary(),
            Frames::Held => self.sink.is_open(),
            Frames::Unknown => false,
            Frames::Violated { at_boundary } => at_boundary,
        }
    }

    /// The frame of ours that is due.
    #[cold]
    pub(super) fn injection(&mut self, journal: &mut Journal) -> Vec<u8> {
        let to = self.scanner.sender().other();
        let frame = match self.handshake {
            Handshake::PingDue => {
                self.handshake = Handshake::Open;
                journal.ping(to)
            }
            _ => self.close_frame(to, journal),
        };
        if journal.handle.is_tapped() {
            tap::sent(journal.handle.id, to, &frame);
        }
        frame
    }

    fn close_frame(&mut self, to: Side, journal: &mut Journal) -> Vec<u8> {
        self.handshake = Handshake::Sent;
        self.sink.seal();
        self.give_up_close();
        self.frames.release();
        // Only an order makes it due.
        let Some(order) = journal.handle.order().cloned() else {
            return Vec::new();
        };
        let code = code_for(&order, to);
        journal.close_sent(to, code);
        control::close(to, code, &order.reason)
    }

    /// Sends the Close of the order now, where one may be sent.
    pub(in crate::tunnel) fn say_close(
        &mut self,
        to: &mut Io,
        cx: &mut Context<'_>,
        journal: &mut Journal,
    ) {
        if self.handshake < Handshake::Sent && self.may_inject() {
            self.handshake = Handshake::CloseDue;
            let frame = self.injection(journal);
            self.write(to, &frame, cx, journal);
        }
    }

    #[cold]
    fn last_word(&mut self, journal: &mut Journal) -> Vec<u8> {
        let to = self.scanner.sender().other();
        self.handshake = Handshake::Sent;
        self.frames.release();
        let settings = journal.handle.settings();
        // A Close that was not answered is, with the code that it had.
        let (code, reason) = match (journal.close_of(to), to) {
            (Some(close), _) => (close.code.unwrap_or(NORMAL), ""),
            (None, Side::Client) => {
                let code = settings.upstream_lost_code.unwrap_or(INTERNAL_ERROR);
                let sound = journal.handle.counters(Side::Upstream).has_frames();
                let code = match code {
                    INTERNAL_ERROR if !sound => BAD_GATEWAY,
                    code => code,
                };
                (code, &*settings.lost_reason)
            }
            (None, Side::Upstream) => {
                let code = settings.client_lost_code.unwrap_or(GOING_AWAY);
                (code, &*settings.lost_reason)
            }
        };
        let code = if control::sendable(code) {
            code
        } else {
            NORMAL
        };
        journal.close_sent(to, code);
        let frame = control::close(to, code, reason);
        if journal.handle.is_tapped() {
            tap::sent(journal.handle.id, to, &frame);
        }
        frame
    }

    /// Whether the stream's end was passed on to the sink.
    pub(in crate::tunnel) fn has_ended(&self) -> bool {
        self.sink.has_ended()
    }

    /// Where the source ended that sent no Close.
    pub(in crate::tunnel) fn broken_off(&self) -> Option<BrokenOff> {
        let silent = self.frames.are_followed() && !self.has_seen_close();
        let ended = self.source != Source::Open;
        (silent && ended).then(|| match self.scanner.at_boundary() {
            true => BrokenOff::AtBoundary,
            false => BrokenOff::MidFrame,
        })
    }
}

fn code_for(order: &CloseOrder, to: Side) -> u16 {
    match to {
        Side::Client => order.client_code,
        Side::Upstream => order.upstream_code,
    }
}

/// RFC 6455 section 7.4.1, and IANA's registry for the last.
const NORMAL: u16 = 1000;
const GOING_AWAY: u16 = 1001;
const INTERNAL_ERROR: u16 = 1011;
const BAD_GATEWAY: u16 = 1014;
