//! The sizes of records, and what they may hold (RFC 8446 sections 5.1 and 5.2).

/// The most plaintext of one record, in bytes.
pub const MAX_PLAIN: usize = 1 << 14;
/// Length of a record's header.
pub(super) const HEADER: usize = 5;
/// Length of the tag of every suite.
const TAG: usize = 16;
/// The most that may follow a header: sealing adds 256 bytes at most.
pub(super) const MAX_BODY: usize = MAX_PLAIN + 256;
/// The longest record that may come: a buffer of this size can always be read into.
pub const MAX_RECORD: usize = HEADER + MAX_BODY;
/// What our own records add to their plaintext: header, content type, tag; no padding.
pub(super) const OVERHEAD: usize = HEADER + 1 + TAG;
/// Length of a KeyUpdate.
pub(super) const KEY_UPDATE: usize = 5;
/// A buffer of this size takes what any `4 * MAX_PLAIN` bytes of plaintext become, with a KeyUpdate
/// before each record.
pub const SEAL_BUFFER: usize = 4 * (MAX_PLAIN + OVERHEAD + KEY_UPDATE + OVERHEAD);

/// What a record holds.
pub(super) mod content {
    pub(in crate::tls_record) const ALERT: u8 = 21;
    pub(in crate::tls_record) const HANDSHAKE: u8 = 22;
    pub(in crate::tls_record) const DATA: u8 = 23;
}
