//! A `traceparent` that is read says what it said when it is written again; a `tracestate` is
//! judged the same in one line and in several.

use sluice::trace::context::{TraceParent, is_tracestate};

/// The first line is a `traceparent`, every other one a line of `tracestate`.
pub fn run(data: &[u8]) {
    let mut lines = data.split(|&byte| byte == b'\n');
    let parent = lines.next().unwrap_or_default();
    if let Some(read) = TraceParent::parse(parent) {
        let again = read.to_bytes();
        assert_eq!(&again[2..53], &parent[2..53]);
        assert_eq!(TraceParent::parse(&again), Some(read));
    }
    let lines: Vec<&[u8]> = lines.collect();
    let joined = lines.join(&b","[..]);
    assert_eq!(
        is_tracestate(lines.iter().copied()),
        is_tracestate([joined.as_slice()])
    );
}
