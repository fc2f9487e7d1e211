//! The WebSocket opening handshake (RFC 6455 section 4) on both sides of the proxy, as pure
//! functions over bytes and header maps: recognising a client's request, writing ours to the
//! upstream, reading and judging its answer, writing our 101. No sockets, no timers, no logs;
//! the Origin policy is `route::origin`, the sentences for people are `http::diagnosis`.

mod client;
mod deflate;
mod encode;
mod verify;

pub use self::deflate::Deflate;
pub use crate::message::response::{BodyKind, HeadError, HeadRules, ResponseHead};
pub use client::{ClientHandshake, HandshakeProblem, UpgradeRequest, classify};
pub use encode::{Fields, encode_101, encode_request, encode_request_with};
pub use verify::{Accepted, UpstreamProblem, validate_101};

use http::{HeaderMap, HeaderName};

/// The elements of a comma-separated field over all its lines, in order, without optional
/// whitespace and without empty ones (RFC 9110 section 5.6.1).
fn elements<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    headers
        .get_all(name)
        .iter()
        .flat_map(|line| line.as_bytes().split(|b| *b == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}

/// Whether a comma-separated field contains `token`, on any line and in any case.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let token = token.as_bytes();
    // Nearly always it is the whole of the line.
    headers.get_all(name).iter().any(|line| {
        let line = line.as_bytes();
        line.eq_ignore_ascii_case(token)
            || line
                .split(|b| *b == b',')
                .any(|element| element.trim_ascii().eq_ignore_ascii_case(token))
    })
}
