//! What sluice tells an upstream about the client: `X-Forwarded-*`, `Forwarded` (RFC 7239),
//! `Via` (RFC 9110 section 7.6.3) and the request id; and which peers' fields sluice believes.
//! Hop-by-hop fields are gone before this; see `headers`.
//!
//! A peer in `trusted_proxies` is believed, judged by its socket address alone. A peer on a
//! unix socket has no address; it is on this machine, so it is trusted exactly where
//! loopback (127.0.0.1 or ::1) is. `X-Forwarded-*` is the one source of all that is sent and
//! decided; what a trusted peer says in `Forwarded` alone is put into it first, see `translate`.

mod believe;
mod node;
mod peer;
mod policy;
mod request_id;
mod rfc7239;
#[cfg(test)]
mod tests;
mod translate;

use http::Version;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use self::believe::{believed_host, believed_scheme, first, port_of};
pub use self::believe::{claimed_host, client_ip, public_authority, public_port};
use self::node::node_text;
use self::peer::decimal;
pub use self::peer::{PeerFields, push_decimal};
pub use self::policy::{CLAIMS, ForwardingPolicy, is_claim};
use self::policy::{FOR, HOST, PORT, PROTO};
pub use self::request_id::RequestId;
use self::request_id::{choose, fresh};
use self::translate::translate;
use super::spelling::push_field;

/// Everything [`apply`] needs besides the fields themselves.
#[derive(Debug, Clone, Copy)]
pub struct Forwarding<'a> {
    /// The configuration's part.
    pub policy: &'a ForwardingPolicy,
    /// The connection's part.
    pub peer: &'a PeerFields,
    /// The version the request was received in.
    pub version: Version,
}

/// Replaces what the client says about itself by what sluice knows, except where a trusted peer
/// says it, and returns the request id. `Host` must be the effective one (RFC 9112 section
/// 3.2.2). Spellings other than the canonical (`x_forwarded_for`) are removed from every request.
pub fn apply(headers: &mut HeaderMap, forwarding: &Forwarding<'_>) -> Option<HeaderValue> {
    let Forwarding {
        policy,
        peer,
        version,
    } = *forwarding;
    remove_claims(headers, peer.trusted);
    let host = headers.get(header::HOST);
    let host = host.filter(|host| !host.is_empty()).cloned();
    if peer.trusted {
        add_believed(headers, peer, host.as_ref());
    } else {
        let port = host.as_ref().and_then(|host| port_of(host.as_bytes()));
        headers.insert(
            &PORT,
            peer.port_value(port.unwrap_or(peer.scheme.default_port())),
        );
        headers.insert(&PROTO, HeaderValue::from_static(peer.scheme.as_str()));
        if let Some(chain) = &peer.chain {
            headers.insert(&FOR, chain.clone());
        }
        if let Some(host) = &host {
            headers.insert(&HOST, host.clone());
        }
    }
    if policy.forwarded {
        add_forwarded(headers, peer, host.as_ref());
    }
    policy.append_via(headers, version);
    choose(headers, policy, peer)
}

/// Whether [`write_direct`] does all that [`apply`] would: no peer is believed, and neither
/// `Forwarded` nor `Via` is sent.
pub fn is_direct(policy: &ForwardingPolicy, peer: &PeerFields) -> bool {
    !peer.trusted && !policy.forwarded && policy.via.is_none()
}

/// Whether a client's field gives way to one of ours.
#[inline]
pub fn gives_way(policy: &ForwardingPolicy, name: &HeaderName) -> bool {
    claim(name.as_str().as_bytes()).is_some() || policy.request_id.as_ref() == Some(name)
}

/// What [`apply`] would put into the map, written straight after a request's other lines,
/// from which [`gives_way`] has taken the client's; `host` is the client's Host. Returns the
/// request id. Only where [`is_direct`].
pub fn write_direct(
    out: &mut Vec<u8>,
    policy: &ForwardingPolicy,
    peer: &PeerFields,
    host: Option<&HeaderValue>,
) -> Option<RequestId> {
    let port = host.and_then(|host| port_of(host.as_bytes()));
    let mut digits = [0; 5];
    let len = decimal(port.unwrap_or(peer.scheme.default_port()), &mut digits);
    push_field(out, b"X-Forwarded-Port", &digits[..len]);
    push_field(out, b"X-Forwarded-Proto", peer.scheme.as_str().as_bytes());
    if let Some(chain) = &peer.chain {
        push_field(out, b"X-Forwarded-For", chain.as_bytes());
    }
    if let Some(host) = host.filter(|host| !host.is_empty()) {
        push_field(out, b"X-Forwarded-Host", host.as_bytes());
    }
    policy.request_id.as_ref()?;
    let id = fresh();
    push_field(out, &policy.request_id_spelled, &id);
    Some(RequestId::Made(id))
}

/// Removes the client's copies of everything that belongs to us; from a trusted peer only the
/// spellings that no proxy writes.
fn remove_claims(headers: &mut HeaderMap, trusted: bool) {
    let claims = |name: &&HeaderName| match claim(name.as_str().as_bytes()) {
        None => false,
        Some(Spelling::Canonical) => !trusted,
        Some(Spelling::Alias) => true,
    };
    if headers.keys().any(|name| claims(&name)) {
        let names: Vec<HeaderName> = headers.keys().filter(claims).cloned().collect();
        for name in names {
            headers.remove(name);
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spelling {
    Canonical,
    Alias,
}

/// Whether a (lower-case) name is `Forwarded`, `X-Real-IP` or begins with `X-Forwarded`,
/// whatever stands for its `-`: CGI-like backends read `_` and more as the same.
#[inline]
fn claim(name: &[u8]) -> Option<Spelling> {
    match name {
        [b'x', _, b'f' | b'r', ..] => claim_slow(name),
        [b'f', b'o', ..] if name == b"forwarded" => Some(Spelling::Canonical),
        _ => None,
    }
}

fn claim_slow(name: &[u8]) -> Option<Spelling> {
    let same = |name: &[u8], with: &[u8]| {
        let dash = |&byte: &u8| {
            if byte.is_ascii_alphanumeric() {
                byte
            } else {
                b'-'
            }
        };
        name.iter().map(dash).eq(with.iter().copied())
    };
    let ours = name
        .get(..11)
        .is_some_and(|start| same(start, b"x-forwarded"))
        || same(name, b"x-real-ip");
    let canonical = name
        .iter()
        .all(|&byte| byte.is_ascii_alphanumeric() || byte == b'-');
    ours.then_some(if canonical {
        Spelling::Canonical
    } else {
        Spelling::Alias
    })
}

/// Keeps what a trusted peer says, adds the peer itself to the chain and fills the gaps. The
/// peer's `Forwarded` goes: it knows less than the fields now do, or something else.
#[cold]
fn add_believed(headers: &mut HeaderMap, peer: &PeerFields, host: Option<&HeaderValue>) {
    if rfc7239::is_believed(headers) {
        translate(headers);
    }
    headers.remove(header::FORWARDED);
    if let Some(chain) = &peer.chain {
        let value = joined(headers, &FOR, chain);
        headers.insert(&FOR, value);
    }
    let scheme = believed_scheme(headers);
    if scheme.is_none() {
        headers.insert(&PROTO, HeaderValue::from_static(peer.scheme.as_str()));
    }
    if believed_host(headers).is_none() {
        match host {
            Some(host) => headers.insert(&HOST, host.clone()),
            None => headers.remove(&HOST),
        };
    }
    let said = headers
        .get(&PORT)
        .and_then(|port| first(port).parse::<u16>().ok());
    if said.is_none() {
        let port = believed_host(headers).and_then(|host| port_of(host.as_bytes()));
        let port = port.unwrap_or(scheme.unwrap_or(peer.scheme).default_port());
        headers.insert(&PORT, peer.port_value(port));
    }
}

/// All lines of a list field and one more element, as one line.
fn joined(headers: &HeaderMap, name: &HeaderName, last: &HeaderValue) -> HeaderValue {
    let mut lines = headers
        .get_all(name)
        .iter()
        .filter(|line| !line.is_empty())
        .peekable();
    if lines.peek().is_none() {
        return last.clone();
    }
    let mut list = Vec::with_capacity(128);
    for line in lines {
        list.extend_from_slice(line.as_bytes());
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(last.as_bytes());
    // It is made of valid values; otherwise only ours would be kept.
    HeaderValue::try_from(list).unwrap_or_else(|_| last.clone())
}

/// `Forwarded` (RFC 7239 section 4), made from the `X-Forwarded-*` fields, so that the two
/// cannot contradict each other: an element for each address in the chain, of which the
/// first, the client's, has the public scheme and host.
#[cold]
fn add_forwarded(headers: &mut HeaderMap, peer: &PeerFields, host: Option<&HeaderValue>) {
    let scheme = believed_scheme(headers).unwrap_or(peer.scheme);
    let public = believed_host(headers).or_else(|| host.and_then(|host| host.to_str().ok()));
    let mut first = format!(";proto={}", scheme.as_str());
    if let Some(host) = public.filter(|host| !host.is_empty()) {
        first.push_str(";host=\"");
        for char in host.chars() {
            if matches!(char, '"' | '\\') {
                first.push('\\');
            }
            first.push(char);
        }
        first.push('"');
    }
    let chain = headers.get(&FOR).and_then(|chain| chain.to_str().ok());
    let mut list = String::with_capacity(128);
    for node in chain.unwrap_or("unknown").split(',') {
        if !list.is_empty() {
            list.push_str(", ");
        }
        list.push_str("for=");
        list.push_str(&node_text(node.trim()));
        list.push_str(&std::mem::take(&mut first));
    }
    match HeaderValue::try_from(list) {
        Ok(list) => headers.insert(header::FORWARDED, list),
        Err(_) => headers.remove(header::FORWARDED),
    };
}
