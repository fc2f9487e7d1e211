//! What passes through one direction is followed here frame by frame (RFC 6455 sections 5
//! and 7): which bytes are left out, held back or added. Reads and writes nothing.

use super::super::journal::Journal;
use super::Direction;
use super::states::{Frames, Handshake};
use crate::tap;
use crate::tunnel_registry;
use crate::vocabulary::counters::Counters;
use crate::websocket::control;
use crate::websocket::frame::{CONTROL, Kind, Opcode, Violation};

impl Direction {
    /// Follows the frames of `chunk`. What is to be written is `edited`, if anything had to
    /// be left out or added, and then `chunk` from the returned index on; the frames are
    /// returned too.
    #[inline]
    pub(super) fn observe(
        &mut self,
        chunk: &[u8],
        edited: &mut Option<Vec<u8>>,
        journal: &mut Journal,
    ) -> (usize, usize) {
        tunnel_registry::note(&journal.handle);
        let counters = &journal.handle.counters[self.scanner.sender() as usize];
        if !self.sink.is_lost() {
            counters.received(chunk.len());
        }
        let (mut at, mut frames) = (0, 0);
        if self.passes_all() && !journal.handle.is_tapped() {
            (at, frames) = self.data(chunk, counters);
        }
        match at == chunk.len() {
            true => (0, frames),
            false => self.follow(chunk, (at, frames), edited, journal),
        }
    }

    /// Whether data frames need no more than to be counted.
    #[inline]
    fn passes_all(&self) -> bool {
        self.sink.is_open() && self.frames == Frames::Followed && self.handshake == Handshake::Open
    }

    /// Follows the data frames that `chunk` begins with; returns how many bytes they are, and how
    /// many frames.
    #[inline]
    fn data(&mut self, chunk: &[u8], counters: &Counters) -> (usize, usize) {
        let (mut at, mut frames) = (0, 0);
        while at < chunk.len() && self.scanner.is_data(chunk[at]) {
            let step = self.scanner.step(&chunk[at..], counters);
            if matches!(step.kind, Kind::Invalid(_)) {
                break;
            }
            at += step.used;
            frames += 1;
        }
        (at, frames)
    }

    /// The same as [`Direction::observe`] from `at` on, for whatever there may be.
    #[cold]
    fn follow(
        &mut self,
        chunk: &[u8],
        (mut at, mut frames): (usize, usize),
        edited: &mut Option<Vec<u8>>,
        journal: &mut Journal,
    ) -> (usize, usize) {
        // What comes for a sink that is gone is looked at for a Close, and not counted.
        let unseen = self.sink.is_lost().then(Counters::default);
        let sender = self.scanner.sender() as usize;
        let tapped = journal.handle.is_tapped() && self.join_tap(journal);
        // `chunk[..passed]` is in `edited` already, or left out.
        let mut passed = 0;
        while at < chunk.len() && self.frames.are_followed() {
            frames += 1;
            if self.has_seen_close() && self.speaks_after_close(chunk[at], journal) {
                let late = Violation::DataAfterClose;
                // The sink has its Close: it gets none of ours.
                passed = self.violation(late, false, &chunk[..at], passed, edited, journal);
                break;
            }
            let counters = unseen.as_ref().unwrap_or(&journal.handle.counters[sender]);
            let step = self.scanner.step(&chunk[at..], counters);
            let end = at + step.used;
            match step.kind {
                Kind::Data => {}
                Kind::Control(opcode) => {
                    passed = self.control(opcode, &chunk[..end], at, passed, edited, journal);
                }
                Kind::Invalid(violation) => {
                    passed = self.invalid(violation, &chunk[..at], passed, edited, journal);
                }
            }
            if tapped {
                self.show(&chunk[at..], step.used, journal);
            }
            if self.handshake.is_due() && self.frames.are_followed() && self.scanner.at_boundary() {
                let out = edited.get_or_insert_default();
                out.extend_from_slice(&chunk[passed..end]);
                out.extend_from_slice(&self.injection(journal));
                passed = end;
            }
            if self.frames.are_followed()
                && let Some(opcode) = self.scanner.inside_control()
                && self.must_hold(opcode, journal)
            {
                passed = self.hold(chunk, at, passed, edited);
            }
            at = end;
        }
        let rest = match self.sink.is_open() {
            true => passed,
            false => chunk.len(),
        };
        (rest, frames)
    }

    /// Whether `next` begins a data frame that the source must not send any more where the
    /// route is strict (RFC 6455 section 5.5.1).
    #[cold]
    fn speaks_after_close(&self, next: u8, journal: &Journal) -> bool {
        let control = next & CONTROL != 0;
        self.scanner.at_boundary() && !control && journal.handle.settings().strict
    }

    /// Whether a frame that has begun must be complete before any of it is passed on: a Pong
    /// may be the answer to a Ping of ours, a Close may be none where the route is strict.
    #[cold]
    fn must_hold(&self, opcode: Opcode, journal: &Journal) -> bool {
        match opcode {
            Opcode::Pong => journal.pinged(self.scanner.sender()),
            Opcode::Close => journal.handle.settings().strict,
            _ => false,
        }
    }

    /// A control frame has begun at `at` and goes on after the chunk, and must wait for that.
    #[cold]
    fn hold(
        &mut self,
        chunk: &[u8],
        at: usize,
        passed: usize,
        edited: &mut Option<Vec<u8>>,
    ) -> usize {
        // Its first part may have been passed on before the first Ping of ours.
        let begun_here = self.scanner.pending().len() == chunk.len() - at;
        if self.frames != Frames::Held && !begun_here {
            return passed;
        }
        self.frames = Frames::Held;
        self.pass(edited, &chunk[passed..at]);
        chunk.len()
    }

    /// Puts bytes among those to be written, unless nothing may follow any more.
    fn pass(&self, edited: &mut Option<Vec<u8>>, bytes: &[u8]) {
        if self.sink.is_open() {
            edited.get_or_insert_default().extend_from_slice(bytes);
        }
    }

    /// A control frame is complete; `chunk` ends with it and `at` is where its last step
    /// began.
    #[cold]
    fn control(
        &mut self,
        opcode: Opcode,
        chunk: &[u8],
        at: usize,
        passed: usize,
        edited: &mut Option<Vec<u8>>,
        journal: &mut Journal,
    ) -> usize {
        let (payload, raw) = self.scanner.control(&chunk[at..]);
        let held = self.frames.release();
        match opcode {
            Opcode::Ping => journal.ping_passed(self.scanner.sender().other(), &payload),
            Opcode::Close => {
                if let Some(violation) = self.peer_close(&payload, journal) {
                    // Its first bytes may have gone before the route was strict.
                    let clean = held || raw.is_none();
                    return self.violation(violation, clean, &chunk[..at], passed, edited, journal);
                }
            }
            _ => {
                let ours = journal.pong(self.scanner.sender(), &payload);
                let whole_here = raw.is_none();
                if ours && (held || whole_here) {
                    if journal.handle.is_tapped() {
                        tap::withheld(journal.handle.id, self.scanner.sender());
                    }
                    self.pass(edited, &chunk[passed..at]);
                    return chunk.len();
                }
            }
        }
        if held && let Some(raw) = raw {
            // `raw` ends with this step's bytes.
            self.pass(edited, &raw);
            return chunk.len();
        }
        passed
    }

    /// Takes note of a peer's Close, unless it must not be passed on.
    fn peer_close(&mut self, payload: &[u8], journal: &mut Journal) -> Option<Violation> {
        let violation = control::close_violation(payload);
        if violation.is_some() && journal.handle.settings().strict {
            return violation;
        }
        self.handshake.see();
        journal.close_seen(self.scanner.sender(), control::close_payload(payload));
        None
    }

    /// The bytes after `before` are not valid framing.
    #[cold]
    fn invalid(
        &mut self,
        violation: Violation,
        before: &[u8],
        passed: usize,
        edited: &mut Option<Vec<u8>>,
        journal: &mut Journal,
    ) -> usize {
        let held = self.frames.release();
        let clean = self.scanner.at_boundary() || held;
        self.reading.set_bulk(false);
        if journal.handle.settings().strict {
            return self.violation(violation, clean, before, passed, edited, journal);
        }
        self.frames = Frames::Unknown;
        // A Close that is due waits for the end of the stream.
        self.handshake.drop_ping();
        if held {
            self.pass(edited, self.scanner.pending());
        }
        passed
    }

    /// What follows `before` breaks the rules of a strict route. What was valid is passed on.
    /// With a clean boundary there, the Close that the violation leads to can follow; else the
    /// stream just ends.
    fn violation(
        &mut self,
        violation: Violation,
        clean: bool,
        before: &[u8],
        passed: usize,
        edited: &mut Option<Vec<u8>>,
        journal: &mut Journal,
    ) -> usize {
        journal.violation.get_or_insert(violation);
        self.reading.set_bulk(false);
        self.pass(edited, &before[passed..]);
        let takes_close = self.sink.is_open() && self.handshake < Handshake::Sent;
        self.frames = Frames::Violated {
            at_boundary: clean && takes_close,
        };
        self.handshake.drop_ping();
        self.sink.seal();
        before.len()
    }
}
