//! Tunnels over TLS 1.3, which leave the handshake's library at their 101: what their clients may do
//! with records, said by clients of rustls whose every record is under control.

use crate::support;

use std::net::SocketAddr;

use support::tls::Authority;
use support::tls_client::Client;
use support::websocket::{frame, handshake, masked_frame, switching, tunnel_backend};
use support::{EchoBackend, Proxy, RawBackend};

struct Secure {
    proxy: Proxy,
    authority: Authority,
}

impl Secure {
    fn start(backend: SocketAddr, more: &str) -> Secure {
        let authority = Authority::new();
        let proxy = authority.proxy(backend, more);
        Secure { proxy, authority }
    }

    fn connect(&self) -> Client {
        Client::connect(&self.authority, self.proxy.address(), None)
    }

    fn open(&self) -> Client {
        let mut client = self.connect();
        client.switch();
        client
    }
}

#[test]
fn keys_are_updated_from_both_sides_as_often_as_a_client_likes() {
    let backend = EchoBackend::start();
    let secure = Secure::start(backend.address(), "");
    for suite in [0x1301, 0x1302, 0x1303] {
        let mut client = Client::connect(&secure.authority, secure.proxy.address(), Some(suite));
        client.switch();
        for n in 0..40_u8 {
            client.update_keys();
            client.echo(&vec![n; usize::from(n) * 1000]);
        }
        // Several without a word in between.
        for _ in 0..5 {
            client.update_keys();
        }
        client.echo(b"after them");
    }
}

#[test]
fn keys_that_were_updated_before_the_request_go_along() {
    let backend = EchoBackend::start();
    let secure = Secure::start(backend.address(), "");
    for updates in 1..4 {
        let mut client = secure.connect();
        for _ in 0..updates {
            client.update_keys();
        }
        client.switch();
        client.echo(b"hello");
    }
}

#[test]
fn records_come_in_any_pieces() {
    let backend = EchoBackend::start();
    let secure = Secure::start(backend.address(), "");
    let mut client = secure.open();
    let message = masked_frame(1, b"hello");
    let records = client.seal(&message);
    for byte in &records {
        client.send(&[*byte]);
    }
    client.expect(&frame(1, b"hello"));
    // Many records at once, and records larger than what is read at once.
    let many: Vec<u8> = (0..200).flat_map(|_| client.seal(&message)).collect();
    client.send(&many);
    client.expect(&frame(1, b"hello").repeat(200));
    for size in [16_000, 100_000, 1_000_000] {
        client.echo(&vec![9; size]);
    }
}

#[test]
fn what_a_client_sends_with_its_request_arrives_first() {
    let backend = EchoBackend::start();
    let secure = Secure::start(backend.address(), "");
    let request = handshake("a.test", "/ws", "");
    let early = masked_frame(1, b"early");
    // In the request's record, in one of its own, and in one that is cut at every point.
    for cut in 0..60 {
        let mut client = secure.connect();
        let rest = match cut {
            0 => {
                client.say(&[request.as_bytes(), &early].concat());
                Vec::new()
            }
            cut => {
                let mut records = client.seal(request.as_bytes());
                let second = client.seal(&early);
                let cut = cut.min(second.len());
                records.extend_from_slice(&second[..cut]);
                client.send(&records);
                second[cut..].to_vec()
            }
        };
        client.expect_101();
        client.send(&rest);
        client.expect(&frame(1, b"early"));
        client.echo(b"late");
    }
}

#[test]
fn a_client_that_breaks_tls_is_told_so_and_its_tunnel_says_why() {
    let backend = tunnel_backend(|mut wire| {
        wire.read_until_close();
    });
    for (garbage, alert) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "UnexpectedMessage"),
        (
            &[
                23, 3, 3, 0, 17, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17,
            ],
            "BadRecordMac",
        ),
        (&[23, 3, 3, 0xff, 0xff], "RecordOverflow"),
    ] {
        let secure = Secure::start(backend.address(), "");
        let mut client = secure.open();
        client.send(garbage);
        let told = client.expect_alert();
        assert_eq!(told, format!("received fatal alert: {alert}"));
        let record = secure.proxy.wait_for_tunnel_close();
        assert_eq!(record["closed_by"], "client", "{record}");
        let detail = record["detail"].as_str().unwrap_or_default();
        assert!(detail.contains("TLS"), "{record}");
    }
}

#[test]
fn a_tunnel_that_is_cut_ends_with_a_close_notify() {
    let backend = RawBackend::start(|_, mut wire| {
        wire.read_head();
        wire.send(switching(""));
        wire.read_until_close();
    });
    let more =
        "[route.websocket]\nclose_timeout = \"1s\"\n[drain]\nover = \"0s\"\ndeadline = \"2s\"\n";
    let secure = Secure::start(backend.address(), more);
    let mut client = secure.open();
    secure.proxy.terminate();
    // It says nothing to the Close that it gets, and is not waited for.
    assert_eq!(client.read_to_end()[0], 0x88);
}
