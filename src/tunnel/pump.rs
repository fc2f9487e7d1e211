//! One direction of a tunnel: what was kept is written first, then a frame of ours if the
//! stream stands at a frame boundary, then what is read passes through the worker's scratch
//! buffer and the frame scanner (RFC 6455 section 5.2). Payload is never touched.
//!
//! Nothing is read while something waits to be written, so memory stays bounded by one
//! buffer. What Close frames mean for the whole tunnel is decided in `closing`.

mod bulk;
mod ends;
mod last_word;
mod observe;
mod reading;
mod receive;
mod restore;
mod show;
mod states;

use std::io;
use std::task::{Context, Poll, ready};

use self::reading::Reading;
use self::receive::{Watch, receive};
use self::states::{Frames, Handshake, Sink, Source};
use super::journal::Journal;
use super::splice::{self, Drained, Pipe};
use super::turns::{Key, Place};
use crate::net::io::{Io, TURN, yield_turn};
use crate::websocket::frame::{Scanner, Side};

/// Bytes that the sink would not take yet.
#[derive(Debug)]
struct Spill {
    bytes: Vec<u8>,
    /// How many of them are written.
    at: usize,
}

/// One direction's state.
#[derive(Debug)]
pub(super) struct Direction {
    scanner: Scanner,
    spill: Option<Box<Spill>>,
    pipe: Pipe,
    watch: Watch,
    reading: Reading,
    place: Place,
    source: Source,
    sink: Sink,
    frames: Frames,
    handshake: Handshake,
}

/// Why a direction stops.
enum Pause {
    /// It waits for a socket, or has ended.
    Wait,
    /// It has had its turn.
    Turn,
    /// It is not its turn.
    Line,
}

/// What one attempt to read brought.
enum Read {
    /// Something, and what it costs of a turn.
    Some(usize),
    End,
    Wait,
}

impl Direction {
    pub(super) fn new(from: Side) -> Direction {
        Direction {
            scanner: Scanner::new(from),
            spill: None,
            pipe: Pipe::default(),
            watch: Watch::new(),
            reading: Reading::new(false),
            place: Place::Free,
            source: Source::Open,
            sink: Sink::Open,
            frames: Frames::Followed,
            handshake: Handshake::Open,
        }
    }

    /// Another protocol than WebSocket: bytes are all there is.
    pub(super) fn without_frames(&mut self) {
        self.frames = Frames::Unknown;
    }

    /// Takes bytes that were read before the tunnel began.
    pub(super) fn seed(&mut self, bytes: &[u8], journal: &mut Journal) {
        if bytes.is_empty() {
            return;
        }
        let mut edited = None;
        let (rest, _) = self.observe(bytes, &mut edited, journal);
        if let Some(edited) = edited {
            self.keep(&edited);
        }
        self.keep(&bytes[rest..]);
    }

    /// Whether a [`Direction::pump`] would find nothing to do. Of a tunnel's two directions
    /// one is, whenever a message wakes it.
    #[inline]
    pub(super) fn is_idle(&self, from: &Io) -> bool {
        self.flushed() && self.watch.is_waiting(from)
    }

    /// Moves what can be moved.
    pub(super) fn pump(
        &mut self,
        from: &mut Io,
        to: &mut Io,
        scratch: &mut [u8],
        cx: &mut Context<'_>,
        journal: &mut Journal,
    ) {
        let pause = self.advance(from, to, scratch, cx, journal);
        let key = self.key(journal);
        match pause {
            Pause::Wait => self.place.leave(key),
            Pause::Turn if self.reading.is_bulk() => self.place.end_turn(key, cx),
            Pause::Turn => {
                self.place.leave(key);
                yield_turn(cx);
            }
            Pause::Line => {}
        }
    }

    fn key(&self, journal: &Journal) -> Key {
        (journal.handle.id, self.scanner.sender())
    }

    /// The direction moves nothing any more.
    pub(super) fn leave_line(&mut self, journal: &Journal) {
        self.place.leave(self.key(journal));
    }

    #[inline]
    fn advance(
        &mut self,
        from: &mut Io,
        to: &mut Io,
        scratch: &mut [u8],
        cx: &mut Context<'_>,
        journal: &mut Journal,
    ) -> Pause {
        let mut turn = TURN;
        loop {
            if !self.flushed() && !self.flush(to, cx, journal) && !self.discards() {
                journal.blocked(self.scanner.sender());
                return Pause::Wait;
            }
            if self.sink == Sink::EndDue {
                self.end_stream(to, cx);
            }
            match self.source {
                Source::Done => return Pause::Wait,
                _ if self.handshake.is_due() && self.may_inject() => {
                    let frame = self.injection(journal);
                    self.write(to, &frame, cx, journal);
                    continue;
                }
                Source::Ended => {
                    self.finish(to, cx);
                    return Pause::Wait;
                }
                Source::Open => {}
            }
            if !self.place.may_move(self.key(journal)) {
                return Pause::Line;
            }
            let cost = match self.read(from, to, scratch, cx, journal) {
                Read::Some(cost) => cost,
                Read::End => {
                    self.ended(to, cx, journal);
                    continue;
                }
                Read::Wait => {
                    self.wait();
                    return Pause::Wait;
                }
            };
            turn = turn.saturating_sub(cost);
            if turn == 0 {
                return Pause::Turn;
            }
        }
    }

    /// The source has ended; so does the direction, once nothing is left of it.
    #[cold]
    fn finish(&mut self, to: &mut Io, cx: &mut Context<'_>) {
        let awaits_close = self.frames == Frames::Violated { at_boundary: true };
        if !self.flushed() || awaits_close {
            return;
        }
        if self.sink.is_open() {
            self.end_stream(to, cx);
        }
        self.handshake.drop_due();
        if self.sink != Sink::EndDue {
            self.source = Source::Done;
        }
    }

    /// The source has nothing.
    #[inline]
    fn wait(&mut self) {
        if self.sink == Sink::EndDue {
            // The sink may take its end before the source has more.
            self.watch.disarm();
        }
    }

    /// One read, by splice or through the scratch buffer and with the write that goes with it.
    fn read(
        &mut self,
        from: &mut Io,
        to: &mut Io,
        scratch: &mut [u8],
        cx: &mut Context<'_>,
        journal: &mut Journal,
    ) -> Read {
        if self.reading.is_bulk()
            && let Some((source, _)) = from.descriptor().zip(to.descriptor())
            && let Some(read) = self.splice(source, cx, journal)
        {
            return read;
        }
        self.copy(from, to, scratch, cx, journal)
    }

    #[inline]
    fn copy(
        &mut self,
        from: &mut Io,
        to: &mut Io,
        scratch: &mut [u8],
        cx: &mut Context<'_>,
        journal: &mut Journal,
    ) -> Read {
        let scratch = &mut scratch[..self.reading.most()];
        let n = match receive(from, &mut self.watch, scratch, cx) {
            Poll::Ready(Ok(0)) => return Read::End,
            Poll::Ready(Ok(n)) => n,
            Poll::Pending => return Read::Wait,
            Poll::Ready(Err(error)) => {
                journal.failed(self.scanner.sender(), &error);
                return Read::End;
            }
        };
        if self.sink.wastes(n) {
            return Read::End;
        }
        let chunk = &scratch[..n];
        let mut edited = None;
        let (rest, frames) = self.observe(chunk, &mut edited, journal);
        let cost = self.reading.chunk(n, frames);
        if let Some(mut edited) = edited {
            edited.extend_from_slice(&chunk[rest..]);
            self.write(to, &edited, cx, journal);
        } else {
            self.write(to, &chunk[rest..], cx, journal);
        }
        Read::Some(cost)
    }

    /// Writes, and keeps what the sink does not take.
    #[inline]
    fn write(&mut self, to: &mut Io, bytes: &[u8], cx: &mut Context<'_>, journal: &mut Journal) {
        if bytes.is_empty() {
            return;
        }
        if !self.flushed() {
            return self.keep(bytes);
        }
        match to.poll_write(cx, bytes) {
            Poll::Ready(Ok(n)) if n == bytes.len() => {}
            Poll::Ready(Ok(n)) => self.keep(&bytes[n..]),
            Poll::Pending => self.keep(bytes),
            Poll::Ready(Err(error)) => {
                journal.failed(self.scanner.sender().other(), &error);
                self.sink_lost();
            }
        }
    }

    #[cold]
    fn keep(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        match &mut self.spill {
            Some(spill) => spill.bytes.extend_from_slice(bytes),
            none => {
                *none = Some(Box::new(Spill {
                    bytes: bytes.to_vec(),
                    at: 0,
                }))
            }
        }
    }

    /// Writes what was kept, the pipe's bytes first: they are older. Returns whether nothing
    /// is left.
    #[cold]
    fn flush(&mut self, to: &mut Io, cx: &mut Context<'_>, journal: &mut Journal) -> bool {
        let result = match splice::drain(&mut self.pipe, to, cx) {
            Ok(Drained::Wait) => Poll::Pending,
            Ok(Drained::Empty) => self.write_spill(to, cx),
            Ok(Drained::Stranded(mut bytes)) => {
                if let Some(spill) = self.spill.take() {
                    bytes.extend_from_slice(&spill.bytes[spill.at..]);
                }
                self.keep(&bytes);
                self.write_spill(to, cx)
            }
            Err(error) => Poll::Ready(Err(error)),
        };
        match result {
            Poll::Pending => false,
            Poll::Ready(Ok(())) => {
                journal.handle.set_blocked(self.scanner.sender(), false);
                true
            }
            Poll::Ready(Err(error)) => {
                journal.failed(self.scanner.sender().other(), &error);
                self.sink_lost();
                true
            }
        }
    }

    fn write_spill(&mut self, to: &mut Io, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(spill) = &mut self.spill {
            spill.at += ready!(to.poll_write(cx, &spill.bytes[spill.at..]))?;
            if spill.at == spill.bytes.len() {
                self.spill = None;
            }
        }
        Poll::Ready(Ok(()))
    }
}
