//! Clients that are gone or take nothing: what they cost, and what is written down of it.

use crate::support;

use std::sync::{Mutex, mpsc};

use support::websocket::{handshake, switching};
use support::{DEADLINE, Proxy, RawBackend, gate};

/// What a record may claim beyond what its client has read: what the kernel took for it.
const IN_SOCKETS: u64 = 16 * 1024 * 1024;

#[test]
fn a_lost_clients_tunnel_neither_drains_nor_counts_what_the_upstream_goes_on_to_say() {
    let (ended, end) = mpsc::channel();
    let ended = Mutex::new(ended);
    let backend = RawBackend::start(move |_, mut wire| {
        wire.read_head();
        wire.send(switching(""));
        // One binary message without an end: 2^40 bytes.
        wire.send([0x82, 127, 0, 0, 1, 0, 0, 0, 0, 0]);
        let mut sent = 0_u64;
        while sent < 1 << 31 && wire.try_send([b'x'; 65536]) {
            sent += 65536;
        }
        let _ = ended.lock().unwrap().send(sent);
    });
    let proxy = Proxy::minimal(backend.address());
    let mut wire = proxy.send(handshake(proxy.address(), "/", ""));
    assert_eq!(wire.read_head().status(), 101);
    wire.read_exact(125_000);
    wire.reset();
    let sent = end.recv_timeout(DEADLINE).expect("the upstream is let go");
    assert!(sent < 1 << 30, "{sent} bytes were drained");
    let record = proxy.wait_for_tunnel_close();
    assert_eq!(record["closed_by"], "client", "{record}");
    let counted = record["bytes_out"].as_u64().expect("bytes");
    assert!(counted < 125_000 + IN_SOCKETS, "{record}");
}

#[test]
fn an_answer_that_a_lost_client_did_not_get_is_not_counted() {
    let (ended, end) = mpsc::channel();
    let ended = Mutex::new(ended);
    let backend = RawBackend::start(move |_, mut wire| {
        wire.read_head();
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2000000000\r\n\r\n");
        while wire.try_send([b'x'; 65536]) {}
        let _ = ended.lock().unwrap().send(());
    });
    let proxy = Proxy::minimal(backend.address());
    let mut wire = proxy.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    wire.read_head();
    wire.read_exact(125_000);
    wire.reset();
    end.recv_timeout(DEADLINE).expect("the upstream is let go");
    let record = proxy.wait_for_access("the exchange", |json| json["kind"] == "exchange");
    assert_eq!(record["error"], "client_closed", "{record}");
    let counted = record["bytes_out"].as_u64().expect("bytes");
    assert!(counted < 125_000 + IN_SOCKETS, "{record}");
}

/// Whether the body has a length or chunks, and whether an answer is under way.
#[test]
fn a_client_that_is_reset_in_its_request_body_is_one_that_has_left() {
    let framed = [
        "Content-Length: 100\r\n\r\npart",
        "Transfer-Encoding: chunked\r\n\r\n9\r\npart",
    ];
    for (framing, answers) in framed
        .into_iter()
        .flat_map(|framing| [(framing, false), (framing, true)])
    {
        let (gate, door) = gate();
        let (ended, end) = mpsc::channel();
        let ended = Mutex::new(ended);
        let backend = RawBackend::start(move |_, mut wire| {
            wire.read_head();
            wire.read_until(b"part");
            if answers {
                wire.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
            }
            door.wait();
            wire.read_until_close();
            let _ = ended.lock().unwrap().send(());
        });
        let proxy = Proxy::minimal(backend.address());
        let mut wire = proxy.send(format!("POST /up HTTP/1.1\r\nHost: x\r\n{framing}"));
        gate.reached();
        if answers {
            wire.read_until(b"half");
        }
        wire.reset();
        gate.open();
        end.recv_timeout(DEADLINE).expect("the upstream is let go");
        let record = proxy.wait_for_access("the exchange", |json| json["kind"] == "exchange");
        assert_eq!(record["error"], "client_closed", "{record}");
        assert_eq!(record["cause"], "client-gone", "{record}");
        match answers {
            true => assert_eq!(record["status"], 200, "{record}"),
            false => assert!(record["status"].is_null(), "{record}"),
        }
        assert_eq!(proxy.access().len(), 1, "{:?}", proxy.access());
    }
}
