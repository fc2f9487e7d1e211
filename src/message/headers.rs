//! Header hygiene of RFC 9110 section 7.6.1: what belongs to one connection only does not
//! cross the proxy, in either direction, upgrades included. Also a route's own edits. What
//! upstreams are told about the client is in `forwarded`.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::config::HeaderEdits;

/// What [`strip_hop_by_hop`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stripped {
    /// There was a `Connection` field.
    pub connection: bool,
    /// `Connection` had the option `close`.
    pub close: bool,
    /// `Connection` had the option `upgrade`.
    pub connection_upgrade: bool,
    /// There was an `Upgrade` field.
    pub upgrade: bool,
    /// `TE` listed `trailers`, and `TE: trailers` was kept.
    pub te_trailers: bool,
    /// Fields removed only because `Connection` nominated them.
    pub nominated: u16,
    /// `Connection` nominated a field that carries trust or framing; the field was kept. No
    /// honest client does that.
    pub spared: bool,
}

const CONNECTION: u16 = 1;
const KEEP_ALIVE: u16 = 1 << 1;
const TE: u16 = 1 << 2;
const TRANSFER_ENCODING: u16 = 1 << 3;
const UPGRADE: u16 = 1 << 4;
const PROXY_CONNECTION: u16 = 1 << 5;
const PROXY_AUTHENTICATE: u16 = 1 << 6;
const PROXY_AUTHORIZATION: u16 = 1 << 7;
const PROXY_AUTHENTICATION_INFO: u16 = 1 << 8;
const HTTP2_SETTINGS: u16 = 1 << 9;
/// More `Connection` lines than one.
const MORE_CONNECTION: u16 = 1 << 15;

/// The fields that are always removed, by their bit.
static HOP_BY_HOP: [(u16, HeaderName); 8] = [
    (KEEP_ALIVE, HeaderName::from_static("keep-alive")),
    (TRANSFER_ENCODING, header::TRANSFER_ENCODING),
    (UPGRADE, header::UPGRADE),
    (
        PROXY_CONNECTION,
        HeaderName::from_static("proxy-connection"),
    ),
    (PROXY_AUTHENTICATE, header::PROXY_AUTHENTICATE),
    (PROXY_AUTHORIZATION, header::PROXY_AUTHORIZATION),
    (
        PROXY_AUTHENTICATION_INFO,
        HeaderName::from_static("proxy-authentication-info"),
    ),
    (HTTP2_SETTINGS, HeaderName::from_static("http2-settings")),
];

/// Removes every hop-by-hop field from a request or a response, handshakes included, and
/// what `Connection` nominates, except what carries trust or framing.
///
/// - `TE` becomes exactly `TE: trailers` if it listed that, since trailers are forwarded;
///   `Trailer` announces them and stays.
/// - `Proxy-Authorization` and `Proxy-Authenticate` go too. sluice acts as the
///   origin: it never asks for the former, which was meant for a proxy in front of it
///   (RFC 9110 section 11.7.2), and the latter would be the upstream posing as a proxy.
/// - `HTTP2-Settings` means nothing once its `Upgrade` is gone (RFC 7540 section 3.2.1).
pub fn strip_hop_by_hop(headers: &mut HeaderMap) -> Stripped {
    let mut stripped = Stripped::default();
    let mut found = 0;
    for (name, value) in headers.iter() {
        let bit = classify(name);
        if bit == 0 {
            continue;
        }
        if bit == CONNECTION && found & CONNECTION != 0 {
            found |= MORE_CONNECTION;
        }
        if bit == TE {
            stripped.te_trailers |= lists(value, b"trailers");
        }
        found |= bit;
    }
    if found == 0 {
        return stripped;
    }
    stripped.upgrade = found & UPGRADE != 0;
    if found & CONNECTION != 0 {
        stripped.connection = true;
        strip_connection(headers, found & MORE_CONNECTION != 0, &mut stripped);
    }
    if found & TE != 0 {
        if stripped.te_trailers {
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
        } else {
            headers.remove(header::TE);
        }
    }
    if found & !(CONNECTION | MORE_CONNECTION | TE) != 0 {
        for (bit, name) in &HOP_BY_HOP {
            if found & bit != 0 {
                headers.remove(name);
            }
        }
    }
    stripped
}

#[inline]
fn classify(name: &HeaderName) -> u16 {
    let name = name.as_str().as_bytes();
    match name.len() {
        2 if name == b"te" => TE,
        7 if name == b"upgrade" => UPGRADE,
        10 if name == b"connection" => CONNECTION,
        10 if name == b"keep-alive" => KEEP_ALIVE,
        14 if name == b"http2-settings" => HTTP2_SETTINGS,
        16 if name == b"proxy-connection" => PROXY_CONNECTION,
        17 if name == b"transfer-encoding" => TRANSFER_ENCODING,
        18 if name == b"proxy-authenticate" => PROXY_AUTHENTICATE,
        19 if name == b"proxy-authorization" => PROXY_AUTHORIZATION,
        25 if name == b"proxy-authentication-info" => PROXY_AUTHENTICATION_INFO,
        _ => 0,
    }
}

fn strip_connection(headers: &mut HeaderMap, several: bool, stripped: &mut Stripped) {
    if several {
        let lines: Vec<HeaderValue> = headers
            .get_all(header::CONNECTION)
            .iter()
            .cloned()
            .collect();
        headers.remove(header::CONNECTION);
        for line in &lines {
            strip_nominated(headers, line, stripped);
        }
    } else if let Some(line) = headers.remove(header::CONNECTION) {
        strip_nominated(headers, &line, stripped);
    }
}

/// Goes through one `Connection` line. What is not a token, such as a quoted string, names no
/// field and is skipped.
fn strip_nominated(headers: &mut HeaderMap, line: &HeaderValue, stripped: &mut Stripped) {
    for option in line.as_bytes().split(|&byte| byte == b',') {
        let option = option.trim_ascii();
        if option.eq_ignore_ascii_case(b"keep-alive") {
            continue;
        } else if option.eq_ignore_ascii_case(b"close") {
            stripped.close = true;
        } else if option.eq_ignore_ascii_case(b"upgrade") {
            stripped.connection_upgrade = true;
        } else if option.eq_ignore_ascii_case(b"te") {
            // Named wherever TE is sent (RFC 9110 section 10.1.4); TE has its own rule.
        } else if is_protected(option) {
            stripped.spared = true;
        } else if let Ok(name) = std::str::from_utf8(option)
            && headers.remove(name).is_some()
        {
            stripped.nominated = stripped.nominated.saturating_add(1);
        }
    }
}

/// Fields that a `Connection` option cannot strip: who the client is, what it may do, whom it
/// speaks to, and where the message ends. `-` and `_` count as the same, since some
/// backends treat them alike.
fn is_protected(name: &[u8]) -> bool {
    const EXACT: &[&[u8]] = &[
        b"host",
        b"cookie",
        b"set-cookie",
        b"authorization",
        b"www-authenticate",
        b"origin",
        b"referer",
        b"forwarded",
        b"via",
        b"x-real-ip",
        b"content-length",
        b"content-type",
        b"content-encoding",
        b"content-range",
        b"trailer",
        b"cache-control",
        b"location",
        b"date",
        b"vary",
        b"expect",
        b"strict-transport-security",
        b"content-security-policy",
    ];
    const PREFIX: &[&[u8]] = &[b"x-forwarded", b"sec-", b"access-control-"];
    const SUFFIX: &[&[u8]] = &[b"request-id", b"correlation-id"];
    EXACT
        .iter()
        .any(|&exact| name.len() == exact.len() && same_name(name, exact))
        || PREFIX.iter().any(|prefix| {
            name.get(..prefix.len())
                .is_some_and(|n| same_name(n, prefix))
        })
        || SUFFIX.iter().any(|suffix| {
            name.len()
                .checked_sub(suffix.len())
                .is_some_and(|at| same_name(&name[at..], suffix))
        })
}

/// Compares names of equal length; `other` is lower-case and written with `-`.
fn same_name(name: &[u8], other: &[u8]) -> bool {
    name.iter()
        .zip(other)
        .all(|(&a, &b)| a.to_ascii_lowercase() == b || (a == b'_' && b == b'-'))
}

fn lists(value: &HeaderValue, token: &[u8]) -> bool {
    value
        .as_bytes()
        .split(|&byte| byte == b',')
        .any(|element| element.trim_ascii().eq_ignore_ascii_case(token))
}

/// Applies a route's edits: removed first, then set, then added.
pub fn apply_edits(headers: &mut HeaderMap, edits: &HeaderEdits) {
    for name in &edits.remove {
        headers.remove(name);
    }
    for (name, value) in &edits.set {
        headers.insert(name, value.clone());
    }
    for (name, value) in &edits.add {
        headers.append(name, value.clone());
    }
}

#[cfg(test)]
mod tests;
