//! A client's bytes and the scanner: what passes goes to hyper, the beginning of a head waits, and
//! what follows a request for another protocol is held back.

use std::io;
use std::ops::Range;
use std::task::Poll;
use std::time::Instant;

use hyper::rt::ReadBufCursor;

use super::{ClientIo, Got};
use crate::message::framing::{Carried, Phase};
use crate::message::spelling::Section;

impl ClientIo {
    /// Scans what was held back once every earlier request is answered without a change of
    /// protocol. `None` where nothing is left of it and the socket may be read.
    pub(super) fn poll_held(
        &mut self,
        cursor: &mut ReadBufCursor<'_>,
    ) -> Option<Poll<io::Result<()>>> {
        if matches!(self.scanner.phase(), Phase::Upgrade | Phase::Held) {
            if !self.context.is_answered() {
                return (!self.held.is_empty()).then_some(Poll::Pending);
            }
            self.scanner.resume();
            self.context.came_early(false);
            self.scan(&[], 0, cursor);
        }
        while !self.held.is_empty() {
            let mut now = std::mem::take(&mut self.held);
            let later = now.split_off(now.len().min(cursor.remaining()));
            let got = self.scan(&now, 0, cursor);
            self.held.extend_from_slice(&later);
            if let Some(done) = self.outcome(got) {
                return Some(done);
            }
        }
        None
    }

    /// Passes on what the scanner accepts of `bytes`, of which `came` are new: whole heads, and
    /// bodies as they come.
    pub(super) fn scan(
        &mut self,
        bytes: &[u8],
        came: usize,
        cursor: &mut ReadBufCursor<'_>,
    ) -> Got {
        let before = self.scanner.position() - self.head.len() as u64;
        let whole = match self.scanner.feed(bytes) {
            Ok(()) => {
                let seen = bytes.len() - self.scanner.held();
                seen - self.scanner.unfinished_head().min(seen)
            }
            Err(violation) => {
                self.refused = true;
                self.in_body = self.scanner.phase() == Phase::Body;
                self.context.input.refuse(violation.refusal, self.in_body);
                violation.safe
            }
        };
        for (head, lines) in self.scanner.take_trailers() {
            self.context.names_came(head, Section::Trailers, lines);
        }
        let (phase, heads) = (self.scanner.phase(), self.scanner.heads());
        let body = self.scanner.body_bytes();
        self.context.watch.read(came, phase, heads, body);
        let (bytes, held) = bytes.split_at(bytes.len() - self.scanner.held());
        let (passed, head) = bytes.split_at(whole);
        let carried = self.scanner.take_carried();
        for Carried { head, place } in self.scanner.take_spelled() {
            let lines = self.whole(before, passed, place);
            self.context.names_came(head, Section::Head, lines);
        }
        if self.head.is_empty() && carried.is_empty() {
            cursor.put_slice(passed);
        } else if !passed.is_empty() {
            self.head.extend_from_slice(passed);
            self.pass_around(before, &carried);
            self.hand_on(cursor);
        }
        if self.head.is_empty() && !head.is_empty() {
            self.head_since = Some(Instant::now());
        }
        self.head.extend_from_slice(head);
        if !held.is_empty() {
            self.held.extend_from_slice(held);
            self.context.came_early(true);
        }
        match (passed.is_empty(), self.refused) {
            (false, _) => Got::Bytes,
            (true, true) => Got::Refused,
            (true, false) if !held.is_empty() => Got::Held,
            (true, false) => Got::Part,
        }
    }

    /// A copy of what stands at `place` in `head`, which begins at `start` in the connection, and
    /// in what has passed after it.
    fn whole(&self, start: u64, passed: &[u8], place: Range<u64>) -> Vec<u8> {
        let [from, to] = [place.start, place.end].map(|place| (place - start) as usize);
        let earlier = self.head.len();
        let mut lines = self.head[from.min(earlier)..to.min(earlier)].to_vec();
        lines.extend_from_slice(&passed[from.saturating_sub(earlier)..to.saturating_sub(earlier)]);
        lines
    }

    /// Makes the bytes of `head`, which begin at `start` in the connection, ready for hyper:
    /// targets that it cannot hold are kept for their exchanges, and `/` stands in for each.
    #[cold]
    fn pass_around(&mut self, start: u64, carried: &[Carried]) {
        let all = std::mem::take(&mut self.head);
        let mut at = 0;
        for Carried { head, place } in carried {
            let [from, to] = [place.start, place.end].map(|place| (place - start) as usize);
            self.passed.extend_from_slice(&all[at..from]);
            self.passed.push(b'/');
            self.context.carry(*head, &all[from..to]);
            at = to;
        }
        self.passed.extend_from_slice(&all[at..]);
    }

    /// Passes on as much of what was accepted as there is room for.
    pub(super) fn hand_on(&mut self, cursor: &mut ReadBufCursor<'_>) {
        let take = self.passed.len().min(cursor.remaining());
        cursor.put_slice(&self.passed[..take]);
        self.passed.drain(..take);
        if self.passed.is_empty() {
            self.passed = Vec::new();
        }
    }
}
