//! `Forwarded` of a trusted peer (RFC 7239) that sends none of the `X-Forwarded-*` fields.

use super::*;

const PEER: &str = "10.0.0.2";

fn with(forwarded: bool, lines: &[&str], more: &[(&str, &str)]) -> Result {
    let config = HttpConfig {
        forwarded,
        ..config()
    };
    let mut fields = vec![("host", "inner")];
    fields.extend(lines.iter().map(|line| ("forwarded", *line)));
    fields.extend(more);
    run(&config, Some(PEER), &fields)
}

/// The chain that is sent, without the peer itself, and the client.
fn chain(line: &str) -> (String, String) {
    let result = with(false, &[line], &[]);
    let sent = result.all("x-forwarded-for").join("|");
    let sent = sent.trim_end_matches(PEER).trim_end_matches(", ");
    (sent.to_owned(), result.client.unwrap().to_string())
}

#[test]
fn what_it_says_counts_as_the_other_fields_would() {
    let line = "for=203.0.113.7;proto=https;host=\"pub.test\"";
    let result = with(false, &[line], &[]);
    assert_eq!(result.all("x-forwarded-for"), ["203.0.113.7, 10.0.0.2"]);
    assert_eq!(result.all("x-forwarded-proto"), ["https"]);
    assert_eq!(result.all("x-forwarded-host"), ["pub.test"]);
    assert_eq!(result.all("x-forwarded-port"), ["443"]);
    assert!(result.all("forwarded").is_empty());
    assert_eq!(result.client, "203.0.113.7".parse().ok());
    assert_eq!(result.authority, (Scheme::Https, Some("pub.test".into())));
    let result = with(true, &[line], &[]);
    assert_eq!(result.all("forwarded"), [format!("{line}, for=10.0.0.2")]);
    let spelt =
        "Host = \"pub.test:8443\" ;; PROTO=WSS; by=_x;secret=\"a,b;c\\\"\" ; For=203.0.113.7;";
    let result = with(false, &[spelt], &[]);
    assert_eq!(result.all("x-forwarded-for"), ["203.0.113.7, 10.0.0.2"]);
    assert_eq!(result.all("x-forwarded-proto"), ["https"]);
    assert_eq!(result.all("x-forwarded-host"), ["pub.test:8443"]);
    assert_eq!(result.all("x-forwarded-port"), ["8443"]);
}

#[test]
fn what_it_does_not_say_is_filled_in() {
    for line in [
        "",
        ",",
        "by=10.0.0.2",
        "proto=ftp",
        "host=\"a b\"",
        "host=\"\"",
        "junk",
        "for=1.1.1.1;for=2.2.2.2",
        "for =1.1.1.1 x",
        "f r=1.1.1.1;proto=https",
        "host=\"pub.test",
        "=https",
        "é=1;proto=https",
        "proto=",
    ] {
        let result = with(false, &[line], &[]);
        assert_eq!(result.all("x-forwarded-for"), [PEER], "{line}");
        assert_eq!(result.all("x-forwarded-proto"), ["http"], "{line}");
        assert_eq!(result.all("x-forwarded-host"), ["inner"], "{line}");
        assert_eq!(result.all("x-forwarded-port"), ["80"], "{line}");
        assert!(result.all("forwarded").is_empty(), "{line}");
        assert_eq!(result.client, PEER.parse().ok(), "{line}");
    }
}

#[test]
fn the_other_fields_win_whichever_is_there() {
    let line = "for=6.6.6.6;proto=https;host=evil.test";
    for (name, value) in [
        ("x-forwarded-for", "203.0.113.7"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "pub.test"),
    ] {
        for forwarded in [false, true] {
            let result = with(forwarded, &[line], &[(name, value)]);
            let all = format!("{:?}", result.headers);
            assert!(!all.contains("6.6.6.6") && !all.contains("evil"), "{all}");
            assert_eq!(result.authority.0, Scheme::Http);
            assert_eq!(result.all("forwarded").is_empty(), !forwarded);
        }
    }
    let result = with(false, &[line], &[("x-forwarded-port", "8443")]);
    assert_eq!(result.all("x-forwarded-port"), ["8443"]);
    assert_eq!(result.all("x-forwarded-host"), ["evil.test"]);
}

#[test]
fn nodes_are_addresses_or_unknown() {
    for (node, address) in [
        ("203.0.113.7", "203.0.113.7"),
        ("\"203.0.113.7\"", "203.0.113.7"),
        ("\"203.0.113.7:4711\"", "203.0.113.7"),
        ("203.0.113.7:4711", "203.0.113.7"),
        ("\"203.0.113.7:_port\"", "203.0.113.7"),
        ("\"203\\.0.113.7\"", "203.0.113.7"),
        ("\"[2001:db8::7]\"", "2001:db8::7"),
        ("\"[2001:DB8::7]:4711\"", "2001:db8::7"),
        ("\"[2001:db8::7]:_x\"", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("2001:db8::7", "2001:db8::7"),
        ("\"[::ffff:203.0.113.7]\"", "203.0.113.7"),
    ] {
        let both = (address.to_owned(), address.to_owned());
        assert_eq!(chain(&format!("for={node};proto=https")), both, "{node}");
    }
    for node in [
        "unknown",
        "_hidden",
        "\"_hidden:80\"",
        "\"\"",
        "é",
        "\"1.1.1.1, 2.2.2.2\"",
    ] {
        let (sent, client) = chain(&format!("for={node}"));
        assert!(sent == "unknown" || node == "é", "{node}: {sent}");
        assert_eq!(client, PEER, "{node}");
    }
}

#[test]
fn elements_are_a_chain_as_in_the_other_fields() {
    for (line, sent, client) in [
        (
            "for=6.6.6.6, for=192.0.2.7",
            "6.6.6.6, 192.0.2.7",
            "192.0.2.7",
        ),
        (
            "for=192.0.2.7,for=10.3.3.3",
            "192.0.2.7, 10.3.3.3",
            "192.0.2.7",
        ),
        (
            "for=10.4.4.4, , for=10.3.3.3,",
            "10.4.4.4, 10.3.3.3",
            "10.4.4.4",
        ),
        (
            "for=6.6.6.6, for=_x, for=10.3.3.3",
            "6.6.6.6, unknown, 10.3.3.3",
            "10.3.3.3",
        ),
        // The hop in between did not say for whom.
        ("for=6.6.6.6, proto=https", "6.6.6.6, unknown", PEER),
        ("proto=https, for=192.0.2.7", "192.0.2.7", "192.0.2.7"),
        // What a client leaves open hides nothing that proxies appended.
        ("for=\"6.6.6.6, for=192.0.2.7", "192.0.2.7", "192.0.2.7"),
        (
            "for=\"x, for=\"[2001:db8::7]\"",
            "2001:db8::7",
            "2001:db8::7",
        ),
        (
            "for=\"x\\, for=\"[2001:db8::7]:1\"",
            "2001:db8::7",
            "2001:db8::7",
        ),
        (
            "secret=\"a\\\", for=6.6.6.6\";for=192.0.2.7",
            "192.0.2.7",
            "192.0.2.7",
        ),
        ("secret=\"a\\\\\", for=192.0.2.7", "192.0.2.7", "192.0.2.7"),
    ] {
        assert_eq!(chain(line), (sent.to_owned(), client.to_owned()), "{line}");
    }
    let lines = [
        "for=192.0.2.7;proto=https;host=pub.test",
        "for=\"10.3.3.3\";proto=http;host=b",
    ];
    let result = with(true, &lines, &[]);
    assert_eq!(
        result.all("x-forwarded-for"),
        ["192.0.2.7, 10.3.3.3, 10.0.0.2"]
    );
    assert_eq!(result.authority, (Scheme::Https, Some("pub.test".into())));
    assert_eq!(result.client, "192.0.2.7".parse().ok());
    let told = "for=192.0.2.7;proto=https;host=\"pub.test\", for=10.3.3.3, for=10.0.0.2";
    assert_eq!(result.all("forwarded"), [told]);
}

#[test]
fn an_untrusted_peer_says_nothing_with_it() {
    let fields = [
        ("host", "a"),
        ("forwarded", "for=6.6.6.6;proto=https;host=evil"),
    ];
    let result = run(&HttpConfig::default(), Some("192.0.2.1"), &fields);
    assert!(result.all("forwarded").is_empty());
    assert_eq!(result.all("x-forwarded-for"), ["192.0.2.1"]);
    assert_eq!(result.authority, (Scheme::Http, Some("a".into())));
    let claimed = claimed_host(&map(&fields[1..])).map(|(field, host)| (field, host.into_owned()));
    assert_eq!(claimed, Some(("Forwarded", "evil".to_owned())));
}

fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    /// `run` holds that the client is the same before and after.
    #[test]
    fn no_bytes_break_it(
        line in prop::collection::vec(
            prop::sample::select(b"\",;=\\ :[]_.1a\xe9".to_vec()), 0..40,
        ),
        // What the last proxy adds is read whatever stands in front of it.
        last in prop::sample::select(vec!["192.0.2.7", "\"[2001:db8::7]:1\"", "\"192.0.2.7\""]),
    ) {
        let appended = [&line[..], b", for=", last.as_bytes(), b";by=\"a,\\\"b\""].concat();
        for line in [&line, &appended] {
            let mut fields = map(&[("host", "inner")]);
            fields.insert("forwarded", HeaderValue::from_bytes(line).unwrap());
            let policy = ForwardingPolicy::new(&config());
            let peer = SocketAddr::new(PEER.parse().unwrap(), 1);
            let peer = PeerFields::new(&policy, Some(peer), 8080, Scheme::Http);
            let before = client_ip(&fields, &policy, &peer);
            let _ = public_port(&fields, &peer);
            let forwarding = Forwarding { policy: &policy, peer: &peer, version: Version::HTTP_11 };
            apply(&mut fields, &forwarding);
            prop_assert_eq!(client_ip(&fields, &policy, &peer), before);
            prop_assert!(before.is_some());
            let wanted = if last.contains('[') { "2001:db8::7" } else { "192.0.2.7" };
            prop_assert!(line != &appended || before == wanted.parse().ok());
        }
    }

    #[test]
    fn whatever_is_quoted_around_it_changes_nothing(
        secrets in prop::collection::vec("[ -~]{0,12}", 1..5),
    ) {
        let element = |(index, secret): (usize, &String)| {
            format!("secret={};for=192.0.2.{index};host=h{index}", quoted(secret))
        };
        let line: Vec<String> = secrets.iter().enumerate().map(element).collect();
        let result = with(false, &[&line.join(",")], &[]);
        let sent = (0..secrets.len()).map(|index| format!("192.0.2.{index}, "));
        prop_assert_eq!(result.all("x-forwarded-for"), [sent.collect::<String>() + PEER]);
        prop_assert_eq!(result.all("x-forwarded-host"), ["h0"]);
    }
}
