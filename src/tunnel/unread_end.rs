//! A client that has ended its stream while the upstream takes nothing of what came before: the
//! end cannot be read, and the tunnel is half closed all the same. Looked at by the tick.

/// How far the bytes before the end had come at the last look.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct UnreadEnd(u8);

impl UnreadEnd {
    /// They had come no further than at the look before it.
    const STANDS: u8 = 0x80;

    /// One look: how many bytes have gone so far, where an end stands after them.
    pub(super) fn look(self, gone: Option<u64>) -> UnreadEnd {
        let Some(gone) = gone else {
            return UnreadEnd::default();
        };
        // 0 is no end; two marks that are equal by chance cost nothing but a look.
        let mark = 1 + (gone % 127) as u8;
        match self.0 & !UnreadEnd::STANDS == mark {
            true => UnreadEnd(mark | UnreadEnd::STANDS),
            false => UnreadEnd(mark),
        }
    }

    /// Whether nothing has moved between two looks.
    pub(super) fn stands(self) -> bool {
        self.0 & UnreadEnd::STANDS != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_stands_only_while_nothing_moves() {
        let mut end = UnreadEnd::default();
        for (gone, stands) in [
            (None, false),
            (Some(0), false),
            (Some(0), true),
            (Some(0), true),
            (Some(65_536), false),
            (Some(65_537), false),
            (Some(65_537), true),
            (None, false),
            (Some(65_537), false),
        ] {
            end = end.look(gone);
            assert_eq!(end.stands(), stands, "{gone:?}");
        }
    }
}
