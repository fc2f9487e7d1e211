//! A client that ends its direction after its request, and one that is really gone: the first
//! is answered, the other is noticed (RFC 9112 section 9.6).

use crate::support;

use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver};

use support::{DEADLINE, Door, HttpBackend, Proxy, RawBackend, Wire, gate, held};

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A backend that says when its connection ended, and does what `first` says before.
fn watched(first: impl Fn(&mut Wire) + Send + Sync + 'static) -> (RawBackend, Receiver<()>) {
    let (ended, end) = mpsc::channel();
    let ended = Mutex::new(ended);
    let backend = RawBackend::start(move |_, mut wire| {
        wire.read_head();
        first(&mut wire);
        wire.read_until_close();
        let _ = ended.lock().unwrap().send(());
    });
    (backend, end)
}

/// The backend answers once the client has ended its direction and the door is open.
fn answers_behind(door: Door, answer: &'static str) -> RawBackend {
    RawBackend::start(move |_, mut wire| {
        wire.read_head();
        door.wait();
        wire.send(answer);
    })
}

#[test]
fn the_answer_comes_and_then_the_end() {
    for version in ["1.1", "1.0"] {
        let (gate, door) = gate();
        let backend = answers_behind(door, OK);
        let proxy = Proxy::minimal(backend.address());
        let mut wire = proxy.send(format!("GET / HTTP/{version}\r\nHost: x\r\n\r\n"));
        gate.reached();
        wire.shutdown_write();
        gate.open();
        assert_eq!(wire.read_response().text(), "ok");
        wire.expect_close();
        let record = proxy.wait_for_access("the exchange", |json| json["kind"] == "exchange");
        assert_eq!(record["status"], 200);
        assert!(record["error"].is_null(), "{record}");
    }
}

#[test]
fn a_request_and_its_end_in_one_segment_are_answered() {
    let backend = HttpBackend::start();
    let proxy = Proxy::minimal(backend.address());
    let mut wire = proxy.connect();
    wire.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
    wire.shutdown_write();
    assert_eq!(wire.read_response().status(), 200);
    wire.expect_close();
}

#[test]
fn a_download_goes_on_to_its_end() {
    let backend = HttpBackend::start();
    let proxy = Proxy::minimal(backend.address());
    for size in [100_000, 20_000_000] {
        let mut wire = proxy.send(format!("GET /bytes/{size} HTTP/1.1\r\nHost: x\r\n\r\n"));
        let head = wire.read_head();
        wire.shutdown_write();
        let response = wire.read_body(head);
        assert!(response.complete);
        assert_eq!(response.body.len(), size);
        wire.expect_close();
    }
}

#[test]
fn all_pipelined_requests_are_answered() {
    let backend = HttpBackend::start();
    let proxy = Proxy::minimal(backend.address());
    let mut wire = proxy.send(format!(
        "{}POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc{GET}",
        GET.repeat(3)
    ));
    wire.shutdown_write();
    for _ in 0..5 {
        assert_eq!(wire.read_response().status(), 200);
    }
    wire.expect_close();
    eventually!(proxy.access().len() == 5, "{:?}", proxy.access());
}

#[test]
fn a_kept_connection_may_end_behind_its_second_request() {
    let backend = HttpBackend::start();
    let proxy = Proxy::minimal(backend.address());
    let mut wire = proxy.send(GET);
    wire.read_response();
    wire.send(GET);
    wire.shutdown_write();
    assert_eq!(wire.read_response().status(), 200);
    wire.expect_close();
}

#[test]
fn an_incomplete_body_is_400_and_ends_the_upstreams_exchange() {
    let (backend, end) = watched(|_| ());
    let proxy = Proxy::minimal(backend.address());
    let mut wire = proxy.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\npart");
    wire.shutdown_write();
    assert_eq!(wire.read_response().status(), 400);
    wire.expect_close();
    end.recv_timeout(DEADLINE).expect("the upstream is let go");
    let record = proxy.wait_for_access("the exchange", |json| json["kind"] == "exchange");
    assert_eq!(
        (&record["status"], &record["cause"]),
        (&400.into(), &"client-gone".into())
    );
    assert_eq!(proxy.access().len(), 1, "{:?}", proxy.access());
}

#[test]
fn a_pipelined_request_that_is_cut_short_does_not_cost_the_one_in_front() {
    let (gate, door) = gate();
    let backend = answers_behind(door, OK);
    let proxy = Proxy::minimal(backend.address());
    let mut wire = proxy.send(format!("{GET}GET /half HTTP/1.1\r\nHo"));
    gate.reached();
    wire.shutdown_write();
    gate.open();
    assert_eq!(wire.read_response().text(), "ok");
    wire.expect_close();
}

#[test]
fn a_client_that_is_gone_lets_go_of_a_silent_upstream() {
    for reset in [false, true] {
        let (backend, gate) = held();
        let proxy = Proxy::minimal(backend.address());
        let mut wire = proxy.send(GET);
        gate.reached();
        wire.shutdown_write();
        match reset {
            true => wire.reset(),
            false => drop(wire),
        }
        let record = proxy.wait_for_access("the exchange", |json| json["kind"] == "exchange");
        assert_eq!(record["error"], "client_closed", "{record}");
        assert!(record["status"].is_null(), "{record}");
        assert_eq!(proxy.access().len(), 1);
        gate.open();
    }
}

#[test]
fn a_client_that_is_gone_mid_answer_is_noticed_by_the_write() {
    let (gate, door) = gate();
    let (ended, end) = mpsc::channel();
    let ended = Mutex::new(ended);
    let backend = RawBackend::start(move |_, mut wire| {
        wire.read_head();
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
        door.wait();
        while wire.try_send("5\r\nagain\r\n") {}
        let _ = ended.lock().unwrap().send(());
    });
    let proxy = Proxy::minimal(backend.address());
    let mut wire = proxy.send(GET);
    wire.read_until(b"first");
    wire.shutdown_write();
    drop(wire);
    gate.reached();
    gate.open();
    end.recv_timeout(DEADLINE).expect("the upstream is let go");
    let record = proxy.wait_for_access("the exchange", |json| json["kind"] == "exchange");
    assert_eq!(record["error"], "client_closed", "{record}");
}

#[test]
fn a_handshake_without_a_tunnel_is_answered_too() {
    let (gate, door) = gate();
    let backend = RawBackend::start(move |_, mut wire| {
        if wire.try_read_head().is_some() {
            door.wait();
            wire.send("HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone");
        }
    });
    let dead = "127.0.0.1:1";
    let proxy = Proxy::start(&format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\npath_prefix = \"/own\"\nrespond = {{ status = 200, body = \"hi\" }}\n\
         [[route]]\npath_prefix = \"/dead\"\nto = \"{dead}\"\n\
         [[route]]\npath_prefix = \"/ws\"\nto = \"{}\"\n",
        backend.address()
    ));
    let key = format!("Sec-WebSocket-Key: {}\r\n", support::websocket::KEY);
    for (path, more, status) in [
        ("/ws", "Origin: http://evil.example\r\n", 403),
        ("/ws", key.as_str(), 400),
        ("/own", "", 200),
        ("/dead", "", 502),
        ("/none", "", 404),
        ("/ws/late", "", 404),
    ] {
        let handshake = support::websocket::handshake(proxy.address(), path, more);
        let mut wire = proxy.send(handshake);
        if path == "/ws/late" {
            gate.reached();
        }
        wire.shutdown_write();
        if path == "/ws/late" {
            gate.open();
        }
        let response = wire.read_response();
        assert_eq!(response.status(), status, "{path}");
        assert!(response.complete && !response.body.is_empty(), "{path}");
        wire.expect_close();
        let mine = |json: &serde_json::Value| json["path"] == path && json["status"] == status;
        let record = proxy.wait_for_access(path, mine);
        assert_ne!(record["error"], "client_closed", "{record}");
        assert_eq!(record["bytes_out"], response.body.len(), "{record}");
    }
    assert_eq!(proxy.access().len(), 6, "{:?}", proxy.access());
}

#[test]
fn a_tunnel_sees_that_its_client_has_ended_its_direction() {
    let (gate, door) = gate();
    let (ended, end) = mpsc::channel();
    let ended = Mutex::new(ended);
    let backend = RawBackend::start(move |_, mut wire| {
        wire.read_head();
        door.wait();
        wire.send(support::websocket::switching(""));
        ended.lock().unwrap().send(wire.read_until_close()).unwrap();
    });
    let proxy = Proxy::minimal(backend.address());
    let mut wire = proxy.send(support::websocket::handshake(proxy.address(), "/ws", ""));
    gate.reached();
    wire.shutdown_write();
    gate.open();
    assert_eq!(wire.read_head().status(), 101);
    wire.read_until_close();
    end.recv_timeout(DEADLINE).expect("the upstream is let go");
    assert_eq!(proxy.wait_for_tunnel_close()["closed_by"], "client");
    let kinds: Vec<_> = proxy
        .access()
        .iter()
        .map(|json| json["kind"].clone())
        .collect();
    assert_eq!(kinds, ["tunnel_open", "tunnel_close"]);
}

#[test]
fn a_handshake_whose_client_is_gone_is_given_up() {
    let (backend, end) = watched(|_| ());
    let proxy = Proxy::minimal(backend.address());
    let mut wire = proxy.send(support::websocket::handshake(proxy.address(), "/ws", ""));
    eventually!(backend.accepted() == 1);
    wire.shutdown_write();
    drop(wire);
    end.recv_timeout(DEADLINE).expect("the upstream is let go");
    let record = proxy.wait_for_access("the exchange", |json| json["kind"] == "exchange");
    assert_eq!(record["cause"], "client-gone", "{record}");
    assert!(record["status"].is_null(), "{record}");
}
