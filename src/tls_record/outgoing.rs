//! What goes: plaintext becomes records in the caller's buffer.

use super::fault::{Alert, Fault};
use super::key_update;
use super::limits::{KEY_UPDATE, MAX_PLAIN, OVERHEAD, content};
use super::protection::Protection;
use super::unsent::Unsent;

/// RFC 8446 section 6: of no consequence, but these are what is said.
const WARNING: u8 = 1;
const FATAL: u8 = 2;

/// What was sealed at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sealed {
    /// Bytes of plaintext that were taken.
    pub taken: usize,
    /// Bytes of records that they have become.
    pub length: usize,
}

/// The writing half of a session.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) protection: Protection,
    /// Our close_notify or fatal alert was sealed.
    pub(super) closed: bool,
    pub(super) unsent: Unsent,
}

impl Outgoing {
    pub(super) fn new(protection: Protection) -> Outgoing {
        Outgoing {
            protection,
            closed: false,
            unsent: Unsent::default(),
        }
    }

    /// Seals as much of `plain` as `out` has room for. A KeyUpdate that was `asked` for goes before
    /// it, and one before the key has sealed all that it may.
    pub(super) fn seal(
        &mut self,
        plain: &[u8],
        out: &mut [u8],
        asked: &mut bool,
    ) -> Result<Sealed, Fault> {
        if self.closed {
            return Err(Fault::Closed);
        }
        let mut sealed = Sealed::default();
        for piece in plain.chunks(MAX_PLAIN) {
            let free = &mut out[sealed.length..];
            if free.len() < KEY_UPDATE + piece.len() + 2 * OVERHEAD {
                break;
            }
            let mut length = 0;
            if *asked || self.protection.is_used_up() {
                length = self.update(free)?;
                *asked = false;
            }
            length += self
                .protection
                .seal(content::DATA, piece, &mut free[length..])?;
            sealed.length += length;
            sealed.taken += piece.len();
        }
        Ok(sealed)
    }

    fn update(&mut self, out: &mut [u8]) -> Result<usize, Fault> {
        let message = &key_update::NOT_REQUESTED;
        let length = self.protection.seal(content::HANDSHAKE, message, out)?;
        self.protection.update()?;
        Ok(length)
    }

    /// Seals the last record; 0 bytes where there has been one.
    pub(super) fn close(&mut self, alert: Alert, out: &mut [u8]) -> Result<usize, Fault> {
        if self.closed {
            return Ok(0);
        }
        self.closed = true;
        let level = match alert {
            Alert::CLOSE_NOTIFY => WARNING,
            _ => FATAL,
        };
        self.protection.seal(content::ALERT, &[level, alert.0], out)
    }
}
