//! TLS 1.3 after its handshake, as bytes without I/O (RFC 8446 section 5): what a tunnel needs of
//! it, and nothing else. Records are opened in place in the caller's buffer and sealed into it, and
//! nothing is kept but a record half read or half written, so that an idle session is its keys.
//!
//! The handshake is another's: a [`Session`] begins with the secrets and sequence numbers that it
//! left. What may not come after a handshake ends the session with a [`Fault`].

mod fault;
mod incoming;
mod key_update;
mod limits;
mod outgoing;
mod protection;
mod role;
mod secret;
mod session;
#[cfg(test)]
mod tests;
mod unsent;
mod written;

pub use self::fault::{Alert, Fault};
pub use self::incoming::Reading;
pub use self::limits::{MAX_PLAIN, MAX_RECORD, SEAL_BUFFER};
pub use self::outgoing::Sealed;
pub use self::role::Role;
pub use self::secret::{Secret, Suite};
pub use self::session::{Extracted, Session, Unclear};
pub use self::written::{Exported, Unreadable};

/// A server's session and its client's, for tests of what carries them.
#[cfg(test)]
pub(crate) fn pair() -> (Session, Session) {
    tests::pair()
}
