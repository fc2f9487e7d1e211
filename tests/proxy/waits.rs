//! Whatever an exchange waits for, a client that goes away ends it: its record comes long before
//! any of the limits here, each a minute and more.

use crate::support;

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType};
use support::websocket::{handshake, switching};
use support::{DEADLINE, Proxy, RawBackend, Wire};

/// A listener that no connection reaches: the kernel drops the SYN of all that come while its
/// queue is full.
struct BlackHole {
    address: SocketAddr,
    _open: (std::os::fd::OwnedFd, TcpStream),
}

impl BlackHole {
    fn dig() -> BlackHole {
        let fd = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None);
        let fd = fd.expect("a socket");
        rustix::net::bind(&fd, &SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
        rustix::net::listen(&fd, 0).expect("a listener");
        let name = rustix::net::getsockname(&fd).expect("a name");
        let address = name.try_into().expect("an address");
        let filling = TcpStream::connect(address).expect("the queue takes one");
        BlackHole {
            address,
            _open: (fd, filling),
        }
    }
}

fn proxy(upstream: SocketAddr) -> Proxy {
    Proxy::start(&format!(
        "[http]\nbody_timeout = \"90s\"\nmin_rate = 0\n\
         [[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\nupstream = \"app\"\n\
         [route.timeouts]\nresponse_head = \"90s\"\nexpect_continue = \"90s\"\n\
         [route.websocket]\nhandshake_timeout = \"90s\"\n\
         [upstream.app]\nendpoints = [\"{upstream}\"]\nconnect_timeout = \"90s\"\n",
    ))
}

/// Sends this, has the client go once its exchange waits for the upstream, and holds the record
/// to it.
fn ends_with_its_client(upstream: SocketAddr, request: &str, go: fn(Wire)) {
    let proxy = proxy(upstream);
    let wire = proxy.send(request);
    let waits = || {
        let scrape = proxy.scrape();
        scrape.sum("sluice_upstream_requests_in_flight", &[]) > 0.0
    };
    eventually!(waits(), "{request:?} waits for the upstream");
    go(wire);
    let record = proxy.wait_for_access(request, |json| json["kind"] == "exchange");
    // A body that was being read breaks off; all else just has no client any more.
    let detail = record["detail"].as_str().unwrap_or_default();
    let broke_off = detail.contains("request body");
    let is_told = record["error"] == "client_closed" || broke_off;
    assert!(is_told, "{request:?}: {record}");
    eventually!(!waits(), "{request:?} holds nothing of the upstream");
}

/// What a client may have sent when it goes.
fn requests() -> [String; 5] {
    let get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let post = "POST / HTTP/1.1\r\nHost: x\r\n";
    [
        get.to_owned(),
        format!("{get}{get}"),
        format!("{post}Content-Length: 100000\r\n\r\nsome of it"),
        format!("{post}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
        // With a frame that cannot go anywhere yet.
        handshake("x", "/", "") + "early",
    ]
}

#[test]
fn a_reset_ends_an_exchange_whose_connect_hangs() {
    let hole = BlackHole::dig();
    for request in requests() {
        ends_with_its_client(hole.address, &request, Wire::reset);
    }
}

#[test]
fn a_reset_ends_an_exchange_whose_upstream_keeps_silent() {
    let silent = silent();
    for request in requests() {
        ends_with_its_client(silent.address(), &request, Wire::reset);
    }
    let expects = "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n";
    ends_with_its_client(silent.address(), expects, Wire::reset);
}

#[test]
fn a_client_that_has_closed_ends_an_exchange_whose_connect_hangs() {
    let hole = BlackHole::dig();
    ends_with_its_client(hole.address, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", drop);
}

#[test]
fn a_reset_ends_an_upload_that_the_upstream_does_not_take() {
    let proxy = proxy(silent().address());
    let mut stream = proxy
        .send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
        .into_stream();
    let stalled = Duration::from_millis(500);
    stream.set_write_timeout(Some(stalled)).expect("an option");
    while stream.write(&[b'x'; 65536]).is_ok() {}
    Wire::over(stream).reset();
    let record = proxy.wait_for_access("the upload", |json| json["kind"] == "exchange");
    assert_eq!(record["error"], "client_closed", "{record}");
}

/// Writes until nothing more is taken.
fn fill(wire: Wire) -> Wire {
    let mut stream = wire.into_stream();
    let stalled = Duration::from_millis(500);
    stream.set_write_timeout(Some(stalled)).expect("an option");
    while stream.write(&[b'x'; 65536]).is_ok() {}
    Wire::over(stream)
}

/// In each direction, whichever side is gone: the one that is written to and does not read, or
/// the other one, from which nothing is read because of that.
#[test]
fn a_reset_of_either_side_ends_a_tunnel_whose_write_waits() {
    let (wires, opened) = mpsc::channel();
    let wires = Mutex::new(wires);
    let backend = RawBackend::start(move |_, mut wire| {
        wire.read_head();
        wire.send(switching(""));
        let _ = wires.lock().unwrap().send(wire);
    });
    for (fills, is_gone) in [
        ("client", "client"),
        ("client", "upstream"),
        ("upstream", "client"),
        ("upstream", "upstream"),
    ] {
        let proxy = Proxy::with(
            backend.address(),
            "[route.websocket]\nclose_timeout = \"1s\"\n",
        );
        let mut client = proxy.send(handshake(proxy.address(), "/", ""));
        assert_eq!(client.read_head().status(), 101);
        let mut upstream = opened.recv_timeout(DEADLINE).expect("a tunnel");
        // One binary message without an end: 2^40 bytes.
        let length = [0, 0, 1, 0, 0, 0, 0, 0];
        if fills == "client" {
            client.send([&[0x82, 0xFF], &length[..], &[0; 4]].concat());
            client = fill(client);
        } else {
            upstream.send([&[0x82, 0x7F], &length[..]].concat());
            upstream = fill(upstream);
        }
        let _stays = match is_gone {
            "client" => {
                client.reset();
                upstream
            }
            _ => {
                upstream.reset();
                client
            }
        };
        // The kernel's patience and `unread_timeout` are minutes.
        let record = proxy.wait_for_tunnel_close();
        let what = format!("{fills} fills, {is_gone} is gone: {record}");
        assert_eq!(record["closed_by"], is_gone, "{what}");
        let detail = record["detail"].as_str().unwrap_or_default();
        assert!(detail.starts_with("connection reset"), "{what}");
    }
}

/// A backend that accepts, and neither reads nor says anything.
fn silent() -> RawBackend {
    RawBackend::start(|_, _wire| {
        loop {
            std::thread::park();
        }
    })
}
