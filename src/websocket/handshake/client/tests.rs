//! Every rule of RFC 6455 section 4.2.1, one request each.

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use proptest::prelude::*;

use super::{HandshakeProblem, UpgradeRequest, classify};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const VALID: &[(&str, &str)] = &[
    ("host", "server.example.com"),
    ("upgrade", "websocket"),
    ("connection", "Upgrade"),
    ("sec-websocket-key", KEY),
    ("sec-websocket-version", "13"),
];

fn map(fields: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_bytes(value.as_bytes()).unwrap(),
        );
    }
    headers
}

/// The valid handshake without `name`, and with `instead`.
fn altered(name: &str, instead: &[(&str, &str)]) -> HeaderMap {
    let mut headers = map(VALID);
    headers.remove(name);
    for (name, value) in map(instead).iter() {
        headers.append(name, value.clone());
    }
    headers
}

fn get(headers: &HeaderMap) -> UpgradeRequest {
    classify(&Method::GET, Version::HTTP_11, headers, false)
}

fn problem(headers: &HeaderMap) -> HandshakeProblem {
    match get(headers) {
        UpgradeRequest::Invalid(problem) => problem,
        other => panic!("{other:?}"),
    }
}

fn is_websocket(headers: &HeaderMap) -> bool {
    matches!(get(headers), UpgradeRequest::WebSocket(_))
}

#[test]
fn valid_handshake_yields_what_was_offered() {
    let offers = [
        ("sec-websocket-protocol", "chat, superchat"),
        ("sec-websocket-protocol", "v2"),
        (
            "sec-websocket-extensions",
            "permessage-deflate; client_max_window_bits",
        ),
    ];
    let headers = map(&[VALID, &offers].concat());
    let UpgradeRequest::WebSocket(handshake) = get(&headers) else {
        panic!()
    };
    assert_eq!(handshake.key, KEY);
    assert_eq!(handshake.subprotocols, ["chat, superchat", "v2"]);
    assert_eq!(
        handshake.extensions,
        ["permessage-deflate; client_max_window_bits"]
    );
}

#[test]
fn plain_requests_are_none() {
    assert_eq!(
        get(&map(&[("host", "a"), ("connection", "keep-alive")])),
        UpgradeRequest::None
    );
    assert_eq!(
        get(&map(&[("host", "a"), ("connection", "upgrade")])),
        UpgradeRequest::None
    );
    let post = classify(
        &Method::POST,
        Version::HTTP_10,
        &map(&[("content-length", "3")]),
        true,
    );
    assert_eq!(post, UpgradeRequest::None);
}

#[test]
fn other_protocols_are_never_websocket() {
    for token in [
        "h2c",
        "TLS/1.0",
        "websocket2",
        "websocket/13",
        "web socket",
        "h2c, TLS/1.0",
        "",
    ] {
        let headers = map(&[
            ("upgrade", token),
            ("connection", "upgrade, http2-settings"),
        ]);
        assert_eq!(get(&headers), UpgradeRequest::Other, "{token}");
    }
    assert_eq!(
        problem(&altered("upgrade", &[("upgrade", "h2c")])),
        HandshakeProblem::UpgradeNotWebSocket
    );
}

#[test]
fn websocket_is_found_over_lines_case_and_other_tokens() {
    assert!(is_websocket(&altered(
        "upgrade",
        &[("upgrade", "h2c,\tWebSocket ")]
    )));
    assert!(is_websocket(&altered(
        "upgrade",
        &[("upgrade", "h2c"), ("upgrade", "WEBSOCKET")]
    )));
    assert!(is_websocket(&altered(
        "connection",
        &[("connection", "keep-alive, uPGRADE")]
    )));
    assert!(is_websocket(&altered(
        "connection",
        &[("connection", "keep-alive"), ("connection", ",,upgrade,,")]
    )));
}

#[test]
fn missing_hop_by_hop_headers_name_the_hop_in_front() {
    let neither = map(&[("sec-websocket-key", KEY), ("sec-websocket-version", "13")]);
    assert_eq!(problem(&neither), HandshakeProblem::UpgradeRemoved);
    for connection in [
        &[][..],
        &[("connection", "close")],
        &[("connection", "upgraded")],
    ] {
        let headers = altered("connection", connection);
        assert_eq!(problem(&headers), HandshakeProblem::ConnectionRemoved);
    }
    for problem in [
        HandshakeProblem::UpgradeRemoved,
        HandshakeProblem::ConnectionRemoved,
    ] {
        assert_eq!(problem.status(), StatusCode::BAD_REQUEST);
        for words in ["a proxy in front removed", "proxy_set_header Connection"] {
            assert!(problem.reason().contains(words), "{}", problem.reason());
        }
    }
}

#[test]
fn only_get_and_only_http_1_1() {
    let headers = map(VALID);
    for method in [Method::POST, Method::HEAD, Method::CONNECT, Method::OPTIONS] {
        assert_eq!(
            classify(&method, Version::HTTP_11, &headers, false),
            UpgradeRequest::Invalid(HandshakeProblem::Method)
        );
    }
    for version in [Version::HTTP_09, Version::HTTP_10, Version::HTTP_2] {
        assert_eq!(
            classify(&Method::GET, version, &headers, false),
            UpgradeRequest::Invalid(HandshakeProblem::HttpVersion)
        );
    }
}

#[test]
fn version_other_than_13_is_426_and_names_13() {
    let name = "sec-websocket-version";
    for lines in [
        &[][..],
        &[(name, "8")],
        &[(name, "8, 13")],
        &[(name, "13"), (name, "13")],
    ] {
        let problem = problem(&altered(name, lines));
        assert_eq!(problem, HandshakeProblem::Version);
        assert_eq!(problem.status(), StatusCode::UPGRADE_REQUIRED);
        assert_eq!(problem.version_header().unwrap().1, "13");
    }
    assert_eq!(HandshakeProblem::Body.version_header(), None);
}

#[test]
fn key_must_be_one_of_16_bytes() {
    let name = "sec-websocket-key";
    assert_eq!(problem(&altered(name, &[])), HandshakeProblem::KeyMissing);
    assert_eq!(
        problem(&altered(name, &[(name, KEY), (name, KEY)])),
        HandshakeProblem::KeyRepeated
    );
    for key in [
        "",
        "==",
        "abc",
        "AAAAAAAAAAAAAAAAAAAA",                 // 15 bytes
        "AAAAAAAAAAAAAAAAAAAAAAA=",             // 17 bytes
        "AAAAAAAAAAAAAAAAAAAAAA=",              // padding cut
        "AAAAAAAAAAAAAAAAAAAAAA",               // padding missing
        "AAAAAAAAAAAAAAAAAAAAA-==",             // URL-safe alphabet
        "AAAAAAAAAAA AAAAAAAAAA==",             // space
        "AAAAAAAAAAAAAAAAAAAA====",             // padding beyond
        "AAAAAAAAAAAAAAAAAAAAAA==, AAAAAAAAAA", // list
        "AAAAAAAAAAAAAAAAAAAAAAAAAA==",         // 19 bytes
        "\u{e9}AAAAAAAAAAAAAAAAAAAA==",
    ] {
        assert_eq!(
            problem(&altered(name, &[(name, key)])),
            HandshakeProblem::KeyInvalid,
            "{key}"
        );
    }
    assert!(is_websocket(&altered(
        name,
        &[(name, "zz++//00AAAAAAAAAAAAAQ==")]
    )));
}

#[test]
fn no_content() {
    for field in [
        ("content-length", "1"),
        ("content-length", "00"),
        ("content-length", "0, 5"),
        ("content-length", "x"),
        ("transfer-encoding", "chunked"),
        ("transfer-encoding", "identity"),
    ] {
        let headers = map(&[VALID, &[field]].concat());
        assert_eq!(problem(&headers), HandshakeProblem::Body, "{field:?}");
    }
    assert!(is_websocket(&map(
        &[VALID, &[("content-length", "0")]].concat()
    )));
    assert_eq!(
        classify(&Method::GET, Version::HTTP_11, &map(VALID), true),
        UpgradeRequest::Invalid(HandshakeProblem::Body)
    );
}

/// `token` in any case, among other tokens, over any lines, with any optional whitespace.
fn lists_with(token: &'static str) -> impl Strategy<Value = Vec<String>> {
    let other = prop_oneof!["keep-alive", "x-[a-z]{1,5}", Just(String::new())];
    let element = (other, "[ \t]{0,3}", "[ \t]{0,3}").prop_map(|(o, a, b)| format!("{a}{o}{b}"));
    let line = prop::collection::vec(element, 0..4).prop_map(|elements| elements.join(","));
    let cases = prop::collection::vec(any::<bool>(), token.len());
    (
        prop::collection::vec(line, 1..4),
        any::<prop::sample::Index>(),
        any::<bool>(),
        cases,
    )
        .prop_map(move |(mut lines, at, behind, upper)| {
            let cased: String = token
                .chars()
                .zip(upper)
                .map(|(c, upper)| if upper { c.to_ascii_uppercase() } else { c })
                .collect();
            let line = at.get(&lines).clone();
            let index = at.index(lines.len());
            lines[index] = if behind {
                format!("{line},\t{cased} ")
            } else {
                format!(" {cased},{line}")
            };
            lines
        })
}

proptest! {
    #[test]
    fn tokens_over_any_case_lines_and_whitespace(
        connection in lists_with("upgrade"),
        upgrade in lists_with("websocket"),
    ) {
        let mut headers = map(VALID);
        headers.remove("connection");
        headers.remove("upgrade");
        for line in &connection {
            headers.append("connection", HeaderValue::from_str(line).unwrap());
        }
        for line in &upgrade {
            headers.append("upgrade", HeaderValue::from_str(line).unwrap());
        }
        prop_assert!(is_websocket(&headers), "{headers:?}");
    }

    #[test]
    fn never_panics_and_a_handshake_has_one_good_key(
        fields in prop::collection::vec(
            (
                prop_oneof![
                    Just("upgrade"), Just("connection"), Just("sec-websocket-key"),
                    Just("sec-websocket-version"), Just("content-length"),
                ],
                prop_oneof![
                    Just("websocket".into()), Just("upgrade".into()), Just(KEY.into()),
                    Just("13".into()), Just("0".into()), "[ -~]{0,26}",
                ],
            ),
            0..12,
        ),
    ) {
        let headers = map(&fields.iter().map(|(n, v): &(_, String)| (*n, &v[..])).collect::<Vec<_>>());
        if let UpgradeRequest::WebSocket(handshake) = get(&headers) {
            prop_assert_eq!(headers.get_all("sec-websocket-key").iter().count(), 1);
            prop_assert_eq!(handshake.key.len(), 24);
            prop_assert_eq!(&headers["sec-websocket-version"], "13");
        }
    }
}
