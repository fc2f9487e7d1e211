//! The head of an upstream's answer, parsed from bytes as they arrive (RFC 9112 sections
//! 4 to 6). Stricter than the RFC asks of a recipient: what two parsers could
//! read differently is refused. Lines are read in `lines`, the fields about the message's end in
//! `notes`. Whether a 101 is valid is decided in `websocket::handshake`.

mod lines;
mod notes;
mod outcome;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};

use crate::message::spelling::is_usual;
use lines::{end_of_head, field_line, status_line, unfold};
use notes::{Entry, Notes};
pub use outcome::{BodyKind, HeadError};

/// The largest head in bytes.
pub const MAX_RESPONSE_HEAD: usize = 64 * 1024;

/// The limits and leniency for a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadRules {
    /// Largest head in bytes, from the status line to the empty line, both included.
    pub max_bytes: usize,
    /// Most field lines.
    pub max_lines: usize,
    /// Lines may end in LF alone and be folded, and blanks may repeat in the status line.
    pub lenient: bool,
}

impl HeadRules {
    /// The rules of an upstream with this many lines at most.
    pub fn new(max_lines: usize, lenient: bool) -> Self {
        HeadRules {
            max_bytes: MAX_RESPONSE_HEAD,
            max_lines,
            lenient,
        }
    }
}

impl Default for HeadRules {
    fn default() -> Self {
        HeadRules::new(1024, false)
    }
}

/// A complete response head.
#[derive(Debug, Clone, PartialEq)]
pub struct ResponseHead {
    /// 100 to 999.
    pub status: StatusCode,
    /// The reason phrase as it came, perhaps empty: no control characters but tabs.
    pub reason: Bytes,
    /// HTTP/1.0 or HTTP/1.1.
    pub version: Version,
    /// All fields, values trimmed, repeated ones in order. Not included are a `Connection:
    /// keep-alive`, which is for sluice, except on a 101, and copies of one Content-Length.
    pub headers: HeaderMap,
    /// The field lines as they came, where names are in other than the usual capitals.
    pub lines: Bytes,
    /// How the content after the head is delimited, as the answer to a GET.
    pub body: BodyKind,
    /// The Content-Length, also where no content follows.
    pub length: Option<u64>,
    persists: bool,
}

impl ResponseHead {
    /// Parses the head at the start of `buf`, all that has arrived so far.
    ///
    /// `Ok(None)`: incomplete, call again with more. `Ok(Some((head, n)))`: the head took the
    /// first `n` bytes; the rest belongs to the content, the tunnel, or (after an
    /// [interim](ResponseHead::is_interim) head) the next head.
    ///
    /// # Errors
    /// [`HeadError`], which more bytes do not change.
    pub fn parse(buf: &[u8], rules: HeadRules) -> Result<Option<(ResponseHead, usize)>, HeadError> {
        const START: &[u8] = b"HTTP/1.";
        if buf.iter().zip(START).any(|(got, wanted)| got != wanted) {
            return Err(HeadError::NotHttp);
        }
        let max = rules.max_bytes;
        let Some((end, lines)) = end_of_head(&buf[..buf.len().min(max)], rules.lenient)? else {
            return match buf.len() >= max {
                true => Err(HeadError::TooLarge),
                false => Ok(None),
            };
        };
        // One copy that all the values share.
        let head = match rules.lenient {
            true => Bytes::from(unfold(&buf[..end])?),
            false => Bytes::copy_from_slice(&buf[..end]),
        };
        Ok(Some((parse_complete(&head, lines, rules)?, end)))
    }

    /// The error to report for a head that was refused with `error`: that `lenient` would accept it
    /// only where it does, as far as the head has come.
    #[cold]
    pub fn what_remains(error: HeadError, buf: &[u8], rules: HeadRules) -> HeadError {
        use HeadError::{BareLineFeed, Folded, Malformed, StatusBlanks};
        let lenient = HeadRules {
            lenient: true,
            ..rules
        };
        match (error, Self::parse(buf, lenient)) {
            _ if rules.lenient => error,
            (BareLineFeed | Folded, Err(remains)) => remains,
            (Malformed(_), Ok(Some(_))) => StatusBlanks,
            _ => error,
        }
    }

    /// The reason phrase, where it is not the usual one of the status.
    pub fn unusual_reason(&self) -> Option<&Bytes> {
        let usual = self.status.canonical_reason();
        (usual.map(str::as_bytes) != Some(&self.reason)).then_some(&self.reason)
    }

    /// Whether the connection persists after the answer (RFC 9112 section 9.3).
    pub fn persists(&self) -> bool {
        self.persists
    }

    /// A 1xx that is not the answer yet: 100, 102, 103 and the like. Another head follows.
    pub fn is_interim(&self) -> bool {
        self.status.is_informational() && self.status != StatusCode::SWITCHING_PROTOCOLS
    }
}

/// Reads a head of about so many lines that ends with the empty one and all of whose lines end in
/// CR LF.
fn parse_complete(head: &Bytes, lines: usize, rules: HeadRules) -> Result<ResponseHead, HeadError> {
    let line = status_line(head, rules.lenient)?;
    let (status, version) = (line.status, line.version);
    let mut headers = HeaderMap::with_capacity(lines.min(64));
    let mut notes = Notes::default();
    let (mut count, mut unusual) = (0, false);
    let mut at = line.end;
    while let Some(field) = field_line(&head[at..], count == 0)? {
        count += 1;
        if count > rules.max_lines {
            return Err(HeadError::TooManyFields);
        }
        let name = HeaderName::from_bytes(&head[at..at + field.name])
            .map_err(|_| HeadError::Malformed("field name"))?;
        unusual = unusual || !is_usual(&head[at..], field.name);
        let text = at + field.value.start..at + field.value.end;
        at += field.end;
        // Only names of these lengths mean anything here.
        let entry = match field.name {
            10 | 14 | 17 => notes.take(&name, &head[text.clone()])?,
            _ => Entry::AsItCame,
        };
        let value = match entry {
            Entry::AsItCame => HeaderValue::from_maybe_shared(head.slice(text))
                .map_err(|_| HeadError::Malformed("field value"))?,
            Entry::EndsHere if status == StatusCode::SWITCHING_PROTOCOLS => {
                HeaderValue::from_static("keep-alive")
            }
            Entry::EndsHere | Entry::Copy => continue,
            Entry::Length(length) => HeaderValue::from(length),
        };
        headers
            .try_append(name, value)
            .map_err(|_| HeadError::TooManyFields)?;
    }
    let body = notes.body_kind(status, version)?;
    Ok(ResponseHead {
        status,
        reason: head.slice(line.reason),
        version,
        headers,
        lines: match unusual {
            true => head.slice(line.end..at),
            false => Bytes::new(),
        },
        body,
        length: notes.length(),
        persists: notes.persists(status, version, body),
    })
}

#[cfg(test)]
mod tests;
