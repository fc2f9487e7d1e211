//! Records that are sealed and not written: they cannot be sealed again, since each has its nonce,
//! so their plaintext counts as written once all of them are.

/// The rest of the records of one write.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Unsent {
    pub(super) bytes: Vec<u8>,
    /// How many bytes are written.
    pub(super) at: usize,
    /// The plaintext that they were made of, in bytes.
    pub(super) plain: usize,
}

impl Unsent {
    pub(super) fn left(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// So many bytes were written.
    pub(super) fn advance(&mut self, n: usize) {
        self.at += n;
        if self.left().is_empty() {
            self.bytes = Vec::new();
            self.at = 0;
        }
    }

    /// What was written of a caller's `most` bytes, once nothing is left; 0 where it is nothing.
    pub(super) fn take(&mut self, most: usize) -> usize {
        if !self.left().is_empty() {
            return 0;
        }
        let taken = self.plain.min(most);
        self.plain -= taken;
        taken
    }

    pub(super) fn keep(&mut self, bytes: &[u8], plain: usize) {
        self.bytes.extend_from_slice(bytes);
        self.plain += plain;
    }
}
