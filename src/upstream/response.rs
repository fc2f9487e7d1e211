//! The head of an upstream's answer (RFC 9112): parsed without copying, and refused
//! where its framing is ambiguous (section 6.3).

use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};

/// Largest response head in bytes.
const MAX_HEAD: usize = 128 * 1024;
/// Most header lines in a response.
const MAX_LINES: usize = 128;

/// How the end of a body is found (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// Up to the end of the connection.
    UntilClose,
}

/// The head of an answer.
#[derive(Debug)]
pub struct ResponseHead {
    /// Its status.
    pub status: StatusCode,
    /// Its fields, hop-by-hop ones included.
    pub headers: HeaderMap,
    /// How its body ends.
    pub framing: Framing,
    /// Whether the connection may serve another request behind it.
    pub keep_alive: bool,
}

/// Why an answer's head was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadError {
    /// Not HTTP/1.x.
    Malformed,
    /// More than 128 KiB or 128 lines.
    TooLarge,
    /// Content-Length lines that differ or are no numbers.
    BadLength,
    /// Content-Length beside Transfer-Encoding.
    LengthAndEncoding,
    /// A Transfer-Encoding other than exactly `chunked`, or one on HTTP/1.0.
    BadEncoding,
}

impl HeadError {
    /// One line in words.
    pub fn as_str(self) -> &'static str {
        match self {
            HeadError::Malformed => "the upstream's answer is not HTTP/1.x",
            HeadError::TooLarge => "the upstream's answer has too large a head",
            HeadError::BadLength => "the upstream's answer has conflicting Content-Length fields",
            HeadError::LengthAndEncoding => {
                "the upstream's answer has both Content-Length and Transfer-Encoding"
            }
            HeadError::BadEncoding => {
                "the upstream's answer has a Transfer-Encoding other than chunked"
            }
        }
    }
}

/// Takes a complete head off `buf`, and with it whatever was read of the body; `None`, with
/// `buf` as it was, while the head is incomplete.
///
/// `method` is that of the request, since an answer to HEAD has no body.
///
/// # Errors
/// [`HeadError`] when the head cannot be understood in exactly one way.
pub fn take_head(
    buf: &mut BytesMut,
    method: &Method,
) -> Result<Option<(ResponseHead, Bytes)>, HeadError> {
    // Frozen first, so that every value can be a slice of what was read.
    let bytes = buf.split().freeze();
    let mut lines = [const { MaybeUninit::<httparse::Header<'_>>::uninit() }; MAX_LINES];
    let mut parsed = httparse::Response::new(&mut []);
    let length = match httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut parsed,
        &bytes,
        &mut lines,
    ) {
        Ok(httparse::Status::Complete(length)) if length <= MAX_HEAD => length,
        Ok(httparse::Status::Partial) if bytes.len() < MAX_HEAD => {
            *buf = BytesMut::from(bytes);
            return Ok(None);
        }
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(HeadError::TooLarge),
        Err(_) => return Err(HeadError::Malformed),
    };
    let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or(HeadError::Malformed)?;
    // Room for the fields that sluice adds, so that the map need not grow.
    let mut headers = HeaderMap::with_capacity(parsed.headers.len() + 4);
    for line in parsed.headers.iter() {
        let name = HeaderName::from_bytes(line.name.as_bytes());
        let value = HeaderValue::from_maybe_shared(bytes.slice_ref(line.value));
        match (name, value) {
            (Ok(name), Ok(value)) => headers.append(name, value),
            _ => return Err(HeadError::Malformed),
        };
    }
    let (framing, keep_alive) = framing(&headers, status, method, parsed.version == Some(1))?;
    let head = ResponseHead { status, headers, framing, keep_alive };
    Ok(Some((head, bytes.slice(length..))))
}

/// RFC 9112 section 6.3, and whether the connection persists (section 9.3).
fn framing(
    headers: &HeaderMap,
    status: StatusCode,
    method: &Method,
    http11: bool,
) -> Result<(Framing, bool), HeadError> {
    let keep_alive = if http11 {
        !has_token(headers, "close")
    } else {
        has_token(headers, "keep-alive")
    };
    let length = content_length(headers)?;
    let mut encodings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let encoding = encodings.next();
    if let Some(encoding) = encoding {
        if length.is_some() {
            return Err(HeadError::LengthAndEncoding);
        }
        let chunked = encoding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
        if !http11 || !chunked || encodings.next().is_some() {
            return Err(HeadError::BadEncoding);
        }
    }
    let bodiless = status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED
        || method == Method::HEAD;
    Ok(match (bodiless, encoding, length) {
        (true, ..) => (Framing::Length(0), keep_alive),
        (_, Some(_), _) => (Framing::Chunked, keep_alive),
        (_, _, Some(length)) => (Framing::Length(length), keep_alive),
        _ => (Framing::UntilClose, false),
    })
}

/// The one length that all Content-Length lines give.
fn content_length(headers: &HeaderMap) -> Result<Option<u64>, HeadError> {
    let mut lines = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(first) = lines.next() else {
        return Ok(None);
    };
    let digits = first.as_bytes();
    if lines.any(|line| line.as_bytes() != digits) || !digits.iter().all(u8::is_ascii_digit) {
        return Err(HeadError::BadLength);
    }
    // RFC 9110 section 8.6: a value that overflows is as bad as one that is no number.
    let length = first.to_str().ok().and_then(|digits| digits.parse().ok());
    length.map(Some).ok_or(HeadError::BadLength)
}

/// Whether `Connection` names this option.
fn has_token(headers: &HeaderMap, token: &str) -> bool {
    headers.get_all(header::CONNECTION).iter().any(|value| {
        value
            .as_bytes()
            .split(|&b| b == b',')
            .any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Option<(ResponseHead, Bytes)>, HeadError> {
        take_head(&mut BytesMut::from(text), &Method::GET)
    }

    #[test]
    fn takes_the_head_and_leaves_the_body() {
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nx:\r\n\r\nabc";
        let (head, rest) = parse(text).unwrap().unwrap();
        assert_eq!(head.framing, Framing::Length(3));
        assert!(head.keep_alive);
        assert_eq!(head.headers["x"], "");
        assert_eq!(&rest[..], b"abc");
    }

    #[test]
    fn an_incomplete_head_is_kept_at_every_split() {
        let text = b"HTTP/1.1 204 No Content\r\nA: b\r\n\r\n";
        for split in 0..text.len() {
            let mut buf = BytesMut::from(&text[..split]);
            assert!(take_head(&mut buf, &Method::GET).unwrap().is_none(), "{split}");
            buf.extend_from_slice(&text[split..]);
            let (head, rest) = take_head(&mut buf, &Method::GET).unwrap().unwrap();
            assert_eq!((head.status.as_u16(), rest.len()), (204, 0));
        }
    }

    #[test]
    fn ambiguous_framing_is_refused() {
        for (fields, error) in [
            ("Content-Length: 3\r\nContent-Length: 4\r\n", HeadError::BadLength),
            ("Content-Length: +3\r\n", HeadError::BadLength),
            ("Content-Length: 99999999999999999999999\r\n", HeadError::BadLength),
            ("Content-Length:\r\n", HeadError::BadLength),
            (
                "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
                HeadError::LengthAndEncoding,
            ),
            ("Transfer-Encoding: gzip, chunked\r\n", HeadError::BadEncoding),
            (
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                HeadError::BadEncoding,
            ),
            ("A: b\r\n folded\r\n", HeadError::Malformed),
        ] {
            let answer = parse(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n"));
            assert_eq!(answer.unwrap_err(), error, "{fields}");
        }
        let answer = parse("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert_eq!(answer.unwrap_err(), HeadError::BadEncoding);
        assert_eq!(parse("SSH-2.0-x\r\n").unwrap_err(), HeadError::Malformed);
    }

    #[test]
    fn without_a_length_the_close_is_the_end() {
        let (head, _) = parse("HTTP/1.1 200 OK\r\n\r\n").unwrap().unwrap();
        assert_eq!((head.framing, head.keep_alive), (Framing::UntilClose, false));
        let head = take_head(&mut BytesMut::from("HTTP/1.1 200 OK\r\n\r\n"), &Method::HEAD);
        assert_eq!(head.unwrap().unwrap().0.framing, Framing::Length(0));
    }
}
