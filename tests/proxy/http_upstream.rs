//! The upstream side of plain exchanges: connections kept and not kept, retries, answers that
//! break off, and errors named in `Proxy-Status` (RFC 9209).

use crate::support;

use std::net::TcpListener;
use std::sync::Mutex;
use std::sync::mpsc;
use std::time::Duration;

use support::websocket::handshake;
use support::{HttpBackend, Proxy, RawBackend};

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// One worker, so that "the pool" is one.
fn single(backend: std::net::SocketAddr, more: &str) -> Proxy {
    Proxy::start(&format!(
        "workers = 1\n[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\nto = \"{backend}\"\n{more}\n"
    ))
}

#[test]
fn upstream_connections_are_kept_and_reused() {
    let backend = HttpBackend::start();
    let proxy = single(backend.address(), "");
    for _ in 0..5 {
        // Clients come and go; the upstream connection stays.
        let mut wire = proxy.send(GET);
        assert_eq!(wire.read_response().status(), 200);
    }
    assert_eq!(backend.requests().len(), 5);
    assert_eq!(backend.accepted(), 1);
}

#[test]
fn an_idempotent_request_survives_a_connection_that_was_just_closed() {
    // The first connection answers once, then closes when the second request has come.
    let backend = RawBackend::start(|n, mut wire| {
        wire.read_head();
        wire.send(OK);
        if n == 0 {
            wire.try_read_head();
            return;
        }
        while wire.try_read_head().is_some() {
            wire.send(OK);
        }
    });
    let proxy = single(backend.address(), "");
    let mut wire = proxy.send(GET);
    assert_eq!(wire.read_response().status(), 200);
    wire.send(GET);
    let second = wire.read_response();
    assert_eq!((second.status(), second.text()), (200, "ok".into()));
    assert_eq!(backend.accepted(), 2);
}

#[test]
fn a_post_is_not_sent_twice() {
    let backend = RawBackend::start(|n, mut wire| {
        wire.read_head();
        wire.send(OK);
        if n == 0 {
            wire.try_read_head();
        }
    });
    let proxy = single(backend.address(), "");
    let mut wire = proxy.send(GET);
    assert_eq!(wire.read_response().status(), 200);
    wire.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    let response = wire.read_response();
    assert_eq!(response.status(), 502, "{}", response.text());
    assert_eq!(backend.accepted(), 1);
}

#[test]
fn a_failure_on_a_fresh_connection_is_not_repeated_for_ever() {
    let backend = RawBackend::start(|_, mut wire| {
        wire.read_head();
    });
    let proxy = single(backend.address(), "");
    let response = proxy.send(GET).read_response();
    assert_eq!(response.status(), 502);
    assert!(backend.accepted() <= 2, "{} attempts", backend.accepted());
}

#[test]
fn nothing_is_retried_once_the_answer_has_begun() {
    let backend = RawBackend::start(|n, mut wire| {
        wire.read_head();
        if n == 0 {
            wire.send(OK);
            wire.read_head();
            wire.send("HTTP/1.1 200 OK\r\nContent-Le");
        } else {
            wire.send(OK);
        }
    });
    let proxy = single(backend.address(), "");
    let mut wire = proxy.send(GET);
    wire.read_response();
    wire.send(GET);
    assert_eq!(wire.read_response().status(), 502);
    assert_eq!(backend.accepted(), 1);
}

/// A backend that begins this answer and dies once the client has seen that it began.
fn dying(answer: &'static str) -> (RawBackend, mpsc::Sender<()>) {
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let backend = RawBackend::start(move |_, mut wire| {
        wire.read_head();
        wire.send(answer);
        released.lock().unwrap().recv().expect("the test goes on");
    });
    (backend, release)
}

#[test]
fn an_answer_that_breaks_off_is_broken_for_the_client_too() {
    for (what, request, answer) in [
        (
            "by length",
            GET,
            "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
        ),
        (
            "in chunks",
            GET,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\n",
        ),
        (
            "for HTTP/1.0",
            "GET / HTTP/1.0\r\nHost: x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
        ),
    ] {
        let (backend, release) = dying(answer);
        let proxy = single(backend.address(), "");
        let mut wire = proxy.send(request);
        let head = wire.read_head();
        assert_eq!(head.status(), 200, "{what}");
        release.send(()).unwrap();
        assert!(!wire.read_body(head).complete, "{what}: a clean end");
        let record = proxy.wait_for_access("the exchange", |json| json["kind"] == "exchange");
        assert_eq!(record["status"], 200, "{what}");
        assert_eq!(record["error"], "http_response_incomplete", "{what}");
    }
}

#[test]
fn an_answer_that_breaks_off_at_once_never_looks_whole() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
    ] {
        let backend = RawBackend::start(move |_, mut wire| {
            wire.read_head();
            wire.send(answer);
        });
        let proxy = single(backend.address(), "");
        // Head and break may come as one; then no answer at all is an honest one too.
        let mut wire = proxy.send(GET);
        if let Some(head) = wire.try_read_head() {
            assert!(!wire.read_body(head).complete, "{answer:?}: a clean end");
        }
    }
}

#[test]
fn a_connection_with_an_unread_body_is_not_reused() {
    // The backend answers without reading the body; what the client sent of it, and what it
    // still sends, must not be taken for a request by anybody.
    let backend = RawBackend::start(|n, mut wire| {
        let head = wire.read_head();
        wire.send(OK);
        if n == 0 {
            assert!(head.first.starts_with("POST"), "{head:?}");
            // Whatever follows on this connection is the body's, never a request line.
            let rest = wire.read_until_close();
            let rest = String::from_utf8_lossy(&rest).into_owned();
            assert!(!rest.contains("HTTP/1.1"), "reused: {rest}");
        }
    });
    let proxy = single(backend.address(), "");
    let mut wire = proxy.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\npart");
    assert_eq!(wire.read_head().status(), 200);
    drop(wire);
    let mut wire = proxy.send(GET);
    assert_eq!(wire.read_response().status(), 200);
    assert_eq!(backend.accepted(), 2);
}

#[test]
fn an_upstream_connection_with_surplus_bytes_is_not_reused() {
    let backend = RawBackend::start(|n, mut wire| {
        wire.read_head();
        if n == 0 {
            wire.send(format!(
                "{OK}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
            ));
            wire.try_read_head();
            return;
        }
        while {
            wire.send(OK);
            wire.try_read_head().is_some()
        } {}
    });
    let proxy = single(backend.address(), "");
    let mut wire = proxy.send(GET);
    assert_eq!(wire.read_response().text(), "ok");
    wire.send(GET);
    assert_eq!(wire.read_response().text(), "ok");
}

#[test]
fn a_client_that_leaves_takes_its_upstream_exchange_with_it() {
    let (gone, upstream_closed) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let (arrived, request_seen) = mpsc::channel::<()>();
    let arrived = Mutex::new(arrived);
    let backend = RawBackend::start(move |_, mut wire| {
        wire.read_head();
        arrived.lock().unwrap().send(()).unwrap();
        wire.read_until_close();
        let _ = gone.lock().unwrap().send(());
    });
    let proxy = single(backend.address(), "");
    let wire = proxy.send(GET);
    request_seen
        .recv_timeout(support::DEADLINE)
        .expect("the request arrives");
    drop(wire);
    upstream_closed
        .recv_timeout(support::DEADLINE)
        .expect("the upstream connection is closed");
}

#[track_caller]
fn gateway_error(proxy: &Proxy, status: u16, kind: &str) {
    let mut wire = proxy.send(GET);
    let response = wire.read_response();
    assert_eq!(response.status(), status, "{}", response.text());
    let named = response.head.field("proxy-status").expect("Proxy-Status");
    assert!(
        named.starts_with(&format!("sluice; error={kind};")),
        "{named}"
    );
    assert!(response.head.field("x-request-id").is_some());
    // The client's own connection is fine.
    if !response.head.has_token("connection", "close") {
        wire.send(GET);
        assert_eq!(wire.read_response().status(), status);
    }
}

#[test]
fn nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    gateway_error(&single(address, ""), 502, "connection_refused");
}

#[test]
fn the_answer_is_not_http() {
    let backend = RawBackend::start(|_, mut wire| {
        wire.read_head();
        wire.send("SSH-2.0-OpenSSH_9.2\r\n\r\n");
        wire.read_until_close();
    });
    gateway_error(&single(backend.address(), ""), 502, "http_protocol_error");
}

#[test]
fn the_answer_has_two_lengths() {
    let backend = RawBackend::answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
    );
    let response = single(backend.address(), "").send(GET).read_response();
    assert_eq!(response.status(), 502);
}

#[test]
fn the_answer_does_not_come() {
    let backend = RawBackend::start(|_, mut wire| {
        wire.read_until_close();
    });
    let proxy = single(
        backend.address(),
        "[route.timeouts]\nresponse_head = \"300ms\"\n",
    );
    gateway_error(&proxy, 504, "http_response_timeout");
}

#[test]
fn each_answer_has_its_own_time() {
    // The first request of a connection runs into its deadline; the second must not inherit
    // that and has a whole deadline of its own.
    let backend = RawBackend::start(|n, mut wire| {
        wire.read_head();
        if n == 1 {
            // Time has to pass: the clock's next tick would find a deadline that was inherited.
            std::thread::sleep(Duration::from_millis(200));
            wire.send(OK);
        }
        wire.read_until_close();
    });
    let proxy = single(
        backend.address(),
        "[route.timeouts]\nresponse_head = \"600ms\"\n",
    );
    let mut wire = proxy.send(GET);
    assert_eq!(wire.read_response().status(), 504);
    wire.send(GET);
    assert_eq!(wire.read_response().status(), 200);
}

#[test]
fn an_answer_that_stalls_is_broken_off() {
    let backend = RawBackend::start(|_, mut wire| {
        wire.read_head();
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
        wire.read_until_close();
    });
    let proxy = single(
        backend.address(),
        "[route.timeouts]\nresponse_idle = \"300ms\"\n",
    );
    let response = proxy.send(GET).read_response();
    assert!(!response.complete);
}

#[test]
fn a_dead_endpoint_is_passed_over() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = listener.local_addr().unwrap();
    drop(listener);
    let backend = HttpBackend::start();
    let live = backend.address();
    let proxy = Proxy::start(&format!(
        "workers = 1\n[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\nto = [\"{dead}\", \"{live}\"]\n"
    ));
    for _ in 0..6 {
        assert_eq!(proxy.send(GET).read_response().status(), 200);
    }
}

#[test]
fn an_unsolicited_101_is_a_502() {
    let backend = RawBackend::answering(support::websocket::switching(""));
    gateway_error(&single(backend.address(), ""), 502, "http_upgrade_failed");
}

#[test]
fn small_chunks_that_came_together_go_on_together() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let large = "y".repeat(5000);
    let chunks = "1\r\nx\r\n".repeat(100) + &format!("1388\r\n{large}\r\n");
    let data = "x".repeat(100) + &large;
    let ask = |end: &str| {
        let backend = RawBackend::answering(format!("{head}{chunks}{end}"));
        let proxy = Proxy::minimal(backend.address());
        let mut wire = proxy.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        wire.read_head();
        String::from_utf8_lossy(&wire.read_until_close()).into_owned()
    };
    let one = |data: &str| format!("{:X}\r\n{data}\r\n", data.len());
    let together = one(&data);
    assert_eq!(ask("0\r\n\r\n"), format!("{together}0\r\n\r\n"));
    assert_eq!(ask("0\r\nX-Sum: 7\r\n\r\n"), format!("{together}0\r\n\r\n"));
    // What was good goes first, and the end is missing.
    assert_eq!(ask("1\r\nz\r\nwrong\r\n"), one(&(data + "z")));
}

/// The port is wrong, whatever was asked of it.
#[test]
fn a_plain_request_is_told_what_a_handshake_is_told() {
    const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";
    for (answer, cause) in [
        (&b"\x15\x03\x01\0\x02\x02\x46"[..], "tls-expected"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "not-http"),
        (SETTINGS, "http2-only"),
        (b"HTTP/1.1 2x0 OK\r\n\r\n", "malformed-answer"),
    ] {
        let backend = RawBackend::answering(answer);
        let proxy = Proxy::minimal(backend.address());
        for head in [
            "GET /plain HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            handshake(proxy.address(), "/ws", ""),
        ] {
            let path = head.split(' ').nth(1).expect("a path").to_owned();
            assert_eq!(proxy.send(head).read_response().status(), 502, "{cause}");
            let record = proxy.wait_for_access(&path, |json| json["path"] == path);
            assert_eq!(record["cause"], cause, "{record}");
            assert!(record["fix"].is_string(), "{record}");
        }
    }
}
