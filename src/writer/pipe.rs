//! Whole lines in a pipe that others write to as well: the log of before a reload, another
//! process after an upgrade, standard error on the same pipe. What fits into [`PIPE_BUF`] the
//! kernel keeps whole. For a longer line its writer locks the pipe (`flock`) until the line is
//! finished, and all who write hold a shared lock while they do.

use std::cell::Cell;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, FlockOperation, Mode, OFlags, flock, open};
use rustix::io::Errno;

/// What a pipe takes as a whole or not at all (POSIX `write`; Linux: one page).
pub(super) const PIPE_BUF: usize = 4096;
/// Between two attempts to lock.
const AGAIN: Duration = Duration::from_millis(5);
/// How long a pipe that takes more may stay locked: its writer has been stopped in mid-line.
const PATIENCE: Duration = Duration::from_secs(1);

/// The lines at the beginning of `left` that a pipe takes whole; a longer one alone.
pub(super) fn whole_lines(left: &[u8]) -> &[u8] {
    let room = left.len().min(PIPE_BUF);
    let end = match memchr::memrchr(b'\n', &left[..room]) {
        _ if left.len() <= PIPE_BUF => room,
        Some(at) => at + 1,
        None => memchr::memchr(b'\n', left).map_or(left.len(), |at| at + 1),
    };
    &left[..end]
}

/// A pipe that is written to.
pub(super) struct Pipe {
    /// An open file description of our own, for it is these that locks exclude: that of standard
    /// output is shared with the process that replaces us.
    own: OwnedFd,
    /// The pipe was locked for too long, and is not waited for until it was free once.
    overdue: Cell<bool>,
}

/// The pipe is locked until this is dropped.
pub(super) struct Turn<'a>(&'a Pipe);

impl Pipe {
    /// Of a descriptor that is open for writing; `None` where it is no pipe.
    pub(super) fn of(sink: BorrowedFd<'_>) -> Option<Pipe> {
        let stat = rustix::fs::fstat(sink).ok()?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Fifo {
            return None;
        }
        let path = format!("/proc/self/fd/{}", sink.as_raw_fd());
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        // Without one, as where the pipe is another user's: a FIFO's descriptor is its own anyway.
        let own =
            open(path, flags, Mode::empty()).or_else(|_| rustix::io::fcntl_dupfd_cloexec(sink, 0));
        Some(Pipe {
            own: own.ok()?,
            overdue: Cell::new(false),
        })
    }

    /// Locks the pipe for a piece of so many bytes once there is room, for which `room` waits.
    /// `None` where another writer has stopped in mid-line: it is written all the same.
    pub(super) fn turn(
        &self,
        length: usize,
        mut room: impl FnMut() -> Result<(), Errno>,
    ) -> Result<Option<Turn<'_>>, Errno> {
        let how = match length > PIPE_BUF {
            true => FlockOperation::NonBlockingLockExclusive,
            false => FlockOperation::NonBlockingLockShared,
        };
        let mut patience = PATIENCE;
        loop {
            // Nothing is locked while a reader is waited for.
            while !self.takes() {
                patience = PATIENCE;
                room()?;
            }
            match flock(&self.own, how) {
                Ok(()) => {
                    self.overdue.set(false);
                    return Ok(Some(Turn(self)));
                }
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) if !self.overdue.get() && !patience.is_zero() => {
                    std::thread::sleep(AGAIN);
                    patience = patience.saturating_sub(AGAIN);
                }
                Err(error) => {
                    self.overdue.set(error == Errno::WOULDBLOCK);
                    return Ok(None);
                }
            }
        }
    }

    /// Whether the pipe takes some, or has failed.
    fn takes(&self) -> bool {
        let mut asked = [PollFd::from_borrowed_fd(self.own.as_fd(), PollFlags::OUT)];
        !matches!(poll(&mut asked, Some(&Timespec::default())), Ok(0))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let _ = flock(&self.0.own, FlockOperation::Unlock);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_a_pipe_end_with_a_line() {
        let lines = [vec![b'a'; 3000], vec![b'b'; 3000], vec![b'c'; 9000]];
        let text = lines.join(&b'\n');
        let mut left = &text[..];
        let mut pieces = Vec::new();
        while !left.is_empty() {
            let piece = whole_lines(left);
            pieces.push(piece.len());
            left = &left[piece.len()..];
        }
        assert_eq!(pieces, [3001, 3001, 9000]);
    }
}
