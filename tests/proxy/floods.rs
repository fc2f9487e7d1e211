//! Peers that send tiny pieces for ever, each in its own way: whatever they send, another client
//! of the same worker gets its turn. Told by what passes of the flood for each of its answers,
//! not by a clock.

use crate::support;

use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use support::websocket::{handshake, switching};
use support::{Proxy, RawBackend, Wire};

/// Answers to the other client.
const ANSWERS: u64 = 200;
/// Pieces that may pass for each of them. It takes a few looks at the sockets, and before each of
/// them every task that is ready may be polled some dozen times.
const PIECES: u64 = 512;

/// Counts bytes of a flood.
type Passed = Arc<AtomicU64>;

/// What a peer sends for ever.
#[derive(Clone, Copy)]
struct Flood {
    piece: &'static [u8],
    /// Pieces that are written at once.
    at_once: usize,
}

const fn many(piece: &'static [u8]) -> Flood {
    let at_once = 1000;
    Flood { piece, at_once }
}

const fn one_by_one(piece: &'static [u8]) -> Flood {
    let at_once = 1;
    Flood { piece, at_once }
}

impl Flood {
    /// Sends until the peer is gone.
    fn pour(self, wire: &mut Wire, passed: &Passed) {
        let block = self.piece.repeat(self.at_once);
        while wire.try_send(&block) {
            passed.fetch_add(block.len() as u64, Relaxed);
        }
    }
}

/// Reads until the peer is gone.
fn swallow(wire: &mut Wire, passed: &Passed) {
    let mut block = [0; 65536];
    while let Ok(n @ 1..) = wire.read(&mut block) {
        passed.fetch_add(n as u64, Relaxed);
    }
}

fn proxy(backend: SocketAddr) -> Proxy {
    Proxy::start(&format!(
        "workers = 1\n[log]\naccess = \"off\"\n\
         [[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\npath_prefix = \"/quiet\"\nrespond = {{ status = 204 }}\n\
         [[route]]\nto = \"{backend}\"\n"
    ))
}

/// Has a client send this, read what comes, and pour the flood, if it has one.
fn client(proxy: &Proxy, head: &str, flood: Option<Flood>, passed: &Passed) {
    let mut wire = proxy.send(head);
    let mut second = wire.second();
    std::thread::spawn(move || swallow(&mut second, &Passed::default()));
    let passed = passed.clone();
    std::thread::spawn(move || match flood {
        Some(flood) => flood.pour(&mut wire, &passed),
        None => drop(wire),
    });
}

/// Holds the flood to what may pass for each answer to another client. On a machine that is busy
/// with other things this thread may have no core while the flood goes on, which says nothing of
/// turns: one of three rounds has to hold.
fn leaves_others_their_turn(proxy: &Proxy, flood: Flood, passed: &Passed) {
    let mut quiet = proxy.connect();
    eventually!(passed.load(Relaxed) > 0, "the flood has begun");
    let mut round = || {
        let before = passed.load(Relaxed);
        for _ in 0..ANSWERS {
            quiet.send("GET /quiet HTTP/1.1\r\nHost: x\r\n\r\n");
            assert_eq!(quiet.read_head().status(), 204);
        }
        (passed.load(Relaxed) - before) / flood.piece.len() as u64 / ANSWERS
    };
    let rounds: Vec<u64> = (0..3).map(|_| round()).collect();
    let piece = String::from_utf8_lossy(flood.piece);
    assert!(
        rounds.iter().any(|each| *each <= PIECES),
        "{rounds:?} for each answer of {piece:?}"
    );
}

#[test]
fn uploads_in_tiny_pieces_leave_others_their_turn() {
    let chunked = "Transfer-Encoding: chunked";
    let length = "Content-Length: 10000000000";
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
    for (framing, flood, answer) in [
        (chunked, many(b"1\r\nx\r\n"), ""),
        (chunked, many(b"1\r\nx\r\n"), answer),
        (chunked, one_by_one(b"1\r\nx\r\n"), ""),
        (chunked, many(b"1;a=bcdef\r\nx\r\n"), ""),
        (length, one_by_one(b"x"), ""),
        (length, one_by_one(b"x"), answer),
    ] {
        let passed = Passed::default();
        let came = passed.clone();
        let backend = RawBackend::start(move |_, mut wire| {
            wire.read_head();
            wire.send(answer);
            swallow(&mut wire, &came);
        });
        let proxy = proxy(backend.address());
        let head = format!("POST / HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n");
        client(&proxy, &head, Some(flood), &Passed::default());
        leaves_others_their_turn(&proxy, flood, &passed);
    }
}

#[test]
fn answers_in_tiny_pieces_leave_others_their_turn() {
    // Not the shortest: what the kernel holds of them is not to be many.
    let interim = |status| {
        let head = format!("HTTP/1.1 {status} \r\nX: {:0100}\r\n\r\n", 0);
        &*head.into_bytes().leak()
    };
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (begin, flood) in [
        ("", many(interim(100))),
        ("", many(interim(103))),
        (length, one_by_one(b"x")),
        (chunked, one_by_one(b"1\r\nx\r\n")),
    ] {
        for version in ["1.1", "1.0"] {
            let passed = Passed::default();
            let sent = passed.clone();
            let backend = RawBackend::start(move |_, mut wire| {
                wire.read_head();
                wire.send(begin);
                flood.pour(&mut wire, &sent);
            });
            let proxy = proxy(backend.address());
            let head = format!("GET / HTTP/{version}\r\nHost: x\r\n\r\n");
            client(&proxy, &head, None, &Passed::default());
            leaves_others_their_turn(&proxy, flood, &passed);
        }
    }
}

#[test]
fn pipelined_requests_leave_others_their_turn() {
    // The backend is not asked.
    let proxy = proxy(SocketAddr::from(([127, 0, 0, 1], 9)));
    let passed = Passed::default();
    let flood = many(b"GET /quiet HTTP/1.1\r\nHost: x\r\n\r\n");
    client(&proxy, "", Some(flood), &passed);
    leaves_others_their_turn(&proxy, flood, &passed);
}

#[test]
fn a_tunnel_in_tiny_pieces_leaves_others_their_turn() {
    let passed = Passed::default();
    let came = passed.clone();
    let backend = RawBackend::start(move |_, mut wire| {
        wire.read_head();
        wire.send(switching(""));
        swallow(&mut wire, &came);
    });
    let proxy = proxy(backend.address());
    // One binary message without an end, of 2^40 bytes, a byte at a time.
    let begin = [0x82, 0xFF, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut wire = proxy.send(handshake(proxy.address(), "/", ""));
    assert_eq!(wire.read_head().status(), 101);
    wire.send(begin);
    let flood = one_by_one(b"x");
    std::thread::spawn(move || flood.pour(&mut wire, &Passed::default()));
    leaves_others_their_turn(&proxy, flood, &passed);
}
