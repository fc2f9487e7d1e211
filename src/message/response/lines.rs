//! One line of an answer's head at a time: the status line (RFC 9112 section 4) and field
//! lines (section 5). Fields have no meaning here.

use std::ops::Range;

use http::{StatusCode, Version};

use super::outcome::HeadError;
use crate::message::octets;

/// Where the empty line ends, and how many lines are before it. It is found first, so that a head
/// that comes byte by byte is not parsed for every byte.
pub(super) fn end_of_head(buf: &[u8], lenient: bool) -> Result<Option<(usize, usize)>, HeadError> {
    let (mut line_start, mut lines) = (0, 0);
    for feed in memchr::memchr_iter(b'\n', buf) {
        let bare = feed == line_start || buf[feed - 1] != b'\r';
        if bare && !lenient {
            return Err(HeadError::BareLineFeed);
        }
        if feed + usize::from(bare) == line_start + 1 {
            return Ok(Some((feed + 1, lines)));
        }
        line_start = feed + 1;
        lines += 1;
    }
    Ok(None)
}

/// A copy of a complete head whose lines end in CR LF and are not folded: a fold becomes one
/// space (RFC 9112 section 5.2).
///
/// # Errors
/// Where a fold would change how the message ends.
pub(super) fn unfold(head: &[u8]) -> Result<Vec<u8>, HeadError> {
    let mut out: Vec<u8> = Vec::with_capacity(head.len() + 64);
    let mut line_start = 0;
    for (number, line) in head.split_inclusive(|&byte| byte == b'\n').enumerate() {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if number > 1 && matches!(text, [b' ' | b'\t', ..]) {
            let name = out[line_start..].split(|&byte| byte == b':').next();
            if name.is_some_and(|name| is_framing(name.trim_ascii())) {
                return Err(HeadError::FoldedFraming);
            }
            out.truncate(out.len() - 2);
            out.push(b' ');
            out.extend_from_slice(text.trim_ascii_start());
        } else {
            line_start = out.len();
            out.extend_from_slice(text);
        }
        out.extend_from_slice(b"\r\n");
    }
    Ok(out)
}

fn is_framing(name: &[u8]) -> bool {
    ["content-length", "transfer-encoding", "connection"]
        .iter()
        .any(|framing| name.eq_ignore_ascii_case(framing.as_bytes()))
}

/// A status line, and the places of its parts.
#[derive(Debug)]
pub(super) struct StatusLine {
    pub(super) version: Version,
    pub(super) status: StatusCode,
    pub(super) reason: Range<usize>,
    /// After its CR LF.
    pub(super) end: usize,
}

/// The status line at the front of a complete head. The reason may be empty, and the space in
/// front of an empty one absent, as some servers write it.
pub(super) fn status_line(head: &[u8], lenient: bool) -> Result<StatusLine, HeadError> {
    const BAD: HeadError = HeadError::Malformed("status line");
    let end = octets::text_end(head, 0);
    if head.get(end..end + 2) != Some(b"\r\n") {
        return Err(BAD);
    }
    let line = &head[..end];
    let version = match line.get(..8) {
        Some(b"HTTP/1.0") => Version::HTTP_10,
        Some(b"HTTP/1.1") => Version::HTTP_11,
        _ => return Err(BAD),
    };
    let blanks = |at: usize| match line[at..].iter().take_while(|&&byte| byte == b' ').count() {
        blanks if lenient => blanks,
        blanks => blanks.min(1),
    };
    let digits = match blanks(8) {
        0 => return Err(BAD),
        blanks => 8 + blanks,
    };
    let status = line.get(digits..digits + 3).ok_or(BAD)?;
    let status = StatusCode::from_bytes(status).map_err(|_| BAD)?;
    let reason = match blanks(digits + 3) {
        0 if digits + 3 < end => return Err(BAD),
        blanks => digits + 3 + blanks..end,
    };
    Ok(StatusLine {
        version,
        status,
        reason,
        end: end + 2,
    })
}

/// The places of the parts of a field line.
#[derive(Debug)]
pub(super) struct FieldLine {
    /// Length of the name.
    pub(super) name: usize,
    /// The value without the white space around it.
    pub(super) value: Range<usize>,
    /// After its CR LF.
    pub(super) end: usize,
}

/// The field line at the front of `bytes`; `None` for the empty line. White space in front of
/// the colon is skipped (RFC 9112 section 5.1). The first line has none that it could
/// continue.
pub(super) fn field_line(bytes: &[u8], is_first: bool) -> Result<Option<FieldLine>, HeadError> {
    let name = octets::token_end(bytes, 0);
    let colon = match bytes.get(name) {
        Some(b':') => name,
        Some(b' ' | b'\t') => name + blank_run(&bytes[name..]),
        _ => name,
    };
    if name == 0 || bytes.get(colon) != Some(&b':') {
        return match (name, bytes) {
            (0, [b'\r', b'\n', ..]) => Ok(None),
            (0, [b' ' | b'\t', ..]) if is_first => {
                Err(HeadError::Malformed("white space before the first field"))
            }
            (0, [b' ' | b'\t', ..]) => Err(HeadError::Folded),
            _ => Err(HeadError::Malformed("field name")),
        };
    }
    let end = octets::text_end(bytes, colon + 1);
    if bytes.get(end..end + 2) != Some(b"\r\n") {
        return Err(HeadError::Malformed("field value"));
    }
    let start = colon + 1 + blank_run(&bytes[colon + 1..end]);
    let mut last = end;
    while last > start && matches!(bytes[last - 1], b' ' | b'\t') {
        last -= 1;
    }
    Ok(Some(FieldLine {
        name,
        value: start..last,
        end: end + 2,
    }))
}

fn blank_run(bytes: &[u8]) -> usize {
    let blank = |byte: &&u8| matches!(byte, b' ' | b'\t');
    bytes.iter().take_while(blank).count()
}
