//! What is asked of a direction from outside, what is known of its ends, and how they are told of
//! each other's.

use std::task::Context;

use super::super::splice::Pipe;
use super::Direction;
use super::states::{Frames, Handshake, Sink, Source};
use crate::net::io::Io;
use crate::tunnel::journal::Journal;

impl Direction {
    /// Asks for a Ping to this direction's sink.
    pub(in crate::tunnel) fn ping(&mut self) {
        self.watch.disarm();
        let may_follow = self.frames.are_followed() && self.sink.is_open();
        let is_open = self.source == Source::Open && self.handshake == Handshake::Open;
        if may_follow && is_open {
            self.handshake = Handshake::PingDue;
        }
    }

    /// Asks for a Close to this direction's sink, at the next frame boundary. Where there can
    /// be none, because the framing is not known, the stream is ended without one.
    pub(in crate::tunnel) fn close(&mut self, to: &mut Io, cx: &mut Context<'_>) {
        let is_closed = self.handshake >= Handshake::Sent || self.sink.has_ended();
        if is_closed || self.source == Source::Done {
            return;
        }
        self.watch.disarm();
        let may_follow = match self.frames {
            Frames::Followed | Frames::Held => self.sink.is_open(),
            Frames::Unknown => false,
            Frames::Violated { at_boundary } => at_boundary,
        };
        if may_follow {
            self.handshake = Handshake::CloseDue;
        } else {
            self.handshake.drop_due();
            self.end_stream(to, cx);
        }
    }

    /// Nothing may follow what the sink was sent: from now on whatever comes is dropped.
    pub(in crate::tunnel) fn seal(&mut self) {
        self.sink.seal();
    }

    /// The sink is gone: from now on whatever comes is dropped.
    pub(in crate::tunnel) fn sink_lost(&mut self) {
        self.spill = None;
        self.pipe = Pipe::default();
        self.sink.lose();
        self.handshake.drop_due();
        self.give_up_close();
    }

    /// After a violation no Close can follow any more.
    pub(super) fn give_up_close(&mut self) {
        if let Frames::Violated { at_boundary } = &mut self.frames {
            *at_boundary = false;
        }
    }

    /// Passes nothing on any more, and tells the sink so once all is written.
    pub(in crate::tunnel) fn end_stream(&mut self, to: &mut Io, cx: &mut Context<'_>) {
        if self.sink.has_ended() {
            return;
        }
        self.sink = Sink::EndDue;
        // It fails only where the peer is gone already, which reading finds out.
        if self.flushed() && to.poll_shutdown(cx).is_ready() {
            self.sink = Sink::Ended;
        }
    }

    /// Whether everything that was to be written is.
    pub(in crate::tunnel) fn flushed(&self) -> bool {
        self.spill.is_none() && self.pipe.is_none()
    }

    /// How many bytes of the source's were written or dropped so far.
    pub(in crate::tunnel) fn gone(&self, journal: &Journal) -> u64 {
        let spill = self.spill.as_ref();
        let kept = spill.map_or(0, |spill| spill.bytes.len() - spill.at) + self.pipe.filled();
        let came = journal.handle.counters(self.scanner.sender()).bytes();
        came.wrapping_sub(kept as u64)
    }

    /// Whether bytes that come are dropped.
    pub(in crate::tunnel) fn discards(&self) -> bool {
        self.sink.is_lost() || (self.source == Source::Open && !self.sink.is_open())
    }

    /// Whether a Close has gone this way, and nothing that matters can follow it.
    pub(in crate::tunnel) fn is_over(&self) -> bool {
        let is_last = match self.handshake {
            Handshake::Seen | Handshake::Complete => true,
            Handshake::Sent => self.is_done(),
            Handshake::Open | Handshake::PingDue | Handshake::CloseDue => false,
        };
        is_last && self.flushed()
    }

    /// Whether the source has ended, and all that was to be written is.
    #[inline]
    pub(in crate::tunnel) fn is_done(&self) -> bool {
        self.source == Source::Done
    }

    /// Whether the direction has ended, or the source sent its Close.
    #[inline]
    pub(in crate::tunnel) fn is_ending(&self) -> bool {
        self.is_done() || self.has_seen_close()
    }

    /// Whether the source has ended its stream, or sent its Close.
    pub(in crate::tunnel) fn has_said_last(&self) -> bool {
        self.source != Source::Open || self.has_seen_close()
    }

    /// Whether the source sent a Close.
    #[inline]
    pub(in crate::tunnel) fn has_seen_close(&self) -> bool {
        self.handshake.has_seen()
    }

    /// Whether a Close of ours was written or stands in the spill.
    pub(in crate::tunnel) fn has_sent_close(&self) -> bool {
        self.handshake.has_sent()
    }

    /// Whether a Close of ours waits for a boundary.
    pub(in crate::tunnel) fn awaits_boundary(&self) -> bool {
        self.handshake == Handshake::CloseDue
    }

    /// Whether strict framing was violated.
    pub(in crate::tunnel) fn is_violated(&self) -> bool {
        self.frames.are_violated()
    }

    /// Whether the sink's end is still to be said.
    pub(in crate::tunnel) fn owes_end(&self) -> bool {
        self.sink == Sink::EndDue
    }
}
