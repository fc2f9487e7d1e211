//! Writing both halves of the handshake: our request to the upstream and our 101 to the
//! client (RFC 6455 sections 4.1 and 4.2.2), in the RFC's own spelling of field names, which
//! some servers compare case by case. Choosing what may be sent is done by the callers.
//!
//! The client's own key goes to the upstream: section 4.1 asks for a nonce of the client, an
//! intermediary has no reason to hide it, and one key makes the upstream's Accept, ours and
//! the client's expectation the same value.

use http::header::{CONNECTION, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Accepted, elements, has_token};

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
    encode_request_with(out, target, host, headers, key, |_| false, |_| ());
}

/// The same without the fields that `gives_way`, and with the lines that `ours` appends in
/// their place (see [`push_line`]).
pub fn encode_request_with(
    out: &mut Vec<u8>,
    target: &[u8],
    host: &HeaderValue,
    headers: &HeaderMap,
    key: &HeaderValue,
    gives_way: impl Fn(&HeaderName) -> bool,
    ours: impl FnOnce(&mut Vec<u8>),
) {
    out.reserve(256 + target.len() + headers.len() * 48);
    out.extend_from_slice(b"GET ");
    if !target.starts_with(b"/") {
        out.push(b'/');
    }
    out.extend_from_slice(target);
    out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
    out.extend_from_slice(host.as_bytes());
    out.extend_from_slice(
        b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
          Sec-WebSocket-Key: ",
    );
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\r\n");
    for (name, value) in headers {
        if !is_connection_field(name) && !is_request_field_of_ours(name) && !gives_way(name) {
            push_field(out, name, value);
        }
    }
    ours(out);
    out.extend_from_slice(b"\r\n");
}

/// Appends the 101 for the client to `out`.
///
/// `headers` are the upstream's, with the route's rules applied. End-to-end fields such as
/// `Set-Cookie` are kept; hop-by-hop fields, those that `Connection` nominates and framing are
/// dropped. `Sec-WebSocket-Accept` is computed from the client's key, never copied.
pub fn encode_101(out: &mut Vec<u8>, headers: &HeaderMap, accepted: &Accepted) {
    out.reserve(256 + headers.len() * 48);
    out.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
          Sec-WebSocket-Accept: ",
    );
    out.extend_from_slice(accepted.accept.as_bytes());
    out.extend_from_slice(b"\r\n");
    if let Some(subprotocol) = &accepted.subprotocol {
        push_field(out, &SEC_WEBSOCKET_PROTOCOL, subprotocol);
    }
    for line in &accepted.extensions {
        push_field(out, &SEC_WEBSOCKET_EXTENSIONS, line);
    }
    let nominates = elements(headers, &CONNECTION).any(|option| !is_upgrade(option));
    for (name, value) in headers {
        let dropped = is_connection_field(name)
            || is_response_field_of_ours(name)
            || nominates && has_token(headers, &CONNECTION, name.as_str());
        if !dropped {
            push_field(out, name, value);
        }
    }
    out.extend_from_slice(b"\r\n");
}

fn is_upgrade(option: &[u8]) -> bool {
    option.eq_ignore_ascii_case(b"upgrade")
}

/// Fields about one connection or its framing: meaningless behind it on either side.
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

fn push_field(out: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    push_line(out, name.as_str().as_bytes(), value.as_bytes());
}

/// Appends a field; `name` is lower-case.
pub fn push_line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    push_name(out, name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// The conventional spelling: capitals after hyphens, and the registered exceptions. A
/// `HeaderName` is lower-case by construction, so the client's own spelling is gone.
fn push_name<N: AsRef<[u8]> + ?Sized>(out: &mut Vec<u8>, name: &N) {
    let name = name.as_ref();
    let known: &[u8] = match name {
        b"dnt" => b"DNT",
        b"etag" => b"ETag",
        b"www-authenticate" => b"WWW-Authenticate",
        _ if name.starts_with(b"sec-websocket-") => b"Sec-WebSocket-",
        _ => b"",
    };
    out.extend_from_slice(known);
    let start = out.len();
    out.extend_from_slice(&name[known.len()..]);
    let mut first = true;
    for byte in &mut out[start..] {
        if first {
            byte.make_ascii_uppercase();
        }
        first = *byte == b'-';
    }
}

#[cfg(test)]
mod tests;
