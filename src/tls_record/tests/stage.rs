//! Sessions without a handshake, and how bytes are fed to them.

use super::super::incoming::Incoming;
use super::super::limits::content;
use super::super::outgoing::Outgoing;
use super::super::protection::Protection;
use super::super::{MAX_RECORD, Reading, Role, SEAL_BUFFER, Secret, Session, Suite};

/// A secret that is easy to write down: 1, 2, 3, …
pub(super) fn secret(suite: Suite, first: u8) -> Secret {
    let bytes: Vec<u8> = (first..).take(suite.secret_length()).collect();
    Secret::new(suite, &bytes).expect("the suite's length")
}

/// A server's session and its client's, whose next records have this number.
pub(super) fn pair_at(suite: Suite, sequence: u64) -> (Session, Session) {
    let half = |first| Protection::new(secret(suite, first), sequence).expect("keys");
    let session = |role, writing, reading| Session {
        incoming: Incoming::new(half(reading), role),
        outgoing: Outgoing::new(half(writing)),
    };
    (session(Role::Server, 1, 101), session(Role::Client, 101, 1))
}

pub(in crate::tls_record) fn pair() -> (Session, Session) {
    pair_at(Suite::Aes128Gcm, 0)
}

/// Lets a session read in pieces of at most `piece` bytes; the data that comes of it.
pub(super) fn feed(session: &mut Session, bytes: &[u8], piece: usize) -> Vec<u8> {
    let mut buffer = vec![0; MAX_RECORD.max(bytes.len()) + MAX_RECORD];
    let mut data = Vec::new();
    for piece in bytes.chunks(piece.max(1)) {
        let begun = session.begin(&mut buffer);
        let filled = begun + piece.len();
        buffer[begun..filled].copy_from_slice(piece);
        let n = session.open(&mut buffer, filled);
        data.extend_from_slice(&buffer[..n]);
    }
    data
}

/// All the records that `plain` becomes.
pub(super) fn seal(session: &mut Session, mut plain: &[u8]) -> Vec<u8> {
    let (mut out, mut buffer) = (Vec::new(), vec![0; SEAL_BUFFER]);
    while !plain.is_empty() {
        let sealed = session.seal(plain, &mut buffer).expect("sealed");
        assert!(sealed.taken > 0, "the buffer has room");
        out.extend_from_slice(&buffer[..sealed.length]);
        plain = &plain[sealed.taken..];
    }
    out
}

/// The last record of a session.
pub(super) fn close(session: &mut Session) -> Vec<u8> {
    let mut out = vec![0; 64];
    let length = session.close(&mut out).expect("sealed");
    out.truncate(length);
    out
}

/// One record of anything: content type and padding are the end of `inner`.
pub(super) fn record(from: &mut Session, inner: &[u8]) -> Vec<u8> {
    let mut out = vec![0; inner.len() + 64];
    let (kind, plain) = inner.split_last().expect("a content type");
    let sealed = from.outgoing.protection.seal(*kind, plain, &mut out);
    out.truncate(sealed.expect("sealed"));
    out
}

/// A record of this kind without padding.
pub(super) fn record_of(from: &mut Session, kind: u8, plain: &[u8]) -> Vec<u8> {
    record(from, &[plain, &[kind]].concat())
}

/// A KeyUpdate, after which the sender's keys are new.
pub(super) fn key_update(from: &mut Session, asks: bool) -> Vec<u8> {
    let record = record_of(from, content::HANDSHAKE, &[24, 0, 0, 1, u8::from(asks)]);
    from.outgoing.protection.update().expect("keys");
    record
}

/// The session in another process.
pub(super) fn moved(session: &Session) -> Session {
    let bytes = session.export().expect("it has not failed");
    let moved = Session::import(&bytes).expect("what was written is read");
    assert_eq!(
        *moved.export().expect("still"),
        *bytes,
        "nothing was lost or added"
    );
    moved
}

pub(super) fn is_open(session: &Session) -> bool {
    session.reading() == Reading::Open
}
