//! Fuzz body of the promise about paths: whatever software after sluice makes of a path before
//! it routes, it is one that its route takes. The first four bytes choose what a backend does,
//! in which order; the rest is the path.

use std::sync::{Arc, LazyLock};

use http::{HeaderMap, Method};
use sluice::route::matcher::{RequestView, RouteTable};
use sluice::route::matches::{PathPattern, RouteMatch};
use sluice::route::path;

/// The routes: an exact path, or the prefix before `/*`.
const ROUTES: [&str; 5] = ["/*", "/admin/*", "/a", "/a/b/*", "/a/b/c"];

/// Runs one input.
pub fn run(data: &[u8]) {
    let Some((orders, raw)) = data.split_first_chunk::<4>() else {
        return;
    };
    let Ok(read) = path::read(raw) else {
        return;
    };
    static TABLE: LazyLock<RouteTable> = LazyLock::new(table);
    let none = HeaderMap::new();
    let view = RequestView {
        host: "",
        path: &read.normal,
        readings: &read.readings,
        method: &Method::GET,
        headers: &none,
        websocket: false,
    };
    let Ok(found) = TABLE.find(&view) else {
        return;
    };
    let mut seen = read.sent.to_vec();
    assert_eq!(naive(&seen), found, "{}", read.normal);
    for order in orders {
        seen = step(order % 8, &seen);
        let shown = String::from_utf8_lossy(&seen);
        assert_eq!(naive(&seen), found, "{} seen as {shown}", read.normal);
    }
}

fn table() -> RouteTable {
    let route = |pattern: &&str| {
        let path = match pattern.strip_suffix("/*") {
            Some(prefix) => PathPattern::Prefix(prefix.to_owned()),
            None => PathPattern::Exact((*pattern).to_owned()),
        };
        Arc::new(RouteMatch {
            path,
            ..RouteMatch::default()
        })
    };
    let routes: Vec<_> = ROUTES.iter().map(route).collect();
    RouteTable::new(&routes)
}

/// Which route a backend would say that a path belongs to, by bytes alone.
fn naive(path: &[u8]) -> usize {
    let mut best = (0, 0);
    for (index, pattern) in ROUTES.iter().enumerate() {
        let (wanted, exact) = match pattern.strip_suffix("/*") {
            Some(prefix) => (prefix, false),
            None => (*pattern, true),
        };
        let takes = match path.strip_prefix(wanted.as_bytes()) {
            Some([]) => true,
            Some([b'/', ..]) => !exact,
            _ => false,
        };
        let rank = 2 * wanted.len() + usize::from(exact);
        if takes && rank > best.0 {
            best = (rank, index);
        }
    }
    best.1
}

/// One thing that servers, frameworks and file systems do.
fn step(order: u8, path: &[u8]) -> Vec<u8> {
    match order {
        0 => decode(path, |_| true),
        1 => decode(path, |byte| byte != b'/'),
        2 => decode(path, |byte| {
            byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
        }),
        3 => {
            let mut merged = path.to_vec();
            merged.dedup_by(|next, last| (*next, *last) == (b'/', b'/'));
            merged
        }
        4 => path
            .iter()
            .map(|&byte| if byte == b'\\' { b'/' } else { byte })
            .collect(),
        5 => {
            let bare = |segment: &[u8]| {
                segment
                    .split(|byte| *byte == b';')
                    .next()
                    .unwrap_or_default()
                    .to_vec()
            };
            let segments: Vec<_> = path.split(|byte| *byte == b'/').map(bare).collect();
            segments.join(&b'/')
        }
        6 => {
            let end = path.iter().position(|byte| matches!(byte, b'?' | b'#'));
            path[..end.unwrap_or(path.len())].to_vec()
        }
        _ => without_dots(path),
    }
}

/// Escapes decoded once, where their byte is wanted.
fn decode(path: &[u8], wanted: impl Fn(u8) -> bool) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), path);
    while let Some((&byte, after)) = rest.split_first() {
        let hex = after
            .get(..2)
            .and_then(|pair| std::str::from_utf8(pair).ok());
        let hex = hex.filter(|pair| pair.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let decoded = hex.and_then(|pair| u8::from_str_radix(pair, 16).ok());
        match decoded.filter(|decoded| byte == b'%' && wanted(*decoded)) {
            Some(decoded) => {
                out.push(decoded);
                rest = &after[2..];
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    out
}

/// RFC 3986 section 5.2.4.
fn without_dots(path: &[u8]) -> Vec<u8> {
    let segments: Vec<&[u8]> = path.split(|byte| *byte == b'/').skip(1).collect();
    let mut out: Vec<&[u8]> = Vec::new();
    for (at, &segment) in segments.iter().enumerate() {
        let is_last = at + 1 == segments.len();
        match segment {
            b"." => {}
            b".." => drop(out.pop()),
            _ => {
                out.push(segment);
                continue;
            }
        }
        if is_last {
            out.push(b"");
        }
    }
    let mut path = b"/".to_vec();
    path.extend_from_slice(&out.join(&b'/'));
    path
}
