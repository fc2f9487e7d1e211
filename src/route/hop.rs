//! Hop marks, by which a request is recognised that comes back to a route which has forwarded it
//! before (RFC 9110 section 7.6.3 asks intermediaries not to forward such a request). Each route
//! of each process adds a mark of its own; other instances pass it on.
//!
//! A mark is a keyed hash that tells nothing about instance or route. A client
//! that makes one up can only have its own request refused, and only if it guesses 64 random bits
//! or sends too many.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use http::HeaderMap;
use http::header::HeaderName;

/// The field that carries the marks: a list, the latest last.
pub const FIELD: HeaderName = HeaderName::from_static(NAME);
/// Its name.
pub const NAME: &str = "sluice-hops";
/// Its name as it is written.
pub const WRITTEN: &[u8] = b"Sluice-Hops";

/// A request that has passed so many routes goes in a circle that no mark can show.
const MOST: usize = 32;

/// Length of a mark as text.
const LENGTH: usize = 16;

/// A route's mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark([u8; LENGTH]);

impl Mark {
    /// The mark of this route in this process: the same after a reload, another after an
    /// upgrade, so that a circle is found one round later while both processes serve.
    pub fn of(route: &str) -> Mark {
        static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        let mut mark = [0; LENGTH];
        let hash = KEYS.hash_one(route);
        for (place, digit) in mark.iter_mut().enumerate() {
            let nibble = (hash >> (60 - 4 * place)) & 0xf;
            *digit = b"0123456789abcdef"[nibble as usize];
        }
        Mark(mark)
    }
}

/// The marks that a request brought.
#[derive(Debug, Default)]
pub struct Hops(Vec<Mark>);

/// The request goes in a circle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loop {
    /// It was on this route before.
    Back,
    /// It has passed more routes than any sensible chain has.
    Long,
}

impl Hops {
    /// Takes the marks out of a request's fields. What is not a mark is dropped.
    pub fn take(headers: &mut HeaderMap) -> Hops {
        if !headers.contains_key(FIELD) {
            return Hops::default();
        }
        let lines = headers.get_all(FIELD).iter();
        let elements = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
        let marks = elements.filter_map(|element| {
            let mark: [u8; LENGTH] = element.trim_ascii().try_into().ok()?;
            let is_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            mark.iter().all(is_hex).then_some(Mark(mark))
        });
        // One more than may be is enough to refuse it.
        let hops = Hops(marks.take(MOST + 1).collect());
        headers.remove(FIELD);
        hops
    }

    /// Whether the request may go on by the route of this mark.
    ///
    /// # Errors
    /// It goes in a circle.
    pub fn check(&self, mark: &Mark) -> Result<(), Loop> {
        if self.0.contains(mark) {
            Err(Loop::Back)
        } else if self.0.len() >= MOST {
            Err(Loop::Long)
        } else {
            Ok(())
        }
    }

    /// Passes the value for the next hop, this route's mark after the others, to `write`.
    pub fn with(&self, mark: &Mark, write: impl FnOnce(&[u8])) {
        if self.0.is_empty() {
            return write(&mark.0);
        }
        let mut value = Vec::with_capacity((self.0.len() + 1) * (LENGTH + 2));
        for hop in &self.0 {
            value.extend_from_slice(&hop.0);
            value.extend_from_slice(b", ");
        }
        value.extend_from_slice(&mark.0);
        write(&value);
    }
}

impl fmt::Display for Loop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Loop::Back => f.write_str(
                "the request has come back to a route that it left by: the way to the upstream \
                 leads here again",
            ),
            Loop::Long => write!(f, "the request has passed more than {MOST} routes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn fields(lines: &[&str]) -> HeaderMap {
        let values = lines.iter().map(|line| HeaderValue::from_str(line));
        values.map(|value| (FIELD, value.unwrap())).collect()
    }

    fn next(hops: &Hops, mark: &Mark) -> String {
        let mut text = String::new();
        hops.with(mark, |value| {
            text = String::from_utf8(value.to_vec()).unwrap()
        });
        text
    }

    #[test]
    fn a_mark_that_comes_back_is_a_loop_and_another_is_not() {
        let (here, there) = (Mark::of("a"), Mark::of("b"));
        assert_eq!(here, Mark::of("a"));
        let mut none = HeaderMap::new();
        let first = next(&Hops::take(&mut none), &here);
        let mut again = fields(&[&first]);
        let hops = Hops::take(&mut again);
        assert!(again.is_empty());
        assert_eq!(hops.check(&there), Ok(()));
        assert_eq!(hops.check(&here), Err(Loop::Back));
        let second = next(&hops, &there);
        let hops = Hops::take(&mut fields(&["junk", &second, "x"]));
        assert_eq!(hops.check(&here), Err(Loop::Back));
        assert_eq!(hops.check(&there), Err(Loop::Back));
        assert_eq!(hops.check(&Mark::of("c")), Ok(()));
    }

    #[test]
    fn what_a_client_makes_up_is_dropped_or_bounded() {
        let mark = Mark::of("a");
        for junk in ["", "x", ",,,", "0123456789ABCDEF", "0123456789abcdef0", "é"] {
            let hops = Hops::take(&mut fields(&[junk]));
            assert_eq!((hops.0.len(), hops.check(&mark)), (0, Ok(())), "{junk}");
        }
        let many = vec!["0123456789abcdef"; 40].join(",");
        let hops = Hops::take(&mut fields(&[&many]));
        assert_eq!(hops.check(&mark), Err(Loop::Long));
    }
}
