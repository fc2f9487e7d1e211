//! One direction's keys: a record is sealed, a record is opened (RFC 8446 sections 5.2 and 5.3).

use std::fmt;

use aws_lc_rs::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce};

use super::fault::{Alert, Fault};
use super::limits::{HEADER, MAX_PLAIN, OVERHEAD, content};
use super::secret::Secret;

/// A direction's secret, what follows from it, and how many records its key has seen.
pub(super) struct Protection {
    secret: Secret,
    key: LessSafeKey,
    iv: [u8; NONCE_LEN],
    sequence: u64,
}

impl Protection {
    pub(super) fn new(secret: Secret, sequence: u64) -> Result<Protection, Fault> {
        Ok(Protection {
            key: secret.key().map_err(|_| Fault::CRYPTO)?,
            iv: secret.iv().map_err(|_| Fault::CRYPTO)?,
            secret,
            sequence,
        })
    }

    pub(super) fn secret(&self) -> &Secret {
        &self.secret
    }

    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Whether the key may seal one more record only, which has to be a KeyUpdate.
    pub(super) fn is_used_up(&self) -> bool {
        self.sequence >= self.secret.suite().most_records() - 1
    }

    /// After a KeyUpdate: the next secret, and a count that begins again (section 7.2).
    pub(super) fn update(&mut self) -> Result<(), Fault> {
        self.secret.advance().map_err(|_| Fault::CRYPTO)?;
        self.key = self.secret.key().map_err(|_| Fault::CRYPTO)?;
        self.iv = self.secret.iv().map_err(|_| Fault::CRYPTO)?;
        self.sequence = 0;
        Ok(())
    }

    /// Seals one record into the front of `out`, which has [`OVERHEAD`] bytes more than `plain`, of
    /// at most [`MAX_PLAIN`]. Returns its length.
    pub(super) fn seal(&mut self, kind: u8, plain: &[u8], out: &mut [u8]) -> Result<usize, Fault> {
        let length = plain.len() + OVERHEAD;
        let body = length - HEADER;
        let (out, _) = out.split_at_mut_checked(length).ok_or(Fault::CRYPTO)?;
        let header = [content::DATA, 3, 3, (body >> 8) as u8, body as u8];
        let (front, sealed) = out.split_at_mut(HEADER);
        front.copy_from_slice(&header);
        let (sealed, rest) = sealed.split_at_mut(plain.len());
        let nonce = self.next_nonce()?;
        self.key
            .seal_out_of_place_scatter(nonce, Aad::from(header), plain, sealed, &[kind], rest)
            .map_err(|_| Fault::CRYPTO)?;
        Ok(length)
    }

    /// Opens the record that `record` ends with, and which begins at `at`: its plaintext moves to
    /// the front. Returns its content type and length, without the padding.
    pub(super) fn open(&mut self, record: &mut [u8], at: usize) -> Result<(u8, usize), Fault> {
        let unread = Fault::Broken(Alert::BAD_RECORD_MAC, "a record cannot be opened");
        let header = record[at..].first_chunk::<HEADER>().ok_or(unread)?;
        let aad = Aad::from(*header);
        let nonce = self.next_nonce()?;
        let plain = self
            .key
            .open_within(nonce, aad, record, at + HEADER..)
            .map_err(|_| unread)?;
        if plain.len() > MAX_PLAIN + 1 {
            return Err(Fault::Broken(
                Alert::RECORD_OVERFLOW,
                "a record is too long",
            ));
        }
        let last = plain.iter().rposition(|byte| *byte != 0);
        let last = last.ok_or_else(|| Fault::unexpected("a record of padding only"))?;
        Ok((plain[last], last))
    }

    /// The nonce of the next record, which is counted.
    fn next_nonce(&mut self) -> Result<Nonce, Fault> {
        let mut nonce = self.iv;
        let (_, low) = nonce.split_at_mut(NONCE_LEN - size_of::<u64>());
        for (byte, count) in low.iter_mut().zip(self.sequence.to_be_bytes()) {
            *byte ^= count;
        }
        // It must never begin again with the same key (section 5.3).
        self.sequence = self.sequence.checked_add(1).ok_or(Fault::CRYPTO)?;
        Ok(Nonce::assume_unique_for_key(nonce))
    }
}

impl fmt::Debug for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Protection")
            .field("secret", &self.secret)
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}
