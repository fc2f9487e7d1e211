//! The case of field names. Names are case-insensitive (RFC 9110 section 5.1), but devices and SOAP
//! servers compare them byte by byte, and the HTTP library knows them in lower case only. So the
//! lines that came are kept besides, and a name is written as it stands there. A name that the
//! configuration spells is written in that spelling, any other one in the usual capitals.

use std::collections::VecDeque;

use crate::message::octets;

/// Looks names up in the lines that they came in.
#[derive(Debug, Clone, Copy)]
pub struct Speller<'a> {
    /// Lines with names that the configuration spells, which take precedence.
    configured: [&'a [u8]; 2],
    /// Field lines; their values may be missing.
    lines: &'a [u8],
    /// The line after the one found last: names are asked for nearly in their order.
    at: usize,
    /// Lines that may still be looked at, which bounds the cost of names in another order.
    left: usize,
}

impl<'a> Speller<'a> {
    /// For these lines, each `name ":"` and anything up to its LF.
    pub fn new(lines: &'a [u8]) -> Self {
        Speller {
            configured: [b""; 2],
            lines,
            at: 0,
            left: 64 + lines.len() / 2,
        }
    }

    /// With lines that take precedence over these.
    pub fn after(self, configured: [&'a [u8]; 2]) -> Self {
        Speller { configured, ..self }
    }

    /// The name as it is configured.
    #[inline]
    pub fn configured(&self, name: &[u8]) -> Option<&'a [u8]> {
        let lines = self.configured.iter().filter(|lines| !lines.is_empty());
        lines
            .flat_map(|lines| lines.split(|&byte| byte == b'\n'))
            .find_map(|line| spells(line, name))
    }

    /// The name as it is configured, or as it came.
    #[inline]
    pub fn find(&mut self, name: &[u8]) -> Option<&'a [u8]> {
        let [most, less] = self.configured;
        match most.is_empty() && less.is_empty() && self.lines.is_empty() {
            true => None,
            false => self.find_unusual(name),
        }
    }

    #[cold]
    fn find_unusual(&mut self, name: &[u8]) -> Option<&'a [u8]> {
        if let Some(configured) = self.configured(name) {
            return Some(configured);
        }
        if self.lines.is_empty() {
            return None;
        }
        let start = self.at;
        self.find_in(name, self.lines.len()).or_else(|| {
            self.at = 0;
            let found = self.find_in(name, start);
            if found.is_none() {
                self.at = start;
            }
            found
        })
    }

    fn find_in(&mut self, name: &[u8], end: usize) -> Option<&'a [u8]> {
        while self.at < end {
            self.left = self.left.checked_sub(1)?;
            let line = &self.lines[self.at..];
            self.at += memchr::memchr(b'\n', line).map_or(line.len(), |feed| feed + 1);
            if let Some(came) = spells(line, name) {
                return Some(came);
            }
        }
        None
    }

    /// Writes a name.
    #[inline]
    pub fn push(&mut self, out: &mut Vec<u8>, name: &[u8]) {
        match self.find(name) {
            Some(came) => out.extend_from_slice(came),
            None => push_capitals(out, name),
        }
    }
}

/// The name as a line that begins with it spells it.
#[inline]
fn spells<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (came, rest) = line.split_at_checked(name.len())?;
    // Most lines that are looked at are others.
    let may_be = came.first().zip(name.first());
    let may_be = may_be.is_some_and(|(came, name)| came | 0x20 == name | 0x20);
    let goes_on = rest.first().is_some_and(|&byte| octets::is_token(byte));
    (may_be && !goes_on && came.eq_ignore_ascii_case(name)).then_some(came)
}

/// Writes a field line with its name as `speller` knows it.
#[inline]
pub fn push_spelled(out: &mut Vec<u8>, speller: &mut Speller<'_>, name: &[u8], value: &[u8]) {
    speller.push(out, name);
    push_value(out, value);
}

/// Writes what follows a name.
pub fn push_value(out: &mut Vec<u8>, value: &[u8]) {
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Writes a field line, its name as it is.
pub fn push_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    push_value(out, value);
}

/// Writes a field line with the usual capitals.
pub fn push_line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    push_capitals(out, name);
    push_value(out, value);
}

/// A name in the usual capitals.
pub fn usual(name: &[u8]) -> Vec<u8> {
    let mut usual = name.to_vec();
    capitals(&mut usual);
    usual
}

/// Appends a name in the usual capitals.
fn push_capitals(out: &mut Vec<u8>, name: &[u8]) {
    let start = out.len();
    out.extend_from_slice(name);
    capitals(&mut out[start..]);
}

const WEBSOCKET: &[u8] = b"Sec-WebSocket-";

/// The part of a name whose registered spelling is other than capitals after hyphens. W3C Trace
/// Context (section 3.2.1) asks for lower case, and browsers write the client hints that they
/// always send in lower case too.
#[inline]
fn registered(name: &[u8]) -> &'static [u8] {
    // Most names are told apart from these by their length and first letter.
    let known: &'static [u8] = match (name.len(), name.first().map_or(0, |first| first | 0x20)) {
        (2, b't') => b"TE",
        (3, b'd') => b"DNT",
        (3, b'n') => b"NEL",
        (4, b'e') => b"ETag",
        (7, b's') => b"Sec-GPC",
        (9, b's') => b"sec-ch-ua",
        (10, b't') => b"tracestate",
        (11, b'c') => b"Content-MD5",
        (11, b't') => b"traceparent",
        (12, b'm') => b"MIME-Version",
        (15, b'x') => b"X-UA-Compatible",
        (16, b'w') => b"WWW-Authenticate",
        (16, b'x') => b"X-XSS-Protection",
        (16, b's') => b"sec-ch-ua-mobile",
        (18, b's') => b"sec-ch-ua-platform",
        (14.., b's') => WEBSOCKET,
        _ => return b"",
    };
    match name[..known.len()].eq_ignore_ascii_case(known) {
        true => known,
        false => b"",
    }
}

/// Whether the name of `len` bytes at the front of a line is written in the usual spelling.
#[inline]
pub fn is_usual(line: &[u8], len: usize) -> bool {
    let (name, known) = (&line[..len], registered(&line[..len]));
    name.starts_with(known) && octets::is_capitalised(&line[known.len()..], len - known.len())
}

/// The usual spelling of a lower-case name: capitals after hyphens, and the exceptions of the
/// registry.
#[inline]
fn capitals(name: &mut [u8]) {
    let known = registered(name);
    if !known.is_empty() {
        name[..known.len()].copy_from_slice(known);
    }
    octets::capitalise(&mut name[known.len()..]);
}

/// Respells the names of the response head at the front of `bytes`, in place, and says where it
/// ends. An interim head may stand before it.
pub fn respell(bytes: &mut [u8], mut speller: Speller<'_>) -> usize {
    let mut at = 0;
    loop {
        let interim = bytes.get(at + 9) == Some(&b'1');
        at = line_end(bytes, at);
        at = respell_fields(bytes, at, &mut speller);
        at = line_end(bytes, at);
        if !interim || at >= bytes.len() {
            return at;
        }
    }
}

/// The same for field lines that begin at `at`, up to the empty line.
pub fn respell_fields(bytes: &mut [u8], mut at: usize, speller: &mut Speller<'_>) -> usize {
    while !matches!(bytes.get(at), None | Some(b'\r')) {
        let name = octets::token_end(bytes, at);
        match speller.find(&bytes[at..name]) {
            Some(came) => bytes[at..name].copy_from_slice(came),
            None => capitals(&mut bytes[at..name]),
        }
        // A value holds no other control characters, and ends in CR LF.
        at = (octets::text_end(bytes, name) + 2).min(bytes.len());
    }
    at
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    memchr::memchr(b'\n', rest).map_or(bytes.len(), |feed| at + feed + 1)
}

/// Which fields of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// Those of its head.
    Head,
    /// Those after its body.
    Trailers,
}

/// The field lines of requests whose exchanges have not ended and whose names are not in the
/// usual capitals, each with the number of its head.
#[derive(Debug, Default)]
pub struct RequestNames(VecDeque<(u64, Section, Vec<u8>)>);

impl RequestNames {
    /// Adds the lines of a request.
    pub fn push(&mut self, head: u64, section: Section, lines: Vec<u8>) {
        self.0.push_back((head, section, lines));
    }

    /// The lines of one request, if there are any.
    pub fn take(&mut self, head: u64, section: Section) -> Option<Vec<u8>> {
        let at = self
            .0
            .iter()
            .position(|(of, part, _)| (*of, *part) == (head, section))?;
        self.0.remove(at).map(|(_, _, lines)| lines)
    }

    /// The exchange of this head has ended.
    pub fn end(&mut self, head: u64) {
        self.0.retain(|(of, _, _)| *of > head);
    }

    /// Whether no lines wait.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(lines: &str, names: &[&str]) -> Vec<String> {
        let mut speller = Speller::new(lines.as_bytes());
        let spell = |name: &&str| {
            let mut out = Vec::new();
            speller.push(&mut out, name.as_bytes());
            String::from_utf8(out).unwrap()
        };
        names.iter().map(spell).collect()
    }

    #[test]
    fn names_are_written_as_they_came_in_any_order() {
        let lines = "SOAPAction: x\r\nhost: y\r\nX-aB : z\r\nHOST-NAME: q\r\n";
        assert_eq!(
            spelled(
                lines,
                &["x-ab", "host-name", "soapaction", "host", "etag", "x-a"]
            ),
            ["X-aB", "HOST-NAME", "SOAPAction", "host", "ETag", "X-A"]
        );
        assert_eq!(spelled("a:\nB:\n\n", &["b", "a"]), ["B", "a"]);
    }

    #[test]
    fn other_names_get_the_usual_capitals() {
        let names = [
            "content-length",
            "www-authenticate",
            "dnt",
            "sec-websocket-key",
            "x-2-b",
        ];
        let usual = [
            "Content-Length",
            "WWW-Authenticate",
            "DNT",
            "Sec-WebSocket-Key",
            "X-2-B",
        ];
        assert_eq!(spelled("", &names), usual);
    }

    #[test]
    fn a_head_is_respelled_in_place_up_to_its_end() {
        let mut bytes = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nx-ab: b\r\ndate: c\r\n\r\nbody: x\r\n".to_vec();
        let end = respell(&mut bytes, Speller::new(b"X-AB: b\r\n"));
        assert!(bytes[..end].ends_with(b"\r\nX-AB: b\r\nDate: c\r\n\r\n"));
        assert_eq!(&bytes[end..], b"body: x\r\n");
        for cut in 0..bytes.len() {
            assert!(respell(&mut bytes[..cut].to_vec(), Speller::new(b"A: b\r\n")) <= cut);
        }
    }

    #[test]
    fn the_usual_spelling_is_the_one_that_is_written() {
        for name in [
            "host",
            "te",
            "etag",
            "nel",
            "dnt",
            "x-2-b",
            "www-authenticate",
            "sec-websocket-key",
            "x-ua-compatible",
            "x-forwarded-for",
            "sec-websocket-",
            "a--b",
            "-a",
            "x_y",
            "age",
            "content-md5",
            "sec-websocket-protocol-x",
            "traceparent",
            "connection",
            "sec-ch-ua",
            "sec-ch-ua-arch",
            "sec-ch-ua-mobile",
            "sec-ch-ua-platform",
            "sec-fetch-site",
        ] {
            let mut usual = name.as_bytes().to_vec();
            capitals(&mut usual);
            assert!(is_usual(&usual, usual.len()), "{name}");
            for at in 0..usual.len() {
                let mut other = usual.clone();
                other[at] ^= 0x20;
                if other[at].is_ascii_alphabetic() {
                    assert!(!is_usual(&other, other.len()), "{}", other.escape_ascii());
                }
            }
        }
    }

    #[test]
    fn what_is_configured_goes_before_what_came() {
        let mut speller = Speller::new(b"SOAPACTION: x\nx-API: y\nhost: z\n")
            .after([b"SOAPAction:\nX-Other:\n", b"HOST:\nsoapaction:\n"]);
        for (name, spelled) in [
            ("soapaction", &b"SOAPAction"[..]),
            ("x-api", b"x-API"),
            ("host", b"HOST"),
            ("x-other", b"X-Other"),
        ] {
            assert_eq!(speller.find(name.as_bytes()), Some(spelled), "{name}");
        }
        assert_eq!(speller.find(b"x"), None);
    }

    #[test]
    fn each_exchange_gets_the_names_of_its_own_request() {
        let mut names = RequestNames::default();
        names.push(1, Section::Head, b"a".to_vec());
        names.push(3, Section::Head, b"c".to_vec());
        names.push(3, Section::Trailers, b"t".to_vec());
        assert_eq!(names.take(2, Section::Head), None);
        names.end(2);
        assert_eq!(names.take(1, Section::Head), None);
        assert_eq!(names.take(3, Section::Trailers), Some(b"t".to_vec()));
        assert_eq!(names.take(3, Section::Head), Some(b"c".to_vec()));
        assert!(names.is_empty());
    }
}
