//! The request path: sent as it was received, matched in every way it can be read.
//! Owns dot segments (RFC 3986 section 5.2.4), the normal form that patterns are compared with,
//! and prefix rewriting. Knows no routes and never sees a query; how other software may read a
//! path is in `readings`.
//!
//! # The rule
//!
//! A path goes on byte for byte as it came; only dot segments (`%2e` too) are resolved, as
//! browsers do before they send. What is sent can be read in several ways: as it stands, with
//! escapes decoded, empty segments merged, `;parameters` cut, `//x` taken for a host, and so on
//! in any order. The matcher looks all of them up, and refuses a path of which two lead to
//! different routes: `//admin`, `/x/..%2fadmin`, `/admin;x` beside a route `/admin`. So however
//! an upstream reads a path, its route takes that reading. Where a prefix is replaced, the
//! readings of what is sent are judged the same way ([`before_rewrite`]).
//!
//! Patterns have one reading ([`check_pattern`]). They are compared with the normal form of a
//! reading: escapes in capitals, and percent-encoded what a path may not hold raw.
//!
//! Refused whatever the routes are: `..` above the root, bad escapes, NUL, controls, `#`,
//! overlong UTF-8. Where only another reading leads above the root, that one stays at it, as
//! browsers and servers do. Letter case is significant; an upstream with case-insensitive
//! paths needs its own rules.

mod problem;
mod readings;
mod text;

use std::borrow::Cow;

pub use self::problem::PathProblem;
use self::text::{canonical, escape_at, is_plain_byte};

/// A path and its readings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestPath<'a> {
    /// What is sent: the path as it came, without dot segments.
    pub sent: Cow<'a, [u8]>,
    /// The normal form of `sent`, which patterns are compared with.
    pub normal: Cow<'a, str>,
    /// The normal forms of all other readings; none for almost every path.
    pub readings: Vec<String>,
}

/// Reads a path without its query.
///
/// # Errors
/// See [`PathProblem`]; every one is answered 400.
pub fn read(received: &[u8]) -> Result<RequestPath<'_>, PathProblem> {
    if is_plain(received)
        && let Ok(text) = std::str::from_utf8(received)
    {
        return Ok(RequestPath {
            sent: Cow::Borrowed(received),
            normal: Cow::Borrowed(text),
            readings: Vec::new(),
        });
    }
    let whole = canonical(received)?;
    refuse_hidden(&whole)?;
    if readings::leads_above_root(received) {
        return Err(PathProblem::AboveRoot);
    }
    let resolved = readings::without_dots(received);
    let sent = resolved.map_or(Cow::Borrowed(received), Cow::Owned);
    let mut starts = vec![canonical(&sent)?];
    if let Cow::Owned(_) = sent {
        // What the client meant may also be what is left when others resolve the dot segments.
        starts.extend(readings::resolved_elsewhere(&whole));
    }
    starts.extend(readings::before_blanks(&sent)?);
    let normal = starts[0].replace('\\', "%5C");
    let mut readings = readings::all(starts)?;
    readings.retain(|reading| *reading != normal);
    Ok(RequestPath {
        sent,
        normal: Cow::Owned(normal),
        readings,
    })
}

/// Whether the path is normal and has one reading only, as in almost every request. No branch
/// per byte, so that the loops become vector instructions.
fn is_plain(path: &[u8]) -> bool {
    let [b'/', rest @ ..] = path else {
        return false;
    };
    let odd = path
        .iter()
        .fold(false, |odd, &byte| odd | !is_plain_byte(byte));
    let pairs = path.iter().zip(rest);
    let boundary = pairs.fold(false, |found, (&a, &b)| {
        found | ((a == b'/') & ((b == b'/') | (b == b'.')))
    });
    !odd && (!boundary || has_no_dot_segment(path))
}

/// For a path in which a `/` precedes a `/` or a `.`: whether it has neither `//` nor a dot
/// segment.
fn has_no_dot_segment(path: &[u8]) -> bool {
    let inner = path.strip_suffix(b"/").unwrap_or(path);
    let mut segments = inner.split(|&byte| byte == b'/').skip(1);
    path == b"/" || segments.all(|segment| !segment.is_empty() && !is_dot_segment(segment))
}

fn is_dot_segment(segment: &[u8]) -> bool {
    matches!(segment, b"." | b"..")
}

fn check_escape(byte: u8, next: Option<u8>) -> Result<(), PathProblem> {
    let overlong = matches!(
        (byte, next),
        (0xc0 | 0xc1, Some(0x80..=0xbf)) | (0xe0, Some(0x80..=0x9f)) | (0xf0, Some(0x80..=0x8f))
    );
    match byte {
        0 => Err(PathProblem::Nul),
        _ if overlong => Err(PathProblem::OverlongUtf8),
        _ => Ok(()),
    }
}

/// Refuses what appears when a path is decoded, however deep: NUL and overlong UTF-8.
fn refuse_hidden(canonical: &str) -> Result<(), PathProblem> {
    if memchr::memchr(b'%', canonical.as_bytes()).is_none() {
        return Ok(());
    }
    let decoded = decode_fully(canonical.as_bytes());
    if memchr::memchr(0, &decoded).is_some() {
        return Err(PathProblem::Nul);
    }
    for at in memchr::memchr_iter(b'%', &decoded) {
        if let Some(byte) = escape_at(&decoded, at) {
            check_escape(byte, escape_at(&decoded, at + 3))?;
        }
    }
    Ok(())
}

/// Decodes escapes of ASCII that has a meaning in a path, until none is left, however deep
/// they are nested. Linear: each byte is pushed once and looked at once more as the tail of
/// an escape.
fn decode_fully(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for &byte in bytes {
        out.push(byte);
        while let Some(start) = out.len().checked_sub(3) {
            match escape_at(&out, start) {
                Some(decoded) if is_plain_byte(decoded) || matches!(decoded, 0 | b'%' | b';') => {
                    out.truncate(start);
                    out.push(decoded);
                }
                _ => break,
            }
        }
    }
    out
}

/// Whether a route may be written for `pattern` (the whole path, or a prefix without its
/// trailing slash).
///
/// # Errors
/// In words, with the spelling that would be right where there is one.
pub fn check_pattern(pattern: &str) -> Result<(), String> {
    if pattern.is_empty() || pattern == "/" {
        return Ok(());
    }
    let problem = |problem: PathProblem| problem.to_string();
    let path = read(pattern.as_bytes()).map_err(problem)?;
    if *path.sent == *path.normal.as_bytes() && path.normal == pattern && path.readings.is_empty() {
        return Ok(());
    }
    let simplest = readings::simplest(&path.normal);
    Err(if path.normal.contains(';') {
        format!("`{pattern}` has a ;parameter: write `{simplest}`")
    } else if readings::merged_and_unreserved(&path.normal) != simplest {
        format!("`{pattern}` has encoded characters with more than one reading: write `{simplest}`")
    } else {
        format!("`{pattern}` is not in normal form: write `{simplest}`")
    })
}

/// The path to send with `prefix` replaced: in `sent` where the prefix stands there literally,
/// else in `normal`. `prefix` and `replacement` are held without a trailing slash and may be
/// empty. The result begins with `/`. A path that is not below `prefix` on a segment boundary is
/// returned unchanged.
pub fn rewrite(sent: &[u8], normal: &str, prefix: &str, replacement: &str) -> Vec<u8> {
    let prefix = prefix.as_bytes();
    let rest = below(sent, prefix).or_else(|| below(normal.as_bytes(), prefix));
    match (replacement, rest) {
        (_, None) => sent.to_vec(),
        ("", Some(b"")) => b"/".to_vec(),
        (replacement, Some(rest)) => [replacement.as_bytes(), rest].concat(),
    }
}

/// What the client would have asked for by each of the readings of the path that is
/// [sent for it](rewrite): each reading, with `prefix` in the place of `replacement`. All of
/// them must take the same route; none for almost every path.
///
/// # Errors
/// When a reading is not below `replacement`, or is not a path.
pub fn before_rewrite(
    rewritten: &[u8],
    prefix: &str,
    replacement: &str,
) -> Result<Vec<String>, PathProblem> {
    if is_plain(rewritten) {
        return Ok(Vec::new());
    }
    let path = read(rewritten)?;
    let asked = |reading: &str| {
        let rest = below(reading.as_bytes(), replacement.as_bytes());
        let start = reading.len() - rest.ok_or(PathProblem::AbovePrefix)?.len();
        Ok([prefix, &reading[start..]].concat())
    };
    let readings = path.readings.iter().map(String::as_str);
    readings.chain([&*path.normal]).map(asked).collect()
}

/// What follows `prefix` in `path`: empty, or beginning with `/`.
fn below<'a>(path: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    path.strip_prefix(prefix)
        .filter(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

#[cfg(test)]
pub(super) mod tests;
