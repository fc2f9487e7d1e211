//! What was read of a request that never became one: refused before hyper saw it, or too late.
//! It serves the record and the form of the answer only.

use http::HeaderMap;
use http::header::{ACCEPT, HeaderName, HeaderValue};

use crate::message::octets;
use crate::route::target::split_absolute;

/// What came of a head, valid or not.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Glimpse {
    /// The method.
    pub method: Option<String>,
    /// The authority of a URL, else the first Host.
    pub host: Option<String>,
    /// The path, with blanks where it had some.
    pub path: Option<String>,
    /// The query.
    pub query: Option<String>,
    /// What stands in the place of the version.
    pub protocol: Option<String>,
    /// The lines of the head that have come to their end and a name that can be one; what no
    /// value may hold is a `?` in it.
    pub fields: HeaderMap,
}

impl Glimpse {
    /// From the first bytes of a head.
    pub fn of(head: &[u8]) -> Glimpse {
        let mut lines = without_blanks(head).split_inclusive(|&byte| byte == b'\n');
        let first = lines.next().unwrap_or_default();
        let Some((method, target)) = request_line(first) else {
            return Glimpse::default();
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut host = None;
        let mut fields = HeaderMap::new();
        // A line whose end has not come may be part of a name.
        for line in lines.filter(|line| line.ends_with(b"\n")) {
            let Some((name, value)) = field(line) else {
                continue;
            };
            if name == http::header::HOST {
                host = host.or(Some(value));
            }
            let _ = fields.try_append(name, readable(value));
        }
        let (named, rest) = match split_absolute(target) {
            Some((authority, b"")) => (Some(authority), b"/".as_slice()),
            Some((authority, rest)) => (Some(authority), rest),
            None => (None, target),
        };
        let cut = memchr::memchr(b'?', rest).unwrap_or(rest.len());
        Glimpse {
            method: Some(text(method)),
            host: named.or(host).map(text),
            path: (!rest.is_empty()).then(|| text(&rest[..cut])),
            query: rest.get(cut + 1..).map(text),
            protocol: version(first).map(text),
            fields,
        }
    }

    /// The first `Accept`.
    pub fn accept(&self) -> Option<&HeaderValue> {
        self.fields.get(ACCEPT)
    }
}

/// Name and value of a header line.
fn field(line: &[u8]) -> Option<(HeaderName, &[u8])> {
    let (name, value) = line.split_at(memchr::memchr(b':', line)?);
    let name = HeaderName::from_bytes(name).ok()?;
    Some((name, value[1..].trim_ascii()))
}

fn readable(value: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(value).unwrap_or_else(|_| {
        let is_allowed = |byte: u8| byte == b'\t' || !byte.is_ascii_control();
        let seen = value
            .iter()
            .map(|&byte| if is_allowed(byte) { byte } else { b'?' });
        HeaderValue::from_bytes(&seen.collect::<Vec<_>>()).unwrap_or(HeaderValue::from_static(""))
    })
}

/// Without the empty lines and the white space before a request line.
fn without_blanks(head: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| matches!(byte, b'\r' | b'\n' | b' ' | b'\t');
    let start = head.iter().position(|byte| !is_blank(byte));
    &head[start.unwrap_or(head.len())..]
}

/// Method and target, valid or not; `None` where the line is not HTTP: a word that cannot be a
/// method, before something that is neither a path nor a version.
fn request_line(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = line.iter().position(|byte| is_space(*byte))?;
    let (method, rest) = (&line[..end], line[end..].trim_ascii());
    let target = without_version(rest);
    let is_method = octets::token_end(method, 0) == end
        || method.first()?.is_ascii_graphic()
            && (target.starts_with(b"/") || target.len() < rest.len());
    is_method.then_some((method, target))
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// The version of a request line whose end has come.
fn version(line: &[u8]) -> Option<&[u8]> {
    let line = line.strip_suffix(b"\n")?.trim_ascii();
    let at = memchr::memmem::rfind(line, b"HTTP/")?;
    (at > 0 && is_space(line[at - 1])).then(|| &line[at..])
}

/// What stands before the version in the rest of a request line.
fn without_version(rest: &[u8]) -> &[u8] {
    match memchr::memmem::rfind(rest, b"HTTP/") {
        Some(0) => b"",
        Some(at) if is_space(rest[at - 1]) => rest[..at].trim_ascii(),
        _ => rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glimpse(head: &str) -> [Option<String>; 4] {
        let Glimpse {
            method,
            host,
            path,
            query,
            ..
        } = Glimpse::of(head.as_bytes());
        [method, host, path, query]
    }

    #[test]
    fn what_came_is_named() {
        for (head, seen) in [
            ("", [None, None, None, None]),
            ("GE", [None, None, None, None]),
            ("\u{16}\u{3}\u{1} x", [None, None, None, None]),
            ("\u{16}\u{3}\u{1} /x HTTP/1.1\r\n", [None, None, None, None]),
            ("J\u{0} \u{2}\r\nHost: x\r\n", [None, None, None, None]),
            ("é /x HTTP/1.1\r\n", [None, None, None, None]),
            (
                "G\"T /r30 HTTP/1.1\r\nHost: h\r\n",
                [Some("G\"T"), Some("h"), Some("/r30"), None],
            ),
            (
                "FOO\u{1} /r23?q HTTP/1.1\r\nHost: h\r\n",
                [Some("FOO\u{1}"), Some("h"), Some("/r23"), Some("q")],
            ),
            (
                " \tGET /x HTTP/1.1\r\nHost: h\r\n",
                [Some("GET"), Some("h"), Some("/x"), None],
            ),
            (
                "GET\t/x\tHTTP/1.1\r\nHost: h\r\n",
                [Some("GET"), Some("h"), Some("/x"), None],
            ),
            (
                "\r\n\r\n\nGET  /x  HTTP/1.1\r\nHost: h\r\n",
                [Some("GET"), Some("h"), Some("/x"), None],
            ),
            (
                "GET/x HTTP/1.1\r\nHost: h\r\n",
                [Some("GET/x"), Some("h"), None, None],
            ),
            ("GET ", [Some("GET"), None, None, None]),
            ("GET /a", [Some("GET"), None, Some("/a"), None]),
            (
                "\r\nGET /a?b HTTP/1.1\r\nHo",
                [Some("GET"), None, Some("/a"), Some("b")],
            ),
            (
                "GET /a b?c d HTTP/1.1\r\nHost: h",
                [Some("GET"), None, Some("/a b"), Some("c d")],
            ),
            (
                "GET /a HTTP/9\r\nX: y\r\nHOST:h:1\r\n",
                [Some("GET"), Some("h:1"), Some("/a"), None],
            ),
            (
                "GET ws://u@h HTTP/1.1\r\nHost: i\r\n",
                [Some("GET"), Some("u@h"), Some("/"), None],
            ),
            (
                "PRI * HTTP/2.0\r\n\r\n",
                [Some("PRI"), None, Some("*"), None],
            ),
            (
                "GET /x\nHost: a, b\n",
                [Some("GET"), Some("a, b"), Some("/x"), None],
            ),
        ] {
            assert_eq!(
                glimpse(head),
                seen.map(|part| part.map(str::to_owned)),
                "{head}"
            );
        }
        let accept = Glimpse::of(b"GET / HTTP/1.1\r\nAccept: a/b\r\nAccept: c\r\n");
        assert_eq!(accept.accept().unwrap(), "a/b");
    }

    #[test]
    fn fields_are_read_as_far_as_they_came() {
        for (head, protocol, seen) in [
            ("GET / HT", None, &[][..]),
            ("GET / HTTP/1.1", None, &[]),
            ("GET / HTTP/9\r\n", Some("HTTP/9"), &[]),
            ("PRI * HTTP/2.0\r\n\r\n", Some("HTTP/2.0"), &[]),
            ("GET /\r\nA: b\r\n", None, &[("a", "b")]),
            (
                "GET /HTTP/1 HTTP/1.0\nAA : c\r\nA: b\x01\rc\n: d\nE\n f: g\nH:\nI: j",
                Some("HTTP/1.0"),
                &[("a", "b??c"), ("h", "")],
            ),
        ] {
            let glimpse = Glimpse::of(head.as_bytes());
            assert_eq!(glimpse.protocol.as_deref(), protocol, "{head}");
            let fields = glimpse.fields.iter();
            let fields: Vec<_> = fields
                .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
                .collect();
            assert_eq!(fields, seen, "{head}");
        }
    }
}
