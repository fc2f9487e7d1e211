//! KeyUpdate, the handshake message that both sides may send at any time (RFC 8446 section 4.6.3),
//! and the tickets that a server may send.

use super::fault::{Alert, Fault};
use super::limits::KEY_UPDATE as LENGTH;
use super::role::Role;

const NEW_SESSION_TICKET: u8 = 4;
const KEY_UPDATE: u8 = 24;
/// What each begins with: its type and the length of what follows.
const FRONT: [u8; 4] = [KEY_UPDATE, 0, 0, 1];

/// Our own: the peer's keys stay.
pub(super) const NOT_REQUESTED: [u8; LENGTH] = [KEY_UPDATE, 0, 0, 1, 0];

/// A message that its sender cut: the beginning of a KeyUpdate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Begun(u8);

/// What the handshake messages of a record come to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Nothing that concerns the records.
    Nothing,
    /// The peer's keys change; `asks`: ours are to change too.
    KeyUpdate { asks: bool },
}

impl Begun {
    /// So many bytes of a KeyUpdate; `None` where that would be a whole one.
    pub(super) fn of(length: u8) -> Option<Begun> {
        (usize::from(length) < LENGTH).then_some(Begun(length))
    }

    pub(super) fn length(self) -> u8 {
        self.0
    }

    pub(super) fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Takes a record's handshake bytes. A message may be cut into several records, but nothing may
    /// follow a KeyUpdate in its own (section 5.1).
    pub(super) fn take(&mut self, bytes: &[u8], role: Role) -> Result<Told, Fault> {
        if bytes.is_empty() {
            return Err(Fault::unexpected("an empty handshake record"));
        }
        if self.is_none() && bytes[0] == NEW_SESSION_TICKET && role == Role::Client {
            return skip_tickets(bytes);
        }
        let begun = usize::from(self.0);
        let expected = FRONT.iter().skip(begun);
        for (at, (byte, expected)) in bytes.iter().zip(expected).enumerate() {
            if byte != expected {
                return Err(match begun + at {
                    0 => Fault::unexpected("a handshake message after the handshake"),
                    _ => Fault::Broken(Alert::DECODE_ERROR, "a KeyUpdate with a wrong length"),
                });
            }
        }
        let whole = LENGTH - begun;
        if bytes.len() < whole {
            self.0 += bytes.len() as u8;
            return Ok(Told::Nothing);
        }
        let asks = match bytes[whole - 1] {
            0 => false,
            1 => true,
            _ => {
                let what = "a KeyUpdate that asks for neither";
                return Err(Fault::Broken(Alert::ILLEGAL_PARAMETER, what));
            }
        };
        if bytes.len() > whole {
            return Err(Fault::unexpected(
                "a KeyUpdate that does not end its record",
            ));
        }
        self.0 = 0;
        Ok(Told::KeyUpdate { asks })
    }
}

/// Tickets for a client that will not resume: whole ones, as servers send them.
fn skip_tickets(mut bytes: &[u8]) -> Result<Told, Fault> {
    while let [NEW_SESSION_TICKET, high, middle, low, rest @ ..] = bytes {
        let length = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
        let cut = Fault::unexpected("a ticket in several records");
        bytes = rest.get(length..).ok_or(cut)?;
    }
    match bytes.is_empty() {
        true => Ok(Told::Nothing),
        false => Err(Fault::unexpected("a handshake message after a ticket")),
    }
}
