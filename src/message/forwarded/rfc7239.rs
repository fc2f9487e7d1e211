//! `Forwarded` as a peer sends it (RFC 7239 section 4), and what its elements say. A trusted
//! peer's is believed only if it sends no `X-Forwarded-For`, `-Proto` or `-Host`: a proxy that
//! writes those often passes a client's `Forwarded` on as it came.

use std::borrow::Cow;
use std::net::IpAddr;

use http::header::{self, HeaderMap};

use super::node::parse_address;
use super::policy::{FOR, HOST, PROTO};
use crate::message::octets::{is_host, is_token};

/// Whether `Forwarded` says what the `X-Forwarded-*` fields of a trusted peer would.
pub(super) fn is_believed(headers: &HeaderMap) -> bool {
    headers.contains_key(header::FORWARDED)
        && ![&FOR, &PROTO, &HOST]
            .iter()
            .any(|name| headers.contains_key(*name))
}

/// The addresses from the right; `None` for what is none.
pub(super) fn addresses(headers: &HeaderMap) -> impl Iterator<Item = Option<IpAddr>> {
    elements(headers).map(|element| element.address())
}

/// The public host: as in lists of `X-Forwarded-Host`, the one nearest to the client.
pub(super) fn host(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    let named = elements(headers).filter_map(|element| element.host);
    sound_host(named.last()?)
}

/// A host of the bytes that one may have.
pub(super) fn sound_host(host: Cow<'_, [u8]>) -> Option<Cow<'_, str>> {
    let is_sound = |&byte: &u8| is_host(byte) || b":[]".contains(&byte);
    let sound = !host.is_empty() && host.iter().all(is_sound);
    match host {
        Cow::Borrowed(host) => Some(Cow::Borrowed(std::str::from_utf8(host).ok()?)),
        Cow::Owned(host) => Some(Cow::Owned(String::from_utf8(host).ok()?)),
    }
    .filter(|_| sound)
}

/// The elements of all lines from the right, without empty ones (RFC 9110 section 5.6.1).
/// One that breaks the grammar says nothing.
pub(super) fn elements(headers: &HeaderMap) -> impl Iterator<Item = Element<'_>> {
    let lines = headers.get_all(header::FORWARDED).iter().rev();
    lines
        .flat_map(|line| FromRight(Some(line.as_bytes())))
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
        .map(|element| Element::read(element).unwrap_or_default())
}

/// The elements of a line. They are split from the right, so that a quote that a client leaves
/// open hides none of those that proxies have appended.
struct FromRight<'a>(Option<&'a [u8]>);

impl<'a> Iterator for FromRight<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let line = self.0.take()?;
        let mut quoted = false;
        for at in (0..line.len()).rev() {
            match line[at] {
                b'"' => quoted = !quoted || is_escaped(&line[..at]),
                b',' if !quoted => {
                    self.0 = Some(&line[..at]);
                    return Some(&line[at + 1..]);
                }
                _ => {}
            }
        }
        Some(line)
    }
}

/// Whether the byte after `before`, in a quoted string, is escaped.
fn is_escaped(before: &[u8]) -> bool {
    let backslashes = before.iter().rev().take_while(|byte| **byte == b'\\');
    backslashes.count() % 2 == 1
}

/// What one hop says.
#[derive(Debug, Default)]
pub(super) struct Element<'a> {
    pub(super) node: Option<Cow<'a, [u8]>>,
    pub(super) proto: Option<Cow<'a, [u8]>>,
    pub(super) host: Option<Cow<'a, [u8]>>,
}

impl<'a> Element<'a> {
    /// `None` where it breaks the grammar, or names a parameter twice.
    fn read(text: &'a [u8]) -> Option<Self> {
        let mut element = Element::default();
        let mut rest = text;
        loop {
            rest = rest.trim_ascii_start();
            if rest.is_empty() {
                return Some(element);
            }
            // Between two semicolons there may be nothing.
            if rest[0] != b';' {
                let equals = memchr::memchr(b'=', rest)?;
                let name = rest[..equals].trim_ascii();
                let value;
                (value, rest) = read_value(rest[equals + 1..].trim_ascii_start())?;
                element.set(name, value)?;
                rest = rest.trim_ascii_start();
            }
            match rest {
                [] => {}
                [b';', after @ ..] => rest = after,
                _ => return None,
            }
        }
    }

    fn set(&mut self, name: &[u8], value: Cow<'a, [u8]>) -> Option<()> {
        let slot = if name.eq_ignore_ascii_case(b"for") {
            &mut self.node
        } else if name.eq_ignore_ascii_case(b"proto") {
            &mut self.proto
        } else if name.eq_ignore_ascii_case(b"host") {
            &mut self.host
        } else {
            let is_name = !name.is_empty() && name.iter().all(|byte| is_token(*byte));
            return is_name.then_some(());
        };
        slot.replace(value).is_none().then_some(())
    }

    /// The node's address, without its port; `unknown` and obfuscated nodes have none.
    pub(super) fn address(&self) -> Option<IpAddr> {
        let node = std::str::from_utf8(self.node.as_ref()?).ok()?;
        let with_hidden_port = || {
            let (address, _) = node.rsplit_once(":_")?;
            parse_address(address)
        };
        parse_address(node).or_else(with_hidden_port)
    }
}

/// The value at the start, a token or a quoted string, and what is left after it.
fn read_value(text: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let [b'"', quoted @ ..] = text else {
        let end = memchr::memchr(b';', text).unwrap_or(text.len());
        let (token, rest) = text.split_at(end);
        let token = token.trim_ascii_end();
        // More than a token: senders leave the quotes of ports and IPv6 addresses out.
        let sound = |byte: &u8| byte.is_ascii_graphic() && *byte != b'"';
        let is_sound = !token.is_empty() && token.iter().all(sound);
        return is_sound.then_some((Cow::Borrowed(token), rest));
    };
    let mut end = 0;
    loop {
        match quoted.get(end)? {
            b'"' => break,
            b'\\' => end += 2,
            _ => end += 1,
        }
    }
    let (inside, rest) = (&quoted[..end], &quoted[end + 1..]);
    let value = match memchr::memchr(b'\\', inside) {
        None => Cow::Borrowed(inside),
        Some(_) => Cow::Owned(unescaped(inside)),
    };
    Some((value, rest))
}

fn unescaped(inside: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(inside.len());
    let mut bytes = inside.iter();
    while let Some(&byte) = bytes.next() {
        let plain = if byte == b'\\' { bytes.next() } else { None };
        value.push(*plain.unwrap_or(&byte));
    }
    value
}
