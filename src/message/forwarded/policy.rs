//! The configuration of forwarded fields: which peers are believed, and what upstreams are told.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Version;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

use crate::config::HttpConfig;
use crate::message::spelling::usual;

pub(super) static FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) static PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(super) static HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(super) static PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// The fields in which proxies tell of the client.
pub static CLAIMS: [HeaderName; 4] = [
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    header::FORWARDED,
];

/// Whether that is the name of one of [`CLAIMS`].
#[inline]
pub fn is_claim(name: &str) -> bool {
    matches!(
        name,
        "x-forwarded-proto" | "x-forwarded-for" | "x-forwarded-host" | "forwarded"
    )
}

/// The configuration's part; made once, shared by all connections.
#[derive(Debug, Clone)]
pub struct ForwardingPolicy {
    trusted: Vec<IpNet>,
    pub(super) forwarded: bool,
    /// `Via` for HTTP/1.1 and HTTP/1.0.
    pub(super) via: Option<[HeaderValue; 2]>,
    pub(super) request_id: Option<HeaderName>,
    /// That name as it is written.
    pub(super) request_id_spelled: Vec<u8>,
}

impl ForwardingPolicy {
    /// Takes its part of the configuration. A `via` that no header can hold counts as none.
    pub fn new(http: &HttpConfig) -> Self {
        let via = http.via.as_ref().and_then(|pseudonym| {
            let line = |version| HeaderValue::try_from(format!("{version} {pseudonym}")).ok();
            Some([line("1.1")?, line("1.0")?])
        });
        // The one name that the configuration spells here.
        let configured = http.spelling.strip_suffix(b":\n").map(<[u8]>::to_vec);
        let request_id = http.request_id.as_ref();
        let usual = || request_id.map(|name| usual(name.as_str().as_bytes()));
        ForwardingPolicy {
            trusted: http.trusted_proxies.clone(),
            forwarded: http.forwarded,
            via,
            request_id: http.request_id.clone(),
            request_id_spelled: configured.or_else(usual).unwrap_or_default(),
        }
    }

    /// Whether an address is one of `trusted_proxies`. One of IPv4 is also in the networks of IPv6
    /// that hold its mapped form, such as `::/0`.
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted.iter().any(|net| match (net, address) {
            (IpNet::V6(net), IpAddr::V4(address)) => net.contains(&address.to_ipv6_mapped()),
            _ => net.contains(&address),
        })
    }

    /// Whether a peer is believed; `None`: one on a unix socket, which is where one of this machine's
    /// loopback would be.
    pub fn trusts_peer(&self, peer: Option<IpAddr>) -> bool {
        match peer {
            Some(address) => self.trusts(address),
            None => {
                self.trusts(Ipv4Addr::LOCALHOST.into()) || self.trusts(Ipv6Addr::LOCALHOST.into())
            }
        }
    }

    /// Appends our `Via`, if one is configured, to a message received in `version`.
    pub fn append_via(&self, headers: &mut HeaderMap, version: Version) {
        if let Some([http11, http10]) = &self.via {
            let via = if version == Version::HTTP_10 {
                http10
            } else {
                http11
            };
            headers.append(header::VIA, via.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_known_by_name() {
        assert!(CLAIMS.iter().all(|claim| is_claim(claim.as_str())));
        assert!(!is_claim("x-forwarded-port") && !is_claim("via"));
    }
}
