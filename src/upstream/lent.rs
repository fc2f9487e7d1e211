//! A worker's large buffers. An answer is read into one of them for a client that takes all that
//! it is given: the same buffer serves the next read then, and is still in the processor's cache.
//! Where the client stops, the buffer stays with it; only so many of a worker's can.

use std::cell::RefCell;
use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};

/// What one read may bring while the size of the answer is unknown, in bytes.
pub const READ: usize = 32 * 1024;
/// Size of each large buffer, in bytes.
pub const SIZE: usize = 256 * 1024;
/// Most of them that a worker has at a time.
const MOST: usize = 4;

thread_local! {
    static BUFFERS: RefCell<Buffers> = const { RefCell::new(Buffers { free: None, lent: 0 }) };
}

struct Buffers {
    free: Option<Box<[u8]>>,
    lent: usize,
}

/// A large buffer of this worker, which gets it back when this is dropped.
#[derive(Debug)]
pub struct Lent(Box<[u8]>);

impl Lent {
    /// Takes one; `None` where clients that do not read have all of them.
    pub fn take() -> Option<Lent> {
        BUFFERS.with_borrow_mut(|buffers| {
            if buffers.lent == MOST {
                return None;
            }
            buffers.lent += 1;
            let buffer = buffers.free.take();
            Some(Lent(buffer.unwrap_or_else(|| vec![0; SIZE].into())))
        })
    }

    /// All of it.
    pub fn all_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// A part of it. The worker gets it back when all of that is dropped.
    pub fn into_bytes(self, part: Range<usize>) -> Bytes {
        let mut bytes = Bytes::from_owner(self);
        bytes.truncate(part.end);
        bytes.advance(part.start);
        bytes
    }
}

/// What one read brought of an answer.
#[derive(Debug)]
pub enum Piece {
    /// In a buffer of its own.
    Own(BytesMut),
    /// So many bytes in a large buffer.
    Lent(Lent, usize),
}

impl Piece {
    /// In a buffer of its own, copied if need be.
    pub fn into_own(self) -> BytesMut {
        match self {
            Piece::Own(bytes) => bytes,
            Piece::Lent(lent, len) => BytesMut::from(&lent.as_ref()[..len]),
        }
    }

    /// Its length in bytes; 0 is the end of the stream.
    pub fn length(&self) -> usize {
        match self {
            Piece::Own(bytes) => bytes.len(),
            Piece::Lent(_, len) => *len,
        }
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.0);
        // A thread that ends keeps nothing.
        let _ = BUFFERS.try_with(|buffers| {
            let mut buffers = buffers.borrow_mut();
            buffers.lent = buffers.lent.saturating_sub(1);
            buffers.free.get_or_insert(buffer);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_buffer_serves_again_and_clients_that_stop_have_only_so_many() {
        let mut first = Lent::take().unwrap();
        let at = first.all_mut().as_ptr();
        let bytes = first.into_bytes(3..7);
        let part = bytes.slice(1..);
        drop(bytes);
        assert_ne!(Lent::take().unwrap().all_mut().as_ptr(), at, "it is in use");
        drop(part);
        let kept: Vec<_> = (0..MOST).map(|_| Lent::take().unwrap()).collect();
        assert!(Lent::take().is_none());
        drop(kept);
        let again = Lent::take().unwrap();
        assert_eq!(again.as_ref().len(), SIZE);
    }
}
