//! Requests that are refused, never repaired (RFC 9112 sections 2.2, 3, 5, 6 and 11): each
//! gets its status, a closed connection and `Proxy-Status`, and none reaches the backend.

use crate::support;

use std::time::Duration;

use support::{HttpBackend, Proxy};

/// Every one of these is answered with the status and the end of the connection, and neither
/// it nor the request smuggled behind it is forwarded.
#[track_caller]
fn refused(cases: &[(&str, &str, u16)]) {
    assert!(!cases.is_empty());
    let backend = HttpBackend::start();
    let proxy = Proxy::minimal(backend.address());
    for (what, request, status) in cases {
        let mut wire = proxy.connect();
        wire.send(request);
        wire.try_send("GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n");
        let head = wire.read_head();
        assert_eq!(head.status(), *status, "{what}: {head:?}");
        assert!(head.has_token("connection", "close"), "{what}: {head:?}");
        let details = head.field("proxy-status").unwrap_or_default();
        assert!(
            details.starts_with("sluice; error=http_request_"),
            "{what}: {head:?}"
        );
        assert!(head.field("server").is_none(), "{what}: no banner");
        // Either an orderly end or the reset that unread input causes; no second answer.
        let rest = String::from_utf8_lossy(&wire.read_until_close()).into_owned();
        assert!(
            !rest.contains("HTTP/1.1 2"),
            "{what}: a second answer: {rest}"
        );
        assert_eq!(rest.matches("HTTP/1.1 4").count(), 0, "{what}: {rest}");
    }
    assert!(
        backend.requests().is_empty(),
        "reached the backend: {:?}",
        backend.requests()
    );
}

#[test]
fn ambiguous_lengths() {
    refused(&[
        (
            "two different Content-Length lines",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
            400,
        ),
        (
            "two equal Content-Length lines",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nabcd",
            400,
        ),
        (
            "a Content-Length list",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4, 4\r\n\r\nabcd",
            400,
        ),
        (
            "a signed Content-Length",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +4\r\n\r\nabcd",
            400,
        ),
        (
            "a hexadecimal Content-Length",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x4\r\n\r\nabcd",
            400,
        ),
        (
            "an empty Content-Length",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\n",
            400,
        ),
        (
            "a Content-Length beyond 64 bits",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
            400,
        ),
        (
            "Content-Length with Transfer-Encoding",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "Transfer-Encoding with Content-Length",
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
            400,
        ),
    ]);
}

#[test]
fn transfer_codings_other_than_chunked() {
    refused(&[
        (
            "chunked not last",
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "identity",
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\n",
            400,
        ),
        (
            "chunked twice",
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "chunked on two lines",
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "chunked in quotes",
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "a vertical tab before chunked",
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "chunked on HTTP/1.0",
            "POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
    ]);
}

#[test]
fn heads_that_are_not_http() {
    refused(&[
        (
            "a folded line",
            "GET / HTTP/1.1\r\nHost: x\r\nX-A: one\r\n two\r\n\r\n",
            400,
        ),
        (
            "a bare CR in a value",
            "GET / HTTP/1.1\r\nHost: x\r\nX-A: one\rtwo\r\n\r\n",
            400,
        ),
        (
            "a space before the colon",
            "GET / HTTP/1.1\r\nHost: x\r\nX-A : one\r\n\r\n",
            400,
        ),
        (
            "a space before the first name",
            "GET / HTTP/1.1\r\n Host: x\r\n\r\n",
            400,
        ),
        (
            "a NUL in a value",
            "GET / HTTP/1.1\r\nHost: x\r\nX-A: one\0two\r\n\r\n",
            400,
        ),
        (
            "a control character in a value",
            "GET / HTTP/1.1\r\nHost: x\r\nX-A: one\x01two\r\n\r\n",
            400,
        ),
        (
            "an empty name",
            "GET / HTTP/1.1\r\nHost: x\r\n: one\r\n\r\n",
            400,
        ),
        (
            "a line without a colon",
            "GET / HTTP/1.1\r\nHost: x\r\nX-A\r\n\r\n",
            400,
        ),
        (
            "a control character in the target",
            "GET /\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
            400,
        ),
        (
            "no request at all",
            "\x16\x03\x01\x02\0\x01\0\x01\r\n\r\n",
            400,
        ),
    ]);
}

#[test]
fn hosts_that_cannot_be_trusted() {
    refused(&[
        ("no Host", "GET / HTTP/1.1\r\n\r\n", 400),
        ("an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
        (
            "an empty Host of HTTP/1.0",
            "GET / HTTP/1.0\r\nHost: \r\n\r\n",
            400,
        ),
        (
            "two Hosts",
            "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
            400,
        ),
        (
            "a Host twice",
            "GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
            400,
        ),
        ("a Host list", "GET / HTTP/1.1\r\nHost: x, y\r\n\r\n", 400),
        (
            "userinfo in the Host",
            "GET / HTTP/1.1\r\nHost: admin@x\r\n\r\n",
            400,
        ),
        (
            "a path in the Host",
            "GET / HTTP/1.1\r\nHost: x/y\r\n\r\n",
            400,
        ),
        (
            "userinfo in the authority",
            "GET http://admin@x/ HTTP/1.1\r\nHost: x\r\n\r\n",
            400,
        ),
    ]);
}

#[test]
fn connect_and_trace() {
    refused(&[
        (
            "CONNECT",
            "CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n",
            405,
        ),
        ("TRACE", "TRACE / HTTP/1.1\r\nHost: x\r\n\r\n", 405),
    ]);
}

#[test]
fn what_is_too_large() {
    let head = format!(
        "GET / HTTP/1.1\r\nHost: x\r\nX-A: {}\r\n\r\n",
        "a".repeat(70 * 1024)
    );
    let lines = format!(
        "GET / HTTP/1.1\r\nHost: x\r\n{}\r\n",
        "X-A: a\r\n".repeat(257)
    );
    let target = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(9 * 1024));
    refused(&[
        ("an oversize head", &head, 431),
        ("too many lines", &lines, 431),
        ("a long target", &target, 414),
    ]);
}

#[test]
fn a_body_over_the_routes_limit() {
    let backend = HttpBackend::start();
    let proxy = Proxy::with(backend.address(), "max_body = 10\n");
    let mut wire = proxy.send("POST /sink HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n");
    let response = wire.read_response();
    assert_eq!(response.status(), 413);
    assert!(response.head.has_token("connection", "close"));
    assert!(backend.requests().is_empty());

    // Of unknown length: the limit shows only on the way.
    let mut wire = proxy.send(
        "POST /sink HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
         b\r\n01234567890\r\n0\r\n\r\n",
    );
    assert_eq!(wire.read_head().status(), 413);

    let mut wire =
        proxy.send("POST /sink HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n0123456789");
    assert_eq!(wire.read_response().text(), "10");
}

#[test]
fn a_refusal_says_why_in_the_form_that_is_asked_for() {
    let backend = HttpBackend::start();
    let proxy = Proxy::minimal(backend.address());
    let text = proxy.send("GET / HTTP/1.1\r\n\r\n").read_response();
    assert!(
        text.text().to_lowercase().contains("host"),
        "{}",
        text.text()
    );
    for version in ["1.0", "1.1"] {
        let request = format!("GET / HTTP/{version}\r\nHost:\r\n\r\n");
        let text = proxy.send(request).read_response().text();
        assert!(text.contains("Host is empty"), "{text}");
    }
    let json = proxy
        .send("TRACE / HTTP/1.1\r\nHost: x\r\nAccept: application/json\r\n\r\n")
        .read_response();
    assert_eq!(json.head.field("content-type").unwrap(), "application/json");
    assert_eq!(json.json()["status"], 405);
    let id = json.head.field("x-request-id").expect("a request id");
    assert_eq!(json.json()["request_id"], id);
}

#[test]
fn a_head_that_never_ends_is_408() {
    let backend = HttpBackend::start();
    let proxy = Proxy::with(backend.address(), "[http]\nhead_timeout = \"500ms\"\n");
    let mut wire = proxy.send("GET / HTTP/1.1\r\nHost: x\r\n");
    assert_eq!(wire.read_head().status(), 408);
    wire.read_until_close();
    // Drop by drop does not help.
    let mut wire = proxy.connect();
    eventually!(!wire.try_send("G"), "it is cut off");
    assert_eq!(backend.accepted(), 0);
}

#[test]
fn a_body_that_stalls_is_cut_off() {
    let backend = HttpBackend::start();
    let proxy = Proxy::with(backend.address(), "[http]\nbody_timeout = \"500ms\"\n");
    let mut wire =
        proxy.send("POST /sink HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nonly this");
    let head = wire.read_head();
    assert_eq!(head.status(), 408);
    wire.read_until_close();
    let record = proxy.wait_for_access("the exchange", |json| json["kind"] == "exchange");
    assert_eq!(record["status"], 408, "{record}");
    assert_eq!(record["error"], "http_request_error", "{record}");
    assert_eq!(record["path"], "/sink", "{record}");
    assert_eq!(record["request_id"], head.field("x-request-id").unwrap());
    // Whatever else is recorded comes in front of the next exchange.
    proxy
        .send("GET /next HTTP/1.1\r\nHost: x\r\n\r\n")
        .read_response();
    proxy.wait_for_access("the next exchange", |json| json["path"] == "/next");
    assert_eq!(proxy.access().len(), 2, "{:?}", proxy.access());
}

#[test]
fn a_pipelined_head_that_comes_slowly_does_not_cost_the_exchange_in_front() {
    let (backend, gate) = support::held();
    let proxy = Proxy::with(
        backend.address(),
        "[http]\nhead_timeout = \"300ms\"\n[[route]]\npath = \"/clock\"\nrespond = { status = 299 }\n",
    );
    let mut wire = proxy.send("GET /first HTTP/1.1\r\nHost: x\r\n\r\nGET /second HT");
    gate.reached();
    // Another connection shows that the time is over.
    let mut other = proxy.send("GET /clock HT");
    assert_eq!(other.read_head().status(), 408);
    gate.open();
    wire.read_response();
    assert_eq!(wire.read_head().status(), 408);
}

#[test]
fn a_body_slower_than_the_minimum_rate_is_cut_off() {
    let backend = HttpBackend::start();
    let proxy = Proxy::with(backend.address(), "[http]\nmin_rate = 10000\n");
    let mut wire = proxy.send("POST /sink HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n");
    // At most 50 bytes every 10 ms: half of what is asked for, and never silent.
    eventually!(!wire.try_send([b'a'; 50]), "it is cut off");
    let seen = wire.read_until_close();
    let seen = String::from_utf8_lossy(&seen);
    assert!(
        seen.is_empty() || seen.starts_with("HTTP/1.1 408"),
        "{seen}"
    );
}

#[test]
fn other_protocols_on_a_plain_port_are_named() {
    let backend = HttpBackend::start();
    let proxy = Proxy::minimal(backend.address());
    let hello: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    let v2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01\x10\0\x1f\x90";
    let request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    for (bytes, name, what_to_do) in [
        (hello, "TLS handshake", "[listen.tls]"),
        (
            b"PROXY TCP4 192.0.2.7 192.0.2.8 4711 80\r\n",
            "PROXY protocol, version 1",
            "send-proxy",
        ),
        (
            b"PROXY TCP6 ::1 ::1 4711 80\r\n",
            "PROXY protocol, version 1",
            "trusted_proxies",
        ),
        (
            b"PROXY UNKNOWN\r\n",
            "PROXY protocol, version 1",
            "send-proxy",
        ),
        (v2, "PROXY protocol, version 2", "proxy_protocol_v2"),
    ] {
        let answer = proxy.send([bytes, request].concat()).read_response();
        assert_eq!(answer.status(), 400, "{name}");
        let record = proxy.wait_for_access(name, |json| {
            json["status"] == 400 && json.to_string().contains(name)
        });
        assert!(record.to_string().contains(what_to_do), "{record}");
        assert!(answer.text().contains(name), "{}", answer.text());
    }
    // The signature of version 2 begins with empty lines, of which the first may pass.
    for cut in 1..12 {
        let mut wire = proxy.connect();
        wire.send(&v2[..cut]);
        // Long enough for the proxy to have read it; a slower one makes the test easier.
        wire.expect_silence(Duration::from_millis(20));
        wire.send(&v2[cut..]);
        let answer = wire.read_response();
        let text = answer.text();
        assert!(text.contains("PROXY protocol, version 2"), "{cut}: {text}");
    }
    // A method may be called so.
    let answer = proxy
        .send("PROXY / HTTP/1.1\r\nHost: x\r\n\r\n")
        .read_response();
    assert_ne!(answer.status(), 400);
}
