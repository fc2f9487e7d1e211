//! What trusted peers say about the client: the public URL and the client's address. Only reads
//! fields.

use std::net::{IpAddr, SocketAddr};

use http::header::{self, HeaderMap, HeaderValue};

use super::peer::PeerFields;
use super::policy::{FOR, ForwardingPolicy, HOST, PORT, PROTO};
use crate::config::Scheme;

/// The scheme and the authority (host, and port where one was written) of the URL that the
/// client used: what a trusted peer says, else the listener's scheme and `host`. Gives the
/// same before and after [`apply`](super::apply). `None`: HTTP/1.0 without `Host`.
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
    let forwarded = || {
        let line = headers.get(header::FORWARDED)?.to_str().ok()?;
        let (_, host) = line
            .split(',')
            .next()?
            .split(';')
            .filter_map(|pair| pair.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("host"))?;
        port_of(host.trim().trim_matches('"').as_bytes())
    };
    said.or_else(forwarded)
}

/// Lists of schemes and hosts begin at the client by convention, so the first one counts. A
/// browser cannot be made to send these fields, so forging one helps against no Origin check.
pub(super) fn believed_scheme(headers: &HeaderMap) -> Option<Scheme> {
    let scheme = first(headers.get(&PROTO)?);
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
    let colon = memchr::memrchr(b':', host)?;
    let port = &host[colon + 1..];
    std::str::from_utf8(port)
        .ok()
        .filter(|_| !port.contains(&b']'))?
        .parse()
        .ok()
}

/// The client's address for logs and limits: the rightmost in the chain that no trusted
/// proxy has, so that what a client writes in front of it does not count. Gives the same
/// before and after [`apply`](super::apply). `None`: only a unix socket is known.
pub fn client_ip(
    headers: &HeaderMap,
    policy: &ForwardingPolicy,
    peer: &PeerFields,
) -> Option<IpAddr> {
    let mut client = peer.address;
    if !peer.trusted {
        return client;
    }
    for line in headers.get_all(&FOR).iter().rev() {
        // Bytes, so that one element that is not text does not hide those after it. Empty ones
        // mean nothing (RFC 9110 section 5.6.1).
        let elements = line.as_bytes().rsplit(|byte| *byte == b',');
        for element in elements.map(<[u8]>::trim_ascii).filter(|e| !e.is_empty()) {
            let text = std::str::from_utf8(element).ok();
            let Some(address) = text.and_then(parse_address) else {
                return client;
            };
            client = Some(address);
            if !policy.trusts(address) {
                return client;
            }
        }
    }
    client
}

/// An address, bare or in brackets, with or without a port.
fn parse_address(text: &str) -> Option<IpAddr> {
    let bare = text.parse().ok();
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = || Some(text.parse::<SocketAddr>().ok()?.ip());
    bare.or_else(bracketed)
        .or_else(with_port)
        .map(|address| address.to_canonical())
}
