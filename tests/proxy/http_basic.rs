//! Plain HTTP/1.1 through the proxy (RFC 9110, RFC 9112): methods, versions, keep-alive,
//! pipelining, interim answers, trailers, streaming in both directions and its memory.

use crate::support;

use std::io::{Read, Write};
use std::sync::Mutex;
use std::sync::mpsc;
use std::time::Duration;

use support::{HttpBackend, Proxy, RawBackend};

#[test]
fn get_and_post_arrive_as_they_were_sent() {
    let backend = HttpBackend::start();
    let proxy = Proxy::minimal(backend.address());
    let host = proxy.address();
    let mut wire = proxy.send(format!(
        "GET /a%20b/c?q=1&r HTTP/1.1\r\nHost: {host}\r\nX-Thing: yes\r\n\r\n"
    ));
    let seen = wire.read_response();
    assert_eq!(seen.status(), 200);
    let seen = seen.json();
    assert_eq!(seen["method"], "GET");
    assert_eq!(seen["target"], "/a%20b/c?q=1&r");
    let has = |name: &str, value: &str| {
        let line = serde_json::json!([name, value]);
        seen["headers"].as_array().unwrap().contains(&line)
    };
    assert!(has("host", &host.to_string()), "{seen}");
    assert!(has("x-thing", "yes"), "{seen}");

    wire.send(format!(
        "POST /echo HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\n\r\nhello"
    ));
    let seen = wire.read_response().json();
    assert_eq!(
        (&seen["method"], &seen["body"]),
        (&"POST".into(), &"hello".into())
    );
    for method in ["PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"] {
        wire.send(format!("{method} /echo HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(wire.read_response().json()["method"], method);
    }
}

#[test]
fn head_has_the_length_and_no_body() {
    let backend = HttpBackend::start();
    let proxy = Proxy::minimal(backend.address());
    let mut wire = proxy.send("HEAD /bytes/1234 HTTP/1.1\r\nHost: x\r\n\r\n");
    let head = wire.read_head();
    assert_eq!(head.status(), 200);
    assert_eq!(head.field("content-length").as_deref(), Some("1234"));
    // The next answer follows at once, so no body came.
    wire.send("GET /bytes/3 HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(wire.read_response().body, [0; 3]);
}

#[test]
fn statuses_without_a_body_keep_the_connection_in_step() {
    let backend = HttpBackend::start();
    let proxy = Proxy::minimal(backend.address());
    let mut wire = proxy.connect();
    for status in [204, 304, 404, 500] {
        wire.send(format!("GET /status/{status} HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert_eq!(wire.read_response().status(), status);
    }
}

#[test]
fn an_http_1_0_client_gets_an_end_by_close_and_no_chunks() {
    let backend = HttpBackend::start();
    let proxy = Proxy::minimal(backend.address());
    let mut wire = proxy.send("GET /chunked/5000 HTTP/1.0\r\nHost: x\r\n\r\n");
    let head = wire.read_head();
    assert_eq!(head.status(), 200);
    assert!(head.field("transfer-encoding").is_none(), "{head:?}");
    assert_eq!(wire.read_until_close().len(), 5000);
}

#[test]
fn an_http_1_0_client_may_keep_its_connection() {
    let backend = HttpBackend::start();
    let proxy = Proxy::minimal(backend.address());
    let mut wire = proxy.connect();
    for _ in 0..2 {
        wire.send("GET /bytes/7 HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n");
        let response = wire.read_response();
        assert!(response.head.has_token("connection", "keep-alive"));
        assert_eq!(response.body.len(), 7);
    }
}

#[test]
fn connection_close_is_honoured() {
    let backend = HttpBackend::start();
    let proxy = Proxy::minimal(backend.address());
    let mut wire = proxy.send("GET /bytes/7 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let response = wire.read_response();
    assert!(response.head.has_token("connection", "close"));
    wire.expect_close();
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let backend = HttpBackend::start();
    let proxy = Proxy::minimal(backend.address());
    let mut requests = String::new();
    for n in 1..=20 {
        requests += &format!("GET /bytes/{n} HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    let mut wire = proxy.send(requests);
    for n in 1..=20 {
        assert_eq!(wire.read_response().body.len(), n);
    }
}

#[test]
fn a_pipelined_request_behind_a_body_is_answered_too() {
    let backend = HttpBackend::start();
    let proxy = Proxy::minimal(backend.address());
    let mut wire = proxy.send(
        "POST /sink HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc\
         POST /sink HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n\
         GET /bytes/9 HTTP/1.1\r\nHost: x\r\n\r\n",
    );
    assert_eq!(wire.read_response().text(), "3");
    assert_eq!(wire.read_response().text(), "4");
    assert_eq!(wire.read_response().body.len(), 9);
}

#[test]
fn expect_100_continue_is_answered_before_the_body() {
    let backend = HttpBackend::start();
    let proxy = Proxy::minimal(backend.address());
    let mut wire = proxy.send(
        "POST /sink HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n",
    );
    assert_eq!(wire.read_head().status(), 100);
    wire.send("body");
    assert_eq!(wire.read_response().text(), "4");
}

#[test]
fn early_hints_are_passed_on() {
    let backend = RawBackend::start(|_, mut wire| {
        wire.read_head();
        wire.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n");
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        wire.try_read_head();
    });
    let proxy = Proxy::minimal(backend.address());
    let mut wire = proxy.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let hints = wire.read_head();
    assert_eq!(hints.status(), 103, "{hints:?}");
    assert_eq!(hints.field("link").unwrap(), "</a.css>; rel=preload");
    assert_eq!(wire.read_response().text(), "ok");
}

#[test]
fn early_hints_do_not_reach_an_http_1_0_client() {
    let backend = RawBackend::answering(
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    let proxy = Proxy::minimal(backend.address());
    let mut wire = proxy.send("GET / HTTP/1.0\r\nHost: x\r\n\r\n");
    assert_eq!(wire.read_response().text(), "ok");
}

#[test]
fn trailers_travel_both_ways() {
    let backend = HttpBackend::start();
    let proxy = Proxy::minimal(backend.address());
    let mut wire = proxy.send(
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n\
         3\r\nabc\r\n0\r\nx-sum: 7\r\n\r\n",
    );
    let seen = wire.read_response().json();
    assert_eq!(seen["body"], "abc");
    assert_eq!(seen["trailers"], serde_json::json!([["x-sum", "7"]]));

    wire.send("GET /trailers HTTP/1.1\r\nHost: x\r\nTE: trailers\r\n\r\n");
    let response = wire.read_response();
    assert!(response.complete);
    assert_eq!(response.text(), "body");
    assert_eq!(response.trailers, [("x-sum".to_string(), "42".to_string())]);
}

#[test]
fn bodies_of_unknown_length_travel_both_ways() {
    let backend = HttpBackend::start();
    let proxy = Proxy::minimal(backend.address());
    let mut wire =
        proxy.send("POST /sink HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    for _ in 0..10 {
        wire.send("3e8\r\n");
        wire.send([b'x'; 1000]);
        wire.send("\r\n");
    }
    wire.send("0\r\n\r\n");
    assert_eq!(wire.read_response().text(), "10000");
    wire.send("GET /chunked/100000 HTTP/1.1\r\nHost: x\r\n\r\n");
    let response = wire.read_response();
    assert!(response.complete);
    assert_eq!(response.body.len(), 100_000);
}

#[test]
fn an_upstream_that_ends_its_answer_by_closing_is_understood() {
    let backend = RawBackend::start(|_, mut wire| {
        wire.read_head();
        wire.send("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end");
    });
    let proxy = Proxy::minimal(backend.address());
    let mut wire = proxy.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let response = wire.read_response();
    assert!(response.complete);
    assert_eq!(response.text(), "until the end");
}

#[test]
fn server_sent_events_arrive_while_the_answer_goes_on() {
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let backend = RawBackend::start(move |_, mut wire| {
        wire.read_head();
        wire.send(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
        );
        for event in ["9\r\ndata: 1\n\n\r\n", "9\r\ndata: 2\n\n\r\n"] {
            wire.send(event);
            // The next event waits until the client has seen this one.
            released.lock().unwrap().recv().expect("the test goes on");
        }
        wire.send("0\r\n\r\n");
        wire.try_read_head();
    });
    let proxy = Proxy::minimal(backend.address());
    let mut wire = proxy.send("GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(wire.read_head().status(), 200);
    wire.read_until(b"data: 1\n\n");
    release.send(()).unwrap();
    wire.read_until(b"data: 2\n\n");
    release.send(()).unwrap();
    wire.read_until(b"0\r\n\r\n");
}

#[test]
fn a_request_body_is_streamed_not_gathered() {
    let (seen, first_part) = mpsc::channel::<()>();
    let seen = Mutex::new(seen);
    let backend = RawBackend::start(move |_, mut wire| {
        wire.read_head();
        wire.read_exact(5);
        seen.lock().unwrap().send(()).expect("the test goes on");
        wire.read_exact(5);
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        wire.try_read_head();
    });
    let proxy = Proxy::minimal(backend.address());
    let mut wire = proxy.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nfirst");
    first_part
        .recv_timeout(support::DEADLINE)
        .expect("the first part arrives before the second is sent");
    wire.send("secnd");
    assert_eq!(wire.read_response().status(), 200);
}

/// Bytes in each direction of the memory test.
const BIG: usize = 256 << 20;
/// What a stream of any length may add to the proxy's memory.
const ALLOWANCE: u64 = 16 << 20;

#[test]
fn a_big_download_takes_constant_memory() {
    let backend = HttpBackend::start();
    let proxy = Proxy::minimal(backend.address());
    let before = peak_of(&proxy, || {
        proxy
            .send("GET /bytes/10 HTTP/1.1\r\nHost: x\r\n\r\n")
            .read_response();
    });
    let during = peak_of(&proxy, || {
        let mut wire = proxy.send(format!("GET /bytes/{BIG} HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert_eq!(wire.read_head().status(), 200);
        // Time has to pass, in which a proxy without back-pressure would take it all in.
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(swallow(&mut wire, BIG), BIG);
    });
    assert!(
        during < before + ALLOWANCE,
        "grew from {before} to {during}"
    );
}

#[test]
fn a_big_upload_takes_constant_memory() {
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let backend = RawBackend::start(move |_, mut wire| {
        wire.read_head();
        released.lock().unwrap().recv().expect("the test goes on");
        assert_eq!(swallow(&mut wire, BIG), BIG);
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        wire.try_read_head();
    });
    let proxy = Proxy::minimal(backend.address());
    proxy.reset_peak_memory();
    let before = proxy.peak_memory();
    let mut wire = proxy.send(format!(
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {BIG}\r\n\r\n"
    ));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // As above, time has to pass: the backend reads nothing for a while.
            std::thread::sleep(Duration::from_millis(500));
            release.send(()).unwrap();
        });
        let chunk = vec![0; 64 * 1024];
        for _ in 0..BIG / chunk.len() {
            wire.write_all(&chunk).expect("the proxy takes the body");
        }
    });
    assert_eq!(wire.read_response().status(), 200);
    let after = proxy.peak_memory();
    assert!(after < before + ALLOWANCE, "grew from {before} to {after}");
}

fn peak_of(proxy: &Proxy, work: impl FnOnce()) -> u64 {
    proxy.reset_peak_memory();
    work();
    proxy.peak_memory()
}

fn swallow(wire: &mut support::Wire, count: usize) -> usize {
    let mut chunk = vec![0; 256 * 1024];
    let mut got = 0;
    while got < count {
        match wire.read(&mut chunk) {
            Ok(n) if n > 0 => got += n,
            _ => break,
        }
    }
    got
}
