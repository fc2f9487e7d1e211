//! Respelling the names in the heads and trailers that hyper writes.

use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use super::ClientIo;
use crate::message::spelling::{Speller, respell, respell_fields};

/// Up to this many bytes it is cheaper to copy a head and its body together than to have the
/// kernel gather them.
const GATHERED: usize = 1024;

impl ClientIo {
    /// Writes slices, which hold `offered` bytes.
    pub(super) fn write_respelled(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
        offered: usize,
    ) -> Poll<io::Result<usize>> {
        match offered <= GATHERED {
            true => self.write_gathered(cx, bufs),
            false => self.write_large(cx, bufs),
        }
    }

    /// Copies a few small slices together, respelled, and writes them.
    fn write_gathered(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut gathered = [0; GATHERED];
        let mut at = 0;
        for buf in bufs {
            gathered[at..at + buf.len()].copy_from_slice(buf);
            at += buf.len();
        }
        let head = match self.context.take_spelling() {
            Some(spelling) => respell(
                &mut gathered[..at],
                spelling.speller(&self.context.facts.http.spelling),
            ),
            None => {
                let head = self.respelled.len().min(at);
                gathered[..head].copy_from_slice(&self.respelled[..head]);
                head
            }
        };
        let end = self.trailers.len().min(at);
        gathered[at - end..at].copy_from_slice(&self.trailers[self.trailers.len() - end..]);
        let result = self.io.poll_write(cx, &gathered[..at]);
        let written = match &result {
            Poll::Ready(Ok(n)) => *n,
            _ => 0,
        };
        self.respelled = gathered[written.min(head)..head].to_vec();
        result
    }

    /// Writes slices, of which the first begins with what is left of a head, if anything is.
    fn write_large(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Some(first) = bufs.first() else {
            return Poll::Ready(Ok(0));
        };
        if let Some(spelling) = self.context.take_spelling() {
            self.respelled = first.to_vec();
            let speller = spelling.speller(&self.context.facts.http.spelling);
            let end = respell(&mut self.respelled, speller);
            self.respelled.truncate(end);
        }
        if self.respelled.is_empty() && self.trailers.is_empty() {
            return self.io.poll_write_vectored(cx, bufs);
        }
        let offered: usize = bufs.iter().map(|buf| buf.len()).sum();
        let end = self.trailers.len().min(offered);
        let mut left = offered - end;
        let mut slices = Vec::with_capacity(bufs.len() + 2);
        let head = self.respelled.len().min(first.len());
        let middle = bufs[1..].iter().map(|buf| &**buf);
        for buf in [&*self.respelled, &first[head..]].into_iter().chain(middle) {
            let kept = left.min(buf.len());
            left -= kept;
            slices.push(IoSlice::new(&buf[..kept]));
        }
        slices.push(IoSlice::new(&self.trailers[self.trailers.len() - end..]));
        let result = self.io.poll_write_vectored(cx, &slices);
        if let Poll::Ready(Ok(n)) = &result {
            self.respelled.drain(..self.respelled.len().min(*n));
            if self.respelled.is_empty() {
                self.respelled = Vec::new();
            }
        }
        result
    }

    /// Respells the trailer section that ends what hyper writes, where one is to be written.
    #[cold]
    pub(super) fn respell_trailers(&mut self, bufs: &[IoSlice<'_>], lines: &[u8]) {
        // The last chunk, the fields and the empty line, as hyper puts them together.
        if let [.., last, fields, end] = bufs
            && **last == *b"0\r\n"
            && **end == *b"\r\n"
        {
            self.trailers = [last, fields, end].map(|buf| &**buf).concat();
            respell_fields(&mut self.trailers, last.len(), &mut Speller::new(lines));
        }
    }
}
