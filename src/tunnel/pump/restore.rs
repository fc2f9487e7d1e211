//! A direction at rest, written down and taken back. Only what a tunnel that may go to
//! another process can have is written: none that is being closed, violated or lost a side.

use super::super::state::{FlowState, StateError, TunnelState};
use super::states::{Frames, Handshake, Sink, Source};
use super::{Direction, Reading, Spill};
use crate::websocket::control::sendable;
use crate::websocket::frame::{Opcode, Scanner, Side};

impl Direction {
    /// Whether this direction only ever comes to its end in this process.
    pub(in crate::tunnel) fn is_closing(&self) -> bool {
        let closes = match self.handshake {
            Handshake::Open | Handshake::PingDue | Handshake::Seen => false,
            Handshake::Sent => self.source == Source::Open,
            Handshake::CloseDue | Handshake::Complete => true,
        };
        closes || self.owes_end() || self.is_violated()
    }

    /// Whether its sink is gone. Elsewhere only a close makes a direction discard.
    pub(in crate::tunnel) fn has_lost_sink(&self) -> bool {
        let whole = match self.source {
            Source::Open | Source::Ended => Sink::Open,
            Source::Done => Sink::Ended,
        };
        self.sink != whole
    }

    /// `sent`: the code of our Close to the sink.
    pub(in crate::tunnel) fn flow(&self, sent: Option<u16>) -> FlowState {
        FlowState {
            observing: self.frames.are_followed(),
            holding: self.frames == Frames::Held,
            bulk: self.reading.is_bulk(),
            ping_due: self.handshake == Handshake::PingDue,
            eof: self.source != Source::Open,
            done: self.is_done(),
            told: sent.filter(|_| self.has_sent_close()),
        }
    }

    pub(in crate::tunnel) fn scanner(&self) -> &Scanner {
        &self.scanner
    }

    /// Brings what is in the pipe back to memory; it is older than the rest of the spill.
    pub(in crate::tunnel) fn leave_pipe(&mut self) -> std::io::Result<()> {
        let mut bytes = self.pipe.take_bytes()?;
        if !bytes.is_empty() {
            bytes.extend(self.take_spill());
            self.keep(&bytes);
        }
        Ok(())
    }

    /// What waits to be written; [`Direction::leave_pipe`] comes first.
    pub(in crate::tunnel) fn take_spill(&mut self) -> Vec<u8> {
        debug_assert!(self.pipe.is_none());
        self.spill.take().map_or_else(Vec::new, |mut spill| {
            spill.bytes.drain(..spill.at);
            spill.bytes
        })
    }

    /// The direction from `from` of a tunnel that goes on. `spilled`: bytes are still to be
    /// written, which [`Direction::refill`] puts there.
    pub(in crate::tunnel) fn restore(
        from: Side,
        state: &TunnelState,
        spilled: bool,
    ) -> Result<Direction, StateError> {
        let refuse = |field, problem| {
            Err(StateError {
                side: Some(from),
                field,
                problem,
            })
        };
        let side = state.side(from);
        let flow = &side.flow;
        let scanner = Scanner::restore(from, &side.scanner)?;
        let source = match (flow.eof, flow.done) {
            (false, false) => Source::Open,
            (true, false) => Source::Ended,
            (true, true) if !spilled => Source::Done,
            (_, true) => return refuse("flow.done", "comes before the end"),
        };
        let frames = match (flow.observing, flow.holding) {
            (true, false) => Frames::Followed,
            (false, false) => Frames::Unknown,
            (true, true) if source == Source::Open && may_be_held(&scanner) => Frames::Held,
            (_, true) => return refuse("flow.holding", "stands outside of a Pong or a Close"),
        };
        let handshake = match (flow.ping_due, flow.told, &side.close) {
            (false, None, None) => Handshake::Open,
            (true, None, None) if source == Source::Open => match frames {
                Frames::Unknown => Handshake::Open,
                _ => Handshake::PingDue,
            },
            (true, ..) => return refuse("flow.ping_due", "comes after the end"),
            (_, None, Some(_)) => Handshake::Seen,
            (_, Some(code), None) if source != Source::Open && sendable(code) => Handshake::Sent,
            (_, Some(_), _) => return refuse("flow.told", "does not come at the end"),
        };
        let sink = match source {
            Source::Open | Source::Ended => Sink::Open,
            Source::Done => Sink::Ended,
        };
        Ok(Direction {
            scanner,
            reading: Reading::new(flow.bulk),
            source,
            sink,
            frames,
            handshake,
            ..Direction::new(from)
        })
    }

    /// Gives a restored direction what waits to be written.
    pub(in crate::tunnel) fn refill(&mut self, bytes: Vec<u8>) {
        self.spill = (!bytes.is_empty()).then(|| Box::new(Spill { bytes, at: 0 }));
    }
}

fn may_be_held(scanner: &Scanner) -> bool {
    matches!(scanner.inside_control(), Some(Opcode::Pong | Opcode::Close))
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use tokio::net::UnixStream;

    use super::super::super::splice::{self, Moved};
    use super::*;
    use crate::net::io::Socket;

    #[tokio::test]
    async fn bytes_in_a_pipe_come_before_those_in_memory() {
        let (far, near) = UnixStream::pair().expect("a pair");
        far.try_write(b"piped").expect("write");
        near.readable().await.expect("readable");
        let near = Socket::Unix(near);
        let mut down = Direction::new(Side::Upstream);
        std::future::poll_fn(|cx| {
            let moved = splice::fill(&near, 5, &mut down.pipe, cx);
            assert!(matches!(moved, Moved::Bytes(5)));
            Poll::Ready(())
        })
        .await;
        down.keep(b"written, and kept");
        if let Some(spill) = &mut down.spill {
            spill.at = 8;
        }
        down.leave_pipe().expect("a pipe");
        assert_eq!(down.take_spill(), b"piped and kept");
        assert_eq!(splice::lent(), 0, "the pipe was given back");
    }
}
