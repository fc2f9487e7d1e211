//! What tunnels have of the system's sockets only: splice, and what the kernel is asked for.

use super::lost::{End, end};
use super::tap::{brief, frame, tap_all};
use super::*;
use crate::tap::Origin;
use crate::websocket::frame::Opcode;

#[tokio::test]
async fn a_slow_reader_of_large_frames_holds_one_pipe_and_loses_nothing() {
    for (size, count) in [(32 << 20, 1), (65_536, 500), (30_000, 1000)] {
        slow_reader(server_frame(0x82, &noise(5, size)).repeat(count)).await;
    }
}

async fn slow_reader(frame: Vec<u8>) {
    let (mut client, mut upstream, handle) = open(WebSocketConfig::default()).await;
    let all = frame.clone();
    let writing = tokio::spawn(async move {
        upstream.write_all(&all).await.expect("write");
        upstream
    });
    until("the sink is full", || splice::lent() == 1).await;
    let mut before = u64::MAX;
    until("nothing moves", || {
        let now = handle.counters(Side::Upstream).bytes();
        std::mem::replace(&mut before, now) == now && now < frame.len() as u64
    })
    .await;
    assert!(read(&mut client, frame.len()).await == frame);
    assert_eq!(splice::lent(), 0);
    drop(writing.await.expect("writer"));
}

#[tokio::test]
async fn what_is_spliced_is_counted_and_the_tap_stays_in_step() {
    let (mut client, mut upstream, _) = open(WebSocketConfig::default()).await;
    let mut messages = tap_all(Some(64 * 1024)).await;
    let payload = noise(7, 1 << 20);
    let long = server_frame(0x82, &payload);
    let bytes = [long.clone(), long.clone(), server_frame(0x81, b"next")].concat();
    let (written, seen) = tokio::join!(upstream.write_all(&bytes), read(&mut client, bytes.len()));
    written.expect("write");
    assert!(seen == bytes);
    for number in [1, 2] {
        let (_, frame) = frame(&mut messages).await;
        assert_eq!((frame.number, frame.length), (number, 1 << 20));
        assert!(
            frame.spliced > 1 << 19,
            "splice stays on: {}",
            frame.spliced
        );
        assert!(payload.starts_with(&frame.payload));
    }
    let seen = brief(&mut messages).await;
    assert_eq!(
        seen,
        (Origin::Upstream, Opcode::Text, b"next".to_vec(), true)
    );
}

/// Fills a direction until it waits for its sink.
async fn fill(from: &TcpStream, handle: &TunnelHandle, side: Side) {
    let frame = match side {
        Side::Client => client_frame(0x82, &noise(8, 60_000)),
        Side::Upstream => server_frame(0x82, &noise(8, 60_000)),
    };
    until("a full direction", || {
        while from.try_write(&frame).is_ok() {}
        handle.leaves_unread(side.other())
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_is_gone_is_noticed_though_the_other_does_not_read() {
    for side in [Side::Client, Side::Upstream] {
        let (client, upstream, handle) = open(WebSocketConfig::default()).await;
        let (gone, _other) = match side {
            Side::Client => (client, upstream),
            Side::Upstream => (upstream, client),
        };
        fill(&gone, &handle, side).await;
        end(gone, End::Reset);
        // The clock looks; the tunnel is given the time of a Close to empty itself.
        let start = Instant::now();
        let mut seconds = 0;
        until("the phase", || {
            seconds += 1;
            registry::tick(start + seconds * SECOND);
            handle.phase() == Phase::Closing
        })
        .await;
        registry::tick(start + (seconds + 2) * SECOND);
        registry::tick(start + (seconds + 10) * SECOND);
        let ended = ended().await;
        let by = match side {
            Side::Client => ClosedBy::Client,
            Side::Upstream => ClosedBy::Upstream,
        };
        assert_eq!(ended.closed_by, by);
        let detail = ended.detail.unwrap_or_default();
        assert!(detail.starts_with("connection reset"), "{detail}");
    }
}

#[tokio::test]
async fn an_aged_tunnels_upstream_has_tcp_keep_alive() {
    let (_client, near_client) = tcp_pair().await;
    let (_upstream, near_upstream) = tcp_pair().await;
    let fd = rustix::io::dup(&near_upstream).expect("dup");
    let kept_alive = || rustix::net::sockopt::socket_keepalive(&fd).expect("getsockopt");
    spawn(spec(near_client, near_upstream));
    tick_at(3 * SECOND);
    tokio::task::yield_now().await;
    assert!(!kept_alive(), "a short life is not worth the calls");
    tick_at(5 * SECOND);
    until("keep-alive", kept_alive).await;
    let idle = rustix::net::sockopt::tcp_keepidle(&fd).expect("getsockopt");
    assert_eq!(idle, crate::net::listen::socket::KEEPALIVE_IDLE);
}
