//! What comes: records become plaintext in the buffer that they were received into.

use super::fault::{Alert, Fault};
use super::key_update::{Begun, Told};
use super::limits::{HEADER, MAX_BODY, content};
use super::protection::Protection;
use super::role::Role;

/// Records in a row that carry no data: more of them are only there to be worked on.
const MOST_FRUITLESS: u8 = 32;

/// How far the peer's direction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// More may come.
    Open,
    /// The peer has said that it sends nothing any more; the other direction goes on.
    Ended,
    /// It cannot go on.
    Failed(Fault),
}

/// The reading half of a session.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) protection: Protection,
    pub(super) role: Role,
    pub(super) reading: Reading,
    /// The beginning of a record.
    pub(super) half: Vec<u8>,
    /// Data that was opened and that its reader had no room for.
    pub(super) surplus: Vec<u8>,
    /// The beginning of a handshake message, whose record is complete.
    pub(super) begun: Begun,
    /// Records in a row that brought no data.
    pub(super) fruitless: u8,
    /// The peer has asked for a KeyUpdate of ours.
    pub(super) asked: bool,
}

impl Incoming {
    pub(super) fn new(protection: Protection, role: Role) -> Incoming {
        Incoming {
            protection,
            role,
            reading: Reading::Open,
            half: Vec::new(),
            surplus: Vec::new(),
            begun: Begun::default(),
            fruitless: 0,
            asked: false,
        }
    }

    /// See [`Session::open`](super::Session::open).
    pub(super) fn open(&mut self, buffer: &mut [u8], filled: usize) -> usize {
        let (mut at, mut plain) = (0, 0);
        while self.reading == Reading::Open {
            let record = match length(&buffer[at..filled]) {
                Ok(Some(length)) if length <= filled - at => &mut buffer[plain..at + length],
                Ok(_) => break,
                Err(fault) => {
                    self.reading = Reading::Failed(fault);
                    break;
                }
            };
            let begins = at - plain;
            at = plain + record.len();
            match self.open_one(record, begins) {
                Ok(n) => plain += n,
                Err(fault) => self.reading = Reading::Failed(fault),
            }
        }
        // After the end everything is ignored (section 6.1).
        let rest = match self.reading {
            Reading::Open => &buffer[at..filled],
            _ => &[],
        };
        self.keep(rest);
        plain
    }

    /// Opens the record that begins at `at`; how many bytes of data it has moved to the front.
    fn open_one(&mut self, record: &mut [u8], at: usize) -> Result<usize, Fault> {
        let (kind, n) = self.protection.open(record, at)?;
        if !self.begun.is_none() && kind != content::HANDSHAKE {
            return Err(Fault::unexpected("a record within a handshake message"));
        }
        let bytes = &record[..n];
        let data = match kind {
            content::DATA => n,
            content::ALERT => self.alert(bytes).map(|()| 0)?,
            content::HANDSHAKE => self.handshake(bytes).map(|()| 0)?,
            _ => return Err(Fault::unexpected("a record of no known kind")),
        };
        if data > 0 {
            self.fruitless = 0;
        } else if self.fruitless == MOST_FRUITLESS {
            return Err(Fault::unexpected("too many records without data"));
        } else {
            self.fruitless += 1;
        }
        Ok(data)
    }

    fn alert(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let alert = match bytes {
            [] => return Err(Fault::unexpected("an empty alert")),
            [_, description] => Alert(*description),
            _ => {
                let what = "an alert of another length than two";
                return Err(Fault::Broken(Alert::DECODE_ERROR, what));
            }
        };
        match alert {
            Alert::CLOSE_NOTIFY => self.reading = Reading::Ended,
            Alert::USER_CANCELED => {}
            fatal => return Err(Fault::Told(fatal)),
        }
        Ok(())
    }

    fn handshake(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        if let Told::KeyUpdate { asks } = self.begun.take(bytes, self.role)? {
            self.asked |= asks;
            self.protection.update()?;
        }
        Ok(())
    }

    /// Keeps the beginning of a record, and no memory where there is none.
    fn keep(&mut self, rest: &[u8]) {
        if rest.is_empty() {
            self.half = Vec::new();
            return;
        }
        self.half.clear();
        self.half.reserve_exact(rest.len());
        self.half.extend_from_slice(rest);
    }
}

/// The length of the record that `bytes` begin with, once its header is there.
pub(super) fn length(bytes: &[u8]) -> Result<Option<usize>, Fault> {
    let Some([kind, _, _, high, low]) = bytes.first_chunk::<HEADER>() else {
        return Ok(None);
    };
    if *kind != content::DATA {
        return Err(Fault::unexpected("a record that is not encrypted"));
    }
    let body = usize::from(u16::from_be_bytes([*high, *low]));
    if body > MAX_BODY {
        return Err(Fault::Broken(
            Alert::RECORD_OVERFLOW,
            "a record is too long",
        ));
    }
    Ok(Some(HEADER + body))
}
