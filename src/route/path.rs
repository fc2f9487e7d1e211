//! The request path: sent as it was received, matched in every way it can be read.
//! Owns dot segments (RFC 3986 section 5.2.4), the normal form that patterns are compared with,
//! and prefix rewriting. Knows no routes and never sees a query; what other software may make
//! of a path is in `readings`.
//!
//! # The rule
//!
//! A path goes on byte for byte as it came; only dot segments (`%2e` too) are resolved, as
//! browsers do before they send. What is sent can be read in several ways: as it stands, with
//! escapes decoded, empty segments merged, `;parameters` cut, `//x` taken for a host, and so on
//! in any order. The matcher looks all of them up, and refuses a path of which two lead to
//! different routes: `//admin`, `/x/..%2fadmin`, `/admin;x` beside a route `/admin`. So whatever
//! an upstream makes of a path, it is one that its route takes. Where a prefix is replaced, the
//! readings of what is sent are judged the same way ([`before_rewrite`]).
//!
//! Patterns have one reading ([`check_pattern`]). They are compared with the normal form of a
//! reading: escapes in capitals, and percent-encoded what a path may not hold raw.
//!
//! Refused whatever the routes are: `..` above the root in any reading, bad escapes, NUL,
//! controls, `#`, overlong UTF-8. Letter case is significant; an upstream with case-insensitive
//! paths needs its own rules.

mod readings;

use std::borrow::Cow;
use std::fmt;

/// Why a path is refused with 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathProblem {
    /// It does not begin with `/` (`OPTIONS *` has no path: the caller's business).
    NotAbsolute,
    /// `%` without two hexadecimal digits.
    BadEscape,
    /// `%00`, under any number of encodings.
    Nul,
    /// A control character, space, `?` or `#`.
    ForbiddenByte(u8),
    /// `%C0%AE` and its like, which lax decoders take for ASCII.
    OverlongUtf8,
    /// `..` leads above the root, in some reading.
    AboveRoot,
    /// It is encoded so deeply that its readings are too many to be compared.
    TooManyReadings,
    /// An encoded character, an empty segment or a `;` could select another route.
    AnotherRoute,
    /// With its prefix replaced, it could be read as one that is not below the new prefix.
    AbovePrefix,
}

impl fmt::Display for PathProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PathProblem::NotAbsolute => "the path does not begin with /",
            PathProblem::BadEscape => "the path has a % without two hexadecimal digits",
            PathProblem::Nul => "the path has an encoded NUL",
            PathProblem::ForbiddenByte(byte) => {
                return write!(
                    f,
                    "the path has the byte 0x{byte:02x}, which must be encoded"
                );
            }
            PathProblem::OverlongUtf8 => "the path has an overlong UTF-8 sequence",
            PathProblem::AboveRoot => "the path leads above the root",
            PathProblem::TooManyReadings => "the path can be read in too many ways",
            PathProblem::AnotherRoute => {
                "the path takes another route when its encoded characters, empty segments or \
                 ;parameters are read differently"
            }
            PathProblem::AbovePrefix => {
                "the path leads above its route's new prefix when its encoded characters are read \
                 differently"
            }
        })
    }
}

impl std::error::Error for PathProblem {}

/// A path, and what can be made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestPath<'a> {
    /// What goes on: the path as it came, without dot segments.
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
    let resolved = readings::without_dots(received)?;
    let sent = resolved.map_or(Cow::Borrowed(received), Cow::Owned);
    let mut starts = vec![canonical(&sent)?];
    if let Cow::Owned(_) = sent {
        // What the client meant may also be what is left when others resolve the dot segments.
        starts.extend(readings::resolved_elsewhere(&whole)?);
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

/// The byte may stand raw in a path and has one reading: a `pchar` (RFC 3986 section 3.3)
/// other than `;`, or `/`. Ranges and `|` instead of a table or a match: these vectorise.
const fn is_plain_byte(byte: u8) -> bool {
    let letter = (byte | 0x20).wrapping_sub(b'a') < 26;
    let from_ampersand_to_colon = byte.wrapping_sub(b'&') <= b':' - b'&';
    letter
        | from_ampersand_to_colon
        | (byte == b'_')
        | (byte == b'=')
        | (byte == b'@')
        | (byte == b'~')
        | (byte == b'!')
        | (byte == b'$')
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Normal, and with one reading only: the path of almost every request. No branch a byte,
/// so that the loops become vector instructions.
fn is_plain(path: &[u8]) -> bool {
    let [b'/', rest @ ..] = path else {
        return false;
    };
    let odd = path
        .iter()
        .fold(false, |odd, &byte| odd | !is_plain_byte(byte));
    let pairs = path.iter().zip(rest);
    let border = pairs.fold(false, |found, (&a, &b)| {
        found | ((a == b'/') & ((b == b'/') | (b == b'.')))
    });
    !odd && (!border || has_no_dot_segment(path))
}

/// Of a path in which a `/` precedes a `/` or a `.`: neither `//` nor a dot segment.
fn has_no_dot_segment(path: &[u8]) -> bool {
    let inner = path.strip_suffix(b"/").unwrap_or(path);
    let mut segments = inner.split(|&byte| byte == b'/').skip(1);
    path == b"/" || segments.all(|segment| !segment.is_empty() && !is_dot_segment(segment))
}

fn is_dot_segment(segment: &[u8]) -> bool {
    matches!(segment, b"." | b"..")
}

/// The text in canonical escapes, its segments as they are: `%c3` as `%C3`, and encoded what a
/// path may not hold raw, but for `\`.
fn canonical(received: &[u8]) -> Result<String, PathProblem> {
    if received.first() != Some(&b'/') {
        return Err(PathProblem::NotAbsolute);
    }
    let mut out = String::with_capacity(received.len() + 8);
    let mut at = 0;
    while at < received.len() {
        match received[at] {
            b'%' => {
                push_escape(
                    &mut out,
                    escape_at(received, at).ok_or(PathProblem::BadEscape)?,
                );
                at += 2;
            }
            byte @ (0..=b' ' | b'?' | b'#' | 0x7f) => return Err(PathProblem::ForbiddenByte(byte)),
            byte if is_plain_byte(byte) || matches!(byte, b';' | b'\\') => {
                out.push(char::from(byte))
            }
            byte => push_escape(&mut out, byte),
        }
        at += 1;
    }
    Ok(out)
}

/// The byte that `%XX` at `at` stands for.
fn escape_at(bytes: &[u8], at: usize) -> Option<u8> {
    match bytes.get(at..at + 3)? {
        [b'%', high, low] => {
            let digit = |byte: &u8| char::from(*byte).to_digit(16);
            u8::try_from(digit(high)? * 16 + digit(low)?).ok()
        }
        _ => None,
    }
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

fn push_escape(out: &mut String, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    out.push(char::from(HEX[usize::from(byte >> 4)]));
    out.push(char::from(HEX[usize::from(byte & 15)]));
}

/// Refuses what shows once a path is decoded, however deep: NUL and overlong UTF-8.
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
    let simplest = readings::simplest(&path.normal).map_err(problem)?;
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
/// empty. The result begins with `/`. A path that is not below `prefix` on a segment border is
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

/// What the client would have asked for if it had meant what others may read in the path that
/// is [sent for it](rewrite): each reading, with `prefix` in the place of `replacement`. All of
/// them must take the same route; none for almost every path.
///
/// # Errors
/// When a reading is not below `replacement`, or is none at all.
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
