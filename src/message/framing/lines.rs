//! A head, line by line: which line it is, whether it is complete, and its limits.

use super::head::{Follows, Head, Line};
use super::{Carried, Refusal, RequestScanner, State};
use crate::message::chunked::Chunks;
use crate::message::octets;

impl RequestScanner {
    /// Completes the line whose beginning came with an earlier slice.
    #[cold]
    pub(super) fn carried_line(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        let end = memchr::memchr(b'\n', bytes);
        let take = end.map_or(bytes.len(), |end| end + 1);
        let mut line = std::mem::take(&mut self.carry);
        line.extend_from_slice(&bytes[..take]);
        if self.line(&line)?.is_none() {
            self.carry = line;
        } else if matches!(self.state, State::Fields) {
            line.clear();
            self.carry = line;
        }
        Ok(take)
    }

    /// Judges the line at the front of `bytes`; `None` if its end has not come.
    #[inline]
    pub(super) fn line(&mut self, bytes: &[u8]) -> Result<Option<usize>, Refusal> {
        let line = match self.state {
            State::Fields => self.head.field_line(bytes),
            _ => match bytes {
                [b'\r', b'\n', ..] if !self.leading => {
                    self.leading = true;
                    return Ok(Some(2));
                }
                [first, ..] if !octets::is_token(*first) => match not_a_request(bytes)? {
                    Some(refusal) => Line::Unclear(refusal),
                    None => return Ok(None),
                },
                _ => return self.request_line(bytes),
            },
        };
        let budget = self.limits.max_head - self.head_bytes;
        match line {
            Line::Good { word, end }
                if end <= budget && self.lines < self.limits.max_header_lines =>
            {
                self.head_bytes += end;
                self.lines += 1;
                self.names.field(&bytes[..end], word);
                Ok(Some(end))
            }
            Line::Empty if budget >= 2 => self.end_of_head(),
            Line::Good { .. } => self.unclear(bytes, Refusal::TooManyLines),
            Line::Empty => Err(Refusal::HeadTooLarge),
            Line::Unclear(refusal) => self.unclear(bytes, refusal),
        }
    }

    fn request_line(&mut self, bytes: &[u8]) -> Result<Option<usize>, Refusal> {
        match self.head.request_line(bytes) {
            Line::Good { end, .. } => {
                if end > self.limits.max_target || end > self.limits.max_head {
                    self.check_size(&bytes[..end])?;
                }
                let line = self.head_start + if self.leading { 2 } else { 0 };
                self.names.begin(line + end as u64);
                if let Some(target) = self.head.carried(&bytes[..end]) {
                    self.carried.push(Carried {
                        head: self.heads + 1,
                        place: line + target.start as u64..line + target.end as u64,
                    });
                }
                self.head_bytes = end;
                self.leading = false;
                self.state = State::Fields;
                Ok(Some(end))
            }
            Line::Unclear(refusal) => self.unclear(bytes, refusal),
            // `Head::request_line` knows no empty line.
            Line::Empty => Err(Refusal::RequestLine),
        }
    }

    /// A line that is too large, unfinished, or wrong, checked in this order: so a line that comes
    /// in pieces is refused for the same reason as one that comes whole.
    #[cold]
    fn unclear(&self, bytes: &[u8], refusal: Refusal) -> Result<Option<usize>, Refusal> {
        let end = memchr::memchr(b'\n', bytes);
        self.check_size(&bytes[..end.map_or(bytes.len(), |end| end + 1)])?;
        match end {
            None => Ok(None),
            Some(_)
                if matches!(self.state, State::Fields)
                    && self.lines >= self.limits.max_header_lines
                    && !bytes.starts_with(b"\r\n") =>
            {
                Err(Refusal::TooManyLines)
            }
            Some(_) => Err(refusal),
        }
    }

    /// Checks the size of a line, or of the part that has come: what is refused here is refused
    /// with any continuation.
    fn check_size(&self, line: &[u8]) -> Result<(), Refusal> {
        let budget = self.limits.max_head - self.head_bytes;
        if matches!(self.state, State::Start) {
            let text = &line[..line.len().min(budget)];
            let text = text.strip_suffix(b"\n").unwrap_or(text);
            let mut words = text.split(|&byte| byte == b' ').skip(1);
            if words
                .next()
                .is_some_and(|target| target.len() > self.limits.max_target)
            {
                return Err(Refusal::TargetTooLong);
            }
        }
        if line.len() > budget {
            Err(Refusal::HeadTooLarge)
        } else {
            Ok(())
        }
    }

    fn end_of_head(&mut self) -> Result<Option<usize>, Refusal> {
        let follows = self.head.finish()?;
        self.asks = self.head.asked_protocol();
        self.heads += 1;
        self.names.end(self.heads);
        self.head = Head::default();
        self.head_bytes = 0;
        self.lines = 0;
        self.carry = Vec::new();
        self.body_bytes = 0;
        self.state = match follows {
            Follows::Nothing => self.next(),
            Follows::Length(length) => State::Length(length),
            Follows::Chunks => State::Chunks(Chunks::default()),
        };
        Ok(Some(2))
    }
}

/// The signature of the PROXY protocol, version 2, after its first two bytes, which have passed
/// as an empty line.
const PROXY_PROTOCOL_2: &[u8] = b"\r\n\0\r\nQUIT\n";

/// The first byte cannot begin a method. An error where the bytes so far are decisive, so that a
/// TLS client does not wait for an answer; otherwise the fault once the line is complete, or
/// `None` while more bytes are needed.
#[cold]
fn not_a_request(bytes: &[u8]) -> Result<Option<Refusal>, Refusal> {
    match bytes {
        _ if bytes.starts_with(PROXY_PROTOCOL_2) => Err(Refusal::ProxyProtocol2),
        _ if PROXY_PROTOCOL_2.starts_with(bytes) => Ok(None),
        [b'\r', b'\n', ..] => Ok(Some(Refusal::EmptyLines)),
        [b'\r', ..] => Ok(Some(Refusal::BareCr)),
        [b'\n', ..] => Err(Refusal::BareLf),
        // A TLS record that carries a handshake (RFC 8446 section 5.1).
        [0x16, ..] => Err(Refusal::Tls),
        _ => Err(Refusal::NotHttp),
    }
}
