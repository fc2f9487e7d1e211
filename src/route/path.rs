//! The request path: one normal form, used for matching *and* sent upstream.
//! Owns normalisation (RFC 3986 section 6.2.2), the search for readings that lead elsewhere,
//! and prefix rewriting. Knows no routes and never sees a query.
//!
//! # The rule
//!
//! What was matched is what is sent. A path that is not in normal form is sent in normal
//! form, so the upstream never interprets a text that the matcher did not see.
//!
//! | in the request | becomes |
//! |---|---|
//! | `%41`, `%7e`, `%2e` (unreserved characters) | decoded |
//! | `%c3%a9` | `%C3%A9` |
//! | `é`, `[`, `"`, `^` and what else a path may not hold raw | percent-encoded |
//! | `//`, `///` | `/` |
//! | `/a/./b`, `/a/x/../b` | `/a/b`; after `//` was collapsed |
//! | `%2F`, `%5C`, `%25`, `%3B`, `%40` … (reserved) | kept encoded |
//! | `..` above the root, bad escapes, NUL, raw `\` or controls, overlong UTF-8 | refused |
//!
//! Kept escapes and `;` leave room for a second reading: one backend decodes `%2F` before it
//! routes, another decodes twice, a servlet container drops `;x` from every segment, a rewriter
//! ends the path at a decoded `?`. So
//!
//! 1. a path in which *any* such reading uncovers a dot segment is refused here:
//!    `/ws%2f..%2fadmin`, `/ws/..;/admin`, `/ws/%252e%252e/admin`;
//! 2. a path whose [`readings`] would take another route is refused by the matcher:
//!    `/admin%2Fusers` where `/admin` is a route of its own. `/files/a%2Fb` passes, since
//!    every reading stays under `/files`.
//!
//! These readings suffice for the second rule: patterns hold no kept escapes ([`check_pattern`]),
//! so a reading in between can only match a pattern that the full reading matches as well.
//! Letter case is significant; an upstream with case-insensitive paths needs its own rules.

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
    /// A control character, space, `\`, `?` or `#`.
    ForbiddenByte(u8),
    /// `%C0%AE` and its like, which lax decoders take for ASCII.
    OverlongUtf8,
    /// `..` leads above the root.
    AboveRoot,
    /// A dot segment that only some readings see, or one beside an encoded slash.
    HiddenDotSegment,
    /// An encoded slash, `;` or doubly encoded text that could select another route; an
    /// encoded slash behind a `;` always could.
    AnotherRoute,
}

impl fmt::Display for PathProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PathProblem::NotAbsolute => "the path does not begin with /",
            PathProblem::BadEscape => "the path has a % without two hexadecimal digits",
            PathProblem::Nul => "the path has an encoded NUL",
            PathProblem::ForbiddenByte(byte) => {
                return write!(f, "the path has the byte 0x{byte:02x}, which must be encoded");
            }
            PathProblem::OverlongUtf8 => "the path has an overlong UTF-8 sequence",
            PathProblem::AboveRoot => "the path leads above the root",
            PathProblem::HiddenDotSegment => {
                "the path hides a dot segment behind an encoded slash, a ; or a second encoding"
            }
            PathProblem::AnotherRoute => {
                "the path takes another route when its encoded characters or ;parameters are read differently"
            }
        })
    }
}

impl std::error::Error for PathProblem {}

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

/// The normal form of `raw`, a path without its query. Borrows a path that is normal already.
///
/// # Errors
/// See [`PathProblem`]; every one is answered 400.
pub fn normalise(raw: &str) -> Result<Cow<'_, str>, PathProblem> {
    if is_plain(raw.as_bytes()) {
        return Ok(Cow::Borrowed(raw));
    }
    let normal = rebuild(raw)?;
    refuse_hidden(&normal)?;
    Ok(if normal == raw {
        Cow::Borrowed(raw)
    } else {
        Cow::Owned(normal)
    })
}

/// Whether `path` is its own normal form.
pub fn is_normalised(path: &str) -> bool {
    matches!(normalise(path), Ok(Cow::Borrowed(_)))
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

/// Canonical escapes, then `//` and dot segments; one pass over the text, one buffer.
fn rebuild(raw: &str) -> Result<String, PathProblem> {
    let bytes = raw.as_bytes();
    if bytes.first() != Some(&b'/') {
        return Err(PathProblem::NotAbsolute);
    }
    let mut out = String::with_capacity(raw.len() + 8);
    let (mut went_up, mut at) = (false, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'/' => {
                went_up |= end_segment(&mut out)?;
                if !out.ends_with('/') {
                    out.push('/');
                }
                at += 1;
                continue;
            }
            b'%' => {
                let byte = escape_at(bytes, at).ok_or(PathProblem::BadEscape)?;
                check_escape(byte, escape_at(bytes, at + 3))?;
                if is_unreserved(byte) {
                    out.push(char::from(byte))
                } else {
                    push_escape(&mut out, byte)
                }
                at += 3;
                continue;
            }
            byte @ (0..=b' ' | b'\\' | b'?' | b'#' | 0x7f) => {
                return Err(PathProblem::ForbiddenByte(byte));
            }
            byte if is_plain_byte(byte) || byte == b';' => out.push(char::from(byte)),
            byte => push_escape(&mut out, byte),
        }
        at += 1;
    }
    went_up |= end_segment(&mut out)?;
    if went_up && has_encoded_slash(&out, bytes) {
        return Err(PathProblem::HiddenDotSegment);
    }
    Ok(out)
}

/// Resolves a dot segment at the end of `out` (RFC 3986 section 5.2.4), which then ends in
/// `/`. True when it led upwards.
fn end_segment(out: &mut String) -> Result<bool, PathProblem> {
    let start = out.rfind('/').map_or(0, |slash| slash + 1);
    match &out[start..] {
        "." => out.truncate(start),
        ".." => {
            // `start` is behind a slash: `out` began with one before any segment was written.
            let parent = out[..start.saturating_sub(1)]
                .rfind('/')
                .ok_or(PathProblem::AboveRoot)?;
            out.truncate(parent + 1);
            return Ok(true);
        }
        _ => {}
    }
    Ok(false)
}

/// An encoded slash or backslash in the result, or in what a dot segment removed from it.
fn has_encoded_slash(normal: &str, raw: &[u8]) -> bool {
    let found = |bytes: &[u8]| {
        bytes.windows(3).any(|w| {
            w[0] == b'%'
                && (w[1..].eq_ignore_ascii_case(b"2f") || w[1..].eq_ignore_ascii_case(b"5c"))
        })
    };
    found(raw) || found(normal.as_bytes())
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

/// The other texts that backends may make of a normal path: decoded and stripped of
/// `;parameters`; the same, cut at a `?` or `#` that decoding uncovers. Each is without
/// `//`. `None` for a path with one reading.
pub fn readings(normal: &str) -> Option<[String; 2]> {
    memchr::memchr2(b'%', b';', normal.as_bytes())?;
    let full = decode_fully(normal.as_bytes());
    let end = full
        .windows(3)
        .position(|escape| matches!(escape, b"%3F" | b"%23"));
    let texts = [full.as_slice(), &full[..end.unwrap_or(full.len())]].map(|decoded| {
        let mut path = without_parameters(decoded);
        path.dedup_by(|next, previous| *next == b'/' && *previous == b'/');
        String::from_utf8(path).unwrap_or_default() // ASCII, since a normal path is
    });
    texts.iter().any(|text| text != normal).then_some(texts)
}

/// Decodes escapes of ASCII that has a meaning in a path, until none is left, however deep
/// they are nested; `\` becomes `/`. Linear: each byte is pushed once and looked at once
/// more as the tail of an escape.
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
                Some(b'\\') => {
                    out.truncate(start);
                    out.push(b'/');
                }
                Some(_) => {
                    out[start + 1..].make_ascii_uppercase();
                    break;
                }
                None => break,
            }
        }
    }
    out
}

/// Drops `;…` up to the next slash, as servlet containers do.
fn without_parameters(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut inside = false;
    for &byte in bytes {
        inside = byte != b'/' && (inside || byte == b';');
        if !inside {
            out.push(byte);
        }
    }
    out
}

/// Refuses what shows once a segment is decoded: NUL, overlong UTF-8, dot segments, and a
/// slash behind a `;`, where the order of decoding and stripping decides.
fn refuse_hidden(normal: &str) -> Result<(), PathProblem> {
    if memchr::memchr2(b'%', b';', normal.as_bytes()).is_none() {
        return Ok(());
    }
    for segment in normal.split('/') {
        let decoded = decode_fully(segment.as_bytes());
        if memchr::memchr(0, &decoded).is_some() {
            return Err(PathProblem::Nul);
        }
        for at in memchr::memchr_iter(b'%', &decoded) {
            if let Some(byte) = escape_at(&decoded, at) {
                check_escape(byte, escape_at(&decoded, at + 3))?;
            }
        }
        let mut pieces = decoded.split(|&byte| byte == b'/');
        if pieces.any(|piece| is_dot_segment(name(piece))) {
            return Err(PathProblem::HiddenDotSegment);
        }
        if let Some(parameter) = memchr::memchr(b';', &decoded)
            && memchr::memchr(b'/', &decoded[parameter..]).is_some()
        {
            return Err(PathProblem::AnotherRoute);
        }
    }
    Ok(())
}

/// What some reading takes for a segment's whole text: up to `;`, an encoded `?` or `#`.
fn name(piece: &[u8]) -> &[u8] {
    let ends = |at: &usize| {
        piece[*at] == b';' || piece[*at..].starts_with(b"%3F") || piece[*at..].starts_with(b"%23")
    };
    &piece[..(0..piece.len()).find(ends).unwrap_or(piece.len())]
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
    let normal = normalise(pattern).map_err(|problem| problem.to_string())?;
    if let Some([reading, ..]) = readings(&normal) {
        return Err(if normal.contains(';') {
            format!("`{pattern}` has a ;parameter: write `{reading}`")
        } else {
            format!(
                "`{pattern}` has encoded characters with more than one reading: write `{reading}`"
            )
        });
    }
    match normal {
        Cow::Borrowed(_) => Ok(()),
        Cow::Owned(normal) => Err(format!(
            "`{pattern}` is not in normal form: write `{normal}`"
        )),
    }
}

/// `path` with `prefix` replaced. `path` is normal; `prefix` and `replacement` are held
/// without a trailing slash and may be empty. The result begins with `/`. A path that is not
/// below `prefix` on a segment border is returned unchanged.
pub fn rewrite<'a>(path: &'a str, prefix: &str, replacement: &str) -> Cow<'a, str> {
    let Some(rest) = below(path, prefix) else {
        return Cow::Borrowed(path);
    };
    match (replacement, rest) {
        ("", "") => Cow::Borrowed("/"),
        ("", rest) => Cow::Borrowed(rest),
        (replacement, rest) => Cow::Owned([replacement, rest].concat()),
    }
}

/// What follows `prefix` in `path`: empty, or beginning with `/`.
pub(super) fn below<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    path.strip_prefix(prefix)
        .filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
pub(super) mod tests;
