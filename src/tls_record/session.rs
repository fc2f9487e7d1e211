//! A session: both directions, as the reader and writer of the connection sees them.

use std::fmt;

use super::fault::{Alert, Fault};
use super::incoming::{Incoming, Reading};
use super::outgoing::{Outgoing, Sealed};
use super::protection::Protection;
use super::role::Role;
use super::secret::{Secret, Suite};

/// One direction as the handshake's library left it.
#[derive(Clone, Copy)]
pub struct Extracted<'a> {
    /// The number of its next record.
    pub sequence: u64,
    /// Its key.
    pub key: &'a [u8],
    /// Its initialization vector.
    pub iv: &'a [u8],
}

impl fmt::Debug for Extracted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extracted")
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}

/// KeyUpdates of one direction that may have passed before; more of them are not followed.
const MOST_UPDATES: usize = 1024;

/// Why a session does not begin: the keys are not those that follow from the secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unclear;

impl fmt::Display for Unclear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the keys do not follow from the secrets")
    }
}

impl std::error::Error for Unclear {}

/// TLS 1.3 after its handshake.
#[derive(Debug)]
pub struct Session {
    pub(super) incoming: Incoming,
    pub(super) outgoing: Outgoing,
}

impl Session {
    /// Goes on where the handshake's library stopped. `writing` and `reading`: the first traffic
    /// secrets, each with what the library has of its direction by now.
    ///
    /// # Errors
    /// [`Unclear`] where that does not follow from the secret, at once or after KeyUpdates.
    pub fn new(
        role: Role,
        writing: (Secret, Extracted<'_>),
        reading: (Secret, Extracted<'_>),
    ) -> Result<Session, Unclear> {
        if writing.0.suite() != reading.0.suite() {
            return Err(Unclear);
        }
        Ok(Session {
            outgoing: Outgoing::new(protection(writing)?),
            incoming: Incoming::new(protection(reading)?, role),
        })
    }

    /// The cipher suite.
    pub fn suite(&self) -> Suite {
        self.incoming.protection.secret().suite()
    }

    /// How far the peer's direction is.
    pub fn reading(&self) -> Reading {
        self.incoming.reading
    }

    /// Whether nothing is kept but keys: what came is read, and what was sealed is written.
    pub fn is_at_rest(&self) -> bool {
        let Incoming { half, surplus, .. } = &self.incoming;
        half.is_empty() && surplus.is_empty() && self.unsent().is_empty()
    }

    /// Puts the record that is half read to the front of `buffer`, which has room for
    /// [`MAX_RECORD`](super::MAX_RECORD) bytes. Returns its length: what is received belongs after
    /// it. It is still kept.
    pub fn begin(&self, buffer: &mut [u8]) -> usize {
        let half = &self.incoming.half;
        buffer[..half.len()].copy_from_slice(half);
        half.len()
    }

    /// Opens all records of `buffer[..filled]`, which begin with what [`Session::begin`] put there.
    /// Their data is then in the front of `buffer`; returns its length. What [`Session::reading`]
    /// says holds after it.
    pub fn open(&mut self, buffer: &mut [u8], filled: usize) -> usize {
        self.incoming.open(buffer, filled)
    }

    /// Keeps data that was opened and for which its reader has no room.
    pub fn put_back(&mut self, data: &[u8]) {
        self.incoming.surplus.extend_from_slice(data);
    }

    /// Moves what was put back to the front of `buffer`, as far as there is room. Returns its
    /// length. It comes before anything that is opened.
    pub fn take_back(&mut self, buffer: &mut [u8]) -> usize {
        let surplus = &mut self.incoming.surplus;
        let n = surplus.len().min(buffer.len());
        buffer[..n].copy_from_slice(&surplus[..n]);
        surplus.drain(..n);
        if surplus.is_empty() {
            *surplus = Vec::new();
        }
        n
    }

    /// Seals as much of `plain` as `out` has room for, which is all of it or four whole records
    /// where that has [`SEAL_BUFFER`](super::SEAL_BUFFER) bytes.
    ///
    /// # Errors
    /// [`Fault::Closed`], and where the cipher fails.
    pub fn seal(&mut self, plain: &[u8], out: &mut [u8]) -> Result<Sealed, Fault> {
        self.outgoing.seal(plain, out, &mut self.incoming.asked)
    }

    /// Seals our last record, of at most 64 bytes, into `out`: the alert that a broken protocol
    /// calls for, or close_notify. Returns its length; 0 where it was sealed already or the peer has
    /// sent a fatal alert of its own, which is not answered.
    ///
    /// # Errors
    /// Where the cipher fails.
    pub fn close(&mut self, out: &mut [u8]) -> Result<usize, Fault> {
        let alert = match self.reading() {
            Reading::Failed(Fault::Broken(alert, _)) => alert,
            Reading::Failed(_) => return Ok(0),
            Reading::Open | Reading::Ended => Alert::CLOSE_NOTIFY,
        };
        self.outgoing.close(alert, out)
    }

    /// Nothing is sealed any more, a close_notify neither.
    pub fn say_nothing_more(&mut self) {
        self.outgoing.closed = true;
    }

    /// Records that were sealed and are still to be written, before any others.
    pub fn unsent(&self) -> &[u8] {
        self.outgoing.unsent.left()
    }

    /// So many bytes of them were written.
    pub fn sent(&mut self, n: usize) {
        self.outgoing.unsent.advance(n);
    }

    /// Keeps `records`, which could not be written: made of `plain` bytes, which are not written
    /// before that.
    pub fn keep(&mut self, records: &[u8], plain: usize) {
        self.outgoing.unsent.keep(records, plain);
    }

    /// How many of a caller's next bytes are in records that were kept.
    pub fn owed(&self) -> usize {
        self.outgoing.unsent.plain
    }

    /// How many of a caller's next `most` bytes are written with what was kept; 0 where none are,
    /// or not yet.
    pub fn taken(&mut self, most: usize) -> usize {
        self.outgoing.unsent.take(most)
    }
}

/// A direction with the secret that its key was made of.
fn protection((mut secret, extracted): (Secret, Extracted<'_>)) -> Result<Protection, Unclear> {
    for _ in 0..=MOST_UPDATES {
        let leads = secret.leads_to(extracted.key, extracted.iv);
        if leads.map_err(|_| Unclear)? {
            return Protection::new(secret, extracted.sequence).map_err(|_| Unclear);
        }
        secret.advance().map_err(|_| Unclear)?;
    }
    Err(Unclear)
}
