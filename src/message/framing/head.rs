//! The rules for one line of a request head: request line (RFC 9112 section 3), fields
//! (section 5), and the fields that decide where the message ends (section 6) or where it
//! goes (RFC 9110 section 7.2). No state of the connection; see `RequestScanner`.

use std::ops::Range;

use super::Refusal;
use super::values::{
    authority, content_length, host_refusal, names_websocket, transfer_encoding, trimmed,
};
use crate::message::octets;
use crate::route::target::split_absolute;

/// Longest target in bytes that hyper takes.
const LONGEST_HELD: usize = u16::MAX as usize - 1;
/// Longest field name in bytes that hyper takes.
const LONGEST_NAME: usize = u16::MAX as usize;

/// What the lines of a head said so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Head {
    http10: bool,
    host: bool,
    length: Option<u64>,
    chunked: bool,
    upgrade: bool,
    upgrades_to_websocket: bool,
    /// The target names the authority, so Host may be empty.
    absolute: bool,
    /// hyper cannot hold the target.
    carried: bool,
}

/// What follows a complete head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Follows {
    Nothing,
    Length(u64),
    Chunks,
}

/// The protocol besides HTTP that a request asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Asked {
    #[default]
    None,
    WebSocket,
    Other,
}

/// One line at the front of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// It is valid. Both end before these indices.
    Good {
        /// The method, or the name of the field.
        word: usize,
        /// The line.
        end: usize,
    },
    /// The empty line, two bytes long.
    Empty,
    /// No end of line yet, or a fault that is named once the line is complete.
    Unclear(Refusal),
}

impl Head {
    /// Checks the request line at the front of `bytes`.
    pub(super) fn request_line(&mut self, bytes: &[u8]) -> Line {
        let method = octets::token_end(bytes, 0);
        if is_proxy_protocol(bytes) {
            return Line::Unclear(Refusal::ProxyProtocol1);
        }
        if bytes.get(method) != Some(&b' ') || method == 0 {
            return Line::Unclear(match bytes.get(method) {
                Some(b' ' | b'\t' | b'\r') => Refusal::RequestLine,
                _ => Refusal::Method,
            });
        }
        // The version ends the line, so one look finds the end of everything.
        let end = octets::plain_end(bytes, method + 1);
        if let Some(refusal) = line_break(bytes, end, Refusal::TargetCharacter) {
            return Line::Unclear(refusal);
        }
        let rest = &bytes[method + 1..end];
        let Some((target, version)) = rest
            .split_last_chunk::<9>()
            .filter(|(_, version)| version[0] == b' ')
        else {
            return Line::Unclear(malformed(rest));
        };
        self.http10 = match &version[1..] {
            b"HTTP/1.1" => false,
            b"HTTP/1.0" => true,
            [b'H', b'T', b'T', b'P', b'/', a, b'.', b]
                if a.is_ascii_digit() && b.is_ascii_digit() =>
            {
                let http2 = &bytes[..method] == b"PRI" && version[1..] == *b"HTTP/2.0";
                return Line::Unclear(if http2 {
                    Refusal::Http2Preface
                } else {
                    Refusal::Version
                });
            }
            _ => return Line::Unclear(malformed(rest)),
        };
        if let Some(refusal) = method_refusal(&bytes[..method]) {
            return Line::Unclear(refusal);
        }
        if (has_odd_bytes(target) || target.len() > LONGEST_HELD || !target.starts_with(b"/"))
            && let Err(refusal) = self.odd_target(&bytes[..method], target)
        {
            return Line::Unclear(refusal);
        }
        Line::Good {
            word: method,
            end: end + 2,
        }
    }

    /// Checks a target without control characters that hyper may not hold (RFC 9112 section
    /// 3.2).
    #[cold]
    fn odd_target(&mut self, method: &[u8], target: &[u8]) -> Result<(), Refusal> {
        if target.is_empty() || target.contains(&b' ') {
            return Err(Refusal::RequestLine);
        }
        // A fragment is cut off by some; after a `?` it is not ours to judge.
        let mut ends = target.iter().filter(|byte| matches!(byte, b'?' | b'#'));
        if ends.next() == Some(&b'#') {
            return Err(Refusal::TargetCharacter);
        }
        match target {
            b"*" if method == b"OPTIONS" => return Ok(()),
            [b'/', ..] => {}
            _ => {
                let (named, _) = split_absolute(target).ok_or(Refusal::TargetForm)?;
                if named.contains(&b'@') {
                    return Err(Refusal::Userinfo);
                }
                authority(named).map_err(|_| Refusal::TargetForm)?;
                self.absolute = true;
            }
        }
        self.carried = true;
        Ok(())
    }

    /// Where the target stands in a request line that was good, if hyper cannot hold it.
    pub(super) fn carried(&self, line: &[u8]) -> Option<Range<usize>> {
        let start = memchr::memchr(b' ', line).filter(|_| self.carried)? + 1;
        Some(start..line.len() - b" HTTP/1.1\r\n".len())
    }

    /// Checks the field line, or the empty line, at the front of `bytes`.
    #[inline]
    pub(super) fn field_line(&mut self, bytes: &[u8]) -> Line {
        let name = octets::token_end(bytes, 0);
        if bytes.get(name) != Some(&b':') || name == 0 {
            return empty_or_malformed(bytes, name);
        }
        let end = octets::text_end(bytes, name + 1);
        if !matches!(bytes.get(end..end + 2), Some(b"\r\n")) {
            let refusal = line_break(bytes, end, Refusal::FieldValue);
            return Line::Unclear(refusal.unwrap_or(Refusal::FieldValue));
        }
        if name >= LONGEST_NAME {
            return Line::Unclear(Refusal::NameTooLong);
        }
        if matches!(name, 4 | 7 | 14 | 17)
            && let Err(refusal) = self.field(&bytes[..name], &bytes[name + 1..end])
        {
            return Line::Unclear(refusal);
        }
        Line::Good {
            word: name,
            end: end + 2,
        }
    }

    fn field(&mut self, name: &[u8], value: &[u8]) -> Result<(), Refusal> {
        if name.eq_ignore_ascii_case(b"host") {
            if self.host {
                return Err(Refusal::HostRepeated);
            }
            self.host = true;
            match trimmed(value) {
                // A URL's authority counts instead (RFC 9112 section 3.2.2).
                [] if self.absolute => Ok(()),
                host => authority(host).map_err(|_| host_refusal(value)),
            }
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            self.upgrade = true;
            self.upgrades_to_websocket |= names_websocket(value);
            Ok(())
        } else if name.eq_ignore_ascii_case(b"content-length") {
            if self.length.is_some() {
                return Err(Refusal::ContentLengthRepeated);
            }
            if self.chunked {
                return Err(Refusal::LengthAndEncoding);
            }
            self.length = Some(content_length(value)?);
            Ok(())
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if self.length.is_some() {
                return Err(Refusal::LengthAndEncoding);
            }
            if self.http10 {
                return Err(Refusal::EncodingOnHttp10);
            }
            if self.chunked {
                return Err(Refusal::TransferEncoding);
            }
            self.chunked = true;
            transfer_encoding(value)
        } else {
            Ok(())
        }
    }

    /// What it asks for in `Upgrade`.
    pub(super) fn asked_protocol(&self) -> Asked {
        match self.upgrade {
            _ if self.upgrades_to_websocket => Asked::WebSocket,
            true => Asked::Other,
            false => Asked::None,
        }
    }

    /// The head is complete: what is missing, and what comes next.
    pub(super) fn finish(&self) -> Result<Follows, Refusal> {
        if !self.host && !self.http10 {
            return Err(Refusal::HostMissing);
        }
        Ok(match self.length {
            _ if self.chunked => Follows::Chunks,
            None | Some(0) => Follows::Nothing,
            Some(length) => Follows::Length(length),
        })
    }
}

/// Whether the line begins as the PROXY protocol's first version does. A method may be called
/// so, but no request has such a target.
#[inline]
fn is_proxy_protocol(bytes: &[u8]) -> bool {
    const KINDS: [&[u8]; 3] = [b"TCP4 ", b"TCP6 ", b"UNKNOWN"];
    bytes
        .strip_prefix(b"PROXY ")
        .is_some_and(|rest| KINDS.iter().any(|kind| rest.starts_with(kind)))
}

/// What is wrong at `end`, where text ended, unless there is a CRLF.
fn line_break(bytes: &[u8], end: usize, otherwise: Refusal) -> Option<Refusal> {
    match (bytes.get(end), bytes.get(end + 1)) {
        (Some(b'\r'), Some(b'\n')) => None,
        (Some(b'\r'), _) => Some(Refusal::BareCr),
        (Some(b'\n'), _) => Some(Refusal::BareLf),
        _ => Some(otherwise),
    }
}

/// A line that is not `name ":"`.
#[cold]
fn empty_or_malformed(bytes: &[u8], name: usize) -> Line {
    Line::Unclear(match (name, &bytes[name..]) {
        (0, [b'\r', b'\n', ..]) => return Line::Empty,
        (0, [b' ' | b'\t', ..]) => Refusal::ObsFold,
        (0, [b':', ..]) => Refusal::EmptyName,
        (_, [b'\n', ..]) => Refusal::BareLf,
        (_, [b'\r', next, ..]) if *next != b'\n' => Refusal::BareCr,
        (_, rest @ [b' ' | b'\t', ..]) => {
            match rest.iter().find(|byte| !matches!(byte, b' ' | b'\t')) {
                Some(b':') => Refusal::SpaceBeforeColon,
                _ => Refusal::FieldName,
            }
        }
        _ => Refusal::FieldName,
    })
}

/// A request line that does not end in a version: its fault, from what follows the method.
#[cold]
fn malformed(rest: &[u8]) -> Refusal {
    match rest.rsplit(|&byte| byte == b' ').next() {
        Some([b'H', b'T', b'T', b'P', b'/', version @ ..])
            if rest.contains(&b' ')
                && !version.is_empty()
                && version
                    .iter()
                    .all(|byte| byte.is_ascii_digit() || *byte == b'.') =>
        {
            Refusal::Version
        }
        _ => Refusal::RequestLine,
    }
}

fn method_refusal(method: &[u8]) -> Option<Refusal> {
    match method.len() {
        // Methods are case-sensitive, but an upstream may not know that.
        7 if method.eq_ignore_ascii_case(b"connect") => Some(Refusal::Connect),
        5 if method.eq_ignore_ascii_case(b"trace") => Some(Refusal::Trace),
        _ => None,
    }
}

/// Whether a `Uri` cannot hold these, or not unchanged. Branchless, so that it vectorises.
fn has_odd_bytes(target: &[u8]) -> bool {
    target.iter().fold(false, |odd, &byte| {
        odd | (byte <= b' ')
            | (byte >= 0x7f)
            | (byte == b'"')
            | (byte == b'#')
            | (byte == b'<')
            | (byte == b'>')
            | (byte == b'`')
    })
}
