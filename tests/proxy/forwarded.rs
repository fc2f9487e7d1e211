//! What an upstream is told about the client, and whose word sluice takes for it
//! (RFC 7239, RFC 9110 sections 7.6.1 and 7.6.3).

use crate::support;

use std::io::{Read, Write};

use serde_json::Value;
use support::websocket::handshake;
use support::{EchoBackend, HttpBackend, Proxy};

/// The header lines that the backend saw for a GET with these lines.
struct Seen(Value);

impl Seen {
    fn of(proxy: &Proxy, lines: &str) -> Seen {
        let mut wire = proxy.send(format!(
            "GET /echo HTTP/1.1\r\nHost: app.example.com:8080\r\n{lines}\r\n"
        ));
        let response = wire.read_response();
        assert_eq!(response.status(), 200, "{}", response.text());
        Seen(response.json())
    }

    fn all(&self, name: &str) -> Vec<&str> {
        let lines = self.0["headers"].as_array().expect("header lines").iter();
        lines
            .filter(|line| line[0] == name)
            .filter_map(|line| line[1].as_str())
            .collect()
    }

    #[track_caller]
    fn has(&self, name: &str, value: &str) {
        assert_eq!(self.all(name), [value], "{name} in {}", self.0);
    }

    #[track_caller]
    fn lacks(&self, name: &str) {
        assert!(self.all(name).is_empty(), "{name} in {}", self.0);
    }
}

#[test]
fn a_stranger_is_described_and_not_believed() {
    let backend = HttpBackend::start();
    let proxy = Proxy::minimal(backend.address());
    let seen = Seen::of(
        &proxy,
        "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n\
         X-Forwarded-Port: 1\r\nForwarded: for=6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\n\
         X-Forwarded_Proto: https\r\nX-Real-IP: 6.6.6.6\r\nX-Request-Id: mine\r\n",
    );
    seen.has("x-forwarded-for", "127.0.0.1");
    seen.has("x-forwarded-proto", "http");
    seen.has("x-forwarded-host", "app.example.com:8080");
    seen.lacks("forwarded");
    seen.lacks("x_forwarded_for");
    seen.lacks("x-forwarded_proto");
    seen.lacks("x-real-ip");
    seen.has("host", "app.example.com:8080");
    assert_eq!(seen.all("x-forwarded-port").len(), 1);
    assert_ne!(seen.all("x-forwarded-port"), ["1"]);
    assert_eq!(seen.all("x-request-id").len(), 1);
    assert_ne!(seen.all("x-request-id"), ["mine"]);
    assert!(!seen.0.to_string().contains("6.6.6.6"), "{}", seen.0);
}

#[test]
fn a_handshake_describes_a_stranger_in_the_same_way() {
    let backend = HttpBackend::start();
    let proxy = Proxy::minimal(backend.address());
    // This backend refuses it, and says what it saw.
    let seen = Seen::of(
        &proxy,
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://app.example.com:8080\r\n\
         X-Forwarded-For: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n\
         X-Real-IP: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Request-Id: mine\r\n",
    );
    seen.has("upgrade", "websocket");
    seen.has("x-forwarded-for", "127.0.0.1");
    seen.has("x-forwarded-proto", "http");
    seen.has("x-forwarded-host", "app.example.com:8080");
    seen.has("x-forwarded-port", "8080");
    seen.has("host", "app.example.com:8080");
    assert_eq!(seen.all("x-request-id").len(), 1);
    assert_ne!(seen.all("x-request-id"), ["mine"]);
    assert!(!seen.0.to_string().contains("6.6.6.6"), "{}", seen.0);
}

#[test]
fn a_trusted_proxy_is_believed_and_added_to() {
    let backend = HttpBackend::start();
    let proxy = Proxy::with(
        backend.address(),
        "[http]\ntrusted_proxies = [\"127.0.0.0/8\"]\n",
    );
    let seen = Seen::of(
        &proxy,
        "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\n\
         X-Forwarded-Host: www.example.com\r\nX-Request-Id: given\r\n",
    );
    seen.has("x-forwarded-for", "203.0.113.7, 127.0.0.1");
    seen.has("x-forwarded-proto", "https");
    seen.has("x-forwarded-host", "www.example.com");
    seen.has("x-request-id", "given");
}

#[test]
fn forwarded_and_via_are_sent_where_they_are_asked_for() {
    let backend = HttpBackend::start();
    let proxy = Proxy::with(
        backend.address(),
        "[http]\nforwarded = true\nvia = \"sluice\"\n",
    );
    let seen = Seen::of(&proxy, "");
    let forwarded = seen.all("forwarded");
    assert_eq!(forwarded.len(), 1, "{}", seen.0);
    assert!(forwarded[0].contains("for=127.0.0.1"), "{forwarded:?}");
    assert!(forwarded[0].contains("proto=http"), "{forwarded:?}");
    seen.has("via", "1.1 sluice");
}

#[test]
fn hop_by_hop_fields_end_here() {
    let backend = HttpBackend::start();
    let proxy = Proxy::minimal(backend.address());
    let seen = Seen::of(
        &proxy,
        "Connection: keep-alive, X-Private\r\nKeep-Alive: timeout=5\r\nX-Private: 1\r\n\
         Proxy-Connection: keep-alive\r\nTE: trailers, deflate\r\n\
         Proxy-Authorization: Basic eA==\r\nX-Public: 2\r\n",
    );
    for gone in ["keep-alive", "x-private", "proxy-connection"] {
        seen.lacks(gone);
    }
    seen.has("x-public", "2");
    seen.has("te", "trailers");
}

#[test]
fn fields_that_carry_trust_cannot_be_stripped_by_nomination() {
    let backend = HttpBackend::start();
    let proxy = Proxy::minimal(backend.address());
    let seen = Seen::of(
        &proxy,
        "Connection: close, Cookie, Authorization, X-Forwarded-For, X-Forwarded-Host, Host\r\n\
         Cookie: a=b\r\nAuthorization: Bearer x\r\n",
    );
    seen.has("cookie", "a=b");
    seen.has("authorization", "Bearer x");
    seen.has("x-forwarded-for", "127.0.0.1");
    seen.has("x-forwarded-host", "app.example.com:8080");
    seen.has("host", "app.example.com:8080");
}

#[test]
fn the_request_id_is_the_same_for_upstream_client_and_log() {
    let backend = HttpBackend::start();
    let proxy = Proxy::minimal(backend.address());
    let seen = Seen::of(&proxy, "");
    let id = seen.all("x-request-id")[0].to_string();
    let record = proxy.wait_for_access("the exchange", |json| json["kind"] == "exchange");
    assert_eq!(record["request_id"], id);
}

#[test]
fn a_route_edits_fields_in_both_directions() {
    let backend = HttpBackend::start();
    let proxy = Proxy::with(
        backend.address(),
        "set_host = \"internal:9000\"\n\
         [route.request_headers]\nremove = [\"x-secret\"]\nset = { x-tenant = \"a\" }\n\
         [route.response_headers]\nset = { x-frame-options = \"DENY\" }\nremove = [\"content-type\"]\n",
    );
    let seen = Seen::of(&proxy, "X-Secret: 1\r\nX-Tenant: forged\r\n");
    seen.lacks("x-secret");
    seen.has("x-tenant", "a");
    seen.has("host", "internal:9000");
    seen.has("x-forwarded-host", "app.example.com:8080");
    let mut wire = proxy.send("GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
    let head = wire.read_head();
    assert_eq!(head.field("x-frame-options").as_deref(), Some("DENY"));
    assert!(head.field("content-type").is_none());
}

#[test]
fn prefixes_are_stripped_and_replaced() {
    let backend = HttpBackend::start();
    let to = backend.address();
    let proxy = Proxy::start(&format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\npath_prefix = \"/strip\"\nstrip_prefix = true\nto = \"{to}\"\n\
         [[route]]\npath_prefix = \"/v1\"\nreplace_prefix = \"/v2\"\nto = \"{to}\"\n"
    ));
    for (asked, sent) in [
        ("/strip/a?b=c", "/a?b=c"),
        ("/strip", "/"),
        ("/strip/", "/"),
        ("/v1/x", "/v2/x"),
        ("/v1", "/v2"),
    ] {
        let mut wire = proxy.send(format!("GET {asked} HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert_eq!(wire.read_response().json()["target"], sent, "{asked}");
    }
    let mut wire = proxy.send("GET /stripped HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(wire.read_response().status(), 404);
}

#[test]
fn path_tricks_cannot_reach_a_route_that_they_should_not() {
    let public = HttpBackend::start();
    let admin = HttpBackend::start();
    let proxy = Proxy::start(&format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\npath_prefix = \"/ws\"\nto = \"{}\"\n\
         [[route]]\npath_prefix = \"/admin\"\nto = \"{}\"\n",
        public.address(),
        admin.address()
    ));
    for target in [
        "/ws/../admin",
        "/ws/%2e%2e/admin",
        "/ws/%2E%2E/admin",
        "/ws/.%2e/admin",
        "/ws/..%2fadmin",
        "//ws/../admin",
        "/ws/./../admin",
        "/ws//../../admin",
    ] {
        let mut wire = proxy.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
        wire.read_response();
        // Whoever gets it, the /ws backend must not see a way to /admin.
        for seen in public.requests() {
            let sent = seen["target"].as_str().unwrap_or_default();
            let plain = sent.to_lowercase().replace("%2e", ".").replace("%2f", "/");
            assert!(!plain.contains(".."), "{target} reached /ws as {sent}");
        }
    }
}

#[test]
fn forwarded_and_the_other_fields_have_one_source() {
    let backend = HttpBackend::start();
    // Spelt as IPv6, it is the same network.
    let proxy = Proxy::with(
        backend.address(),
        "[http]\nforwarded = true\ntrusted_proxies = [\"::ffff:127.0.0.0/104\"]\n",
    );
    let seen = Seen::of(
        &proxy,
        "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\nForwarded: for=6.6.6.6\r\n",
    );
    seen.has("x-forwarded-for", "203.0.113.7, 127.0.0.1");
    seen.has("x-forwarded-proto", "https");
    seen.has(
        "forwarded",
        "for=203.0.113.7;proto=https;host=\"app.example.com:8080\", for=127.0.0.1",
    );
}

#[test]
fn a_network_of_ipv6_that_holds_all_of_ipv4_trusts_peers_of_ipv4() {
    let backend = HttpBackend::start();
    for (network, chain) in [
        ("::/0", "203.0.113.7, 127.0.0.1"),
        ("::/64", "203.0.113.7, 127.0.0.1"),
        ("::/96", "127.0.0.1"),
        ("2000::/3", "127.0.0.1"),
    ] {
        let proxy = Proxy::with(
            backend.address(),
            &format!("[http]\ntrusted_proxies = [\"{network}\"]\n"),
        );
        let seen = Seen::of(&proxy, "X-Forwarded-For: 203.0.113.7\r\n");
        seen.has("x-forwarded-for", chain);
    }
}

#[test]
fn a_404_names_the_field_that_the_host_came_from() {
    let proxy = Proxy::start(
        "[http]\ntrusted_proxies = [\"127.0.0.1\"]\n[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\nhost = \"app.test\"\nrespond = { status = 204 }\n",
    );
    for (path, request, status, named) in [
        (
            "/a",
            "1.1\r\nHost: inner:80\r\nX-Forwarded-Host: app.test\r\n",
            204,
            false,
        ),
        (
            "/b",
            "1.1\r\nHost: app.test\r\nX-Forwarded-Host: b.test\r\n",
            404,
            true,
        ),
        ("/c", "1.0\r\nX-Forwarded-Host: b.test\r\n", 404, true),
        (
            "/d",
            "1.1\r\nHost: b.test\r\nX-Forwarded-Host: b.test\r\n",
            404,
            false,
        ),
        ("/e", "1.1\r\nHost: b.test\r\n", 404, false),
    ] {
        let request = format!("GET {path} HTTP/{request}Connection: close\r\n\r\n");
        let mut wire = proxy.send(&request);
        assert_eq!(wire.read_response().status(), status, "{request}");
        let record = proxy
            .wait_for_log("its record", |line| line.json["path"] == path)
            .json;
        let detail = record["detail"].as_str().unwrap_or_default();
        assert_eq!(
            detail.contains("X-Forwarded-Host"),
            named,
            "{request}: {record}"
        );
        assert_eq!(detail.is_empty(), status == 204, "{request}: {record}");
    }
}

#[test]
fn a_redirect_to_a_path_stays_on_the_site() {
    let proxy = Proxy::start(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\nredirect = \"{path}/\"\n\
         [[route]]\npath_prefix = \"/in\"\nredirect = \"/{path}\"\n",
    );
    for (target, location) in [
        ("/", "/"),
        ("/a", "/a/"),
        ("//b.test", "/b.test/"),
        ("/\\b.test", "/b.test/"),
        ("/.//b.test", "/b.test/"),
        ("/in/a", "/in/a"),
    ] {
        let mut wire = proxy.send(format!(
            "GET {target} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"
        ));
        let head = wire.read_head();
        assert_eq!(
            head.field("location").as_deref(),
            Some(location),
            "{target}"
        );
    }
}

#[test]
fn a_trusted_proxy_may_say_it_in_forwarded_alone() {
    const SAID: &str = "Forwarded: for=203.0.113.7;proto=https;host=\"pub.test\"\r\n";
    let backend = HttpBackend::start();
    for forwarded in [false, true] {
        let proxy = Proxy::start(&format!(
            "[http]\nforwarded = {forwarded}\ntrusted_proxies = [\"127.0.0.0/8\"]\n\
             [[listen]]\naddress = \"127.0.0.1:0\"\n\
             [[route]]\npath = \"/old\"\nredirect = \"{{scheme}}://{{host}}/new\"\n\
             [[route]]\nto = \"{}\"\n",
            backend.address()
        ));
        let seen = Seen::of(&proxy, SAID);
        seen.has("x-forwarded-for", "203.0.113.7, 127.0.0.1");
        seen.has("x-forwarded-proto", "https");
        seen.has("x-forwarded-host", "pub.test");
        seen.has("x-forwarded-port", "443");
        if forwarded {
            let told = "for=203.0.113.7;proto=https;host=\"pub.test\", for=127.0.0.1";
            seen.has("forwarded", told);
        } else {
            seen.lacks("forwarded");
        }
        let record = proxy.wait_for_access("the request", |json| json["path"] == "/echo");
        assert_eq!(record["client"], "203.0.113.7", "{record}");
        let head = format!("GET /old HTTP/1.1\r\nHost: inner\r\n{SAID}\r\n");
        let location = proxy.send(head).read_head().field("location");
        assert_eq!(location.as_deref(), Some("https://pub.test/new"));
        // One that is refused before it is a request.
        proxy.send(format!("GET /none HTTP/1.1\r\n{SAID}\r\n"));
        let record = proxy.wait_for_access("the refusal", |json| json["status"] == 400);
        assert_eq!(record["client"], "203.0.113.7", "{record}");
    }
}

#[test]
fn the_host_in_forwarded_counts_for_same_origin_if_the_peer_is_trusted() {
    let backend = EchoBackend::start();
    let shake = "Origin: https://pub.test\r\nForwarded: for=203.0.113.7;host=pub.test\r\n";
    let trusting = "[http]\ntrusted_proxies = [\"127.0.0.0/8\"]\n";
    let proxy = Proxy::with(backend.address(), trusting);
    let head = proxy.send(handshake("inner", "/", shake)).read_head();
    assert_eq!(head.status(), 101);
    // X-Forwarded-* wins, and this one does not name the host.
    let both = format!("{shake}X-Forwarded-For: 203.0.113.7\r\n");
    let answer = proxy.send(handshake("inner", "/", &both)).read_response();
    assert_eq!(answer.status(), 403);
    let stranger = Proxy::minimal(backend.address());
    let answer = stranger
        .send(handshake("inner", "/", shake))
        .read_response();
    assert_eq!(answer.status(), 403);
    let record = stranger.wait_for_access("the refusal", |json| json["status"] == 403);
    assert_eq!(record["cause"], "host-not-kept", "{record}");
    let fix = record["fix"].as_str().expect("a sentence");
    let told = "add \"127.0.0.1\" to `http.trusted_proxies`, so that its Forwarded counts";
    assert!(fix.contains(told), "{fix}");
    stranger.wait_for_log("the hint", |line| {
        line.text.contains("http.trusted_proxies") && line.text.contains("\"field\":\"forwarded\"")
    });
    let status = support::admin::status(&stranger);
    assert_eq!(
        status["hints"].as_array().map(Vec::len),
        Some(1),
        "{status}"
    );
}

/// HTTP/1.0 knows requests without a Host.
#[test]
fn a_redirect_that_needs_a_host_is_refused_without_one() {
    let proxy = Proxy::start(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\npath = \"/name\"\nredirect = \"https://{hostname}{path}\"\n\
         [[route]]\npath = \"/host\"\nredirect = \"https://{host}{path}\"\n\
         [[route]]\nredirect = \"https://fixed.test{path}\"\n",
    );
    let get = |path| {
        proxy
            .send(format!("GET {path} HTTP/1.0\r\n\r\n"))
            .read_response()
    };
    for path in ["/name", "/host"] {
        let response = get(path);
        assert_eq!(response.status(), 400, "{path}");
        assert!(response.text().contains("no Host"), "{}", response.text());
    }
    let location = get("/a").head.field("location");
    assert_eq!(location.as_deref(), Some("https://fixed.test/a"));
}

#[test]
fn a_redirect_to_https_leaves_the_port_behind() {
    let proxy = Proxy::start(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\nredirect = \"https://{hostname}{path}{query}\"\n",
    );
    for (host, location) in [
        ("app.test:8080", "https://app.test/a?b={host}"),
        ("app.test", "https://app.test/a?b={host}"),
        ("[::1]:8080", "https://[::1]/a?b={host}"),
    ] {
        let mut wire = proxy.send(format!(
            "GET /a?b={{host}} HTTP/1.1\r\nHost: {host}\r\n\r\n"
        ));
        let head = wire.read_head();
        assert_eq!(head.field("location").as_deref(), Some(location), "{host}");
    }
}

#[test]
fn a_proxy_on_a_unix_socket_leaves_a_trace_at_any_request() {
    let backend = HttpBackend::start();
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("in.sock");
    let proxy = Proxy::start(&format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[[listen]]\naddress = \"unix:{}\"\n\
         [[route]]\nto = \"{}\"\n",
        path.display(),
        backend.address()
    ));
    let mut stream = std::os::unix::net::UnixStream::connect(&path).expect("it listens");
    for more in ["", "X-Forwarded-Proto: https\r\n"] {
        let head = format!("GET /status/204 HTTP/1.1\r\nHost: x\r\n{more}\r\n");
        stream.write_all(head.as_bytes()).expect("write");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("an answer");
            answer.push(byte[0]);
        }
    }
    let told = "a peer on a unix socket sends X-Forwarded-*";
    proxy.wait_for_log("the hint", |line| line.text.contains(told));
    let hints = support::admin::status(&proxy)["hints"].clone();
    assert!(
        hints[0].as_str().is_some_and(|hint| hint.contains(told)),
        "{hints}"
    );
}

#[test]
fn a_proxy_that_is_not_trusted_leaves_a_trace_once() {
    let backend = HttpBackend::start();
    let proxy = Proxy::minimal(backend.address());
    for _ in 0..2 {
        Seen::of(
            &proxy,
            "X-Forwarded-Proto: https\r\nX-Forwarded-For: 203.0.113.7\r\n",
        );
    }
    let told = "add \"127.0.0.1\" to http.trusted_proxies";
    proxy.wait_for_log("the hint", |line| {
        line.text.contains("http.trusted_proxies")
    });
    let status = support::admin::status(&proxy);
    let hints = status["hints"].as_array().expect("a list");
    assert!(
        hints.len() == 1 && hints[0].as_str().is_some_and(|hint| hint.contains(told)),
        "{status}"
    );
    let out = String::from_utf8(proxy.command(&["status"]).stdout).expect("text");
    assert!(out.contains(told), "{out}");
    let hinted = |line: &support::process::Line| line.text.contains("http.trusted_proxies");
    assert_eq!(proxy.lines().iter().filter(|line| hinted(line)).count(), 1);
}

#[test]
fn a_proxy_that_did_not_keep_host_is_named_in_the_403() {
    let backend = HttpBackend::start();
    let proxy = Proxy::minimal(backend.address());
    let own = proxy.address();
    let head_from = |page: &str, host: &str, more: &str| {
        format!(
            "GET /ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Origin: {page}\r\n{more}\r\n"
        )
    };
    let head = |host: &str, more: &str| head_from("https://app.example.com", host, more);
    for (host, more, trust) in [
        ("backend", "", false),
        ("backend:8080", "X-Forwarded-For: 203.0.113.7\r\n", false),
        (&*own.to_string(), "", false),
        (
            "inner.example.net",
            "X-Forwarded-Host: app.example.com\r\n",
            true,
        ),
    ] {
        let answer = proxy.send(head(host, more)).read_response();
        assert_eq!(answer.status(), 403);
        let text = answer.text();
        assert!(text.contains("did not keep Host"), "{host}: {text}");
        // A browser's page of another site that asks for an address of ours looks the same.
        assert_eq!(text.contains("probably"), !trust, "{host}: {text}");
        assert!(!text.contains("to allow it"), "{host}: {text}");
        let record = proxy.wait_for_access(host, |json| json["host"] == host);
        assert_eq!(record["cause"], "host-not-kept", "{record}");
        let fix = record["fix"]
            .as_str()
            .or(record["fix"].as_str())
            .expect("a sentence");
        assert!(fix.contains("proxy_set_header Host $http_host"), "{fix}");
        assert_eq!(fix.contains("add \"127.0.0.1\""), trust, "{fix}");
    }
    // Pages without TLS and of a local network too, where something speaks for a proxy.
    let traced = "X-Real-IP: 203.0.113.7\r\n";
    for (page, host, more) in [
        ("http://app.example.com", "back", ""),
        ("http://192.168.1.10", "back", ""),
        ("http://localhost:8080", "back", ""),
        ("http://app.example.com", "127.0.0.1:9000", traced),
        ("http://localhost:8080", "127.0.0.1:9000", traced),
        ("http://192.168.1.10", "10.0.0.5", traced),
    ] {
        let text = proxy
            .send(head_from(page, host, more))
            .read_response()
            .text();
        let told = text.contains("probably did not keep Host");
        assert!(told, "{page} {host}: {text}");
    }
    // Two servers under development look like nothing in particular.
    for (page, host) in [
        ("http://app.example.com", "127.0.0.1:9000"),
        ("http://localhost:8080", "127.0.0.1:9000"),
        ("http://localhost:8080", "localhost:9000"),
    ] {
        let answer = proxy.send(head_from(page, host, "")).read_response();
        assert_eq!(answer.status(), 403);
        let text = answer.text();
        assert!(!text.contains("did not keep Host"), "{page} {host}: {text}");
    }
    // Another site is another site.
    let answer = proxy.send(head("other.example.com", "")).read_response();
    assert!(
        answer.text().contains("it is another site"),
        "{}",
        answer.text()
    );
}
