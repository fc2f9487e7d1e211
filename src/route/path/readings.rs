//! How upstreams may read a path before they route. Each reader is one thing that
//! servers, frameworks and file systems do; they are combined in any order and number, until
//! there is nothing new. All texts are in canonical escapes, and so ASCII; a raw `\` stays
//! one, because some treat only `\` as a slash, and others only `%5C`.

use std::borrow::Cow;
use std::collections::HashSet;

use super::problem::PathProblem;
use super::text::{canonical, escape_at, is_plain_byte, is_unreserved};

/// Most readings that are compared.
const MOST: usize = 512;
/// Most bytes of readings that are looked at.
const MOST_TEXT: usize = 256 * 1024;

/// A different text, or none.
type Reader = fn(&str) -> Option<String>;

/// Merging is late and the authority last, so that [`simplest`] keeps all segments.
const READERS: [Reader; 11] = [
    unreserved,
    slashes,
    backslashes,
    encoded_backslashes,
    all_but_slashes,
    without_parameters,
    before_query,
    before_fragment,
    merged,
    without_authority,
    without_first_of_many,
];

/// All readings of `starts`, these included.
pub(super) fn all(starts: Vec<String>) -> Result<Vec<String>, PathProblem> {
    let mut found = Vec::with_capacity(starts.len());
    let mut known = HashSet::new();
    let mut note = |found: &mut Vec<String>, reading: String| {
        if known.insert(reading.clone()) {
            found.push(reading);
        }
    };
    for start in starts {
        note(&mut found, start);
    }
    let (mut at, mut text) = (0, 0);
    while let Some(current) = found.get(at) {
        text += current.len();
        if at >= MOST || text > MOST_TEXT {
            return Err(PathProblem::TooManyReadings);
        }
        let mut new: Vec<String> = READERS.iter().filter_map(|read| read(current)).collect();
        new.extend(without_dots(current.as_bytes()).map(text_of));
        for reading in new {
            note(&mut found, reading);
        }
        at += 1;
    }
    Ok(found)
}

/// What may be left of a path with dot segments for software that merges slashes or decodes
/// before it resolves them.
pub(super) fn resolved_elsewhere(path: &str) -> Vec<String> {
    let readers: [Reader; 4] = [slashes, backslashes, encoded_backslashes, merged];
    let mut texts = vec![path.to_owned()];
    for reader in readers {
        let more: Vec<String> = texts.iter().filter_map(|text| reader(text)).collect();
        texts.extend(more);
    }
    let resolve = |text: String| without_dots(text.as_bytes()).map_or(text, text_of);
    texts.into_iter().skip(1).map(resolve).collect()
}

/// What is left of a path for software that splits the request line at every Unicode blank, read
/// as Latin-1 (as servers in Python do) or as UTF-8: up to the first, and without the last.
pub(super) fn before_blanks(sent: &[u8]) -> Result<Vec<String>, PathProblem> {
    if sent.is_ascii() {
        return Ok(Vec::new());
    }
    let is_latin = |byte: &u8| char::from(*byte).is_whitespace();
    let utf8 = String::from_utf8_lossy(sent);
    let (first, last) = (
        sent.iter().position(is_latin).unwrap_or(sent.len()),
        sent.iter()
            .rposition(|byte| !is_latin(byte))
            .map_or(0, |at| at + 1),
    );
    let mut ends = vec![first, last];
    if let Cow::Borrowed(text) = utf8 {
        ends.push(text.find(char::is_whitespace).unwrap_or(text.len()));
        ends.push(text.trim_end().len());
    }
    ends.retain(|&end| end < sent.len());
    ends.into_iter()
        .map(|end| canonical(&sent[..end]))
        .collect()
}

/// The reading that has no further readings.
pub(super) fn simplest(path: &str) -> String {
    let mut text = path.to_owned();
    loop {
        let mut next = apply(&READERS, &text);
        if let Some(resolved) = without_dots(next.as_bytes()) {
            next = text_of(resolved);
        }
        if next == text {
            return text;
        }
        text = next;
    }
}

/// The normal form of RFC 3986 section 6.2.2, with empty segments merged.
pub(super) fn merged_and_unreserved(path: &str) -> String {
    apply(&[unreserved, merged], path)
}

fn apply(readers: &[Reader], path: &str) -> String {
    let read = |text: String, reader: &Reader| reader(&text).unwrap_or(text);
    readers.iter().fold(path.to_owned(), read)
}

/// Decodes each escape once to what `wanted` makes of its byte. The escapes that show then are
/// canonical too.
fn decoded(path: &str, wanted: impl Fn(u8) -> Option<u8>) -> Option<String> {
    let bytes = path.as_bytes();
    let (mut out, mut copied) = (String::new(), 0);
    for at in memchr::memchr_iter(b'%', bytes) {
        if let Some(byte) = escape_at(bytes, at).and_then(&wanted) {
            out.push_str(&path[copied..at]);
            out.push(char::from(byte));
            copied = at + 3;
        }
    }
    (copied > 0).then(|| in_capitals(out + &path[copied..]))
}

fn in_capitals(path: String) -> String {
    let mut bytes = path.into_bytes();
    for at in 0..bytes.len() {
        if escape_at(&bytes, at).is_some() {
            bytes[at + 1..at + 3].make_ascii_uppercase();
        }
    }
    text_of(bytes)
}

fn unreserved(path: &str) -> Option<String> {
    decoded(path, |byte| is_unreserved(byte).then_some(byte))
}

fn slashes(path: &str) -> Option<String> {
    decoded(path, |byte| (byte == b'/').then_some(byte))
}

/// As browsers do.
fn backslashes(path: &str) -> Option<String> {
    path.contains('\\').then(|| path.replace('\\', "/"))
}

/// As Windows does.
fn encoded_backslashes(path: &str) -> Option<String> {
    decoded(path, |byte| (byte == b'\\').then_some(b'/'))
}

/// With [`slashes`] before it, one pass of a decoder that decodes everything.
fn all_but_slashes(path: &str) -> Option<String> {
    decoded(path, |byte| {
        let meant = byte != b'/' && (is_plain_byte(byte) || matches!(byte, b'%' | b';' | b'\\'));
        meant.then_some(byte)
    })
}

fn merged(path: &str) -> Option<String> {
    memchr::memmem::find(path.as_bytes(), b"//")?;
    let mut out = path.as_bytes().to_vec();
    out.dedup_by(|next, previous| *next == b'/' && *previous == b'/');
    Some(text_of(out))
}

/// Drops `;…` up to the next slash, as servlet containers do.
fn without_parameters(path: &str) -> Option<String> {
    memchr::memchr(b';', path.as_bytes())?;
    let mut inside = false;
    let keeps = |c: &char| {
        inside = *c != '/' && (inside || *c == ';');
        !inside
    };
    Some(path.chars().filter(keeps).collect())
}

/// A decoded `?` ends the path for software that splits after decoding.
fn before_query(path: &str) -> Option<String> {
    before(path, b'?')
}

/// So does a decoded `#`.
fn before_fragment(path: &str) -> Option<String> {
    before(path, b'#')
}

fn before(path: &str, byte: u8) -> Option<String> {
    let bytes = path.as_bytes();
    let end = memchr::memchr_iter(b'%', bytes).find(|&at| escape_at(bytes, at) == Some(byte))?;
    Some(path[..end].to_owned())
}

/// `//host/path` is a reference that names a host (RFC 3986 section 4.2) for software
/// that resolves a target like one.
fn without_authority(path: &str) -> Option<String> {
    after_segment(path.strip_prefix("//")?)
}

/// Browsers skip any number of slashes before the host.
fn without_first_of_many(path: &str) -> Option<String> {
    after_segment(path.strip_prefix("///")?.trim_start_matches('/'))
}

fn after_segment(path: &str) -> Option<String> {
    let rest = path.find('/').map_or("/", |end| &path[end..]);
    Some(rest.to_owned())
}

/// Resolves dot segments, in any spelling, as browsers do (RFC 3986 section 5.2.4): an empty
/// segment is one that `..` takes away, and one that leads above the root is lost. `None` where
/// there are none.
pub(super) fn without_dots(path: &[u8]) -> Option<Vec<u8>> {
    let segments = || path.split(|&byte| byte == b'/').skip(1);
    if segments().all(|segment| dots(segment) == 0) {
        return None;
    }
    let mut out = Vec::with_capacity(path.len());
    let mut left = segments().peekable();
    while let Some(segment) = left.next() {
        match dots(segment) {
            0 => {
                out.push(b'/');
                out.extend_from_slice(segment);
                continue;
            }
            1 => {}
            _ => {
                let parent = memchr::memrchr(b'/', &out);
                out.truncate(parent.unwrap_or(0));
            }
        }
        if left.peek().is_none() {
            out.push(b'/');
        }
    }
    if out.is_empty() {
        out.push(b'/');
    }
    Some(out)
}

/// Whether the dot segments that stand in the path, in any spelling, lead above the root.
pub(super) fn leads_above_root(path: &[u8]) -> bool {
    let mut depth = 0_usize;
    let mut segments = path.split(|&byte| byte == b'/').skip(1);
    segments.any(|segment| match (dots(segment), depth) {
        (0, _) => {
            depth += 1;
            false
        }
        (1, _) => false,
        (_, 0) => true,
        _ => {
            depth -= 1;
            false
        }
    })
}

/// How many dots a dot segment has; 0 for any other.
fn dots(segment: &[u8]) -> usize {
    let (mut rest, mut dots) = (segment, 0);
    loop {
        rest = match rest {
            [] => return if dots > 2 { 0 } else { dots },
            [b'.', rest @ ..] | [b'%', b'2', b'e' | b'E', rest @ ..] => rest,
            _ => return 0,
        };
        dots += 1;
    }
}

/// Readings are made of ASCII.
fn text_of(ascii: Vec<u8>) -> String {
    String::from_utf8(ascii).unwrap_or_default()
}
