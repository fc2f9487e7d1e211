//! An open tunnel, black-box (RFC 6455 sections 5 and 7): closes, half-closes, bytes that are
//! no frames, silence, dead peers, slow readers.

use crate::support;

use std::time::Duration;

use support::websocket::{
    self, close_payload, expect_close_frame, frame, masked_frame, open, read_frame, tunnel_backend,
};
use support::{EchoBackend, Proxy};

#[test]
fn close_frames_pass_and_are_recorded_with_who_began() {
    let backend = tunnel_backend(|mut wire| {
        assert_eq!(read_frame(&mut wire), (0x88, close_payload(4001, "bye")));
        wire.send(frame(8, &close_payload(4001, "ok")));
        wire.read_until_close();
    });
    let proxy = Proxy::minimal(backend.address());
    let mut wire = open(&proxy, "/ws");
    wire.send(masked_frame(8, &close_payload(4001, "bye")));
    expect_close_frame(&mut wire, 4001);
    drop(wire);
    let record = proxy.wait_for_tunnel_close();
    assert_eq!(record["closed_by"], "client", "{record}");
    assert_eq!(record["client_close"]["code"], 4001);
    assert_eq!(record["client_close"]["reason"], "bye");
    assert_eq!(record["upstream_close"]["reason"], "ok");
}

#[test]
fn each_direction_ends_by_itself() {
    let backend = tunnel_backend(|mut wire| {
        // All that the client says, a Close in its place, its end, and only then an answer.
        assert_eq!(read_frame(&mut wire), (0x81, b"last words".to_vec()));
        let told = close_payload(1001, "connection lost");
        assert_eq!(read_frame(&mut wire), (0x88, told));
        wire.expect_close();
        wire.send(frame(1, b"heard"));
    });
    let proxy = Proxy::minimal(backend.address());
    let mut wire = open(&proxy, "/ws");
    wire.send(masked_frame(1, b"last words"));
    wire.shutdown_write();
    assert_eq!(read_frame(&mut wire).1, b"heard");
    wire.expect_close();
    let record = proxy.wait_for_tunnel_close();
    assert_eq!(record["closed_by"], "client", "{record}");
    assert_eq!(record["detail"], "ended without a Close", "{record}");
    assert_eq!(record["sent_upstream"], 1001, "{record}");
}

#[test]
fn an_upstream_that_dies_is_told_to_the_client() {
    for reset in [false, true] {
        let backend = tunnel_backend(move |mut wire| {
            wire.send(frame(1, b"hello"));
            assert_eq!(read_frame(&mut wire).1, b"die");
            if reset {
                wire.reset();
            }
        });
        let proxy = Proxy::minimal(backend.address());
        let mut wire = open(&proxy, "/ws");
        assert_eq!(read_frame(&mut wire).1, b"hello");
        wire.send(masked_frame(1, b"die"));
        let told = close_payload(1011, "connection lost");
        assert_eq!(read_frame(&mut wire), (0x88, told));
        wire.expect_close();
        drop(wire);
        let record = proxy.wait_for_tunnel_close();
        assert_eq!(record["closed_by"], "upstream", "{record}");
        assert_eq!(record["sent_client"], 1011, "{record}");
        let detail = match reset {
            true => "connection reset",
            false => "ended without a Close",
        };
        assert_eq!(record["detail"], detail, "{record}");
    }
}

#[test]
fn a_client_that_leaves_data_unread_is_named_and_its_upstream_told() {
    let backend = tunnel_backend(|mut wire| {
        let mut reader = wire.second();
        std::thread::spawn(move || while wire.try_send(frame(2, &[7; 60_000])) {});
        let (first, payload) = read_frame(&mut reader);
        assert_eq!((first, &payload[..2]), (0x88, &1001_u16.to_be_bytes()[..]));
        reader.reset();
    });
    let proxy = Proxy::with(
        backend.address(),
        "[route.websocket]\nunread_timeout = \"1s\"\n",
    );
    let wire = open(&proxy, "/ws");
    let record = proxy.wait_for_tunnel_close();
    assert_eq!(record["closed_by"], "unread", "{record}");
    let detail = record["detail"].as_str().unwrap_or_default();
    assert!(
        detail.starts_with("the client left data unread"),
        "{record}"
    );
    assert_eq!(record["sent_upstream"], 1001, "{record}");
    drop(wire);
}

#[test]
fn what_is_not_framing_still_flows_unless_the_route_is_strict() {
    let script = |mut wire: support::Wire| {
        let got = wire.read_until(b"nonsense");
        assert_eq!(got, b"\xff\xff nonsense");
        wire.send("\u{7f}\u{7f} same to you");
        wire.read_until_close();
    };
    let backend = tunnel_backend(script);
    let proxy = Proxy::minimal(backend.address());
    let mut wire = open(&proxy, "/ws");
    wire.send(b"\xff\xff nonsense");
    wire.read_until(b"same to you");

    let backend = tunnel_backend(|mut wire| {
        wire.read_until_close();
    });
    let proxy = Proxy::with(backend.address(), "[route.websocket]\nstrict = true\n");
    let mut wire = open(&proxy, "/ws");
    wire.send(b"\xff\xff nonsense");
    expect_close_frame(&mut wire, 1002);
}

#[test]
fn a_silent_tunnel_is_closed_after_its_idle_time_only() {
    let backend = tunnel_backend(|mut wire| while let (0x81, _) = read_frame(&mut wire) {});
    let proxy = Proxy::with(
        backend.address(),
        "[route.websocket]\nidle_timeout = \"1s\"\nclose_timeout = \"300ms\"\n",
    );
    let mut wire = open(&proxy, "/ws");
    // Twice the idle time, never silent for all of it, in one direction only.
    for _ in 0..8 {
        wire.send(masked_frame(1, b"tick"));
        wire.expect_silence(Duration::from_millis(250));
    }
    let (first, _) = read_frame(&mut wire);
    assert_eq!(first, 0x88);
    assert_eq!(proxy.wait_for_tunnel_close()["closed_by"], "idle");
}

#[test]
fn a_silent_peer_is_pinged_and_a_dead_one_is_found() {
    let backend = tunnel_backend(|mut wire| {
        wire.read_until_close();
    });
    let proxy = Proxy::with(
        backend.address(),
        "[route.websocket]\nping_interval = \"1s\"\nping_timeout = \"1s\"\nclose_timeout = \"300ms\"\n",
    );
    let mut wire = open(&proxy, "/ws");
    let (first, payload) = read_frame(&mut wire);
    assert_eq!(first, 0x89, "a Ping");
    wire.send(masked_frame(10, &payload));
    // The backend answers no Ping at all.
    let record = proxy.wait_for_tunnel_close();
    assert_eq!(record["closed_by"], "keep-alive", "{record}");
}

#[test]
fn a_slow_reader_does_not_make_memory_grow() {
    const TOTAL: usize = 128 << 20;
    let backend = tunnel_backend(|mut wire| {
        let part = frame(2, &vec![7; 1 << 20]);
        for _ in 0..TOTAL >> 20 {
            if !wire.try_send(&part) {
                return;
            }
        }
        wire.read_until_close();
    });
    let proxy = Proxy::minimal(backend.address());
    proxy.reset_peak_memory();
    let before = proxy.peak_memory();
    let mut wire = open(&proxy, "/ws");
    // Time in which a proxy without back-pressure would take it all in.
    std::thread::sleep(Duration::from_millis(500));
    for _ in 0..TOTAL >> 20 {
        assert_eq!(read_frame(&mut wire).1.len(), 1 << 20);
    }
    let after = proxy.peak_memory();
    assert!(after < before + (8 << 20), "grew from {before} to {after}");
}

#[test]
fn many_tunnels_at_once_keep_their_messages_apart() {
    let backend = EchoBackend::start();
    let proxy = Proxy::minimal(backend.address());
    let mut sockets: Vec<_> = (0..100)
        .map(|_| websocket::connect(&proxy, "/ws"))
        .collect();
    for round in 0..5 {
        for (n, socket) in sockets.iter_mut().enumerate() {
            let message = tokio_tungstenite::tungstenite::Message::text(format!("{round} {n}"));
            websocket::exchange(socket, message);
        }
    }
}

#[test]
fn a_drain_that_both_answer_does_not_wait_for_them_to_hang_up() {
    let backend = tunnel_backend(|mut wire| {
        assert_eq!(read_frame(&mut wire).0, 0x88);
        wire.send(frame(8, &close_payload(1001, "")));
        wire.read_until_close();
    });
    let mut proxy = Proxy::with(
        backend.address(),
        "[route.websocket]\nclose_timeout = \"300s\"\n[drain]\nover = \"0s\"\ndeadline = \"300s\"\n",
    );
    let mut wire = open(&proxy, "/ws");
    proxy.terminate();
    expect_close_frame(&mut wire, 1012);
    wire.send(masked_frame(8, &close_payload(1012, "")));
    wire.expect_close();
    // Long before the limits, which are minutes.
    assert!(proxy.wait_exit().success());
}

/// Whether each established connection from or to one of the ports has its keep-alive timer
/// running: the sixth field of a line in `/proc/net/tcp` begins with its kind.
fn kept_alive(local: u16, remote: u16) -> Vec<bool> {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux");
    let (local, remote) = (format!(":{local:04X}"), format!(":{remote:04X}"));
    let rows = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let ours = fields[1].ends_with(&local) || fields[2].ends_with(&remote);
        (ours && fields[3] == "01").then(|| fields[5].starts_with("02:"))
    });
    rows.collect()
}

#[test]
fn both_sockets_of_an_aged_tunnel_are_kept_alive() {
    let backend = tunnel_backend(|mut wire| {
        wire.read_until_close();
    });
    let proxy = Proxy::minimal(backend.address());
    let _wire = open(&proxy, "/ws");
    let both = || kept_alive(proxy.address().port(), backend.address().port());
    let young = both();
    assert_eq!(young.iter().filter(|kept| **kept).count(), 1, "{young:?}");
    eventually!(both() == [true, true], "{:?}", both());
}
