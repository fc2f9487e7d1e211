//! What sluice tells an upstream about the client: `X-Forwarded-*`, `Forwarded` (RFC 7239),
//! `Via` (RFC 9110 section 7.6.3) and the request id; and whose word about it sluice takes.
//! Hop-by-hop fields are gone before this; see `headers`.
//!
//! A peer in `trusted_proxies` is believed, judged by its socket address alone. A peer on a
//! unix socket has no address; it is on this machine, so it is trusted exactly where
//! loopback (127.0.0.1 or ::1) is. Only the `X-Forwarded-*` fields decide anything here: a
//! trusted proxy that writes them often passes a client's `Forwarded` on as it came.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::OnceLock;

use http::Version;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

use crate::config::{HttpConfig, Scheme};

static FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// Longest request id taken from a trusted peer, in bytes.
const MAX_REQUEST_ID: usize = 128;

/// The configuration's part; made once, shared by all connections.
#[derive(Debug, Clone)]
pub struct ForwardingPolicy {
    trusted: Vec<IpNet>,
    forwarded: bool,
    /// `Via` for HTTP/1.1 and HTTP/1.0.
    via: Option<[HeaderValue; 2]>,
    request_id: Option<HeaderName>,
}

impl ForwardingPolicy {
    /// Takes its part of the configuration. A `via` that no header can hold counts as none.
    pub fn new(http: &HttpConfig) -> Self {
        let via = http.via.as_ref().and_then(|pseudonym| {
            let line = |version| HeaderValue::try_from(format!("{version} {pseudonym}")).ok();
            Some([line("1.1")?, line("1.0")?])
        });
        ForwardingPolicy {
            trusted: http.trusted_proxies.clone(),
            forwarded: http.forwarded,
            via,
            request_id: http.request_id.clone(),
        }
    }

    /// Whether an address is one of `trusted_proxies`.
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted.iter().any(|net| net.contains(&address))
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

/// A connection's part; made once when it is accepted. Its values are cheap to clone.
#[derive(Debug, Clone)]
pub struct PeerFields {
    address: Option<IpAddr>,
    trusted: bool,
    scheme: Scheme,
    /// The peer's address as `X-Forwarded-For` has it.
    chain: Option<HeaderValue>,
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
        let trusted = match address {
            Some(address) => policy.trusts(address),
            None => {
                policy.trusts(Ipv4Addr::LOCALHOST.into())
                    || policy.trusts(Ipv6Addr::LOCALHOST.into())
            }
        };
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

    /// The peer's forwarded fields are believed.
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
    fn port_value(&self, port: u16) -> HeaderValue {
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
struct Ipv4Text {
    text: [u8; 15],
    len: usize,
}

impl Ipv4Text {
    fn of(address: Ipv4Addr) -> Self {
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

    fn as_bytes(&self) -> &[u8] {
        &self.text[..self.len]
    }
}

/// Writes a number to the front of `out`, which has room for it; returns its length.
fn decimal(number: u16, out: &mut [u8]) -> usize {
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

/// A request's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestId {
    /// Made here. Kept as it is: most ids are needed on the wire only.
    Made([u8; 32]),
    /// A field's value.
    Field(HeaderValue),
}

impl RequestId {
    /// The id.
    pub fn as_str(&self) -> &str {
        match self {
            RequestId::Made(text) => std::str::from_utf8(text).unwrap_or(""),
            RequestId::Field(value) => value.to_str().unwrap_or(""),
        }
    }

    /// The id as a field's value.
    pub fn to_value(&self) -> HeaderValue {
        match self {
            RequestId::Made(text) => {
                HeaderValue::from_bytes(text).unwrap_or(HeaderValue::from_static("0"))
            }
            RequestId::Field(value) => value.clone(),
        }
    }
}

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

/// Replaces what the client says about itself by what sluice knows, keeping a trusted peer's
/// word, and returns the request id. `Host` must be the effective one (RFC 9112 section
/// 3.2.2). Spellings other than the canonical (`x_forwarded_for`) go whoever sent them.
pub fn apply(headers: &mut HeaderMap, forwarding: &Forwarding<'_>) -> Option<HeaderValue> {
    let Forwarding {
        policy,
        peer,
        version,
    } = *forwarding;
    remove_claims(headers, peer.trusted);
    let host = headers.get(header::HOST).cloned();
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
        if let Some(host) = host.as_ref().filter(|host| !host.is_empty()) {
            headers.insert(&HOST, host.clone());
        }
    }
    if policy.forwarded {
        add_forwarded(headers, peer, host.as_ref());
    }
    policy.append_via(headers, version);
    request_id(headers, policy, peer)
}

/// Whether [`write_direct`] does all that [`apply`] would: nobody is believed, and neither
/// `Forwarded` nor `Via` is sent.
pub fn is_direct(policy: &ForwardingPolicy, peer: &PeerFields) -> bool {
    !peer.trusted && !policy.forwarded && policy.via.is_none()
}

/// Whether a client's field gives way to one of ours.
#[inline]
pub fn gives_way(policy: &ForwardingPolicy, name: &HeaderName) -> bool {
    claim(name.as_str().as_bytes()).is_some() || policy.request_id.as_ref() == Some(name)
}

/// What [`apply`] would put into the map, written straight behind a request's other lines,
/// from which [`gives_way`] has taken the client's; `host` is the client's Host, and `field`
/// writes one line, its name given in lower case. Returns the request id. Only where
/// [`is_direct`].
pub fn write_direct(
    out: &mut Vec<u8>,
    policy: &ForwardingPolicy,
    peer: &PeerFields,
    host: Option<&HeaderValue>,
    field: impl Fn(&mut Vec<u8>, &[u8], &[u8]),
) -> Option<RequestId> {
    let port = host.and_then(|host| port_of(host.as_bytes()));
    let mut digits = [0; 5];
    let len = decimal(port.unwrap_or(peer.scheme.default_port()), &mut digits);
    field(out, b"x-forwarded-port", &digits[..len]);
    field(out, b"x-forwarded-proto", peer.scheme.as_str().as_bytes());
    if let Some(chain) = &peer.chain {
        field(out, b"x-forwarded-for", chain.as_bytes());
    }
    if let Some(host) = host.filter(|host| !host.is_empty()) {
        field(out, b"x-forwarded-host", host.as_bytes());
    }
    let name = policy.request_id.as_ref()?;
    let id = new_request_id();
    field(out, name.as_str().as_bytes(), &id);
    Some(RequestId::Made(id))
}

/// Removes the client's copies of everything that belongs to us; of a trusted peer only the
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

/// Keeps what a trusted peer says, adds the peer itself to the chain and fills the gaps.
#[cold]
fn add_believed(headers: &mut HeaderMap, peer: &PeerFields, host: Option<&HeaderValue>) {
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
    // Made of valid values; if that were wrong, our own word is the one to keep.
    HeaderValue::try_from(list).unwrap_or_else(|_| last.clone())
}

/// The element for this hop (RFC 7239 section 4), behind a trusted peer's own.
fn add_forwarded(headers: &mut HeaderMap, peer: &PeerFields, host: Option<&HeaderValue>) {
    let mut element = String::with_capacity(96);
    // Writing to a String cannot fail.
    let _ = match peer.address {
        Some(IpAddr::V4(address)) => write!(element, "for={address}"),
        Some(IpAddr::V6(address)) => write!(element, "for=\"[{address}]\""),
        None => write!(element, "for=unknown"),
    };
    if let Some(host) = host.and_then(|host| host.to_str().ok()) {
        element.push_str(";host=\"");
        for char in host.chars() {
            if matches!(char, '"' | '\\') {
                element.push('\\');
            }
            element.push(char);
        }
        element.push('"');
    }
    element.push_str(";proto=");
    element.push_str(peer.scheme.as_str());
    if let Ok(element) = HeaderValue::try_from(element) {
        let value = joined(headers, &header::FORWARDED, &element);
        headers.insert(header::FORWARDED, value);
    }
}

/// Takes a trusted peer's id if it is sane, else makes one of 128 random bits.
fn request_id(
    headers: &mut HeaderMap,
    policy: &ForwardingPolicy,
    peer: &PeerFields,
) -> Option<HeaderValue> {
    let name = policy.request_id.as_ref()?;
    if peer.trusted
        && let Some(id) = headers.get(name)
        && (1..=MAX_REQUEST_ID).contains(&id.len())
        && id.as_bytes().iter().all(u8::is_ascii_graphic)
    {
        let id = id.clone();
        headers.insert(name, id.clone());
        return Some(id);
    }
    let id = RequestId::Made(new_request_id()).to_value();
    headers.insert(name, id.clone());
    Some(id)
}

/// 128 random bits in hexadecimal: unique, not secret.
fn new_request_id() -> [u8; 32] {
    let bits = fastrand::u128(..);
    let mut text = [0; 32];
    let (low, high) = text.split_at_mut(16);
    // Which bits stand where does not matter.
    low.copy_from_slice(&hexadecimal(bits & NIBBLES).to_ne_bytes());
    high.copy_from_slice(&hexadecimal((bits >> 4) & NIBBLES).to_ne_bytes());
    text
}

/// A half of every byte.
const NIBBLES: u128 = u128::from_ne_bytes([0x0f; 16]);

/// The digits for sixteen bytes below 16, all at once: no byte's sum reaches its neighbour.
fn hexadecimal(nibbles: u128) -> u128 {
    let each = |byte: u8| u128::from_ne_bytes([byte; 16]);
    let letters = ((nibbles + each(6)) >> 4) & each(1);
    nibbles + each(b'0') + letters * u128::from(b'a' - b'0' - 10)
}

/// The scheme and the authority (host, and port where one was written) of the URL that the
/// client used: what a trusted peer says, else the listener's scheme and `host`. Gives the
/// same before and after [`apply`]. `None`: HTTP/1.0 without `Host`.
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

/// Lists of schemes and hosts begin at the client by convention, so the first one counts. A
/// browser cannot be made to send these fields, so forging one helps against no Origin check.
fn believed_scheme(headers: &HeaderMap) -> Option<Scheme> {
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

fn believed_host(headers: &HeaderMap) -> Option<&str> {
    Some(first(headers.get(&HOST)?)).filter(|host| !host.is_empty())
}

fn first(value: &HeaderValue) -> &str {
    value
        .to_str()
        .unwrap_or("")
        .split(',')
        .next()
        .unwrap_or("")
        .trim()
}

/// The port written in an authority; the brackets of an IPv6 address hold none.
fn port_of(host: &[u8]) -> Option<u16> {
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
/// before and after [`apply`]. `None`: nothing but a unix socket is known.
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
        for element in line.to_str().unwrap_or("?").rsplit(',') {
            let Some(address) = parse_address(element.trim()) else {
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

#[cfg(test)]
mod tests;
