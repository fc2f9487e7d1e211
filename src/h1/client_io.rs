//! The client's socket as hyper sees it. Every byte passes the strict scanner of `framing`
//! before hyper parses it, heads only once they are whole; every wait is noted in the
//! `Watch`, and interim answers (1xx), which hyper cannot send, are written between its own
//! writes. The names in the heads that hyper writes are respelled on their way.

mod respelled;
mod scanned;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use hyper::rt::ReadBufCursor;
use tokio::io::ReadBuf;

use super::context::Context as ConnectionContext;
use crate::message::framing::{Phase, RequestScanner};
use crate::net::io::{Io, PeerState, with_scratch};
use crate::proxy::clock::Wait;

/// A client's socket between the kernel and hyper.
pub struct ClientIo {
    io: Io,
    scanner: RequestScanner,
    context: Arc<ConnectionContext>,
    /// The beginning of a head that is not complete, or the one that was refused.
    head: Vec<u8>,
    /// When that beginning arrived.
    head_since: Option<Instant>,
    /// Bytes that hyper may see and has had no room for.
    passed: Vec<u8>,
    /// The scanner has refused something; hyper sees no further byte.
    refused: bool,
    /// It was the body of the request under way that was refused.
    in_body: bool,
    /// The client has ended its direction.
    ended: bool,
    /// Read but not scanned: what follows a request that asks for another protocol.
    held: Vec<u8>,
    /// The unwritten rest of an answer's head that was respelled.
    respelled: Vec<u8>,
    /// A trailer section that was respelled: the last that hyper writes of an answer.
    trailers: Vec<u8>,
}

/// Bytes from a client that hyper has not seen.
#[derive(Debug)]
pub struct Left {
    /// Those that it would have read next.
    pub passed: Vec<u8>,
    /// A head that is incomplete or refused.
    pub head: Vec<u8>,
    /// When its beginning arrived.
    pub head_since: Option<Instant>,
    /// What follows a request that asks for another protocol.
    pub held: Vec<u8>,
}

/// What one read brought.
enum Got {
    /// Bytes for hyper.
    Bytes,
    /// Part of a head.
    Part,
    /// Only bytes that are held back.
    Held,
    /// Only bytes that are refused.
    Refused,
    /// The end of the client's direction.
    End,
}

impl ClientIo {
    /// Guards `io` with `scanner`.
    pub fn new(io: Io, scanner: RequestScanner, context: Arc<ConnectionContext>) -> Self {
        ClientIo {
            io,
            scanner,
            context,
            head: Vec::new(),
            head_since: None,
            passed: Vec::new(),
            refused: false,
            in_body: false,
            ended: false,
            held: Vec::new(),
            respelled: Vec::new(),
            trailers: Vec::new(),
        }
    }

    /// When hyper is done: the socket, and the bytes that it did not take.
    pub fn into_parts(self) -> (Io, Left) {
        let left = Left {
            passed: self.passed,
            head: self.head,
            head_since: self.head_since,
            held: self.held,
        };
        (self.io, left)
    }

    /// Reads until there is something that hyper may see.
    fn read(
        &mut self,
        cx: &mut Context<'_>,
        cursor: &mut ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let got = ready!(with_scratch(|scratch| self.read_once(cx, cursor, scratch)))?;
            if let Some(done) = self.outcome(got) {
                return done;
            }
        }
    }

    /// What hyper is told of it; `None` where more is to be looked at.
    fn outcome(&self, got: Got) -> Option<Poll<io::Result<()>>> {
        match got {
            Got::Bytes => Some(Poll::Ready(Ok(()))),
            Got::End => Some(self.poll_ended()),
            Got::Refused => Some(self.poll_refused()),
            // The end of the exchange wakes the task.
            Got::Held => Some(Poll::Pending),
            Got::Part => None,
        }
    }

    /// Reads into the worker's scratch buffer and hands on what the scanner lets pass.
    fn read_once(
        &mut self,
        cx: &mut Context<'_>,
        cursor: &mut ReadBufCursor<'_>,
        scratch: &mut [u8],
    ) -> Poll<io::Result<Got>> {
        let room = cursor.remaining().min(scratch.len());
        let mut buf = ReadBuf::new(&mut scratch[..room]);
        ready!(self.io.poll_read(cx, &mut buf))?;
        let bytes = buf.filled();
        if bytes.is_empty() {
            self.ended = true;
            self.context.input.end();
            return Poll::Ready(Ok(Got::End));
        }
        Poll::Ready(Ok(self.scan(bytes, bytes.len(), cursor)))
    }

    /// Passes the end of the client's direction on where it cuts a body short. Otherwise all
    /// requests are answered first (RFC 9112 section 9.6), and a tunnel sees the end by itself;
    /// meanwhile only a reset or a failing write shows that the client is gone.
    fn poll_ended(&self) -> Poll<io::Result<()>> {
        let context = &*self.context;
        if self.scanner.phase() == Phase::Body {
            return Poll::Ready(Ok(()));
        }
        if !context.watch.turn.is_under_way() && !context.awaits_flush() {
            return Poll::Ready(Ok(()));
        }
        context.watch.half_closed();
        if context.watch.take_probe() {
            context.probe();
        }
        Poll::Pending
    }

    /// Ends hyper's reading once every earlier, pipelined request has got all of its answer. Until
    /// then it is pending; the end of the exchange, or the flush, wakes the task.
    fn poll_refused(&self) -> Poll<io::Result<()>> {
        let waits = self.context.watch.turn.is_under_way() || self.context.awaits_flush();
        if waits && !self.in_body {
            return Poll::Pending;
        }
        Poll::Ready(Err(refused()))
    }

    /// Checks, when the tick asks for it, whether the client is gone: nothing else shows it while
    /// hyper does not read, neither a body that the upstream does not take nor what is pipelined.
    /// One that has ended its direction after that may wait for its answer, and is asked.
    fn look(&self) -> io::Result<()> {
        let context = &*self.context;
        if !context.watch.take_look() {
            return Ok(());
        }
        match self.io.peer_state(false) {
            PeerState::Broken(error) => return Err(error),
            PeerState::Ended if !self.ended && context.watch.turn.is_under_way() => {
                context.watch.half_closed();
                if context.watch.take_probe() {
                    context.probe();
                }
            }
            PeerState::Ended | PeerState::Open => {}
        }
        Ok(())
    }

    /// Writes pending interim answers; `Ready` when there are none left. They are queued
    /// only when hyper holds no bytes back, so whatever it writes next comes after them.
    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (io, watch) = (&mut self.io, &self.context.watch);
        let written = self.context.write_interim(|interim| {
            while !interim.is_empty() {
                let offered = interim.len();
                match io.poll_write(cx, interim) {
                    Poll::Ready(Ok(n)) => {
                        watch.wrote(n, n == offered);
                        interim.drain(..n);
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => {
                        watch.write_blocked();
                        return Poll::Pending;
                    }
                }
            }
            Poll::Ready(Ok(()))
        });
        written.unwrap_or(Poll::Ready(Ok(())))
    }

    /// While a body is held back nothing is read for hyper. Where the body comes all the same, or
    /// the client is gone, the wait for the upstream's 100 ends (RFC 9110 section 10.1.1).
    fn look_for_body(&self, cx: &mut Context<'_>) {
        if self.context.watch.turn.clock.wait() != Wait::Continue {
            return;
        }
        // Of a stream that cannot be peeked at it is not known; the wait has its limit.
        let Some(socket) = self.io.descriptor() else {
            return;
        };
        while let Poll::Ready(ready) = socket.poll_read_ready(cx) {
            let peeked = ready.and_then(|()| socket.try_peek());
            if !matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
                return self.context.watch.end_continue();
            }
        }
    }

    fn wrote(&self, result: Poll<io::Result<usize>>, offered: usize) -> Poll<io::Result<usize>> {
        let context = &*self.context;
        match &result {
            Poll::Ready(Ok(n)) => context.watch.wrote(*n, *n == offered),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => context.watch.write_blocked(),
        }
        if context.watch.is_write_blocked() {
            context.pace.blocked();
        }
        result
    }
}

/// What hyper is told when the scanner has refused the client's bytes.
fn refused() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "refused request")
}

impl hyper::rt::Read for ClientIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.passed.is_empty() {
            self.hand_on(&mut cursor);
            return Poll::Ready(Ok(()));
        }
        if self.refused {
            return self.poll_refused();
        }
        if let Some(done) = self.poll_held(&mut cursor) {
            return done;
        }
        if self.ended {
            return self.poll_ended();
        }
        let result = self.read(cx, &mut cursor);
        if result.is_pending() && !self.refused {
            self.context.watch.read_blocked();
        }
        result
    }
}

impl hyper::rt::Write for ClientIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.look()?;
        ready!(self.poll_interim(cx))?;
        let offered = bufs.iter().map(|buf| buf.len()).sum();
        if let Some(lines) = self.context.take_trailers() {
            self.respell_trailers(bufs, &lines);
        }
        let result = self.write_respelled(cx, bufs, offered);
        if matches!(result, Poll::Ready(Ok(n)) if n == offered) && !self.trailers.is_empty() {
            self.trailers = Vec::new();
        }
        self.wrote(result, offered)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.look()?;
        ready!(self.poll_interim(cx))?;
        self.context.flushed();
        self.look_for_body(cx);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The connection's owner closes the socket when hyper has let go of it.
        Poll::Ready(Ok(()))
    }
}
