//! Large frames are moved by splice(2): their headers are peeked at where they are, in the socket,
//! and go the way of the payload. So the bytes of many frames reach the pipe without a copy, and
//! the scanner still knows where each begins; a frame of ours finds its boundary as it does
//! elsewhere, for nothing is taken past a boundary at which one is due.

use std::task::{Context, Poll};

use super::super::journal::Journal;
use super::super::splice::{self, Moved};
use super::reading::{LARGE, MOST};
use super::states::{Frames, Handshake};
use super::{Direction, Read};
use crate::net::io::Socket;
use crate::tunnel_registry;
use crate::websocket::frame::MAX_HEADER;

/// Bytes that are taken into a pipe before it is emptied: so many that what it costs to empty it
/// does not matter, and whole segments.
const PIECE: usize = 4 * MOST;
const _: () = assert!(PIECE <= splice::CAPACITY);

/// What comes next from a source in bulk.
enum Next {
    /// This header, and so much of a data frame after it. Without a header: the rest of one.
    Data(Head, u64),
    /// What is to be looked at.
    Other,
    End,
    Wait,
}

/// The bytes of a header.
struct Head {
    bytes: [u8; MAX_HEADER],
    len: usize,
}

impl Direction {
    /// Moves payload and headers of large data frames into the pipe. `None`: what comes is to be
    /// copied.
    pub(super) fn splice(
        &mut self,
        from: &Socket,
        cx: &mut Context<'_>,
        journal: &mut Journal,
    ) -> Option<Read> {
        self.watch.disarm();
        let mut moved = 0;
        while moved < PIECE {
            let (head, left) = match self.next(from, cx, journal) {
                Next::Data(head, left) => (head, left),
                Next::Other if moved == 0 => {
                    self.reading.set_bulk(false);
                    return None;
                }
                Next::Wait if moved == 0 => return Some(Read::Wait),
                Next::Other | Next::Wait => break,
                Next::End => return Some(Read::End),
            };
            let asked = (left + head.len as u64).min((PIECE - moved) as u64) as usize;
            match splice::fill(from, asked, &mut self.pipe, cx) {
                Moved::Bytes(n) => {
                    self.account(&head.bytes[..head.len.min(n)], n - head.len.min(n), journal);
                    moved += n;
                    if n < asked {
                        break;
                    }
                }
                Moved::Wait if moved == 0 => return Some(Read::Wait),
                Moved::Unable if moved == 0 => return None,
                Moved::Full | Moved::Wait | Moved::Unable => break,
                Moved::End => return Some(Read::End),
                Moved::Failed(error) => {
                    journal.failed(self.scanner.sender(), &error);
                    return Some(Read::End);
                }
            }
        }
        // Of a source that sends little at a time a copy is cheaper.
        self.reading.set_bulk(moved >= LARGE);
        Some(Read::Some(moved))
    }

    /// What the source has next; a header that is complete is left where it is.
    fn next(&self, from: &Socket, cx: &mut Context<'_>, journal: &mut Journal) -> Next {
        let mut head = Head {
            bytes: [0; MAX_HEADER],
            len: 0,
        };
        if self.frames != Frames::Followed || !self.sink.is_open() {
            return Next::Other;
        }
        if self.scanner.data_left() > 0 {
            return Next::Data(head, self.scanner.data_left());
        }
        // A tap wants to see how each frame begins.
        let is_tapped = journal.handle.is_tapped();
        if is_tapped || !self.scanner.at_boundary() || self.handshake != Handshake::Open {
            return Next::Other;
        }
        let peeked = match splice::peek(from, &mut head.bytes, cx) {
            Poll::Pending => return Next::Wait,
            Poll::Ready(Ok(0)) => return Next::End,
            Poll::Ready(Ok(n)) => &head.bytes[..n],
            Poll::Ready(Err(error)) => {
                journal.failed(self.scanner.sender(), &error);
                return Next::End;
            }
        };
        match self.scanner.data_ahead(peeked) {
            Some((size, length)) if length >= LARGE as u64 => {
                head.len = size;
                Next::Data(head, length)
            }
            _ => Next::Other,
        }
    }

    /// What was moved is followed: a header, or the part of it that was moved, and payload.
    fn account(&mut self, head: &[u8], payload: usize, journal: &mut Journal) {
        tunnel_registry::note(&journal.handle);
        let counters = &journal.handle.counters[self.scanner.sender() as usize];
        counters.received(head.len() + payload);
        if !head.is_empty() {
            self.scanner.step(head, counters);
        }
        if payload > 0 {
            if journal.handle.is_tapped() {
                self.show_skipped(payload, journal);
            }
            self.scanner.skip(payload as u64, counters);
        }
    }
}
