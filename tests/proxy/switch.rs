//! Protocols besides WebSocket that a route lets through (RFC 9110 section 7.8), as `docker
//! attach` and older `kubectl exec` use them.

use crate::support;

use std::sync::Mutex;
use std::sync::mpsc;

use support::{DEADLINE, HttpBackend, Proxy, RawBackend, Wire, gate};

const KEY: &str = "upgrade = [\"tcp\", \"spdy/3.1\"]\n";
const EXEC: &str = "POST /exec/1/start HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
    Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 15\r\n\r\n{\"Detach\":true}";
const SWITCHED: &str = "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n\
    Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET /next HTTP/1.1\r\nHost: x\r\n\r\n";

/// Reads a request with the body of [`EXEC`].
fn read_exec(wire: &mut Wire) {
    let head = wire.read_head();
    assert_eq!(head.field("upgrade").as_deref(), Some("tcp"), "{head:?}");
    assert!(head.has_token("connection", "upgrade"), "{head:?}");
    assert_eq!(wire.read_exact(15).len(), 15);
}

#[test]
fn docker_attach_gets_its_stream() {
    let backend = RawBackend::start(|_, mut wire| {
        read_exec(&mut wire);
        wire.send(format!("{SWITCHED}hello "));
        // All that the client has to say, to its end, and only then the rest.
        assert_eq!(wire.read_until_close(), b"\x88\x80stdin");
        wire.send("\u{88}output");
    });
    let proxy = Proxy::with(backend.address(), KEY);
    let mut wire = proxy.send(EXEC);
    let head = wire.read_head();
    assert_eq!(head.status(), 101);
    assert_eq!(head.field("upgrade").as_deref(), Some("tcp"));
    assert!(head.has_token("connection", "upgrade"));
    let content_type = head.field("content-type");
    assert_eq!(
        content_type.as_deref(),
        Some("application/vnd.docker.raw-stream")
    );
    wire.send(b"\x88\x80stdin");
    wire.shutdown_write();
    assert_eq!(wire.read_until_close(), "hello \u{88}output".as_bytes());
    let opened = proxy.wait_for_access("the opening", |json| json["kind"] == "tunnel_open");
    assert_eq!(opened["upgrade"], "tcp", "{opened}");
    assert_eq!(opened["path"], "/exec/1/start");
    let closed = proxy.wait_for_tunnel_close();
    assert_eq!(closed["bytes_in"], 7, "{closed}");
    assert_eq!(closed["bytes_out"], 14, "{closed}");
    assert_eq!(closed["messages_in"], 0);
    assert!(closed["client_close"].is_null() && closed["sent_client"].is_null());
}

#[test]
fn a_client_may_have_said_all_before_the_101() {
    let (gate, door) = gate();
    let backend = RawBackend::start(move |_, mut wire| {
        read_exec(&mut wire);
        door.wait();
        wire.send(SWITCHED);
        assert_eq!(wire.read_until_close(), b"stdin");
        wire.send("output");
    });
    let proxy = Proxy::with(backend.address(), KEY);
    let mut wire = proxy.send(EXEC);
    gate.reached();
    wire.send("stdin");
    wire.shutdown_write();
    gate.open();
    assert_eq!(wire.read_head().status(), 101);
    assert_eq!(wire.read_until_close(), b"output");
    let closed = proxy.wait_for_tunnel_close();
    assert_eq!(
        (&closed["bytes_in"], &closed["bytes_out"]),
        (&5.into(), &6.into())
    );
}

#[test]
fn kubectl_exec_names_its_version() {
    let backend = RawBackend::start(|_, mut wire| {
        let head = wire.read_head();
        assert_eq!(head.field("upgrade").as_deref(), Some("SPDY/3.1"));
        assert_eq!(
            head.field("x-stream-protocol-version").as_deref(),
            Some("v4.channel.k8s.io")
        );
        wire.send(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: SPDY/3.1\r\nConnection: Upgrade\r\n\
             X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n",
        );
        let got = wire.read_exact(8);
        wire.send(got);
    });
    let proxy = Proxy::with(backend.address(), KEY);
    let mut wire = proxy.send(
        "POST /api/v1/namespaces/a/pods/b/exec?command=sh HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\
         Connection: Upgrade\r\nUpgrade: h2c, SPDY/3.1\r\n\
         X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n",
    );
    let head = wire.read_head();
    assert_eq!(head.status(), 101);
    assert_eq!(
        head.field("x-stream-protocol-version").as_deref(),
        Some("v4.channel.k8s.io")
    );
    wire.send(b"\x80\x03\x00\x01\x00\x00\x00\x00");
    assert_eq!(wire.read_exact(8), b"\x80\x03\x00\x01\x00\x00\x00\x00");
    wire.expect_close();
}

#[test]
fn nothing_behind_the_request_goes_up_before_the_101() {
    let (gate, door) = gate();
    let (seen, early) = mpsc::channel();
    let seen = Mutex::new(seen);
    let backend = RawBackend::start(move |_, mut wire| {
        read_exec(&mut wire);
        door.wait();
        wire.expect_silence(std::time::Duration::from_millis(200));
        wire.send(SWITCHED);
        seen.lock().unwrap().send(wire.read_exact(5)).unwrap();
    });
    let proxy = Proxy::with(backend.address(), KEY);
    let mut wire = proxy.send(format!("{EXEC}early"));
    gate.reached();
    gate.open();
    assert_eq!(wire.read_head().status(), 101);
    assert_eq!(early.recv_timeout(DEADLINE).expect("the bytes"), b"early");
}

#[test]
fn a_plain_answer_leaves_the_connection_to_the_next_request() {
    let backend = RawBackend::start(|n, mut wire| {
        let head = wire.read_head();
        assert_eq!(head.field("upgrade").is_some(), n == 0, "{head:?}");
        if n == 0 {
            wire.read_exact(15);
        }
        wire.send(OK);
    });
    let proxy = Proxy::with(backend.address(), KEY);
    let mut wire = proxy.send(EXEC);
    assert_eq!(wire.read_response().text(), "ok");
    // What is pipelined after a plain request is one, also where the first asked for a tunnel.
    wire.send(format!("{GET}{GET}"));
    for _ in 0..2 {
        assert_eq!(wire.read_response().text(), "ok");
    }
}

#[test]
fn what_came_before_an_answer_without_a_tunnel_is_no_request() {
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    let malformed = "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n";
    let bare = EXEC.replace("Content-Length: 15\r\n\r\n{\"Detach\":true}", "\r\n");
    for answer in [OK, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"] {
        let backend = RawBackend::start(move |_, mut wire| {
            let head = wire.read_head();
            assert!(head.field("upgrade").is_some(), "{head:?}");
            if head.field("content-length").is_some() {
                wire.read_exact(15);
            }
            wire.send(answer);
            assert_eq!(wire.read_until_close(), b"");
        });
        for first in [EXEC, &bare] {
            for after in [smuggled, malformed, "\u{0}raw"] {
                let proxy = Proxy::with(backend.address(), KEY);
                let mut wire = proxy.send(format!("{first}{after}"));
                let response = wire.read_response();
                assert!(answer.contains(&response.status().to_string()));
                assert!(response.head.has_token("connection", "close"), "{after:?}");
                wire.expect_close();
            }
        }
    }
}

#[test]
fn an_answer_of_sluice_or_before_the_body_ends_the_connection_too() {
    let long = EXEC.replace("Content-Length: 15", "Content-Length: 16");
    let backend = RawBackend::start(|_, mut wire| {
        wire.read_head();
        wire.send(OK);
        wire.read_until_close();
    });
    let proxy = Proxy::with(backend.address(), KEY);
    let mut wire = proxy.send(long);
    let response = wire.read_response();
    assert!(response.head.has_token("connection", "close"));
    wire.try_send(format!("!{GET}"));
    wire.expect_close();

    let small = format!("{KEY}max_body = 3\n");
    let proxy = Proxy::with(backend.address(), &small);
    let mut wire = proxy.send(format!("{EXEC}{GET}"));
    let response = wire.read_response();
    assert_eq!(response.status(), 413);
    assert!(response.head.has_token("connection", "close"));
    wire.expect_close();
}

#[test]
fn without_the_key_the_request_is_a_plain_one() {
    let backend = HttpBackend::start();
    let other = Proxy::with(backend.address(), "upgrade = [\"spdy/3.1\"]\n");
    for proxy in [Proxy::minimal(backend.address()), other] {
        for protocol in ["tcp", "TCP", "tcp/1", "h2c", "spdy/3", "SPDY/3.10"] {
            let mut wire = proxy.send(format!(
                "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\
                 Content-Length: 2\r\n\r\nhiGET /echo HTTP/1.1\r\nHost: x\r\n\r\n"
            ));
            for _ in 0..2 {
                let response = wire.read_response();
                assert_eq!(response.status(), 200);
                let text = response.text().to_lowercase();
                assert!(!text.contains("upgrade"), "{protocol}: {text}");
            }
        }
    }
}

#[test]
fn without_connection_upgrade_or_in_http_1_0_it_is_a_plain_one() {
    let backend = HttpBackend::start();
    let proxy = Proxy::with(backend.address(), KEY);
    for (version, lines) in [
        ("1.1", "Upgrade: tcp\r\n"),
        ("1.0", "Upgrade: tcp\r\nConnection: Upgrade\r\n"),
    ] {
        let mut wire = proxy.send(format!(
            "GET /echo HTTP/{version}\r\nHost: x\r\n{lines}\r\n"
        ));
        let text = wire.read_response().text().to_lowercase();
        assert!(!text.contains("upgrade"), "{text}");
    }
}

#[test]
fn a_101_for_something_else_is_502_with_its_cause() {
    for (fields, cause) in [
        (
            "Connection: Upgrade\r\nUpgrade: websocket\r\n",
            "upstream-101-upgrade-other",
        ),
        (
            "Connection: Upgrade\r\nUpgrade: spdy/3.1\r\n",
            "upstream-101-upgrade-other",
        ),
        (
            "Connection: Upgrade\r\nUpgrade: tcp, spdy/3.1\r\n",
            "upstream-101-upgrade-other",
        ),
        ("Connection: Upgrade\r\n", "upstream-101-upgrade-missing"),
        ("Upgrade: tcp\r\n", "upstream-101-connection-missing"),
    ] {
        let backend = RawBackend::start(move |_, mut wire| {
            read_exec(&mut wire);
            wire.send(format!("HTTP/1.1 101 Switching Protocols\r\n{fields}\r\n"));
            assert_eq!(wire.read_until_close(), b"");
        });
        let proxy = Proxy::with(backend.address(), KEY);
        let mut wire = proxy.send(format!("{EXEC}early"));
        assert_eq!(wire.read_response().status(), 502);
        wire.read_until_close();
        let record = proxy.wait_for_access("the refusal", |json| json["kind"] == "exchange");
        assert_eq!(record["cause"], cause, "{record}");
        assert_eq!(record["error"], "http_upgrade_failed", "{record}");
    }
}

#[test]
fn a_chunked_body_goes_along_whole() {
    let (sent, body) = mpsc::channel();
    let sent = Mutex::new(sent);
    let backend = RawBackend::start(move |_, mut wire| {
        wire.read_head();
        // Before the body has come.
        wire.send(SWITCHED);
        sent.lock()
            .unwrap()
            .send(wire.read_until(b"0\r\n\r\n"))
            .unwrap();
        assert_eq!(wire.read_exact(3), b"raw");
        wire.send("back");
    });
    let proxy = Proxy::with(backend.address(), KEY);
    let mut wire = proxy.send(
        "POST /x HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: TCP\r\n\
         Transfer-Encoding: chunked\r\n\r\n",
    );
    wire.send("3\r\nabc\r\n0\r\n\r\n");
    assert_eq!(
        body.recv_timeout(DEADLINE).expect("the body"),
        b"3\r\nabc\r\n0\r\n\r\n"
    );
    assert_eq!(wire.read_head().status(), 101);
    wire.send("raw");
    assert_eq!(wire.read_exact(4), b"back");
}

#[test]
fn it_ends_by_command_and_by_silence_without_a_frame() {
    let backend = RawBackend::start(|_, mut wire| {
        read_exec(&mut wire);
        wire.send(SWITCHED);
        wire.read_until_close();
    });
    let idle = Proxy::with(
        backend.address(),
        &format!("{KEY}[route.websocket]\nidle_timeout = \"1s\"\nping_interval = \"1s\"\n"),
    );
    let drained = Proxy::with(backend.address(), KEY);
    for (proxy, by) in [(&idle, "idle"), (&drained, "drain")] {
        let mut wire = proxy.send(EXEC);
        assert_eq!(wire.read_head().status(), 101);
        if by == "drain" {
            proxy.terminate();
        }
        assert_eq!(wire.read_until_close(), b"", "no frame");
        drop(wire);
        assert_eq!(proxy.wait_for_tunnel_close()["closed_by"], by);
    }
}

#[test]
fn what_was_held_is_looked_at_like_any_request() {
    let backend = RawBackend::start(|n, mut wire| {
        if n == 0 {
            wire.read_head();
            wire.read_exact(15);
            return wire.send(OK);
        }
        let head = String::from_utf8(wire.read_until(b"\r\n\r\n")).unwrap();
        let lines: Vec<&str> = head.lines().take(3).collect();
        let text = lines.join("|");
        let length = text.len();
        wire.send(format!(
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{text}"
        ));
    });
    // No protocol that the route allows, which makes the request a plain one.
    let proxy = Proxy::minimal(backend.address());
    // Targets that must be carried around the parser, names to be spelled as they came, a head
    // that is not complete, and one that is refused.
    let odd = |n| format!("GET /<{n}>?q=\"`{n} HTTP/1.1\r\nhOST: x\r\nSOAPAction: {n}\r\n\r\n");
    let mut wire = proxy.send(format!("{EXEC}{}{}GET /<", odd(1), odd(2)));
    assert_eq!(wire.read_response().text(), "ok");
    let seen = |n| format!("GET /<{n}>?q=\"`{n} HTTP/1.1|hOST: x|SOAPAction: {n}");
    assert_eq!(wire.read_response().text(), seen(1));
    assert_eq!(wire.read_response().text(), seen(2));
    let third = odd(3);
    wire.send(format!(
        "{}{}",
        &third["GET /<".len()..],
        "B@D / HTTP/1.1\r\n\r\n"
    ));
    assert_eq!(wire.read_response().text(), seen(3));
    assert_eq!(wire.read_response().status(), 400);
    wire.expect_close();
}
