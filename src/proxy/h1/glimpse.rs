//! What was read of a request that never became one: refused before hyper saw it, or too late.
//! It serves the record and the form of the answer only.

use http::HeaderValue;

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
    /// The first `Accept`.
    pub accept: Option<HeaderValue>,
}

impl Glimpse {
    /// From the first bytes of a head.
    pub fn of(head: &[u8]) -> Glimpse {
        let mut lines = without_blanks(head).split_inclusive(|&byte| byte == b'\n');
        let Some((method, target)) = request_line(lines.next().unwrap_or_default()) else {
            return Glimpse::default();
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        // A line whose end has not come may be part of a name.
        let whole = lines.filter(|line| line.ends_with(b"\n"));
        let (mut host, mut accept) = (None, None);
        for line in whole {
            let field = |name: &[u8]| {
                let (start, value) = line.split_at_checked(name.len())?;
                start.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
            };
            host = host.or_else(|| field(b"host:"));
            accept = accept.or_else(|| HeaderValue::from_bytes(field(b"accept:")?).ok());
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
            accept,
        }
    }
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
        let accept = Glimpse::of(b"GET / HTTP/1.1\r\nAccept: a/b\r\nAccept: c\r\n").accept;
        assert_eq!(accept, Some(HeaderValue::from_static("a/b")));
    }
}
