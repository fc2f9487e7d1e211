//! A session written down for another process, and taken back from what any process may have
//! written. Big-endian; what is variable has its length before it.
//!
//! | bytes | |
//! |---|---|
//! | 1 | the version of this table |
//! | 2 | the cipher suite |
//! | 1 | flags |
//! | 1 | records in a row without data |
//! | 1 | bytes of a KeyUpdate that is half read |
//! | 8, 8 | sequence numbers: written, read |
//! | 2 × hash | traffic secrets: written, read |
//! | 4 + n | the record that is half read |
//! | 4 + n | data that is opened and not read |
//! | 4 + 4 + n | plaintext of the records that are not written, and their bytes |

use std::fmt;
use std::ops::Deref;

use zeroize::Zeroizing;

use super::incoming::{self, Incoming, Reading};
use super::key_update::Begun;
use super::limits::{MAX_RECORD, SEAL_BUFFER};
use super::outgoing::Outgoing;
use super::protection::Protection;
use super::role::Role;
use super::secret::{Secret, Suite};
use super::session::Session;
use super::unsent::Unsent;

const VERSION: u8 = 1;
const CLIENT: u8 = 1;
const ENDED: u8 = 1 << 1;
const ASKED: u8 = 1 << 2;
const CLOSED: u8 = 1 << 3;
/// All but what is variable, with the longest secrets.
const MOST_FIXED: usize = 160;

/// Why bytes are not a session: what is wrong with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable(&'static str);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the state of a TLS session: {}", self.0)
    }
}

impl std::error::Error for Unreadable {}

/// A session that was written down; wiped when it is dropped, and shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Exported(Zeroizing<Vec<u8>>);

impl fmt::Debug for Exported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Exported({} bytes)", self.0.len())
    }
}

impl Deref for Exported {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Exported {
    /// What another process wrote down; whether it is a session turns out at
    /// [`Session::import`].
    pub fn from_bytes(bytes: &[u8]) -> Exported {
        Exported(Zeroizing::new(bytes.to_vec()))
    }
}

impl Session {
    /// Writes the session down, secrets included. `None`: it has failed.
    pub fn export(&self) -> Option<Exported> {
        let Session { incoming, outgoing } = self;
        let flag = |is: bool, flag: u8| if is { flag } else { 0 };
        let ended = match incoming.reading {
            Reading::Open => false,
            Reading::Ended => true,
            Reading::Failed(_) => return None,
        };
        let unsent = outgoing.unsent.left();
        // Never to grow: what it would leave behind is not wiped.
        let length = MOST_FIXED + incoming.half.len() + incoming.surplus.len() + unsent.len();
        let mut out = Zeroizing::new(Vec::with_capacity(length));
        out.push(VERSION);
        out.extend_from_slice(&self.suite().number().to_be_bytes());
        out.push(
            flag(incoming.role == Role::Client, CLIENT)
                | flag(ended, ENDED)
                | flag(incoming.asked, ASKED)
                | flag(outgoing.closed, CLOSED),
        );
        out.extend_from_slice(&[incoming.fruitless, incoming.begun.length()]);
        let both = [&outgoing.protection, &incoming.protection];
        for one in both {
            out.extend_from_slice(&one.sequence().to_be_bytes());
        }
        for one in both {
            out.extend_from_slice(one.secret().as_bytes());
        }
        out.extend_from_slice(&(incoming.half.len() as u32).to_be_bytes());
        out.extend_from_slice(&incoming.half);
        out.extend_from_slice(&(incoming.surplus.len() as u32).to_be_bytes());
        out.extend_from_slice(&incoming.surplus);
        out.extend_from_slice(&(outgoing.unsent.plain as u32).to_be_bytes());
        out.extend_from_slice(&(unsent.len() as u32).to_be_bytes());
        out.extend_from_slice(unsent);
        debug_assert!(out.len() <= length);
        Some(Exported(out))
    }

    /// Takes a session back.
    ///
    /// # Errors
    /// [`Unreadable`] where it cannot have been written by [`Session::export`].
    pub fn import(bytes: &[u8]) -> Result<Session, Unreadable> {
        let mut rest = Rest(bytes);
        let [version, high, low, flags, fruitless, begun] = rest.array()?;
        require(version == VERSION, "an unknown version")?;
        let suite = Suite::from_number(u16::from_be_bytes([high, low]));
        let suite = suite.ok_or(Unreadable("an unknown cipher suite"))?;
        let known = CLIENT | ENDED | ASKED | CLOSED;
        require(flags & !known == 0, "an unknown flag")?;
        let is = |flag: u8| flags & flag != 0;
        let sequences = [rest.array()?, rest.array()?].map(u64::from_be_bytes);
        let [writing, reading] = sequences;
        let outgoing = rest.protection(suite, writing)?;
        let incoming = rest.protection(suite, reading)?;
        let half = rest.counted(MAX_RECORD)?;
        let whole = incoming::length(half);
        let is_half = matches!(whole, Ok(whole) if whole.is_none_or(|whole| half.len() < whole));
        require(is_half, "what is half read is no half record")?;
        require(half.is_empty() || !is(ENDED), "a record after the end")?;
        let surplus = rest.counted(MAX_RECORD)?;
        let plain = u32::from_be_bytes(rest.array()?) as usize;
        require(plain <= SEAL_BUFFER, "too much plaintext")?;
        let unsent = rest.counted(SEAL_BUFFER)?;
        require(rest.0.is_empty(), "more than a session")?;
        let role = match is(CLIENT) {
            true => Role::Client,
            false => Role::Server,
        };
        Ok(Session {
            incoming: Incoming {
                reading: match is(ENDED) {
                    true => Reading::Ended,
                    false => Reading::Open,
                },
                half: half.to_vec(),
                surplus: surplus.to_vec(),
                begun: Begun::of(begun).ok_or(Unreadable("half a message that is whole"))?,
                fruitless,
                asked: is(ASKED),
                ..Incoming::new(incoming, role)
            },
            outgoing: Outgoing {
                closed: is(CLOSED),
                unsent: Unsent {
                    bytes: unsent.to_vec(),
                    at: 0,
                    plain,
                },
                ..Outgoing::new(outgoing)
            },
        })
    }
}

fn require(holds: bool, problem: &'static str) -> Result<(), Unreadable> {
    match holds {
        true => Ok(()),
        false => Err(Unreadable(problem)),
    }
}

/// What is still to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], Unreadable> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or(Unreadable("too short"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Unreadable("too short"))?;
        self.0 = rest;
        Ok(*taken)
    }

    fn counted(&mut self, most: usize) -> Result<&'a [u8], Unreadable> {
        let n = u32::from_be_bytes(self.array()?) as usize;
        require(n <= most, "a part is too long")?;
        self.take(n)
    }

    fn protection(&mut self, suite: Suite, sequence: u64) -> Result<Protection, Unreadable> {
        let secret = Secret::new(suite, self.take(suite.secret_length())?);
        let secret = secret.ok_or(Unreadable("a secret has another length"))?;
        Protection::new(secret, sequence).map_err(|_| Unreadable("the cipher failed"))
    }
}
