//! Tunnels over TLS: whatever a plain one does. The client is a plain one behind a bridge, so that
//! every byte and every end is under control.

use crate::support;

use std::net::SocketAddr;

use rustls::SupportedProtocolVersion;
use serde_json::Value;
use support::tls::{Authority, Bridge};
use support::websocket::{
    close_payload, expect_close_frame, frame, handshake, masked_frame, read_frame, switching,
    tunnel_backend,
};
use support::{EchoBackend, Proxy, RawBackend, Wire};

/// A proxy with TLS, and a bridge to it.
struct Secure {
    proxy: Proxy,
    bridge: Bridge,
    authority: Authority,
}

impl Secure {
    /// `more` are further keys of the route and tables.
    fn start(backend: SocketAddr, more: &str) -> Secure {
        Secure::start_with(backend, more, &rustls::version::TLS13)
    }

    fn start_with(
        backend: SocketAddr,
        more: &str,
        version: &'static SupportedProtocolVersion,
    ) -> Secure {
        let authority = Authority::new();
        let proxy = authority.proxy(backend, more);
        let client = authority.client_of(&[version]);
        let bridge = Bridge::start(proxy.address(), "a.test", client);
        Secure {
            proxy,
            bridge,
            authority,
        }
    }

    fn open(&self) -> Wire {
        let mut wire = Wire::connect(self.bridge.address());
        wire.send(handshake("a.test", "/ws", ""));
        let head = wire.read_head();
        assert_eq!(head.status(), 101, "{head:?}");
        wire
    }

    fn closed(&self) -> Value {
        self.proxy.wait_for_tunnel_close()
    }
}

#[test]
fn messages_of_every_size_pass_both_ways_and_are_counted() {
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let backend = EchoBackend::start();
        let secure = Secure::start_with(backend.address(), "", version);
        let mut wire = secure.open();
        let mut sent = 0;
        for size in [
            0,
            1,
            125,
            126,
            16_383,
            16_384,
            16_385,
            65_535,
            65_536,
            1 << 20,
        ] {
            let message: Vec<u8> = (0..size).map(|n| n as u8).collect();
            wire.send(masked_frame(2, &message));
            let (first, answer) = read_frame(&mut wire);
            assert!(first == 0x82 && answer == message, "{size} bytes");
            sent += 1;
        }
        wire.send(masked_frame(8, &close_payload(1000, "done")));
        expect_close_frame(&mut wire, 1000);
        wire.expect_close();
        let record = secure.closed();
        assert_eq!(
            (&record["messages_in"], &record["messages_out"]),
            (&sent.into(), &sent.into())
        );
        assert_eq!(record["client_close"]["code"], 1000);
    }
}

#[test]
fn bulk_flows_while_the_client_does_not_read_and_nothing_is_lost() {
    const COUNT: usize = 2_000;
    let backend = tunnel_backend(|mut wire| {
        for n in 0..COUNT {
            wire.send(frame(2, &vec![n as u8; 9_000]));
        }
        wire.read_until_close();
    });
    let secure = Secure::start(backend.address(), "");
    let mut wire = secure.open();
    // Meanwhile the other direction is used.
    wire.send(masked_frame(1, b"hello"));
    for n in 0..COUNT {
        let (_, payload) = read_frame(&mut wire);
        assert!(
            payload.len() == 9_000 && payload.iter().all(|byte| *byte == n as u8),
            "{n}"
        );
    }
}

#[test]
fn a_half_close_is_a_close_notify_in_one_direction() {
    let backend = RawBackend::start(|_, mut wire| {
        wire.read_head();
        wire.send(switching(""));
        // The client's end arrives here as an end, and our words there after it.
        let heard = wire.read_until_close();
        assert!(heard.starts_with(&masked_frame(1, b"last")), "{heard:?}");
        wire.send(frame(1, b"answer"));
    });
    let secure = Secure::start(backend.address(), "");
    let mut wire = secure.open();
    wire.send(masked_frame(1, b"last"));
    wire.shutdown_write();
    assert_eq!(read_frame(&mut wire), (0x81, b"answer".to_vec()));
    wire.expect_close();
}

#[test]
fn an_upstream_that_ends_first_leaves_the_client_its_direction() {
    let backend = tunnel_backend(|mut wire| {
        wire.shutdown_write();
        assert_eq!(wire.read_until_close(), masked_frame(1, b"late"));
    });
    let more = "[route.websocket]\nupstream_lost_code = \"off\"\n";
    let secure = Secure::start(backend.address(), more);
    let mut wire = secure.open();
    assert_eq!(wire.read_until_close(), b"", "a close_notify");
    wire.send(masked_frame(1, b"late"));
    wire.shutdown_write();
    let record = secure.closed();
    assert_eq!(record["closed_by"], "upstream", "{record}");
}

#[test]
fn a_client_that_vanishes_without_a_close_notify_is_lost_by_name() {
    let backend = tunnel_backend(|mut wire| {
        wire.read_until_close();
    });
    let secure = Secure::start(backend.address(), "");
    // A client of its own: it ends its TCP connection and not its TLS.
    let name = "a.test".try_into().unwrap();
    let config = secure.authority.client().into();
    let mut client = rustls::ClientConnection::new(config, name).unwrap();
    let mut socket = std::net::TcpStream::connect(secure.proxy.address()).unwrap();
    use std::io::{Read, Write};
    let mut stream = rustls::Stream::new(&mut client, &mut socket);
    stream
        .write_all(handshake("a.test", "/ws", "").as_bytes())
        .unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 101");
    socket.shutdown(std::net::Shutdown::Write).unwrap();
    let record = secure.closed();
    assert_eq!(record["closed_by"], "client", "{record}");
    let detail = record["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("close_notify"), "{record}");
}

#[test]
fn a_drain_closes_at_the_border_of_a_frame() {
    let backend = tunnel_backend(|mut wire| {
        let whole = frame(2, &[7; 50_000]);
        wire.send(&whole[..30_000]);
        wire.read_exact(masked_frame(1, b"go on").len());
        wire.send(&whole[30_000..]);
        wire.read_until_close();
    });
    let more = "[drain]\nover = \"0s\"\ndeadline = \"10s\"\n";
    let secure = Secure::start(backend.address(), more);
    let mut wire = secure.open();
    let begun = wire.read_exact(1_000);
    secure.proxy.terminate();
    secure
        .proxy
        .wait_for_log("the drain", |line| line.text.contains("draining"));
    wire.send(masked_frame(1, b"go on"));
    let rest = wire.read_exact(4 + 50_000 - 1_000);
    assert!(begun[4..].iter().chain(&rest).all(|byte| *byte == 7));
    expect_close_frame(&mut wire, 1012);
}

#[test]
fn a_silent_client_is_pinged_and_one_that_does_not_answer_is_closed() {
    let backend = EchoBackend::start();
    let more = "[route.websocket]\nping_interval = \"1s\"\nping_timeout = \"1s\"\n";
    let secure = Secure::start(backend.address(), more);
    let mut wire = secure.open();
    let (first, payload) = read_frame(&mut wire);
    assert_eq!(first, 0x89, "a Ping");
    wire.send(masked_frame(10, &payload));
    assert_eq!(read_frame(&mut wire).0, 0x89, "the next one");
    let record = secure.closed();
    assert_eq!(record["closed_by"], "keep-alive", "{record}");
}

#[test]
fn invalid_framing_is_closed_with_1002_where_strict() {
    let backend = tunnel_backend(|mut wire| {
        wire.read_until_close();
    });
    let secure = Secure::start(backend.address(), "[route.websocket]\nstrict = true\n");
    let mut wire = secure.open();
    wire.send(frame(1, b"not masked"));
    expect_close_frame(&mut wire, 1002);
}
