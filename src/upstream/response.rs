//! The head of an upstream's answer, parsed from bytes as they arrive (RFC 9112 sections
//! 4 to 6). Stricter than the RFC asks of a recipient: what two parsers could
//! read differently is refused. Whether a 101 is the right one is decided in
//! `http::handshake`.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};

/// The largest head, in bytes, that [`ResponseHead::parse`] should be given as its limit.
pub const MAX_RESPONSE_HEAD: usize = 64 * 1024;

/// The most field lines in a head.
const MAX_FIELDS: usize = 128;

/// A complete response head.
#[derive(Debug, Clone, PartialEq)]
pub struct ResponseHead {
    /// 100 to 999.
    pub status: StatusCode,
    /// HTTP/1.0 or HTTP/1.1.
    pub version: Version,
    /// All fields, values trimmed, repeated ones in order. Only a `Connection: keep-alive`,
    /// which ends here, is left out, except on a 101.
    pub headers: HeaderMap,
    /// How the content behind the head is delimited, as the answer to a GET.
    pub body: BodyKind,
    persists: bool,
}

/// How a response's content ends (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyKind {
    /// There is none: 1xx, 204, 304. Behind a 101 the tunnel's bytes begin.
    None,
    /// After this many bytes.
    Length(u64),
    /// With the last chunk.
    Chunked,
    /// With the connection.
    UntilClose,
}

/// Why bytes are no response head. Once returned, more bytes do not change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadError {
    /// The first bytes are not `HTTP/1.`: another protocol.
    NotHttp,
    /// No end within the limit.
    TooLarge,
    /// More than 128 field lines.
    TooManyFields,
    /// A line that does not end in CR LF.
    BareLineFeed,
    /// Anything else that breaks the grammar.
    Malformed(&'static str),
    /// A length that is repeated, contradictory or not understood: the end is unknown.
    Framing(&'static str),
}

impl std::fmt::Display for HeadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            HeadError::NotHttp => f.write_str("the answer is not HTTP/1"),
            HeadError::TooLarge => f.write_str("the head of the answer is too large"),
            HeadError::TooManyFields => f.write_str("the answer has too many header fields"),
            HeadError::BareLineFeed => f.write_str("a header line does not end in CR LF"),
            HeadError::Malformed(what) => write!(f, "the head of the answer is malformed: {what}"),
            HeadError::Framing(what) => write!(f, "the length of the answer is unclear: {what}"),
        }
    }
}

impl std::error::Error for HeadError {}

impl ResponseHead {
    /// Parses the head at the start of `buf`, all that has arrived so far.
    ///
    /// `Ok(None)`: incomplete, call again with more. `Ok(Some((head, n)))`: the head took the
    /// first `n` bytes, at most `max`; the rest belongs to the content, the tunnel, or (after an
    /// [interim](ResponseHead::is_interim) head) the next head.
    pub fn parse(buf: &[u8], max: usize) -> Result<Option<(ResponseHead, usize)>, HeadError> {
        const START: &[u8] = b"HTTP/1.";
        if buf.iter().zip(START).any(|(got, wanted)| got != wanted) {
            return Err(HeadError::NotHttp);
        }
        let Some(end) = end_of_head(&buf[..buf.len().min(max)])? else {
            return match buf.len() >= max {
                true => Err(HeadError::TooLarge),
                false => Ok(None),
            };
        };
        // One copy that all the values share.
        let head = Bytes::copy_from_slice(&buf[..end]);
        Ok(Some((parse_complete(&head)?, end)))
    }

    /// Whether the connection persists behind the answer (RFC 9112 section 9.3).
    pub fn persists(&self) -> bool {
        self.persists
    }

    /// A 1xx that is not the answer yet: 100, 102, 103 and the like. Another head follows.
    pub fn is_interim(&self) -> bool {
        self.status.is_informational() && self.status != StatusCode::SWITCHING_PROTOCOLS
    }
}

/// Where the empty line ends. Finding it first keeps a head that drips in byte by byte from
/// being parsed once for every byte.
fn end_of_head(buf: &[u8]) -> Result<Option<usize>, HeadError> {
    let mut line_start = 0;
    for feed in memchr::memchr_iter(b'\n', buf) {
        if feed == line_start || buf[feed - 1] != b'\r' {
            return Err(HeadError::BareLineFeed);
        }
        if feed == line_start + 1 {
            return Ok(Some(feed + 1));
        }
        line_start = feed + 1;
    }
    Ok(None)
}

fn parse_complete(head: &Bytes) -> Result<ResponseHead, HeadError> {
    let mut fields = [const { MaybeUninit::<httparse::Header<'_>>::uninit() }; MAX_FIELDS];
    let mut parsed = httparse::Response::new(&mut []);
    let parsed_len = httparse::ParserConfig::default()
        .parse_response_with_uninit_headers(&mut parsed, head, &mut fields)
        .map_err(|error| match error {
            httparse::Error::TooManyHeaders => HeadError::TooManyFields,
            httparse::Error::HeaderName => HeadError::Malformed("field name"),
            httparse::Error::HeaderValue => HeadError::Malformed("field value"),
            httparse::Error::NewLine => HeadError::Malformed("line end"),
            _ => HeadError::Malformed("status line"),
        })?;
    if parsed_len != httparse::Status::Complete(head.len()) {
        return Err(HeadError::Malformed("end"));
    }
    let status = parsed
        .code
        .and_then(|code| StatusCode::from_u16(code).ok())
        .ok_or(HeadError::Malformed("status line"))?;
    let version = match parsed.version {
        Some(0) => Version::HTTP_10,
        _ => Version::HTTP_11,
    };
    let mut headers = HeaderMap::with_capacity(parsed.headers.len());
    let mut notes = Notes::default();
    for field in parsed.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes())
            .map_err(|_| HeadError::Malformed("field name"))?;
        let value = HeaderValue::from_maybe_shared(head.slice_ref(field.value))
            .map_err(|_| HeadError::Malformed("field value"))?;
        // Only names of these lengths mean anything here.
        let ends_here = matches!(field.name.len(), 10 | 14 | 17) && notes.take(&name, field.value);
        if ends_here && status != StatusCode::SWITCHING_PROTOCOLS {
            continue;
        }
        headers.append(name, value);
    }
    let body = notes.body_kind(status, version)?;
    let persists = body != BodyKind::UntilClose
        && match version {
            Version::HTTP_11 => !notes.close,
            _ => notes.keep_alive,
        };
    Ok(ResponseHead {
        status,
        version,
        headers,
        body,
        persists,
    })
}

/// What the fields say about the message's end and the connection's, noted as they pass.
#[derive(Debug, Default)]
struct Notes<'a> {
    /// The last Content-Length.
    length: Option<&'a [u8]>,
    length_repeated: bool,
    /// The last Transfer-Encoding.
    coding: Option<&'a [u8]>,
    coding_repeated: bool,
    /// `Connection` has the option `close`.
    close: bool,
    /// `Connection` has the option `keep-alive`.
    keep_alive: bool,
}

impl<'a> Notes<'a> {
    /// Notes a field. `true`: it says `Connection: keep-alive` and nothing else, which means
    /// nothing to anybody behind us.
    fn take(&mut self, name: &HeaderName, value: &'a [u8]) -> bool {
        if *name == CONTENT_LENGTH {
            self.length_repeated |= self.length.replace(value).is_some();
        } else if *name == TRANSFER_ENCODING {
            self.coding_repeated |= self.coding.replace(value).is_some();
        } else if *name == CONNECTION {
            if value.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
                return true;
            }
            for option in value.split(|b| *b == b',').map(<[u8]>::trim_ascii) {
                self.close |= option.eq_ignore_ascii_case(b"close");
                self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            }
        }
        false
    }

    /// RFC 9112 section 6.3 for the answer to a GET. A repeated Content-Length is refused
    /// even when the copies agree, and so is every transfer coding but a single `chunked`.
    fn body_kind(&self, status: StatusCode, version: Version) -> Result<BodyKind, HeadError> {
        let length = match self.length {
            Some(digits) => Some(decimal(digits).ok_or(HeadError::Framing("Content-Length"))?),
            None => None,
        };
        if self.length_repeated {
            return Err(HeadError::Framing("repeated Content-Length"));
        }
        let chunked = match self.coding {
            Some(_) if length.is_some() => {
                return Err(HeadError::Framing(
                    "Content-Length beside Transfer-Encoding",
                ));
            }
            Some(_) if version == Version::HTTP_10 => {
                return Err(HeadError::Framing("Transfer-Encoding in HTTP/1.0"));
            }
            Some(coding) if !coding.eq_ignore_ascii_case(b"chunked") => {
                return Err(HeadError::Framing("Transfer-Encoding other than chunked"));
            }
            Some(_) => true,
            None => false,
        };
        if self.coding_repeated {
            return Err(HeadError::Framing("repeated Transfer-Encoding"));
        }
        Ok(match (status, length) {
            (StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED, _) => BodyKind::None,
            _ if status.is_informational() => BodyKind::None,
            _ if chunked => BodyKind::Chunked,
            (_, Some(length)) => BodyKind::Length(length),
            (_, None) => BodyKind::UntilClose,
        })
    }
}

/// Digits only: `str::parse` would take a sign.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |sum, digit| match digit {
        b'0'..=b'9' => sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
