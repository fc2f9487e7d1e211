//! What is known of a connection's peer, made into header values once: its address, whether it is
//! trusted, and the port that it connected to.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::OnceLock;

use http::header::HeaderValue;

use super::policy::ForwardingPolicy;
use crate::config::Scheme;

/// A connection's part; made once when it is accepted. Its values are cheap to clone.
#[derive(Debug, Clone)]
pub struct PeerFields {
    pub(super) address: Option<IpAddr>,
    pub(super) trusted: bool,
    pub(super) scheme: Scheme,
    /// The peer's address as `X-Forwarded-For` has it.
    pub(super) chain: Option<HeaderValue>,
    local_port: u16,
    /// The local port as a value, once it was needed.
    port: OnceLock<HeaderValue>,
}

impl PeerFields {
    /// `peer` is the client's address (the one the PROXY protocol tells, where that is in
    /// use), `None` on a unix socket; `local_port` is the listener's, 0 on a unix socket.
    pub fn new(
        policy: &ForwardingPolicy,
        peer: Option<SocketAddr>,
        local_port: u16,
        scheme: Scheme,
    ) -> Self {
        let address = peer.map(|peer| peer.ip().to_canonical());
        let trusted = policy.trusts_peer(address);
        PeerFields {
            address,
            trusted,
            scheme,
            // An address is always a valid value.
            chain: address.and_then(|address| match address {
                IpAddr::V4(address) => {
                    HeaderValue::from_bytes(Ipv4Text::of(address).as_bytes()).ok()
                }
                IpAddr::V6(address) => HeaderValue::try_from(address.to_string()).ok(),
            }),
            local_port,
            port: OnceLock::new(),
        }
    }

    /// Whether the peer's forwarded fields are believed.
    pub fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// The peer's own address; `None` on a unix socket.
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// The peer's own address as text; `None` on a unix socket.
    pub fn address_text(&self) -> Option<&str> {
        self.chain.as_ref()?.to_str().ok()
    }

    /// A value for a port, made without allocation where it is a usual one.
    pub(super) fn port_value(&self, port: u16) -> HeaderValue {
        match port {
            80 => HeaderValue::from_static("80"),
            443 => HeaderValue::from_static("443"),
            port if port == self.local_port => {
                self.port.get_or_init(|| HeaderValue::from(port)).clone()
            }
            port => HeaderValue::from(port),
        }
    }
}

/// An IPv4 address as text, without the cost of a formatter.
pub(super) struct Ipv4Text {
    text: [u8; 15],
    len: usize,
}

impl Ipv4Text {
    pub(super) fn of(address: Ipv4Addr) -> Self {
        let mut this = Ipv4Text {
            text: [b'.'; 15],
            len: 0,
        };
        for (index, octet) in address.octets().into_iter().enumerate() {
            // The dot is there already.
            this.len += usize::from(index > 0);
            this.len += decimal(octet.into(), &mut this.text[this.len..]);
        }
        this
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.text[..self.len]
    }
}

/// Writes a number to the front of `out`, which has room for it; returns its length.
pub(super) fn decimal(number: u16, out: &mut [u8]) -> usize {
    let mut digits = [0; 5];
    let mut at = digits.len();
    let mut left = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    let digits = &digits[at..];
    out[..digits.len()].copy_from_slice(digits);
    digits.len()
}

/// Appends a number.
pub fn push_decimal(out: &mut String, number: u16) {
    let mut digits = [0; 5];
    let len = decimal(number, &mut digits);
    out.push_str(std::str::from_utf8(&digits[..len]).unwrap_or(""));
}
