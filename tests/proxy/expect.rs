//! `Expect: 100-continue` (RFC 9110 section 10.1.1): the upstream decides whether the body is
//! sent, within a bounded wait.

use crate::support;

use std::process::Command;
use std::sync::Mutex;
use std::sync::mpsc;

use support::{DEADLINE, HttpBackend, Proxy, RawBackend, Tool, Wire, gate};

const UPLOAD: &str =
    "POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const LONG: &str = "[route.timeouts]\nexpect_continue = \"1h\"";

/// A backend that asks for the body, reads five bytes of it and answers.
fn asking() -> RawBackend {
    RawBackend::start(|_, mut wire| {
        while let Some(head) = wire.try_read_head() {
            assert_eq!(head.field("expect").as_deref(), Some("100-continue"));
            wire.send("HTTP/1.1 100 Continue\r\n\r\n");
            assert_eq!(wire.read_exact(5), b"hello");
            wire.send(OK);
        }
    })
}

#[test]
fn the_upstream_asks_for_the_body() {
    let backend = asking();
    let proxy = Proxy::with(backend.address(), LONG);
    let mut wire = proxy.connect();
    for _ in 0..3 {
        wire.send(UPLOAD);
        assert_eq!(wire.read_head().status(), 100);
        wire.send("hello");
        assert_eq!(wire.read_response().text(), "ok");
    }
    // Both connections served all three.
    assert_eq!(backend.accepted(), 1);
}

#[test]
fn a_refusal_comes_before_the_body_and_ends_both_connections() {
    let (rest, seen) = mpsc::channel();
    let rest = Mutex::new(rest);
    let backend = RawBackend::start(move |n, mut wire| {
        wire.read_head();
        match n {
            0 => wire.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 3\r\n\r\nno!"),
            _ => wire.send("HTTP/1.1 413 Too Large\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        }
        rest.lock().unwrap().send(wire.read_until_close()).unwrap();
    });
    let proxy = Proxy::with(backend.address(), LONG);
    for status in [401, 413] {
        let mut wire = proxy.send(UPLOAD);
        let response = wire.read_response();
        assert_eq!(response.status(), status);
        assert!(response.head.has_token("connection", "close"));
        // Neither the body nor anything else is taken for a request.
        wire.try_send("helloGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(wire.read_until_close(), b"");
        assert_eq!(seen.recv_timeout(DEADLINE).expect("its end"), b"");
    }
    assert_eq!(backend.accepted(), 2);
    eventually!(proxy.access().len() == 2, "{:?}", proxy.access());
}

#[test]
fn an_upstream_that_does_not_say_gets_the_body_in_the_end() {
    let backend = RawBackend::start(|_, mut wire| {
        wire.read_head();
        assert_eq!(wire.read_exact(5), b"hello");
        wire.send(OK);
    });
    let proxy = Proxy::with(
        backend.address(),
        "[route.timeouts]\nexpect_continue = \"300ms\"\nresponse_head = \"10s\"",
    );
    let mut wire = proxy.send(UPLOAD);
    assert_eq!(wire.read_head().status(), 100);
    wire.send("hello");
    assert_eq!(wire.read_response().text(), "ok");
}

#[test]
fn a_body_that_comes_unasked_is_not_held() {
    let backend = HttpBackend::start();
    let proxy = Proxy::with(backend.address(), LONG);
    let mut wire = proxy.send(format!("{UPLOAD}hello"));
    let mut head = wire.read_head();
    if head.status() == 100 {
        head = wire.read_head();
    }
    assert_eq!(head.status(), 200);
}

#[test]
fn a_body_that_comes_later_ends_the_wait() {
    let (gate, door) = gate();
    let backend = RawBackend::start(move |_, mut wire| {
        let head = wire.read_head();
        door.wait();
        match head.field("content-length") {
            Some(_) => assert_eq!(wire.read_exact(5), b"hello"),
            None => assert_eq!(wire.read_until(b"0\r\n\r\n"), b"5\r\nhello\r\n0\r\n\r\n"),
        }
        wire.send(OK.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"));
    });
    let proxy = Proxy::with(backend.address(), LONG);
    let chunked = UPLOAD.replace("Content-Length: 5", "Transfer-Encoding: chunked");
    for (head, body) in [(UPLOAD, "hello"), (&chunked, "5\r\nhello\r\n0\r\n\r\n")] {
        let mut wire = proxy.send(head);
        gate.reached();
        gate.open();
        wire.send(body);
        let mut head = wire.read_head();
        if head.status() == 100 {
            head = wire.read_head();
        }
        assert_eq!(head.status(), 200);
        assert_eq!(wire.read_body(head).text(), "ok");
    }
}

#[test]
fn a_client_that_is_gone_ends_the_wait() {
    for reset in [false, true] {
        let (gate, door) = gate();
        let (ended, end) = mpsc::channel();
        let ended = Mutex::new(ended);
        let backend = RawBackend::start(move |_, mut wire| {
            wire.read_head();
            door.wait();
            ended.lock().unwrap().send(wire.read_until_close()).unwrap();
        });
        let proxy = Proxy::with(backend.address(), LONG);
        let wire = proxy.send(UPLOAD);
        gate.reached();
        match reset {
            true => wire.reset(),
            false => drop(wire),
        }
        gate.open();
        assert_eq!(
            end.recv_timeout(DEADLINE).expect("the upstream is let go"),
            b""
        );
        let record = proxy.wait_for_access("the exchange", |json| json["kind"] == "exchange");
        assert_eq!(record["cause"], "client-gone", "{record}");
    }
}

/// A proxy in front may add a second one.
#[test]
fn said_twice_it_is_one_expectation() {
    let backend = RawBackend::start(|_, mut wire| {
        wire.read_head();
        wire.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
        wire.read_until_close();
    });
    let proxy = Proxy::with(backend.address(), LONG);
    for twice in [
        "Expect: 100-continue\r\nExpect: 100-Continue",
        "Expect: 100-continue, 100-continue",
    ] {
        let mut wire = proxy.send(UPLOAD.replace("Expect: 100-continue", twice));
        assert_eq!(wire.read_response().status(), 401, "{twice}");
        wire.expect_close();
    }
    let backend = HttpBackend::start();
    let proxy = Proxy::with(backend.address(), LONG);
    let vain = "GET /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue, 100-continue\r\n\r\n";
    let response = proxy.send(vain).read_response();
    assert!(!response.text().contains("expect"), "{}", response.text());
}

#[test]
fn it_is_ignored_where_it_means_nothing() {
    let backend = HttpBackend::start();
    let proxy = Proxy::with(backend.address(), LONG);
    for request in [
        "POST /echo HTTP/1.0\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nhi",
        "GET /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nExpect: 100-Continue\r\n\r\n",
    ] {
        let response = proxy.send(request).read_response();
        assert_eq!(response.status(), 200);
        assert!(!response.text().contains("expect"), "{}", response.text());
    }
}

#[test]
fn other_expectations_are_for_the_upstream_to_judge() {
    let backend = RawBackend::start(|_, mut wire| {
        let head = wire.read_head();
        assert_eq!(head.field("expect").as_deref(), Some("204-no-content"));
        wire.read_exact(5);
        wire.send("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n");
    });
    let proxy = Proxy::with(backend.address(), LONG);
    let request = UPLOAD.replace("100-continue", "204-no-content");
    let mut wire = proxy.send(format!("{request}hello"));
    assert_eq!(wire.read_response().status(), 417);
}

#[test]
fn a_held_body_goes_along_when_a_kept_connection_was_closed() {
    let backend = RawBackend::start(|n, mut wire: Wire| {
        wire.read_head();
        if n == 0 {
            wire.send(OK);
            // It goes as the next request comes.
            wire.read_head();
            return;
        }
        wire.send("HTTP/1.1 100 Continue\r\n\r\n");
        assert_eq!(wire.read_exact(5), b"hello");
        wire.send(OK);
    });
    let proxy = Proxy::with(backend.address(), LONG);
    let mut wire = proxy.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    wire.read_response();
    wire.send(UPLOAD.replace("POST", "PUT"));
    assert_eq!(wire.read_head().status(), 100);
    wire.send("hello");
    assert_eq!(wire.read_response().text(), "ok");
}

#[test]
fn an_answer_of_our_own_comes_at_once() {
    let proxy = Proxy::start(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\nrespond = { status = 403 }\n",
    );
    let mut wire = proxy.send(UPLOAD);
    assert_eq!(wire.read_response().status(), 403);
    wire.expect_close();
}

#[test]
fn curl_uploads_only_where_it_is_wanted() {
    if !Tool::require("curl") {
        return;
    }
    let backend = RawBackend::start(|_, mut wire| {
        let head = wire.read_head();
        if head.first.contains("/refused") {
            wire.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
            assert_eq!(wire.read_until_close(), b"");
            return;
        }
        wire.send("HTTP/1.1 100 Continue\r\n\r\n");
        assert_eq!(wire.read_exact(2_000_000).len(), 2_000_000);
        wire.send(OK);
    });
    let proxy = Proxy::with(backend.address(), LONG);
    let file = tempfile::NamedTempFile::new().expect("a file");
    file.as_file().set_len(2_000_000).expect("its size");
    for (path, expected) in [("wanted", "200 2000000"), ("refused", "401 0")] {
        let output = Command::new("curl")
            .args(["-s", "-o", "/dev/null", "--expect100-timeout", "60"])
            .args(["-H", "Expect: 100-continue", "--max-time", "30"])
            .args(["-w", "%{http_code} %{size_upload}", "-T"])
            .arg(file.path())
            .arg(format!("http://{}/{path}", proxy.address()))
            .output()
            .expect("curl runs");
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    }
}
