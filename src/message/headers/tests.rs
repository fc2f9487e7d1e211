//! Hop-by-hop rules by example and against random `Connection` lines.

use proptest::prelude::*;

use super::*;

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

fn names(map: &HeaderMap) -> Vec<&str> {
    let mut names: Vec<&str> = map.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    names
}

#[test]
fn a_plain_request_is_left_alone() {
    let mut headers = map(&[("host", "a"), ("accept", "*/*"), ("trailer", "x")]);
    assert_eq!(strip_hop_by_hop(&mut headers), Stripped::default());
    assert_eq!(names(&headers), ["accept", "host", "trailer"]);
}

#[test]
fn hop_by_hop_fields_and_nominated_ones_go() {
    let mut headers = map(&[
        ("host", "a"),
        ("connection", "keep-alive ,, X-One,"),
        ("connection", "\"x-two, x-three\", Upgrade, close"),
        ("x-one", "1"),
        ("x-one", "2"),
        ("x-two", "1"),
        ("x-three", "1"),
        ("x-four", "1"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("te", "gzip;q=0.5, Trailers"),
        ("te", "deflate"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("proxy-authorization", "Basic x"),
        ("proxy-authenticate", "Basic"),
        ("proxy-authentication-info", "x"),
        ("http2-settings", "x"),
    ]);
    let stripped = strip_hop_by_hop(&mut headers);
    assert_eq!(
        names(&headers),
        ["host", "te", "x-four", "x-three", "x-two"]
    );
    assert_eq!(
        headers.get_all("te").iter().collect::<Vec<_>>(),
        ["trailers"]
    );
    let expected = Stripped {
        connection: true,
        close: true,
        connection_upgrade: true,
        upgrade: true,
        te_trailers: true,
        nominated: 1,
        spared: false,
    };
    assert_eq!(stripped, expected);
}

#[test]
fn te_without_trailers_goes() {
    let mut headers = map(&[("te", "gzip, trailersx"), ("connection", "te")]);
    assert!(!strip_hop_by_hop(&mut headers).te_trailers);
    assert!(headers.is_empty());
}

const PROTECTED: &[&str] = &[
    "host",
    "cookie",
    "authorization",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x_forwarded_for",
    "x-forwarded-host",
    "x-forwarded-anything",
    "forwarded",
    "content-length",
    "origin",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "x-request-id",
    "x-real-ip",
    "set-cookie",
];

#[test]
fn edits_are_removed_then_set_then_added() {
    let mut headers = map(&[("a", "1"), ("b", "1"), ("b", "2"), ("c", "1")]);
    let field = |name, value| {
        (
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )
    };
    let edits = HeaderEdits {
        remove: vec![HeaderName::from_static("a")],
        set: vec![field("b", "3")],
        add: vec![field("c", "2"), field("a", "4")],
        ..HeaderEdits::default()
    };
    apply_edits(&mut headers, &edits);
    let all = |name: &str| headers.get_all(name).iter().cloned().collect::<Vec<_>>();
    assert_eq!(
        (all("a"), all("b")),
        (vec!["4".parse().unwrap()], vec!["3".parse().unwrap()])
    );
    assert_eq!(all("c"), ["1", "2"]);
}

fn option() -> impl Strategy<Value = String> {
    let words = [
        PROTECTED,
        &[
            "close",
            "keep-alive",
            "upgrade",
            "te",
            "connection",
            "x-a",
            "x-b",
            "",
            "\"x-a\"",
            "transfer-encoding",
        ],
    ];
    (
        prop::sample::select(words.concat()),
        any::<u64>(),
        " {0,2}",
        " {0,2}",
    )
        .prop_map(|(word, cases, before, after)| {
            let flip = |(i, c): (usize, char)| {
                if cases >> (i % 64) & 1 == 1 {
                    c.to_ascii_uppercase()
                } else {
                    c
                }
            };
            format!(
                "{before}{}{after}",
                word.chars().enumerate().map(flip).collect::<String>()
            )
        })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_connection_line_strips_trust_or_leaves_hops(
        lines in prop::collection::vec(prop::collection::vec(option(), 0..6), 0..4),
    ) {
        let mut headers = map(&[("x-a", "1"), ("x-b", "1"), ("x-c", "1"), ("te", "trailers"),
            ("keep-alive", "1"), ("upgrade", "x"), ("transfer-encoding", "chunked")]);
        for name in PROTECTED {
            headers.append(*name, HeaderValue::from_static("v"));
        }
        for line in &lines {
            headers.append("connection", line.join(",").parse().unwrap());
        }
        strip_hop_by_hop(&mut headers);
        let nominated = |name: &str| {
            lines.iter().flatten().any(|option| option.trim().eq_ignore_ascii_case(name))
        };
        for name in PROTECTED {
            prop_assert!(headers.contains_key(*name), "{}", name);
        }
        for name in ["connection", "keep-alive", "upgrade", "transfer-encoding"] {
            prop_assert!(!headers.contains_key(name), "{}", name);
        }
        for name in ["x-a", "x-b", "x-c"] {
            prop_assert_eq!(headers.contains_key(name), !nominated(name));
        }
        prop_assert_eq!(headers.get("te").unwrap(), "trailers");
    }
}
