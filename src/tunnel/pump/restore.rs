//! A direction at rest, written down and taken back. Only what a tunnel that may go to
//! another process can have is written: none that is being closed, violated or lost a side.

use super::super::state::{FlowState, StateError, TunnelState, require};
use super::{Direction, Reading, Spill};
use crate::websocket::control::sendable;
use crate::websocket::frame::{Opcode, Scanner, Side};

impl Direction {
    /// Whether this direction only ever comes to its end in this process.
    pub(in crate::tunnel) fn is_closing(&self) -> bool {
        let closed = self.close_sent && !self.eof;
        self.close_due || closed || self.fin_due || self.violated || self.clean
    }

    /// Whether its sink is gone. Elsewhere only a close makes a direction discard.
    pub(in crate::tunnel) fn has_lost_sink(&self) -> bool {
        self.fate.is_dropped() || self.fin != self.done
    }

    /// `sent`: the code of our Close to the sink.
    pub(in crate::tunnel) fn flow(&self, sent: Option<u16>) -> FlowState {
        FlowState {
            observing: self.observing,
            holding: self.holding,
            bulk: self.reading.is_bulk(),
            ping_due: self.ping_due,
            eof: self.eof,
            done: self.done,
            told: sent.filter(|_| self.close_sent),
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
        let require = |valid, field, problem| require(valid, Some(from), field, problem);
        let side = state.side(from);
        let flow = &side.flow;
        let scanner = Scanner::restore(from, &side.scanner)?;
        let saw_close = side.close.is_some();
        require(
            !flow.holding || (flow.observing && !flow.eof && may_be_held(&scanner)),
            "flow.holding",
            "stands outside of a Pong or a Close",
        )?;
        require(
            !flow.done || (flow.eof && !spilled),
            "flow.done",
            "comes before the end",
        )?;
        require(
            !flow.ping_due || !(flow.eof || saw_close),
            "flow.ping_due",
            "comes behind the end",
        )?;
        require(
            flow.told.is_none_or(sendable) && (flow.told.is_none() || (flow.eof && !saw_close)),
            "flow.told",
            "does not come at the end",
        )?;
        Ok(Direction {
            scanner,
            close_sent: flow.told.is_some(),
            observing: flow.observing,
            holding: flow.holding,
            reading: Reading::new(flow.bulk),
            ping_due: flow.ping_due,
            saw_close,
            eof: flow.eof,
            fin: flow.done,
            done: flow.done,
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
