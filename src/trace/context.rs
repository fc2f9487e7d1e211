//! W3C Trace Context: `traceparent` and `tracestate` read strictly and written as version 00
//! (the Recommendation of 2021, and Level 2 for the random flag and the keys of `tracestate`).
//! What is not valid is no context at all; nothing is repaired.

/// Length of a `traceparent` of version 00, in bytes.
pub const LENGTH: usize = 55;
/// Most members of a `tracestate` (section 3.3.1.1).
const MOST_MEMBERS: usize = 32;
/// Longest key and longest value in it, in bytes.
const LONGEST: usize = 256;

/// The caller may have recorded its span.
const SAMPLED: u8 = 0x01;
/// The right-most seven bytes of the trace id are random (Level 2, section 3.2.2.5.2).
const RANDOM: u8 = 0x02;

/// A position in a trace. Both ids are non-zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace.
    pub trace_id: [u8; 16],
    /// The span whose child comes next.
    pub span_id: [u8; 8],
    /// Only the flags that are defined.
    flags: u8,
}

impl TraceParent {
    /// The first span of a trace with random ids, sampled by its id.
    pub fn begin(is_sampled: impl FnOnce([u8; 16]) -> bool) -> TraceParent {
        let trace_id = fastrand::u128(1..).to_be_bytes();
        let sampled = if is_sampled(trace_id) { SAMPLED } else { 0 };
        TraceParent {
            trace_id,
            span_id: new_span_id(),
            flags: RANDOM | sampled,
        }
    }

    /// Another span of the same trace.
    pub fn with_span(self, span_id: [u8; 8]) -> TraceParent {
        TraceParent { span_id, ..self }
    }

    /// Reads a field's value (section 3.2). A version above 00 is read as 00 as far as that
    /// goes, and must go on with a dash if it goes on.
    pub fn parse(value: &[u8]) -> Option<TraceParent> {
        let (known, more) = value.split_at_checked(LENGTH)?;
        let [version] = hex(known.get(..2)?)?;
        let may_go_on = match version {
            0x00 => more.is_empty(),
            0xff => false,
            _ => more.is_empty() || more.first() == Some(&b'-'),
        };
        let dashes = [2, 35, 52].iter().all(|&at| known.get(at) == Some(&b'-'));
        if !may_go_on || !dashes {
            return None;
        }
        let trace_id = hex(known.get(3..35)?)?;
        let span_id = hex(known.get(36..52)?)?;
        let [flags] = hex(known.get(53..55)?)?;
        let ids_are_valid = trace_id != [0; 16] && span_id != [0; 8];
        ids_are_valid.then_some(TraceParent {
            trace_id,
            span_id,
            flags: flags & (SAMPLED | RANDOM),
        })
    }

    /// The field's value, in version 00.
    pub fn to_bytes(self) -> [u8; LENGTH] {
        let mut out = [b'-'; LENGTH];
        write_hex(&mut out[..2], &[0]);
        write_hex(&mut out[3..35], &self.trace_id);
        write_hex(&mut out[36..52], &self.span_id);
        write_hex(&mut out[53..], &[self.flags]);
        out
    }

    /// Whether its spans are recorded.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }
}

/// A new span's id.
pub fn new_span_id() -> [u8; 8] {
    fastrand::u64(1..).to_be_bytes()
}

/// Reads as many bytes as `text` has pairs of lower-case digits; `text` is twice as long as
/// the answer.
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, odd) = text.as_chunks::<2>();
    if pairs.len() != N || !odd.is_empty() {
        return None;
    }
    let mut out = [0; N];
    for (byte, [high, low]) in out.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(out)
}

/// Writes two lower-case digits for each byte; `out` is twice as long as `bytes`.
fn write_hex(out: &mut [u8], bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in out.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 0x0f)];
    }
}

/// Whether the lines of a `tracestate` are one valid list together (section 3.3.1): members
/// `key=value` with no key twice, at most 32 of them; members may be empty.
pub fn is_tracestate<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> bool {
    let mut keys: [&[u8]; MOST_MEMBERS] = [b""; MOST_MEMBERS];
    let mut count = 0;
    for member in lines
        .into_iter()
        .flat_map(|line| line.split(|&byte| byte == b','))
    {
        let member = trim(member);
        if member.is_empty() {
            continue;
        }
        let Some(key) = key_of(member) else {
            return false;
        };
        if count == MOST_MEMBERS || keys[..count].contains(&key) {
            return false;
        }
        keys[count] = key;
        count += 1;
    }
    true
}

/// Without the spaces and tabs around it.
fn trim(member: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = member.iter().position(|byte| !is_blank(byte));
    let end = member.iter().rposition(|byte| !is_blank(byte));
    match (start, end) {
        (Some(start), Some(end)) => &member[start..=end],
        _ => b"",
    }
}

/// The key of a member, if both of its halves are valid (sections 3.3.1.3.1 and 3.3.1.3.2).
fn key_of(member: &[u8]) -> Option<&[u8]> {
    let equals = member.iter().position(|&byte| byte == b'=')?;
    let (key, value) = (&member[..equals], &member[equals + 1..]);
    let first = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let key_is_valid = key.len() <= LONGEST
        && key.first().is_some_and(first)
        && key
            .iter()
            .all(|byte| first(byte) || matches!(byte, b'_' | b'-' | b'*' | b'/' | b'@'));
    let value_is_valid = (1..=LONGEST).contains(&value.len())
        && value
            .iter()
            .all(|&byte| matches!(byte, b' '..=b'~') && !matches!(byte, b',' | b'='));
    (key_is_valid && value_is_valid).then_some(key)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn changed(at: usize, to: &str) -> String {
        let mut text = GOOD.to_owned();
        text.replace_range(at..at + to.len(), to);
        text
    }

    fn is_valid(text: &str) -> bool {
        TraceParent::parse(text.as_bytes()).is_some()
    }

    #[test]
    fn the_example_of_the_recommendation_is_read() {
        let parent = TraceParent::parse(GOOD.as_bytes()).expect("it is valid");
        assert_eq!(parent.trace_id[..2], [0x4b, 0xf9]);
        assert_eq!(parent.span_id[6..], [0x02, 0xb7]);
        assert!(parent.is_sampled());
        assert_eq!(parent.to_bytes(), GOOD.as_bytes());
    }

    #[test]
    fn what_is_not_valid_is_no_parent() {
        for text in [
            String::new(),
            GOOD[..54].to_owned(),
            format!("{GOOD}-"),
            format!("{GOOD}0"),
            format!(" {GOOD}"),
            format!("{GOOD},{GOOD}"),
            changed(0, "ff"),
            changed(0, "0x"),
            changed(2, "_"),
            changed(35, "0"),
            changed(52, " "),
            changed(3, "4BF9"),
            changed(3, &"0".repeat(32)),
            changed(36, &"0".repeat(16)),
            changed(36, "g"),
            changed(53, "0A"),
            changed(53, "+1"),
            changed(3, "é"),
        ] {
            assert!(!is_valid(&text), "{text:?}");
        }
    }

    #[test]
    fn later_versions_are_read_as_far_as_they_are_known() {
        let later = changed(0, "cc");
        assert!(is_valid(&later));
        assert!(is_valid(&format!("{later}-what-the-future-will-be-like")));
        assert!(is_valid(&format!("{later}-")));
        assert!(!is_valid(&format!("{later}.what")));
        assert!(!is_valid(&later[..54]));
    }

    #[test]
    fn flags_without_a_meaning_are_not_passed_on() {
        let parent = TraceParent::parse(changed(53, "fe").as_bytes()).expect("it is valid");
        assert!(!parent.is_sampled());
        assert!(parent.to_bytes().ends_with(b"-02"));
    }

    #[test]
    fn a_trace_of_our_own_is_sampled_by_its_id() {
        let sampled = TraceParent::begin(|_| true);
        let other = TraceParent::begin(|_| false);
        assert!(sampled.is_sampled() && !other.is_sampled());
        assert_ne!(sampled.trace_id, other.trace_id);
        let child = sampled.with_span(new_span_id());
        assert_eq!(child.trace_id, sampled.trace_id);
        assert_ne!(child.span_id, sampled.span_id);
        assert!(child.is_sampled());
    }

    #[test]
    fn tracestate_is_a_list_of_distinct_keys() {
        let long = |n: usize| "a".repeat(n);
        let members = |n: usize| {
            let members: Vec<String> = (0..n).map(|n| format!("k{n}=1")).collect();
            members.join(",")
        };
        for good in [
            String::new(),
            "congo=t61rcWkgMzE".into(),
            "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE".into(),
            " a=1 \t,\t , b=2,".into(),
            "fw529a3039@dt=FfIGOxQ.,0a/b_c-d*=x y".into(),
            format!("{}=1", long(256)),
            format!("a={}", long(256)),
            members(32),
        ] {
            assert!(is_tracestate([good.as_bytes()]), "{good:?}");
        }
        for bad in [
            "a".into(),
            "=1".into(),
            "a=".into(),
            "a= ".into(),
            "a=1,a=2".into(),
            "a=1=2".into(),
            "A=1".into(),
            "@a=1".into(),
            "a b=1".into(),
            "a =1".into(),
            "a=\u{e9}".into(),
            "a=1;b=2\u{7f}".into(),
            format!("{}=1", long(257)),
            format!("a={}", long(257)),
            members(33),
        ] {
            let bad: String = bad;
            assert!(!is_tracestate([bad.as_bytes()]), "{bad:?}");
        }
        assert!(is_tracestate([&b"a=1"[..], b"b=2"]));
        assert!(!is_tracestate([&b"a=1"[..], b"a=2"]));
        assert!(is_tracestate([]));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            trace_id in any::<[u8; 16]>().prop_filter("zero", |id| *id != [0; 16]),
            span_id in any::<[u8; 8]>().prop_filter("zero", |id| *id != [0; 8]),
            flags in 0_u8..4,
        ) {
            let parent = TraceParent { trace_id, span_id, flags };
            prop_assert_eq!(TraceParent::parse(&parent.to_bytes()), Some(parent));
        }

        #[test]
        fn no_bytes_are_read_as_more_than_they_say(
            value in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..80),
                // Near to what is valid.
                "(00|01|fe|ff)-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-fA-F]{2}(-x?)?"
                    .prop_map(String::into_bytes),
            ],
        ) {
            if let Some(parent) = TraceParent::parse(&value) {
                let again = parent.to_bytes();
                // Everything but the version and flags without a meaning is as it was.
                prop_assert_eq!(&again[2..53], &value[2..53]);
                prop_assert_eq!(TraceParent::parse(&again), Some(parent));
            }
        }

        #[test]
        fn any_tracestate_is_judged(
            lines in proptest::collection::vec(
                prop_oneof![
                    proptest::collection::vec(any::<u8>(), 0..40),
                    "([a-c]=[x-z]?,? ?){0,4}".prop_map(String::into_bytes),
                ],
                0..4,
            ),
        ) {
            let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
            let joined = lines.join(&b","[..]);
            prop_assert_eq!(
                is_tracestate(lines.iter().copied()),
                is_tracestate([joined.as_slice()])
            );
        }
    }
}
