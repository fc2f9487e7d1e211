//! The states of a direction: how far its source has come, what its sink still gets, what is
//! known of the frames between them, and how far the closing handshake has come. Each stands for
//! itself; idle tunnels hold them too, so they are a byte or two.

/// How far the source has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// It may send.
    Open,
    /// It has ended its stream, and something may still have to be written.
    Ended,
    /// It has, and nothing has: so has the direction.
    Done,
}

/// What the sink still gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sink {
    /// What comes.
    Open,
    /// Nothing, for nothing may follow what it was sent: what comes is read and dropped.
    Sealed,
    /// The stream's end, once all is written.
    EndDue,
    /// Nothing, after its end.
    Ended,
    /// Nothing: it is gone. What comes is dropped and measured.
    Lost(Waste),
}

impl Sink {
    /// Whether what comes is passed on.
    #[inline]
    pub(super) fn is_open(self) -> bool {
        self == Sink::Open
    }

    #[inline]
    pub(super) fn is_lost(self) -> bool {
        matches!(self, Sink::Lost(_))
    }

    /// Whether it has had its end, or is gone.
    pub(super) fn has_ended(self) -> bool {
        matches!(self, Sink::Ended | Sink::Lost(_))
    }

    /// From now on nothing is passed on.
    pub(super) fn seal(&mut self) {
        if self.is_open() {
            *self = Sink::Sealed;
        }
    }

    /// From now on it is gone.
    pub(super) fn lose(&mut self) {
        if !self.is_lost() {
            *self = Sink::Lost(Waste(0));
        }
    }

    /// `n` bytes have come. Returns whether that is too much for a sink that is gone.
    #[inline]
    pub(super) fn wastes(&mut self, n: usize) -> bool {
        match self {
            Sink::Lost(waste) => waste.add(n),
            _ => false,
        }
    }
}

/// What has come for a sink that is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waste(u8);

impl Waste {
    /// In how many bytes it is measured; a read counts as one unit at least.
    const UNIT: usize = 2048;
    /// Units that are read, 256 KiB: enough for a Close that answers ours. A source that sends more
    /// is not read any further.
    const MOST: u8 = 128;

    /// Returns whether it is too much.
    #[cold]
    fn add(&mut self, n: usize) -> bool {
        let units = u8::try_from(n.div_ceil(Self::UNIT)).unwrap_or(u8::MAX);
        self.0 = self.0.saturating_add(units);
        self.0 > Self::MOST
    }
}

/// What is known of the source's frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frames {
    /// Where each begins and ends.
    Followed,
    /// The same; and the scanner's pending bytes, part of a control frame, are not passed on.
    Held,
    /// Nothing: another protocol, or framing that is not valid. Bytes are all there is.
    Unknown,
    /// They broke the rules of a strict route. `at_boundary`: what was passed on ends with a whole
    /// frame, and the Close that the violation leads to may follow it and has not yet.
    Violated { at_boundary: bool },
}

impl Frames {
    #[inline]
    pub(super) fn are_followed(self) -> bool {
        matches!(self, Frames::Followed | Frames::Held)
    }

    pub(super) fn are_violated(self) -> bool {
        matches!(self, Frames::Violated { .. })
    }

    /// What is held is passed on or dropped now. Returns whether there is anything.
    pub(super) fn release(&mut self) -> bool {
        let held = *self == Frames::Held;
        if held {
            *self = Frames::Followed;
        }
        held
    }
}

/// How far the closing handshake has come in this direction (RFC 6455 section 7.1.2), with the
/// Ping that may only be sent before it. What is due waits for the boundary of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Handshake {
    /// Not begun.
    Open,
    /// Not begun, and a Ping of ours is due.
    PingDue,
    /// A Close of ours is due.
    CloseDue,
    /// A Close of ours was sent.
    Sent,
    /// The source has sent its own, which was passed on.
    Seen,
    /// The source has sent its own after ours.
    Complete,
}

impl Handshake {
    /// Whether a frame of ours is due.
    #[inline]
    pub(super) fn is_due(self) -> bool {
        matches!(self, Handshake::PingDue | Handshake::CloseDue)
    }

    /// Whether a Close of ours was sent.
    pub(super) fn has_sent(self) -> bool {
        matches!(self, Handshake::Sent | Handshake::Complete)
    }

    /// Whether the source has sent a Close.
    #[inline]
    pub(super) fn has_seen(self) -> bool {
        self >= Handshake::Seen
    }

    /// The source has sent a Close.
    pub(super) fn see(&mut self) {
        *self = match self.has_sent() {
            true => Handshake::Complete,
            false => Handshake::Seen,
        };
    }

    /// No Ping is due any more.
    pub(super) fn drop_ping(&mut self) {
        if *self == Handshake::PingDue {
            *self = Handshake::Open;
        }
    }

    /// Nothing is due any more.
    pub(super) fn drop_due(&mut self) {
        if self.is_due() {
            *self = Handshake::Open;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_for_a_lost_sink_is_bounded_and_nothing_brings_the_sink_back() {
        let mut sink = Sink::Open;
        assert!(!sink.wastes(usize::MAX), "it is passed on");
        sink.seal();
        assert!(
            !sink.wastes(usize::MAX),
            "a sink that is there is waited for"
        );
        sink.lose();
        assert!(!sink.wastes(64 * 1024) && !sink.wastes(1));
        sink.seal();
        sink.lose();
        assert!(sink.is_lost() && !sink.wastes(126 * 1024) && !sink.wastes(64 * 1024));
        assert!(sink.wastes(1) && sink.wastes(usize::MAX) && !sink.is_open());
    }

    #[test]
    fn a_close_that_came_stays_and_so_does_ours() {
        let after = |states: &[Handshake]| {
            let mut states = states.to_vec();
            states.iter_mut().for_each(|state| {
                state.see();
                state.drop_ping();
                state.drop_due();
            });
            states
        };
        use Handshake::{CloseDue, Complete, Open, PingDue, Seen, Sent};
        assert_eq!(after(&[Open, PingDue, CloseDue, Seen]), [Seen; 4]);
        assert_eq!(after(&[Sent, Complete]), [Complete; 2]);
    }
}
