//! What trusted peers say about the client: the public URL and the client's address. Only reads
//! fields.

use std::borrow::Cow;
use std::net::IpAddr;

use http::header::{HeaderMap, HeaderValue};

use super::node::parse_address;
use super::peer::PeerFields;
use super::policy::{FOR, ForwardingPolicy, HOST, PORT, PROTO};
use super::rfc7239;
use crate::config::Scheme;

/// The scheme and the authority (host, and port where one was written) of the URL that the
/// client used: what a trusted peer says, else the listener's scheme and `host`. After
/// [`apply`](super::apply), where a peer is trusted. `None`: HTTP/1.0 without `Host`.
pub fn public_authority<'a>(
    headers: &'a HeaderMap,
    peer: &PeerFields,
    host: Option<&'a HeaderValue>,
) -> (Scheme, Option<&'a str>) {
    let host = || host.and_then(|host| host.to_str().ok());
    if !peer.trusted {
        return (peer.scheme, host());
    }
    (
        believed_scheme(headers).unwrap_or(peer.scheme),
        believed_host(headers).or_else(host),
    )
}

/// The port of that URL as a trusted peer names it beside the host: in `X-Forwarded-Port`,
/// else in the `host` of `Forwarded`. Only for uses where the port decides no route: a trusted
/// proxy may pass a client's `Forwarded` on as it came. Before [`apply`](super::apply),
/// which fills the gaps.
pub fn public_port(headers: &HeaderMap, peer: &PeerFields) -> Option<u16> {
    if !peer.trusted {
        return None;
    }
    let said = headers
        .get(&PORT)
        .map(first)
        .and_then(|port| port.parse().ok());
    let forwarded = || port_of(rfc7239::host(headers)?.as_bytes());
    said.or_else(forwarded)
}

/// The public host that a peer claims, whether it is trusted or not, and the field it is in.
pub fn claimed_host(headers: &HeaderMap) -> Option<(&'static str, Cow<'_, str>)> {
    if rfc7239::is_believed(headers) {
        return Some(("Forwarded", rfc7239::host(headers)?));
    }
    Some(("X-Forwarded-Host", Cow::Borrowed(believed_host(headers)?)))
}

/// Lists of schemes and hosts begin at the client by convention, so the first one counts. A
/// browser cannot be made to send these fields, so forging one helps against no Origin check.
pub(super) fn believed_scheme(headers: &HeaderMap) -> Option<Scheme> {
    scheme_of(first(headers.get(&PROTO)?))
}

pub(super) fn scheme_of(scheme: &str) -> Option<Scheme> {
    // Some proxies write the WebSocket schemes here.
    if ["https", "wss"]
        .iter()
        .any(|name| scheme.eq_ignore_ascii_case(name))
    {
        Some(Scheme::Https)
    } else if ["http", "ws"]
        .iter()
        .any(|name| scheme.eq_ignore_ascii_case(name))
    {
        Some(Scheme::Http)
    } else {
        None
    }
}

pub(super) fn believed_host(headers: &HeaderMap) -> Option<&str> {
    Some(first(headers.get(&HOST)?)).filter(|host| !host.is_empty())
}

pub(super) fn first(value: &HeaderValue) -> &str {
    value
        .to_str()
        .unwrap_or("")
        .split(',')
        .next()
        .unwrap_or("")
        .trim()
}

/// The port written in an authority; the brackets of an IPv6 address hold none.
pub(super) fn port_of(host: &[u8]) -> Option<u16> {
    let digits = host.iter().rev().take_while(|byte| byte.is_ascii_digit());
    let (before, digits) = host.split_at(host.len() - digits.count());
    if before.last() != Some(&b':') || digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u16, |port, digit| {
        port.checked_mul(10)?.checked_add((digit - b'0').into())
    })
}

/// The client's address for logs and limits: the rightmost in the chain that no trusted
/// proxy has, so that what a client writes in front of it does not count. Gives the same
/// before and after [`apply`](super::apply). `None`: only a unix socket is known.
pub fn client_ip(
    headers: &HeaderMap,
    policy: &ForwardingPolicy,
    peer: &PeerFields,
) -> Option<IpAddr> {
    if !peer.trusted {
        return peer.address;
    }
    if rfc7239::is_believed(headers) {
        return rightmost(rfc7239::addresses(headers), policy, peer);
    }
    // Bytes, so that one element that is not text does not hide those after it. Empty ones
    // mean nothing (RFC 9110 section 5.6.1).
    let lines = headers.get_all(&FOR).iter().rev();
    let elements = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    let elements = elements.map(<[u8]>::trim_ascii).filter(|e| !e.is_empty());
    let address = |element| parse_address(std::str::from_utf8(element).ok()?);
    rightmost(elements.map(address), policy, peer)
}

/// The first address of a chain, read from the right, that no trusted proxy has. What is no
/// address ends the chain.
fn rightmost(
    chain: impl Iterator<Item = Option<IpAddr>>,
    policy: &ForwardingPolicy,
    peer: &PeerFields,
) -> Option<IpAddr> {
    let mut client = peer.address;
    for address in chain {
        if address.is_none() {
            break;
        }
        client = address;
        if address.is_some_and(|address| !policy.trusts(address)) {
            break;
        }
    }
    client
}
