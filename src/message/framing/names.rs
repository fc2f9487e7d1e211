//! The spelling of field names, which hyper forgets: the places of field lines whose names are not
//! in the usual capitals, and the trailer sections.

use std::ops::Range;

use crate::message::spelling::is_usual;

/// A part of a head that hyper cannot hold as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// Which head of the connection it belongs to, counted from 1.
    pub head: u64,
    /// Its place, counted from the connection's first byte.
    pub place: Range<u64>,
}

/// What was noted of the requests so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    /// Where the field lines of the latest head begin in the connection.
    fields: u64,
    /// Where they end so far.
    end: u64,
    /// A name of this head is not in the usual capitals.
    unusual: bool,
    /// The field lines of complete heads with such names.
    spelled: Vec<Carried>,
    /// Trailer sections; there are none for most.
    trailers: Option<Box<Trailers>>,
}

/// Trailer sections that have come.
#[derive(Debug, Clone, Default)]
struct Trailers {
    /// What has come of one, once the last chunk is over.
    current: Vec<u8>,
    /// Those of complete bodies, with the numbers of their heads.
    complete: Vec<(u64, Vec<u8>)>,
}

impl Names {
    /// The request line ends here.
    pub(super) fn begin(&mut self, at: u64) {
        self.fields = at;
        self.end = at;
    }

    /// A good field line, whose name takes so many bytes.
    #[inline]
    pub(super) fn field(&mut self, line: &[u8], name: usize) {
        self.end += line.len() as u64;
        self.unusual = self.unusual || !is_usual(line, name);
    }

    /// This head is complete.
    pub(super) fn end(&mut self, head: u64) {
        if std::mem::take(&mut self.unusual) {
            let place = self.fields..self.end;
            self.spelled.push(Carried { head, place });
        }
    }

    /// More of a trailer section.
    #[cold]
    pub(super) fn trailers(&mut self, bytes: &[u8]) {
        let trailers = self.trailers.get_or_insert_default();
        trailers.current.extend_from_slice(bytes);
    }

    /// The end of the trailer section of this head's body; it is kept unless it is empty.
    pub(super) fn end_of_trailers(&mut self, head: u64, bytes: &[u8]) {
        if self.trailers.is_none() && bytes == b"\r\n" {
            return;
        }
        self.trailers(bytes);
        let trailers = self.trailers.get_or_insert_default();
        let section = std::mem::take(&mut trailers.current);
        if section != b"\r\n" {
            trailers.complete.push((head, section));
        }
    }

    pub(super) fn take_spelled(&mut self) -> Vec<Carried> {
        std::mem::take(&mut self.spelled)
    }

    pub(super) fn take_trailers(&mut self) -> Vec<(u64, Vec<u8>)> {
        match &mut self.trailers {
            Some(trailers) => std::mem::take(&mut trailers.complete),
            None => Vec::new(),
        }
    }
}
