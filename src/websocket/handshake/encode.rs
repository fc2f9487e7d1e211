//! Writing both halves of the handshake: our request to the upstream and our 101 to the
//! client (RFC 6455 sections 4.1 and 4.2.2), in the RFC's own spelling of the handshake's field
//! names, which some servers compare case by case; other names as they came. Choosing what may be sent is done by the callers.
//!
//! The client's own key goes to the upstream: section 4.1 asks for a nonce of the client, an
//! intermediary has no reason to hide it, and one key makes the upstream's Accept, ours and
//! the client's expectation the same value.

use http::header::{CONNECTION, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Accepted, elements, has_token};
use crate::message::spelling::{Speller, push_line, push_value};

/// Fields, and the lines that they came in, which have the spelling of their names.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a> {
    /// The fields as they are now.
    pub map: &'a HeaderMap,
    /// How their names are spelled.
    pub names: Speller<'a>,
}

impl<'a> From<&'a HeaderMap> for Fields<'a> {
    fn from(map: &'a HeaderMap) -> Self {
        Fields {
            map,
            names: Speller::new(b""),
        }
    }
}

/// Appends the head of the handshake request to `out`.
///
/// `headers` are the client's, stripped of hop-by-hop fields, with the forwarded fields added
/// and the route's rules applied; `Sec-WebSocket-Protocol` and `-Extensions` are taken from
/// there, untouched, so a rule that removes them counts. Fields that would change what this
/// request is (framing, `Connection`, a second `Host`, key or version) are never copied.
pub fn encode_request(
    out: &mut Vec<u8>,
    target: &[u8],
    host: &HeaderValue,
    headers: &HeaderMap,
    key: &HeaderValue,
) {
    encode_request_with(out, target, host, headers.into(), key, |_| false, |_| ());
}

/// The same without an empty `host` and the fields that `gives_way`, and with the lines that `ours` appends in
/// their place.
pub fn encode_request_with(
    out: &mut Vec<u8>,
    target: &[u8],
    host: &HeaderValue,
    fields: Fields<'_>,
    key: &HeaderValue,
    gives_way: impl Fn(&HeaderName) -> bool,
    ours: impl FnOnce(&mut Vec<u8>),
) {
    out.reserve(256 + target.len() + fields.map.len() * 48);
    out.extend_from_slice(b"GET ");
    if !target.starts_with(b"/") {
        out.push(b'/');
    }
    out.extend_from_slice(target);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    if !host.is_empty() {
        push_line(out, b"Host", host.as_bytes());
    }
    out.extend_from_slice(
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
          Sec-WebSocket-Key: ",
    );
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\r\n");
    let mut speller = fields.names;
    for (name, value) in fields.map {
        if !is_connection_field(name) && !is_request_field_of_ours(name) && !gives_way(name) {
            push_field(out, &mut speller, name, value);
        }
    }
    ours(out);
    out.extend_from_slice(b"\r\n");
}

/// Appends the 101 for the client to `out`.
///
/// `headers` are the upstream's, with the route's rules applied. End-to-end fields such as
/// `Set-Cookie` and the reason phrase are kept; hop-by-hop fields, those that `Connection` nominates and framing are
/// dropped. `Sec-WebSocket-Accept` is computed from the client's key, never copied.
pub fn encode_101<'a>(
    out: &mut Vec<u8>,
    reason: &[u8],
    fields: impl Into<Fields<'a>>,
    accepted: &Accepted,
) {
    let Fields {
        map: headers,
        names: mut speller,
    } = fields.into();
    out.reserve(256 + headers.len() * 48);
    out.extend_from_slice(b"HTTP/1.1 101 ");
    out.extend_from_slice(reason);
    out.extend_from_slice(
        b"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
    );
    out.extend_from_slice(accepted.accept.as_bytes());
    out.extend_from_slice(b"\r\n");
    if let Some(subprotocol) = &accepted.subprotocol {
        push_field(out, &mut speller, &SEC_WEBSOCKET_PROTOCOL, subprotocol);
    }
    for line in &accepted.extensions {
        push_field(out, &mut speller, &SEC_WEBSOCKET_EXTENSIONS, line);
    }
    let nominates = elements(headers, &CONNECTION).any(|option| !is_upgrade(option));
    for (name, value) in headers {
        let dropped = is_connection_field(name)
            || is_response_field_of_ours(name)
            || nominates && has_token(headers, &CONNECTION, name.as_str());
        if !dropped {
            push_field(out, &mut speller, name, value);
        }
    }
    out.extend_from_slice(b"\r\n");
}

fn is_upgrade(option: &[u8]) -> bool {
    option.eq_ignore_ascii_case(b"upgrade")
}

/// Fields about one connection or its framing: meaningless beyond it on either side.
fn is_connection_field(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "content-length"
            | "http2-settings"
            | "keep-alive"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Fields that [`encode_request`] writes itself, and `Expect`, which asks about a body.
fn is_request_field_of_ours(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "expect" | "host" | "sec-websocket-accept" | "sec-websocket-key" | "sec-websocket-version"
    )
}

/// Fields that [`encode_101`] writes itself.
fn is_response_field_of_ours(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "sec-websocket-accept"
            | "sec-websocket-extensions"
            | "sec-websocket-key"
            | "sec-websocket-protocol"
    )
}

/// Servers that compare a handshake's names byte by byte know the RFC's capitals, so names in
/// lower case, as HTTP libraries write them, are given those.
fn push_field(
    out: &mut Vec<u8>,
    speller: &mut Speller<'_>,
    name: &HeaderName,
    value: &HeaderValue,
) {
    let name = name.as_str().as_bytes();
    match speller.find(name) {
        Some(came) if came != name && !name.starts_with(b"sec-websocket-") => {
            out.extend_from_slice(came);
            push_value(out, value.as_bytes());
        }
        _ => push_line(out, name, value.as_bytes()),
    }
}

#[cfg(test)]
mod tests;
