//! Forwarded fields for untrusted, trusted and unix-socket peers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use proptest::prelude::*;

use super::peer::Ipv4Text;
use super::request_id::hexadecimal;
use super::*;

mod sent_forwarded;

use crate::config::{HttpConfig, Scheme};

fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(&[name, b": ", value, b"\r\n"].concat());
}

fn config() -> HttpConfig {
    let nets = ["10.0.0.0/8", "127.0.0.0/8", "fd00::/8"];
    HttpConfig {
        trusted_proxies: nets.iter().map(|net| net.parse().unwrap()).collect(),
        forwarded: true,
        via: Some("sluice".into()),
        ..HttpConfig::default()
    }
}

fn map(fields: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            value.parse().unwrap(),
        );
    }
    map
}

struct Result {
    headers: HeaderMap,
    id: Option<HeaderValue>,
    authority: (Scheme, Option<String>),
    client: Option<IpAddr>,
}

impl Result {
    fn all(&self, name: &str) -> Vec<&str> {
        self.headers
            .get_all(name)
            .iter()
            .map(|value| value.to_str().unwrap())
            .collect()
    }
}

/// Applies, and checks that the client is the same before and after, and that the authority is
/// where it was not said in `Forwarded`.
fn run(config: &HttpConfig, peer: Option<&str>, fields: &[(&str, &str)]) -> Result {
    let policy = ForwardingPolicy::new(config);
    let peer = peer.map(|peer| SocketAddr::new(peer.parse().unwrap(), 5000));
    let peer = PeerFields::new(&policy, peer, 8080, Scheme::Http);
    let mut headers = map(fields);
    let look = |headers: &HeaderMap| {
        let (scheme, host) = public_authority(headers, &peer, headers.get(header::HOST));
        (
            (scheme, host.map(String::from)),
            client_ip(headers, &policy, &peer),
        )
    };
    let before = look(&headers);
    let forwarding = Forwarding {
        policy: &policy,
        peer: &peer,
        version: Version::HTTP_11,
    };
    let translated = peer.trusted && rfc7239::is_believed(&headers);
    let id = apply(&mut headers, &forwarding);
    let after = look(&headers);
    assert_eq!(after.1, before.1);
    assert!(after.0 == before.0 || translated);
    Result {
        headers,
        id,
        authority: after.0,
        client: after.1,
    }
}

const CLAIMS: &[(&str, &str)] = &[
    ("host", "app.example:8443"),
    ("x-forwarded-for", "6.6.6.6"),
    ("x-forwarded-for", "10.6.6.6, 10.1.1.1"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "evil.example"),
    ("x-forwarded-port", "1"),
    ("x-forwarded-server", "evil"),
    ("x-forwarded-prefix", "/evil"),
    ("x-forwarded-ssl", "on"),
    ("x-real-ip", "6.6.6.6"),
    ("forwarded", "for=6.6.6.6"),
    ("x_forwarded_for", "6.6.6.6"),
    ("x-forwarded_for", "6.6.6.6"),
    ("x_forwarded-proto", "https"),
    ("x_real_ip", "6.6.6.6"),
    ("x-request-id", "theirs"),
    ("via", "1.0 other"),
    ("x-frame", "kept"),
    ("x-fo", "kept"),
];

#[test]
fn an_untrusted_peer_is_not_believed() {
    let result = run(&config(), Some("192.0.2.1"), CLAIMS);
    assert_eq!(result.all("x-forwarded-for"), ["192.0.2.1"]);
    assert_eq!(result.all("x-forwarded-proto"), ["http"]);
    assert_eq!(result.all("x-forwarded-host"), ["app.example:8443"]);
    assert_eq!(result.all("x-forwarded-port"), ["8443"]);
    assert_eq!(
        result.all("forwarded"),
        ["for=192.0.2.1;proto=http;host=\"app.example:8443\""]
    );
    assert_eq!(result.all("via"), ["1.0 other", "1.1 sluice"]);
    let id = result.id.clone().unwrap();
    assert_eq!(result.all("x-request-id"), [id.to_str().unwrap()]);
    assert!(id.len() == 32 && id.as_bytes().iter().all(u8::is_ascii_hexdigit));
    assert_eq!(result.headers.keys_len(), 10, "{:?}", result.headers);
    assert_eq!(
        result.authority,
        (Scheme::Http, Some("app.example:8443".into()))
    );
    assert_eq!(result.client, Some("192.0.2.1".parse().unwrap()));
}

#[test]
fn a_trusted_peer_is_believed_and_appended() {
    let result = run(&config(), Some("::ffff:10.0.0.2"), CLAIMS);
    assert_eq!(
        result.all("x-forwarded-for"),
        ["6.6.6.6, 10.6.6.6, 10.1.1.1, 10.0.0.2"]
    );
    assert_eq!(result.all("x-forwarded-proto"), ["https"]);
    assert_eq!(result.all("x-forwarded-host"), ["evil.example"]);
    assert_eq!(result.all("x-forwarded-port"), ["1"]);
    assert_eq!(result.all("x-real-ip"), ["6.6.6.6"]);
    let forwarded = "for=6.6.6.6;proto=https;host=\"evil.example\", for=10.6.6.6, for=10.1.1.1, \
                     for=10.0.0.2";
    assert_eq!(result.all("forwarded"), [forwarded]);
    assert_eq!(result.all("x-request-id"), ["theirs"]);
    assert_eq!(result.id.unwrap(), "theirs");
    assert!(
        !result
            .headers
            .keys()
            .any(|name| name.as_str().contains('_'))
    );
    assert_eq!(
        result.authority,
        (Scheme::Https, Some("evil.example".into()))
    );
    assert_eq!(result.client, Some("6.6.6.6".parse().unwrap()));
}

#[test]
fn the_client_is_the_rightmost_untrusted_address() {
    let client = |chain: &str| {
        run(&config(), Some("10.0.0.2"), &[("x-forwarded-for", chain)])
            .client
            .unwrap()
            .to_string()
    };
    assert_eq!(client("6.6.6.6, 192.0.2.7"), "192.0.2.7");
    assert_eq!(client("192.0.2.7, 10.3.3.3"), "192.0.2.7");
    assert_eq!(client("6.6.6.6, junk, 10.3.3.3"), "10.3.3.3");
    assert_eq!(client("10.4.4.4,10.3.3.3"), "10.4.4.4");
    assert_eq!(client("[2001:db8::1]:99, 10.3.3.3:80"), "2001:db8::1");
    assert_eq!(client(""), "10.0.0.2");
    assert_eq!(client("6.6.6.6, 192.0.2.7, , 10.3.3.3,"), "192.0.2.7");
}

#[test]
fn lines_of_a_chain_are_one_chain() {
    // What is no text ends the chain, and hides nothing that came after it.
    for (lines, client) in [
        (["192.0.2.7", ""], "192.0.2.7"),
        (["é", "10.3.3.3"], "10.3.3.3"),
    ] {
        let fields = lines.map(|line| ("x-forwarded-for", line));
        let result = run(&config(), Some("10.0.0.2"), &fields);
        assert_eq!(result.client, client.parse().ok());
    }
}

#[test]
fn gaps_in_a_trusted_word_are_filled() {
    let fields = [
        ("host", "a"),
        ("x-forwarded-proto", "wss"),
        ("x-forwarded-port", "x"),
    ];
    let result = run(&config(), Some("10.0.0.2"), &fields);
    assert_eq!(result.all("x-forwarded-port"), ["443"]);
    assert_eq!(result.all("x-forwarded-host"), ["a"]);
    assert_eq!(result.authority, (Scheme::Https, Some("a".into())));
    let result = run(
        &config(),
        Some("10.0.0.2"),
        &[("host", "[::1]"), ("x-forwarded-proto", "ftp")],
    );
    assert_eq!(result.all("x-forwarded-proto"), ["http"]);
    assert_eq!(result.all("x-forwarded-port"), ["80"]);
}

#[test]
fn insane_ids_of_a_trusted_peer_are_replaced() {
    for id in ["", "a b", "\u{fc}", &"x".repeat(129)] {
        let result = run(&config(), Some("10.0.0.2"), &[("x-request-id", id)]);
        assert_eq!(result.id.unwrap().len(), 32, "{id:?}");
    }
    let off = HttpConfig {
        request_id: None,
        ..config()
    };
    let result = run(&off, Some("192.0.2.1"), &[("x-request-id", "a")]);
    assert_eq!(
        (result.id.is_none(), result.all("x-request-id")),
        (true, vec!["a"])
    );
}

#[test]
fn forwarded_says_what_the_other_fields_say() {
    let forwarded = |fields: &[(&str, &str)]| {
        let result = run(&config(), Some("10.0.0.2"), fields);
        result.all("forwarded").join("|")
    };
    let vouched = [
        ("host", "internal"),
        ("x-forwarded-for", "203.0.113.7"),
        ("x-forwarded-proto", "https"),
    ];
    assert_eq!(
        forwarded(&vouched),
        "for=203.0.113.7;proto=https;host=\"internal\", for=10.0.0.2"
    );
    // A client's own, which the peer passed on, says nothing.
    let with_a_claim = [&vouched[..], &[("forwarded", "for=6.6.6.6;proto=http")]].concat();
    assert_eq!(forwarded(&with_a_claim), forwarded(&vouched));
    for (node, written) in [
        ("2001:db8::7", "\"[2001:db8::7]\""),
        ("[2001:db8::7]", "\"[2001:db8::7]\""),
        ("[2001:db8::7]:4711", "\"[2001:db8::7]:4711\""),
        ("203.0.113.7:4711", "\"203.0.113.7:4711\""),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("_hidden", "unknown"),
        ("a;proto=https", "unknown"),
    ] {
        assert_eq!(
            forwarded(&[("host", "a"), ("x-forwarded-for", node)]),
            format!("for={written};proto=http;host=\"a\", for=10.0.0.2"),
        );
    }
}

#[test]
fn ipv6_is_quoted_in_forwarded_only() {
    let result = run(&config(), Some("2001:db8::1"), &[("host", "[::1]:8080")]);
    assert_eq!(result.all("x-forwarded-for"), ["2001:db8::1"]);
    assert_eq!(result.all("x-forwarded-port"), ["8080"]);
    let forwarded = "for=\"[2001:db8::1]\";proto=http;host=\"[::1]:8080\"";
    assert_eq!(result.all("forwarded"), [forwarded]);
}

#[test]
fn a_unix_peer_is_trusted_where_loopback_is() {
    let fields = [("host", "a"), ("x-forwarded-for", "192.0.2.7")];
    let result = run(&config(), None, &fields);
    assert_eq!(result.all("x-forwarded-for"), ["192.0.2.7"]);
    assert_eq!(result.client, Some("192.0.2.7".parse().unwrap()));
    let result = run(
        &HttpConfig {
            forwarded: true,
            ..HttpConfig::default()
        },
        None,
        &fields,
    );
    assert!(result.all("x-forwarded-for").is_empty());
    assert_eq!(
        result.all("forwarded"),
        ["for=unknown;proto=http;host=\"a\""]
    );
    assert_eq!(result.client, None);
}

#[test]
fn by_default_neither_forwarded_nor_via_is_sent() {
    let result = run(
        &HttpConfig::default(),
        Some("10.0.0.2"),
        &[("host", "a"), ("forwarded", "for=x")],
    );
    assert!(result.all("forwarded").is_empty() && result.all("via").is_empty());
    assert_eq!(result.all("x-forwarded-for"), ["10.0.0.2"]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_spelling_of_a_claim_survives(
        suffix in prop::sample::select(vec!["for", "proto", "host", "x", "client-cert", ""]),
        marks in prop::collection::vec(prop::sample::select(vec!["-", "_", ".", "~"]), 2),
    ) {
        let name = format!("X{}Forwarded{}{suffix}", marks[0], marks[1]);
        let result = run(&config(), Some("192.0.2.1"), &[(&name, "6.6.6.6")]);
        for value in result.headers.values() {
            prop_assert!(value != "6.6.6.6", "{}", name);
        }
    }
}

#[test]
fn written_directly_is_what_apply_puts_into_the_map() {
    let http = HttpConfig::default();
    let policy = ForwardingPolicy::new(&http);
    let peer = PeerFields::new(
        &policy,
        Some("192.0.2.7:4711".parse().unwrap()),
        8080,
        Scheme::Http,
    );
    assert!(is_direct(&policy, &peer));
    let mut request = HeaderMap::new();
    for (name, value) in [
        ("host", "app.example.com:8080"),
        ("accept", "*/*"),
        ("x-forwarded-for", "1.1.1.1"),
        ("x_forwarded_proto", "https"),
        ("forwarded", "for=1.1.1.1"),
        ("x-request-id", "theirs"),
    ] {
        request.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_static(value),
        );
    }
    let mut out = Vec::new();
    for (name, value) in &request {
        if !gives_way(&policy, name) {
            write_field(&mut out, name.as_str().as_bytes(), value.as_bytes());
        }
    }
    let host = request.get(header::HOST);
    let id = write_direct(&mut out, &policy, &peer, host).unwrap();
    let id = id.to_value();
    let forwarding = Forwarding {
        policy: &policy,
        peer: &peer,
        version: Version::HTTP_11,
    };
    let mut applied = request.clone();
    applied.insert("x-request-id", id.clone());
    apply(&mut applied, &forwarding);
    applied.insert("x-request-id", id);
    let mut wanted: Vec<String> = applied
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    let mut written: Vec<String> = String::from_utf8(out)
        .unwrap()
        .lines()
        .map(|line| {
            let (name, value) = line.split_once(':').unwrap();
            format!("{}:{value}", name.to_ascii_lowercase())
        })
        .collect();
    wanted.sort();
    written.sort();
    assert_eq!(written, wanted);
}

#[test]
fn numbers_and_addresses_are_written_as_the_formatter_does() {
    for number in 0..=u16::MAX {
        let mut text = String::new();
        push_decimal(&mut text, number);
        assert_eq!(text, number.to_string());
    }
    for address in [
        Ipv4Addr::UNSPECIFIED,
        Ipv4Addr::BROADCAST,
        Ipv4Addr::new(1, 20, 100, 9),
        Ipv4Addr::LOCALHOST,
    ] {
        let text = Ipv4Text::of(address);
        assert_eq!(text.as_bytes(), address.to_string().as_bytes());
    }
}

#[test]
fn request_ids_are_hexadecimal_and_none_is_like_another() {
    let every: u128 = u128::from_ne_bytes(std::array::from_fn(|index| index as u8));
    assert_eq!(hexadecimal(every).to_ne_bytes(), *b"0123456789abcdef");
    let ids: std::collections::HashSet<[u8; 32]> = (0..1000).map(|_| fresh()).collect();
    assert_eq!(ids.len(), 1000);
    for id in ids {
        let id = RequestId::Made(id);
        assert!(id.as_str().bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_eq!(id.to_value(), id.as_str());
    }
}
