//! The case of field names. Names mean the same in any case (RFC 9110 section 5.1), but devices
//! and SOAP servers compare them byte by byte, and the HTTP library knows them in lower case
//! only: so the lines that came are kept beside it, and a name is written as it stands there.
//! A name that stands nowhere gets the usual capitals.

use crate::message::octets;

/// Looks names up in the lines that they came in.
#[derive(Debug)]
pub struct Speller<'a> {
    /// Field lines; their values may be missing.
    lines: &'a [u8],
    /// The line behind the one found last: names are asked for nearly in their order.
    at: usize,
    /// Lines that may yet be looked at: the order must not cost more than the lines are worth.
    left: usize,
}

impl<'a> Speller<'a> {
    /// Of these lines, each `name ":"` and whatever follows up to its LF.
    pub fn new(lines: &'a [u8]) -> Self {
        Speller {
            lines,
            at: 0,
            left: 64 + lines.len() / 2,
        }
    }

    /// The name as it came.
    #[inline]
    pub fn find(&mut self, name: &[u8]) -> Option<&'a [u8]> {
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
            if let Some(came) = line.get(..name.len())
                && came.eq_ignore_ascii_case(name)
                && !line
                    .get(name.len())
                    .is_some_and(|&byte| octets::is_token(byte))
            {
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

/// Writes a field line with the usual capitals.
pub fn push_line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    push_spelled(out, &mut Speller::new(b""), name, value);
}

/// Appends a name in the usual capitals.
fn push_capitals(out: &mut Vec<u8>, name: &[u8]) {
    let start = out.len();
    out.extend_from_slice(name);
    capitals(&mut out[start..]);
}

/// The usual spelling of a lower-case name: capitals after hyphens, and the exceptions of the
/// registry.
fn capitals(name: &mut [u8]) {
    let known: &[u8] = match &*name {
        b"te" => b"TE",
        b"dnt" => b"DNT",
        b"nel" => b"NEL",
        b"etag" => b"ETag",
        b"sec-gpc" => b"Sec-GPC",
        b"content-md5" => b"Content-MD5",
        b"mime-version" => b"MIME-Version",
        b"x-ua-compatible" => b"X-UA-Compatible",
        b"www-authenticate" => b"WWW-Authenticate",
        b"x-xss-protection" => b"X-XSS-Protection",
        other if other.starts_with(b"sec-websocket-") => b"Sec-WebSocket-",
        _ => b"",
    };
    let (head, rest) = name.split_at_mut(known.len());
    head.copy_from_slice(known);
    let mut first = true;
    for byte in rest {
        if first {
            byte.make_ascii_uppercase();
        }
        first = *byte == b'-';
    }
}

/// Respells the names of the response head at the front of `bytes`, in place, and says where it
/// ends. An interim head may stand before it.
pub fn respell(bytes: &mut [u8], lines: &[u8]) -> usize {
    let mut speller = Speller::new(lines);
    let mut at = 0;
    loop {
        let interim = bytes.get(at + 9) == Some(&b'1');
        at = line_end(bytes, at);
        while !matches!(bytes.get(at), None | Some(b'\r')) {
            let name = octets::token_end(bytes, at);
            match speller.find(&bytes[at..name]) {
                Some(came) => bytes[at..name].copy_from_slice(came),
                None => capitals(&mut bytes[at..name]),
            }
            at = line_end(bytes, name);
        }
        at = line_end(bytes, at);
        if !interim || at >= bytes.len() {
            return at;
        }
    }
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    memchr::memchr(b'\n', rest).map_or(bytes.len(), |feed| at + feed + 1)
}

/// The names of requests whose exchanges have not ended, head after head: each name with its
/// colon and an LF, and one LF more behind the last of a head.
#[derive(Debug, Default)]
pub struct RequestNames {
    waiting: Vec<u8>,
    current: Vec<u8>,
}

impl RequestNames {
    /// Complete heads have come.
    pub fn push(&mut self, heads: Vec<u8>) {
        match self.waiting.is_empty() {
            true => self.waiting = heads,
            false => self.waiting.extend_from_slice(&heads),
        }
    }

    /// The next exchange begins.
    pub fn next(&mut self) {
        let end = match self.waiting.first() {
            Some(b'\n') => 1,
            _ => memchr::memmem::find(&self.waiting, b"\n\n").map_or(0, |at| at + 2),
        };
        let rest = match end == self.waiting.len() {
            true => Vec::new(),
            false => self.waiting.split_off(end),
        };
        self.current = std::mem::replace(&mut self.waiting, rest);
    }

    /// The lines of the request under way.
    pub fn current(&self) -> &[u8] {
        self.current.strip_suffix(b"\n").unwrap_or_default()
    }

    /// The exchange has ended.
    pub fn end(&mut self) {
        self.current = Vec::new();
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
        let end = respell(&mut bytes, b"X-AB: b\r\n");
        assert!(bytes[..end].ends_with(b"\r\nX-AB: b\r\nDate: c\r\n\r\n"));
        assert_eq!(&bytes[end..], b"body: x\r\n");
        for cut in 0..bytes.len() {
            assert!(respell(&mut bytes[..cut].to_vec(), b"A: b\r\n") <= cut);
        }
    }

    #[test]
    fn each_exchange_gets_the_names_of_its_own_head() {
        let mut names = RequestNames::default();
        names.push(b"A:\nB:\n\n\nC:\n\n".to_vec());
        names.next();
        assert_eq!(names.current(), b"A:\nB:\n");
        names.next();
        assert_eq!(names.current(), b"");
        names.push(b"D:\n\n".to_vec());
        names.next();
        assert_eq!(names.current(), b"C:\n");
        names.next();
        assert_eq!(names.current(), b"D:\n");
        names.end();
        names.next();
        assert_eq!(names.current(), b"");
    }
}
