//! The upgrade, black-box (RFC 6455 section 4, RFC 9110 section 7.8): which handshakes are
//! taken, which origins, what of an upstream's answer is believed, and that no byte passes
//! before a validated 101 nor gets lost around it.

use crate::support;

use std::sync::Mutex;
use std::sync::mpsc;

use support::websocket::{
    ACCEPT, KEY, frame, handshake, masked_frame, open, read_frame, switching, tunnel_backend,
};
use support::{EchoBackend, Head, HttpBackend, Proxy, RawBackend};

/// A handshake made line by line.
fn request(first: &str, lines: &[&str]) -> String {
    format!("{first}\r\nHost: x\r\n{}\r\n\r\n", lines.join("\r\n"))
}

const GOOD: [&str; 4] = [
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
];

fn without(name: &str) -> Vec<&'static str> {
    let lines = GOOD.into_iter();
    lines.filter(|line| !line.starts_with(name)).collect()
}

fn refusal(proxy: &Proxy, request: &str) -> Head {
    let mut wire = proxy.send(request);
    wire.try_send("GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n");
    let head = wire.read_head();
    assert!(head.has_token("connection", "close"), "{head:?}");
    let rest = String::from_utf8_lossy(&wire.read_until_close()).into_owned();
    assert!(!rest.contains("HTTP/1.1 2"), "a second answer: {rest}");
    head
}

#[test]
fn handshakes_in_every_allowed_spelling() {
    let backend = EchoBackend::start();
    let proxy = Proxy::minimal(backend.address());
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    for lines in [
        [
            "Upgrade: websocket",
            "Connection: Upgrade",
            key,
            "Sec-WebSocket-Version: 13",
        ],
        [
            "upgrade: WebSocket",
            "connection: keep-alive, uPgRaDe",
            key,
            "sec-websocket-version: 13",
        ],
        [
            "UPGRADE: h2c, websocket",
            "CONNECTION: keep-alive\r\nConnection: upgrade",
            key,
            "Sec-Websocket-Version:13",
        ],
    ] {
        let mut wire = proxy.send(request("GET /ws HTTP/1.1", &lines));
        let head = wire.read_head();
        assert_eq!(head.status(), 101, "{lines:?} {head:?}");
        assert_eq!(head.field("sec-websocket-accept").unwrap(), ACCEPT);
        assert!(head.has_token("upgrade", "websocket"));
        assert!(head.has_token("connection", "upgrade"));
        wire.send(masked_frame(1, b"hello"));
        assert_eq!(read_frame(&mut wire), (0x81, b"hello".to_vec()));
    }
}

#[test]
fn handshakes_that_break_the_rules_are_refused_and_closed() {
    let backend = HttpBackend::start();
    let proxy = Proxy::minimal(backend.address());
    let with = |name: &str, more: &[&'static str]| [&without(name)[..], more].concat();
    let key = "Sec-WebSocket-Key";
    let cases = [
        (
            "POST",
            request("POST /ws HTTP/1.1", &with("-", &["Content-Length: 0"])),
        ),
        ("no key", request("GET /ws HTTP/1.1", &without(key))),
        (
            "a short key",
            request(
                "GET /ws HTTP/1.1",
                &with(key, &["Sec-WebSocket-Key: c2hvcnQ="]),
            ),
        ),
        (
            "a key that is not base64",
            request(
                "GET /ws HTTP/1.1",
                &with(key, &["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j!!=="]),
            ),
        ),
        (
            "two keys",
            request(
                "GET /ws HTTP/1.1",
                &with("-", &["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]),
            ),
        ),
        (
            "a body",
            request("GET /ws HTTP/1.1", &with("-", &["Content-Length: 5"])) + "hello",
        ),
        (
            "a chunked body",
            request(
                "GET /ws HTTP/1.1",
                &with("-", &["Transfer-Encoding: chunked"]),
            ) + "0\r\n\r\n",
        ),
    ];
    for (what, bytes) in cases {
        let head = refusal(&proxy, &bytes);
        assert_eq!(head.status(), 400, "{what}: {head:?}");
    }
    assert!(backend.requests().is_empty(), "{:?}", backend.requests());
}

#[test]
fn another_version_is_426_and_names_ours() {
    let backend = HttpBackend::start();
    let proxy = Proxy::minimal(backend.address());
    for version in [
        &["Sec-WebSocket-Version: 8"][..],
        &["Sec-WebSocket-Version: 0"],
    ] {
        let lines = [&without("Sec-WebSocket-Version")[..], version].concat();
        let head = refusal(&proxy, &request("GET /ws HTTP/1.1", &lines));
        assert_eq!(head.status(), 426, "{version:?}");
        assert_eq!(head.field("sec-websocket-version").unwrap(), "13");
    }
    assert!(backend.requests().is_empty());
}

#[test]
fn other_upgrades_are_dropped_and_the_request_goes_on() {
    let backend = HttpBackend::start();
    let proxy = Proxy::minimal(backend.address());
    for lines in [
        "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nConnection: Upgrade, HTTP2-Settings",
        "Upgrade: TLS/1.0\r\nConnection: Upgrade",
    ] {
        let mut wire = proxy.send(format!("GET /echo HTTP/1.1\r\nHost: x\r\n{lines}\r\n\r\n"));
        let response = wire.read_response();
        assert_eq!(response.status(), 200, "{lines}");
        let seen = response.text().to_lowercase();
        for gone in ["\"upgrade\"", "h2c", "http2-settings", "tls/1.0"] {
            assert!(!seen.contains(gone), "{gone} reached the backend: {seen}");
        }
    }
}

#[test]
fn a_websocket_request_without_connection_upgrade_names_the_hop_in_front() {
    let backend = HttpBackend::start();
    let proxy = Proxy::minimal(backend.address());
    let bytes = request("GET /ws HTTP/1.1", &without("Connection"));
    let mut wire = proxy.send(bytes);
    let response = wire.read_response();
    assert_eq!(response.status(), 400);
    assert!(
        response.text().to_lowercase().contains("connection"),
        "{}",
        response.text()
    );
    assert!(backend.requests().is_empty());
}

/// The outcome of a handshake with these header lines on a route with this policy.
fn origin(policy: &str, lines: &str) -> (u16, String) {
    let backend = tunnel_backend(|mut wire| {
        wire.read_until_close();
    });
    let proxy = Proxy::with(backend.address(), &format!("[route.websocket]\n{policy}\n"));
    let mut wire = proxy.send(handshake("app.example.com:8080", "/ws", lines));
    let head = wire.read_head();
    let status = head.status();
    if status == 101 {
        return (101, String::new());
    }
    assert!(head.has_token("connection", "close"), "{head:?}");
    assert_eq!(
        backend.accepted(),
        0,
        "a refused handshake reached the backend"
    );
    (status, wire.read_body(head).text())
}

#[test]
fn same_origin_is_the_default() {
    let same = "Origin: http://app.example.com:8080\r\n";
    assert_eq!(origin("", same).0, 101);
    assert_eq!(origin("", "").0, 101);
    for other in [
        "http://evil.example",
        "http://app.example.com",
        "http://app.example.com:8081",
        "http://app.example.com.evil.example:8080",
        "http://sub.app.example.com:8080",
        "null",
        "app.example.com:8080",
        "http://app.example.com:8080/",
    ] {
        let (status, body) = origin("", &format!("Origin: {other}\r\n"));
        assert_eq!(status, 403, "{other}");
        assert!(body.contains(other), "{other} is not named: {body}");
        assert!(
            body.contains("app.example.com:8080"),
            "the Host is not named: {body}"
        );
    }
    let twice = format!("{same}{same}");
    assert_eq!(origin("", &twice).0, 403);
    let list = "Origin: http://app.example.com:8080 http://evil.example\r\n";
    assert_eq!(origin("", list).0, 403);
}

#[test]
fn what_would_allow_an_origin_is_for_the_log_and_for_development() {
    let backend = EchoBackend::start();
    for (detail, is_told) in [("public", false), ("full", true)] {
        let proxy = Proxy::with(
            backend.address(),
            &format!(
                "[route.websocket]\norigin = [\"https://partner.example\"]\n\
                 missing_origin = \"deny\"\n[http]\nerror_detail = \"{detail}\"\n"
            ),
        );
        for (line, remedy) in [
            ("Origin: https://other.example\r\n", "partner.example"),
            ("Origin: null\r\n", "partner.example"),
            ("", "missing_origin"),
        ] {
            let mut wire = proxy.send(format!(
                "GET /{detail} HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\n\
                 Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{line}\r\n"
            ));
            let response = wire.read_response();
            assert_eq!(response.status(), 403);
            let field = response.head.field("proxy-status").expect("Proxy-Status");
            let text = response.text();
            assert!(text.contains("may not open a WebSocket"), "{text}");
            assert_eq!(text.contains(remedy), is_told, "{text}");
            assert_eq!(field.contains(remedy), is_told, "{field}");
        }
        proxy.wait_for_access("the list in the record", |json| {
            json.to_string().contains("partner.example")
        });
    }
}

#[test]
fn origin_lists_null_any_and_missing() {
    let list = "origin = [\"https://*.example.com\", \"http://exact.example:3000\"]";
    for (policy, line, status) in [
        (list, "Origin: https://a.example.com\r\n", 101),
        (list, "Origin: https://a.b.example.com\r\n", 101),
        (list, "Origin: https://example.com\r\n", 403),
        (list, "Origin: http://a.example.com\r\n", 403),
        (list, "Origin: https://a.example.com:444\r\n", 403),
        (list, "Origin: https://evilexample.com\r\n", 403),
        (list, "Origin: http://exact.example:3000\r\n", 101),
        (list, "Origin: HTTP://EXACT.example:3000\r\n", 101),
        (list, "Origin: http://app.example.com:8080\r\n", 403),
        (list, "Origin: null\r\n", 403),
        (list, "", 101),
        ("origin = [\"null\"]", "Origin: null\r\n", 101),
        ("origin = \"any\"", "Origin: http://evil.example\r\n", 101),
        ("origin = \"any\"\nmissing_origin = \"deny\"", "", 403),
        ("missing_origin = \"deny\"", "", 403),
    ] {
        assert_eq!(origin(policy, line).0, status, "{policy} {line:?}");
    }
}

#[test]
fn the_upstream_gets_a_handshake_in_the_spelling_of_the_rfc() {
    let (send, heads) = mpsc::channel();
    let send = Mutex::new(send);
    let backend = RawBackend::start(move |_, mut wire| {
        send.lock().unwrap().send(wire.read_head()).unwrap();
        wire.send(switching("Sec-WebSocket-Protocol: chat\r\n"));
        wire.read_until_close();
    });
    let proxy = Proxy::minimal(backend.address());
    let mut wire = proxy.send(
        "GET /ws?a=b HTTP/1.1\r\nhost: pub.example:81\r\nupgrade: WEBSOCKET, h2c\r\n\
         connection: keep-alive, Upgrade, X-Private\r\nx-private: 1\r\ncookie: a=b\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\
         sec-websocket-protocol: v2, chat\r\nsec-websocket-extensions: permessage-deflate; x=1\r\n\
         origin: http://pub.example:81\r\n\r\n",
    );
    let answer = wire.read_head();
    assert_eq!(answer.status(), 101);
    assert_eq!(answer.field("sec-websocket-protocol").unwrap(), "chat");
    let head = heads.recv_timeout(support::DEADLINE).unwrap();
    assert_eq!(head.first, "GET /ws?a=b HTTP/1.1");
    let has = |name: &str, value: &str| {
        let mut lines = head.fields.iter();
        assert!(
            lines.any(|(n, v)| n == name && v == value),
            "{name}: {value} in {head:?}"
        );
    };
    has("Upgrade", "websocket");
    has("Connection", "Upgrade");
    has("Sec-WebSocket-Version", "13");
    has("Sec-WebSocket-Protocol", "v2, chat");
    has("Sec-WebSocket-Extensions", "permessage-deflate; x=1");
    assert_eq!(head.all("sec-websocket-key").len(), 1);
    assert!(head.fields.iter().any(|(n, _)| n == "Sec-WebSocket-Key"));
    assert_eq!(head.field("host").unwrap(), "pub.example:81");
    assert_eq!(head.field("origin").unwrap(), "http://pub.example:81");
    assert_eq!(head.field("cookie").unwrap(), "a=b");
    assert!(head.field("x-private").is_none(), "nominated by Connection");
}

#[test]
fn bytes_behind_the_handshake_arrive_first_and_in_order() {
    let backend = RawBackend::start(|_, mut wire| {
        wire.read_head();
        // The upstream's first frame comes in one piece with its 101.
        let mut answer = switching("").into_bytes();
        answer.extend(frame(1, b"first from the server"));
        wire.send(answer);
        assert_eq!(read_frame(&mut wire).1, b"first from the client");
        assert_eq!(read_frame(&mut wire).1, b"second from the client");
        wire.send(frame(1, b"second from the server"));
        wire.read_until_close();
    });
    let proxy = Proxy::minimal(backend.address());
    let mut bytes = handshake("x", "/ws", "").into_bytes();
    bytes.extend(masked_frame(1, b"first from the client"));
    let mut wire = proxy.send(bytes);
    assert_eq!(wire.read_head().status(), 101);
    assert_eq!(read_frame(&mut wire).1, b"first from the server");
    wire.send(masked_frame(1, b"second from the client"));
    assert_eq!(read_frame(&mut wire).1, b"second from the server");
}

#[test]
fn bytes_behind_a_refused_handshake_never_reach_the_upstream() {
    let (send, seen) = mpsc::channel();
    let send = Mutex::new(send);
    let backend = RawBackend::start(move |_, mut wire| {
        wire.read_head();
        wire.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nForbidden");
        let _ = send.lock().unwrap().send(wire.read_until_close());
    });
    let proxy = Proxy::minimal(backend.address());
    let mut wire = proxy.send(
        handshake("x", "/ws", "") + "GET /smuggled HTTP/1.1\r\nHost: x\r\nX-Admin: yes\r\n\r\n",
    );
    let response = wire.read_response();
    assert_eq!(
        (response.status(), response.text()),
        (403, "Forbidden".into())
    );
    assert!(
        response.head.has_token("connection", "close"),
        "{response:?}"
    );
    assert!(wire.read_until_close().is_empty(), "a second answer");
    let rest = seen.recv_timeout(support::DEADLINE);
    assert_eq!(rest.expect("the upstream connection is closed"), b"");
    assert_eq!(backend.accepted(), 1);
}

#[test]
fn a_handshake_without_a_tunnel_leaves_the_connection_to_the_next_request() {
    let backend = RawBackend::start(|n, mut wire| {
        while let Some(head) = wire.try_read_head() {
            match (head.field("upgrade"), n) {
                (Some(_), 3) => wire.send(switching("")),
                (Some(_), 0) => {
                    wire.send("HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone")
                }
                (Some(_), _) => {
                    wire.send(
                        "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
                    );
                }
                (None, _) => wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
            }
        }
    });
    let dead = "127.0.0.1:1";
    let proxy = Proxy::start(&format!(
        "workers = 1\n[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\npath_prefix = \"/own\"\nredirect = \"https://x/\"\n\
         [[route]]\npath_prefix = \"/dead\"\nto = \"{dead}\"\n\
         [[route]]\npath_prefix = \"/ws\"\nto = \"{}\"\n",
        backend.address()
    ));
    let mut wire = proxy.connect();
    for (path, status) in [("/ws", 404), ("/ws", 403), ("/own", 308), ("/dead", 502)] {
        wire.send(handshake("x", path, ""));
        let response = wire.read_response();
        assert_eq!(response.status(), status, "{path}");
        assert!(!response.head.has_token("connection", "close"), "{path}");
        wire.send("GET /ws HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(wire.read_response().text(), "ok");
    }
    wire.send(handshake("x", "/ws", ""));
    assert_eq!(wire.read_head().status(), 101);
}

#[test]
fn a_refusal_of_the_upstream_is_passed_on_and_explained() {
    for (answer, status, cause) in [
        (
            "HTTP/1.1 403 Forbidden\r\nContent-Length: 10\r\n\r\nForbidden\n",
            403,
            "origin",
        ),
        (
            "HTTP/1.1 400 Bad Request\r\nSec-Websocket-Version: 13\r\nContent-Length: 12\r\n\r\nBad Request\n",
            400,
            "upgrade",
        ),
        (
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            404,
            "/ws",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>",
            200,
            "websocket",
        ),
        (
            "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n",
            426,
            "upgrade",
        ),
    ] {
        let backend = RawBackend::answering(answer);
        let proxy = Proxy::minimal(backend.address());
        let host = proxy.address().to_string();
        let origin = format!("Origin: {}\r\n", proxy.origin());
        let mut wire = proxy.send(handshake(&host, "/ws", &origin));
        assert_eq!(wire.read_head().status(), status);
        let record = proxy.wait_for_access("the refusal", |json| json["status"] == status);
        let words = record.to_string().to_lowercase();
        assert!(
            record["likely"].is_string() && record["fix"].is_string(),
            "{record}"
        );
        assert!(words.contains(cause), "{status} is not explained: {record}");
    }
}

#[test]
fn a_101_that_is_not_valid_is_a_502() {
    let accept = format!("Sec-WebSocket-Accept: {ACCEPT}\r\n");
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\n";
    for (what, fields) in [
        (
            "a wrong accept",
            format!("{upgrade}Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n"),
        ),
        ("no accept", upgrade.to_string()),
        ("no Upgrade", format!("Connection: Upgrade\r\n{accept}")),
        (
            "another Upgrade",
            format!("Upgrade: h2c\r\nConnection: Upgrade\r\n{accept}"),
        ),
        ("no Connection", format!("Upgrade: websocket\r\n{accept}")),
        (
            "a subprotocol nobody asked for",
            format!("{upgrade}{accept}Sec-WebSocket-Protocol: chat\r\n"),
        ),
        (
            "an extension nobody asked for",
            format!("{upgrade}{accept}Sec-WebSocket-Extensions: permessage-deflate\r\n"),
        ),
    ] {
        let backend = RawBackend::start(move |_, mut wire| {
            wire.read_head();
            wire.send(format!("HTTP/1.1 101 Switching Protocols\r\n{fields}\r\n"));
            assert_eq!(wire.read_until_close(), b"", "bytes before a validated 101");
        });
        let proxy = Proxy::minimal(backend.address());
        let mut bytes = handshake("x", "/ws", "").into_bytes();
        bytes.extend(masked_frame(1, b"early"));
        let mut wire = proxy.send(bytes);
        let head = wire.read_head();
        assert_eq!(head.status(), 502, "{what}");
        let named = head.field("proxy-status").unwrap();
        assert!(named.contains("http_upgrade_failed"), "{what}: {named}");
        let record = proxy.wait_for_access("the refusal", |json| json["status"] == 502);
        assert!(record["likely"].is_string(), "{what}: {record}");
    }
}

#[test]
fn a_known_broken_server_can_be_let_through() {
    let backend = RawBackend::start(|_, mut wire| {
        wire.read_head();
        wire.send("HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
        wire.send(frame(1, b"hello"));
        wire.read_until_close();
    });
    let proxy = Proxy::with(
        backend.address(),
        "[route.websocket]\naccept_invalid_101 = true\n",
    );
    let mut wire = open(&proxy, "/ws");
    assert_eq!(read_frame(&mut wire).1, b"hello");
    proxy.wait_for_log("a warning", |line| line.text.contains("accept_invalid_101"));
}

#[test]
fn an_upstream_that_never_answers_the_handshake_is_504() {
    let backend = RawBackend::start(|_, mut wire| {
        wire.read_until_close();
    });
    let proxy = Proxy::with(
        backend.address(),
        "[route.websocket]\nhandshake_timeout = \"300ms\"\n",
    );
    let head = proxy.send(handshake("x", "/ws", "")).read_head();
    assert_eq!(head.status(), 504);
}

#[test]
fn a_route_for_websockets_and_one_for_the_rest() {
    let sockets = EchoBackend::start();
    let pages = HttpBackend::start();
    let proxy = Proxy::start(&format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\npath_prefix = \"/live\"\nto = \"{}\"\n\
         [[route]]\npath_prefix = \"/live\"\nwebsocket = true\nto = \"{}\"\n",
        pages.address(),
        sockets.address()
    ));
    open(&proxy, "/live");
    let mut wire = proxy.send("GET /live HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(wire.read_response().json()["target"], "/live");
}

#[test]
fn the_key_of_the_rfc_is_what_these_tests_use() {
    assert!(GOOD[2].ends_with(KEY));
}
