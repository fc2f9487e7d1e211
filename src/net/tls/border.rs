//! Where a stream of records stands, by the lengths in their headers (RFC 8446 section 5.1): between
//! two of them nothing of it is left in any buffer.

/// Length of a record's header.
const HEADER: u8 = 5;

/// How far the bytes go that have passed.
#[derive(Debug, Default)]
pub(super) struct Border {
    /// Bytes of a header that have passed.
    header: u8,
    /// Bytes of the record that are to come, as far as its header says.
    left: u16,
}

impl Border {
    /// Whether the last byte that has passed was the last of its record.
    pub(super) fn is_here(&self) -> bool {
        self.header == 0
    }

    /// These bytes pass.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) {
        while let Some((&first, rest)) = bytes.split_first() {
            if self.header < HEADER {
                self.header += 1;
                self.left = self.left << 8 | u16::from(first);
                bytes = rest;
            } else {
                let body = bytes.len().min(self.left.into());
                self.left -= body as u16;
                bytes = &bytes[body..];
            }
            if self.header == HEADER && self.left == 0 {
                self.header = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_border_is_where_a_record_ends_however_it_comes() {
        let record = |length: usize| {
            let header = [22, 3, 1, (length >> 8) as u8, length as u8];
            [&header[..], &vec![7; length]].concat()
        };
        let lengths = [3, 0, 300, 1, 16_640, 0, 0];
        let stream: Vec<u8> = lengths.into_iter().flat_map(record).collect();
        let mut at = 0;
        let borders: Vec<usize> = lengths
            .into_iter()
            .map(|length| {
                at += 5 + length;
                at
            })
            .collect();
        let mut border = Border::default();
        assert!(border.is_here());
        for (at, byte) in stream.iter().enumerate() {
            border.pass(&[*byte]);
            assert_eq!(
                border.is_here(),
                borders.contains(&(at + 1)),
                "after byte {at}"
            );
        }
        for piece in [2, 3, 4, 5, 6, 100, 1000, stream.len()] {
            let (mut border, mut passed) = (Border::default(), 0);
            for piece in stream.chunks(piece) {
                border.pass(piece);
                passed += piece.len();
                assert_eq!(border.is_here(), borders.contains(&passed));
            }
        }
    }
}
