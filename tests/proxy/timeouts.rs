//! Every HTTP time-out fires, with what it promises, and not on those who did nothing wrong.
//! Heads and bodies that come too slowly are in `http_refuse`, answers in `http_upstream`.

use crate::support;

use std::sync::Mutex;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use support::websocket::handshake;
use support::{DEADLINE, HttpBackend, Proxy, RawBackend};

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let backend = HttpBackend::start();
    let proxy = Proxy::with(backend.address(), "[http]\nkeepalive_timeout = \"500ms\"");
    let since = Instant::now();
    let mut wire = proxy.send(GET);
    wire.read_response();
    wire.expect_close();
    // It begins with the answer; a machine that is busy only makes it longer.
    assert!(since.elapsed() >= Duration::from_millis(500));
}

#[test]
fn the_second_head_has_a_clock_too() {
    let backend = HttpBackend::start();
    let proxy = Proxy::with(backend.address(), "[http]\nhead_timeout = \"500ms\"");
    let mut wire = proxy.send(GET);
    wire.read_response();
    wire.send("GET / HTTP/1.1\r\n");
    assert_eq!(wire.read_response().status(), 408);
    wire.expect_close();
    let record = proxy.wait_for_access("the refusal", |json| json["status"] == 408);
    assert!(record["duration_ms"].as_f64() >= Some(400.0), "{record}");
}

#[test]
fn whoever_connects_and_says_nothing_is_let_go() {
    let backend = HttpBackend::start();
    let proxy = Proxy::with(backend.address(), "[http]\nhead_timeout = \"500ms\"");
    proxy.connect().expect_close();
}

#[test]
fn a_client_that_does_not_take_its_answer_is_cut_and_the_upstream_let_go() {
    let (ended, end) = mpsc::channel();
    let ended = Mutex::new(ended);
    let backend = RawBackend::start(move |_, mut wire| {
        wire.read_head();
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
        while wire.try_send([b'x'; 65536]) {}
        let _ = ended.lock().unwrap().send(());
    });
    let proxy = Proxy::with(backend.address(), "[http]\nwrite_timeout = \"500ms\"");
    let _wire = proxy.send(GET);
    end.recv_timeout(DEADLINE).expect("the upstream is let go");
    let record = proxy.wait_for_access("the exchange", |json| json["kind"] == "exchange");
    assert_eq!(record["error"], "write_timeout", "{record}");
}

#[test]
fn an_upstream_that_does_not_take_the_request_is_504() {
    let (done, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let backend = RawBackend::start(move |_, mut wire| {
        wire.read_head();
        let _ = wait.lock().unwrap().recv();
    });
    let proxy = Proxy::with(
        backend.address(),
        "[route.timeouts]\nresponse_head = \"500ms\"",
    );
    let mut wire = proxy.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n");
    let mut upload = wire.second();
    let uploading = std::thread::spawn(move || while upload.try_send([b'x'; 65536]) {});
    assert_eq!(wire.read_head().status(), 504);
    wire.read_until_close();
    uploading.join().unwrap();
    drop(done);
}

#[test]
fn a_slow_client_is_not_the_upstreams_silence() {
    // The answer's head comes at once, its body when all of the request is there.
    let backend = RawBackend::start(|_, mut wire| {
        wire.read_head();
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
        wire.read_exact(8);
        wire.send("done");
    });
    let proxy = Proxy::with(
        backend.address(),
        "[route.timeouts]\nresponse_head = \"300ms\"\nresponse_idle = \"300ms\"",
    );
    let mut wire = proxy.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\n");
    let head = wire.read_head();
    for byte in b"12345678" {
        // The time is what is tested: longer in all than either limit and the clock's own step.
        std::thread::sleep(Duration::from_millis(150));
        wire.send([*byte]);
    }
    assert_eq!(wire.read_body(head).text(), "done");
}

#[test]
fn after_a_504_the_connection_and_its_clocks_go_on() {
    let backend = RawBackend::start(|n, mut wire| {
        wire.read_head();
        match n {
            0 => drop(wire.read_until_close()),
            _ => wire.send(OK),
        }
    });
    let proxy = Proxy::with(
        backend.address(),
        "[route.timeouts]\nresponse_head = \"300ms\"\n[http]\nkeepalive_timeout = \"500ms\"",
    );
    let mut wire = proxy.send(GET);
    assert_eq!(wire.read_response().status(), 504);
    wire.send(GET);
    assert_eq!(wire.read_response().status(), 200);
    wire.expect_close();
}

#[test]
fn a_refusal_whose_body_does_not_come_is_passed_on_all_the_same() {
    let backend = RawBackend::start(|_, mut wire| {
        wire.read_head();
        wire.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\n");
        wire.read_until_close();
    });
    let proxy = Proxy::with(
        backend.address(),
        "[route.timeouts]\nresponse_idle = \"2s\"",
    );
    let mut wire = proxy.send(handshake(proxy.address(), "/ws", ""));
    assert_eq!(wire.read_head().status(), 403);
    wire.expect_close();
}
