//! Fuzz body of the fields that say something about the client or belong to one connection:
//! `X-Forwarded-*` and `Forwarded`, the request id, hop marks, `Connection`. The first byte
//! chooses who sends them and what is configured, the rest are field lines.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, HeaderValue, Version};
use sluice::config::{HttpConfig, Scheme};
use sluice::message::forwarded::{
    Forwarding, ForwardingPolicy, PeerFields, apply, client_ip, gives_way, is_direct,
    public_authority, public_port, write_direct,
};
use sluice::message::headers::strip_hop_by_hop;
use sluice::message::octets::is_host;
use sluice::route::hop::{Hops, Mark};

/// Runs one input.
pub fn run(data: &[u8]) {
    let Some((&choice, lines)) = data.split_first() else {
        return;
    };
    let mut headers = fields(lines);
    // The scanner of requests has let one Host pass, of these bytes only.
    let host = headers.remove("host");
    let is_sound = |byte: &u8| is_host(*byte) || b":[]".contains(byte);
    if let Some(host) = host.filter(|host| host.as_bytes().iter().all(is_sound)) {
        headers.insert("host", host);
    }
    hops(headers.clone());
    let mut stripped = headers.clone();
    strip_hop_by_hop(&mut stripped);
    let once = stripped.clone();
    strip_hop_by_hop(&mut stripped);
    assert_eq!(stripped, once, "what is stripped has nothing to strip");
    for name in ["connection", "upgrade", "keep-alive", "transfer-encoding"] {
        assert!(!once.contains_key(name), "{name}");
    }
    forwarded(choice, once);
}

/// Lines of `name: value`; those that are none are left out.
fn fields(lines: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n').take(64) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}

/// What a route adds is found again by that route alone.
fn hops(mut headers: HeaderMap) {
    let name = HeaderName::from_static("sluice-hops");
    let (here, there) = (Mark::of("here"), Mark::of("there"));
    let hops = Hops::take(&mut headers);
    assert!(!headers.contains_key(&name));
    let mut value = Vec::new();
    hops.with(&here, |bytes| value.extend_from_slice(bytes));
    let value = HeaderValue::from_bytes(&value).expect("marks are hexadecimal");
    headers.insert(name, value);
    let next = Hops::take(&mut headers);
    assert!(next.check(&here).is_err(), "{next:?}");
    assert!(next.check(&there).is_ok() || format!("{hops:?}").len() > 31 * 16);
}

fn forwarded(choice: u8, headers: HeaderMap) {
    let bit = |bit: u8| choice & (1 << bit) != 0;
    let http = HttpConfig {
        trusted_proxies: vec!["127.0.0.0/8".parse().expect("a net")],
        forwarded: bit(1),
        via: bit(2).then(|| "sluice".to_owned()),
        request_id: bit(3).then(|| HeaderName::from_static("x-request-id")),
        ..HttpConfig::default()
    };
    let policy = ForwardingPolicy::new(&http);
    let address: IpAddr = match (bit(0), bit(4)) {
        (true, _) => "127.0.0.2".parse().expect("an address"),
        (false, true) => "2001:db8::7".parse().expect("an address"),
        (false, false) => "192.0.2.7".parse().expect("an address"),
    };
    let socket = (!bit(5)).then(|| SocketAddr::new(address, 4000));
    let scheme = match bit(6) {
        true => Scheme::Https,
        false => Scheme::Http,
    };
    let peer = PeerFields::new(&policy, socket, 8080, scheme);
    let host = headers.get("host").cloned();
    let before = client_ip(&headers, &policy, &peer);
    let _ = public_port(&headers, &peer);
    let mut told = headers.clone();
    let forwarding = Forwarding {
        policy: &policy,
        peer: &peer,
        version: Version::HTTP_11,
    };
    let id = apply(&mut told, &forwarding);
    let after = client_ip(&told, &policy, &peer);
    assert_eq!(before, after, "{headers:?} became {told:?}");
    // A peer that is believed may have said it in `Forwarded`, which is gone.
    if !headers.contains_key("forwarded") {
        assert_eq!(
            authority(&headers, &peer, host.as_ref()),
            authority(&told, &peer, host.as_ref()),
        );
    }
    assert!(bit(1) || !told.contains_key("forwarded"), "{told:?}");
    check(&told, &peer, bit(1));
    assert_eq!(id.as_ref(), told.get("x-request-id").filter(|_| bit(3)));
    if is_direct(&policy, &peer) {
        direct(&headers, &told, &policy, &peer);
    }
}

fn authority(
    headers: &HeaderMap,
    peer: &PeerFields,
    host: Option<&HeaderValue>,
) -> (&'static str, Option<String>) {
    let (scheme, authority) = public_authority(headers, peer, host);
    (scheme.as_str(), authority.map(str::to_owned))
}

fn check(told: &HeaderMap, peer: &PeerFields, forwarded: bool) {
    let one = |name: &str| told.get_all(name).iter().count() == 1;
    for name in ["x-forwarded-proto", "x-forwarded-port"] {
        assert!(one(name) || peer.is_trusted(), "{name} in {told:?}");
    }
    if let Some(own) = peer.address_text() {
        assert!(one("x-forwarded-for"), "{told:?}");
        let chain = told["x-forwarded-for"].as_bytes();
        assert!(chain.ends_with(own.as_bytes()), "{chain:?}");
        assert!(peer.is_trusted() || chain == own.as_bytes());
    }
    for name in told.keys() {
        let plain = name.as_str().replace(['_', '.', '~', '!', '\''], "-");
        let alias = plain.starts_with("x-forwarded") && plain != name.as_str();
        assert!(!alias, "{name}");
    }
    if forwarded {
        assert!(told.get_all("forwarded").iter().count() <= 1);
        if let Some(value) = told.get("forwarded") {
            assert!(is_forwarded(value.as_bytes()), "{value:?}");
        }
    }
}

/// RFC 7239 section 4: a list of elements of pairs, whose values are tokens or quoted.
fn is_forwarded(value: &[u8]) -> bool {
    let (mut quoted, mut escaped) = (false, false);
    let mut outside = Vec::new();
    for &byte in value {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            byte => outside.push(byte),
        }
    }
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"=;, .-_".contains(byte);
    let elements = outside.split(|byte| *byte == b',');
    !quoted
        && outside.iter().all(is_plain)
        && elements
            .clone()
            .all(|e| e.trim_ascii().starts_with(b"for="))
}

/// The short way says what the long one does.
fn direct(headers: &HeaderMap, told: &HeaderMap, policy: &ForwardingPolicy, peer: &PeerFields) {
    let mut out = Vec::new();
    for (name, value) in headers {
        if !gives_way(policy, name) {
            line(&mut out, name.as_ref(), value.as_bytes());
        }
    }
    let _ = write_direct(&mut out, policy, peer, headers.get("host"));
    let mut direct = fields(&out);
    let mut told = told.clone();
    // `fields` reads no more than so many lines.
    if headers.len() >= 48 {
        return;
    }
    // It is another random number each time.
    assert_eq!(
        direct.remove("x-request-id").is_some(),
        told.remove("x-request-id").is_some()
    );
    assert_eq!(direct, told);
}

fn line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    for part in [name, b": ", value, b"\n"] {
        out.extend_from_slice(part);
    }
}
