//! How tunnels end: half-closes, resets, Close frames of the peers and of ours.

use super::*;

fn order(by: ClosedBy) -> Arc<CloseOrder> {
    Arc::new(CloseOrder {
        by,
        detail: None,
        client_code: 1012,
        upstream_code: 1001,
        reason: "service restart".into(),
    })
}

pub(super) fn close_frame(code: u16, reason: &str) -> Vec<u8> {
    server_frame(0x88, &[&code.to_be_bytes(), reason.as_bytes()].concat())
}

/// Reads one masked frame of ours; returns its first byte and unmasked payload.
pub(super) async fn read_masked(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let header = read(stream, 6).await;
    assert_eq!(header[1] & 0x80, 0x80, "frames to the upstream are masked");
    let payload = read(stream, usize::from(header[1] & 0x7F)).await;
    let key = &header[2..];
    (
        header[0],
        payload
            .iter()
            .enumerate()
            .map(|(i, byte)| byte ^ key[i % 4])
            .collect(),
    )
}

#[tokio::test]
async fn half_close_is_carried_each_way() {
    for client_first in [true, false] {
        let (client, upstream, handle) = open(WebSocketConfig::default()).await;
        let (mut first, mut second) = if client_first {
            (client, upstream)
        } else {
            (upstream, client)
        };
        first.write_all(b"\x82").await.expect("write");
        first.shutdown().await.expect("shutdown");
        assert_eq!(read_to_end(&mut second).await, b"\x82");
        until("the phase", || handle.phase() == Phase::Half).await;
        second.write_all(b"\x81").await.expect("write");
        assert_eq!(read(&mut first, 1).await, b"\x81");
        second.shutdown().await.expect("shutdown");
        assert_eq!(read_to_end(&mut first).await, b"");
        let by = if client_first {
            ClosedBy::Client
        } else {
            ClosedBy::Upstream
        };
        assert_eq!(ended().await.closed_by, by);
    }
}

#[tokio::test]
async fn the_last_bytes_before_a_reset_arrive() {
    let (mut client, mut upstream, _) = open(WebSocketConfig::default()).await;
    upstream
        .write_all(&server_frame(0x81, b"last"))
        .await
        .expect("write");
    assert_eq!(read(&mut client, 6).await, server_frame(0x81, b"last"));
    socket2::SockRef::from(&upstream)
        .set_linger(Some(Duration::ZERO))
        .expect("linger");
    drop(upstream);
    let told = close_frame(1011, "connection lost");
    assert_eq!(read_to_end(&mut client).await, told);
    drop(client);
    let ended = ended().await;
    assert_eq!(ended.closed_by, ClosedBy::Upstream);
    assert_eq!(ended.detail.as_deref(), Some("connection reset"));
}

#[tokio::test]
async fn a_peers_close_is_relayed_and_reported() {
    let (mut client, mut upstream, handle) = open(WebSocketConfig::default()).await;
    let close = client_frame(0x88, b"\x03\xe9bye");
    // In pieces, so that it must be put together.
    for byte in &close {
        client
            .write_all(std::slice::from_ref(byte))
            .await
            .expect("write");
        assert_eq!(read(&mut upstream, 1).await, [*byte]);
    }
    upstream
        .write_all(&close_frame(1001, ""))
        .await
        .expect("write");
    assert_eq!(read(&mut client, 4).await, close_frame(1001, ""));
    until("the phase", || handle.phase() == Phase::Closed).await;
    drop(upstream);
    assert_eq!(read_to_end(&mut client).await, b"");
    drop(client);
    let ended = ended().await;
    assert_eq!(ended.closed_by, ClosedBy::Client);
    assert_eq!(ended.closes.client, Some(Some((1001, "bye".into()))));
    assert_eq!(ended.closes.upstream, Some(Some((1001, "".into()))));
    assert_eq!(
        (ended.closes.sent_client, ended.closes.sent_upstream),
        (None, None)
    );
}

#[tokio::test]
async fn our_close_goes_both_ways_and_ends_in_order() {
    let (mut client, mut upstream, handle) = open(WebSocketConfig::default()).await;
    assert!(handle.close(order(ClosedBy::Drain)));
    assert!(
        !handle.close(order(ClosedBy::Idle)),
        "the first order stands"
    );
    let expected = close_frame(1012, "service restart");
    assert_eq!(read(&mut client, expected.len()).await, expected);
    let (first, payload) = read_masked(&mut upstream).await;
    assert_eq!(
        (first, payload),
        (0x88, b"\x03\xe9service restart".to_vec())
    );
    // Data of either side goes nowhere any more.
    upstream
        .write_all(&server_frame(0x81, b"late"))
        .await
        .expect("write");
    client
        .write_all(&client_frame(0x81, b"late"))
        .await
        .expect("write");
    client
        .write_all(&client_frame(0x88, b"\x03\xf4"))
        .await
        .expect("write");
    // The client has answered: as its server we end the stream first.
    assert_eq!(read_to_end(&mut client).await, b"");
    upstream
        .write_all(&close_frame(1001, ""))
        .await
        .expect("write");
    drop(client);
    upstream.shutdown().await.expect("shutdown");
    assert_eq!(read_to_end(&mut upstream).await, b"");
    let ended = ended().await;
    assert_eq!(ended.closed_by, ClosedBy::Drain);
    assert_eq!(ended.closes.client, Some(Some((1012, "".into()))));
    assert_eq!(ended.closes.upstream, Some(Some((1001, "".into()))));
    assert_eq!(
        (ended.closes.sent_client, ended.closes.sent_upstream),
        (Some(1012), Some(1001))
    );
}

/// Both peers answer our Close, or each other's, and leave their connections open.
async fn answered(by_us: bool) -> (TcpStream, TcpStream) {
    let (mut client, mut upstream, handle) = open(WebSocketConfig::default()).await;
    let bye = client_frame(0x88, b"\x03\xe9");
    if by_us {
        handle.close(order(ClosedBy::Drain));
        let expected = close_frame(1012, "service restart");
        assert_eq!(read(&mut client, expected.len()).await, expected);
        read_masked(&mut upstream).await;
        client.write_all(&bye).await.expect("write");
    } else {
        client.write_all(&bye).await.expect("write");
        assert_eq!(read(&mut upstream, bye.len()).await, bye);
    }
    let answer = close_frame(1001, "");
    upstream.write_all(&answer).await.expect("write");
    if !by_us {
        assert_eq!(read(&mut client, answer.len()).await, answer);
    }
    // As its server we end the client's stream at once.
    assert_eq!(read_to_end(&mut client).await, b"");
    until("the phase", || handle.phase() == Phase::Closed).await;
    assert_eq!(
        registry::count(),
        1,
        "the upstream may end its stream first"
    );
    (client, upstream)
}

#[tokio::test]
async fn an_upstream_that_closes_after_the_handshake_ends_the_tunnel() {
    for by_us in [true, false] {
        let (client, upstream) = answered(by_us).await;
        drop(upstream);
        // Without a tick, and without the client.
        assert_eq!(ended().await.detail, None);
        drop(client);
    }
}

#[tokio::test]
async fn no_peer_is_waited_for_longer_than_a_tick_after_the_handshake() {
    for by_us in [true, false] {
        let (client, mut upstream) = answered(by_us).await;
        let now = Instant::now();
        registry::tick(now);
        tokio::task::yield_now().await;
        assert_eq!(registry::count(), 1, "its moment has only begun");
        registry::tick(now + registry::TICK);
        let by = if by_us {
            ClosedBy::Drain
        } else {
            ClosedBy::Client
        };
        let ended = ended().await;
        assert_eq!((ended.closed_by, ended.detail), (by, None));
        assert_eq!(read_to_end(&mut upstream).await, b"");
        drop(client);
    }
}

#[tokio::test]
async fn our_close_waits_for_the_frame_boundary() {
    // Small enough to be copied, and large enough to be spliced.
    for size in [1000, 500_000] {
        let (mut client, mut upstream, handle) = open(WebSocketConfig::default()).await;
        let frame = server_frame(0x82, &noise(2, size));
        let (half, rest) = frame.split_at(frame.len() / 2);
        let (written, seen) = tokio::join!(upstream.write_all(half), read(&mut client, half.len()));
        written.expect("write");
        handle.close(order(ClosedBy::Drain));
        assert_eq!(
            read_masked(&mut upstream).await.0,
            0x88,
            "that direction was at a boundary"
        );
        until("the phase", || handle.phase() == Phase::Boundary).await;
        let close = close_frame(1012, "service restart");
        let more = [rest, &server_frame(0x81, b"too late")].concat();
        let (written, rest) = tokio::join!(
            upstream.write_all(&more),
            read(&mut client, rest.len() + close.len())
        );
        written.expect("write");
        assert!([seen, rest].concat() == [frame, close].concat());
        client
            .write_all(&client_frame(0x88, b""))
            .await
            .expect("write");
        assert_eq!(read_to_end(&mut client).await, b"");
        drop((client, upstream));
        ended().await;
    }
}

#[tokio::test]
async fn a_handshake_begun_by_a_peer_is_left_to_finish() {
    let (mut client, mut upstream, handle) = open(WebSocketConfig::default()).await;
    let close = client_frame(0x88, b"\x03\xe8");
    client.write_all(&close).await.expect("write");
    assert_eq!(read(&mut upstream, close.len()).await, close);
    handle.close(order(ClosedBy::Drain));
    until("the phase", || handle.phase() == Phase::Closing).await;
    let answer = [server_frame(0x81, b"last words"), close_frame(1000, "")].concat();
    upstream.write_all(&answer).await.expect("write");
    drop(upstream);
    assert_eq!(read_to_end(&mut client).await, answer);
    drop(client);
    let ended = ended().await;
    assert_eq!(ended.closed_by, ClosedBy::Client);
    assert_eq!(
        (ended.closes.sent_client, ended.closes.sent_upstream),
        (None, None)
    );
}

#[tokio::test]
async fn strict_routes_answer_1002() {
    let (mut client, mut upstream, _) = open(WebSocketConfig {
        strict: true,
        ..WebSocketConfig::default()
    })
    .await;
    let valid = client_frame(0x81, b"fine");
    let bad = [valid.clone(), b"\x83\x80\0\0\0\0".to_vec(), valid.clone()].concat();
    client.write_all(&bad).await.expect("write");
    let close = close_frame(1002, "reserved opcode");
    assert_eq!(read_to_end(&mut client).await, close);
    // What was valid arrives, and then the Close.
    assert_eq!(read(&mut upstream, valid.len()).await, valid);
    let (first, payload) = read_masked(&mut upstream).await;
    assert_eq!((first, &payload[..2]), (0x88, &1002_u16.to_be_bytes()[..]));
    drop((client, upstream));
    let ended = ended().await;
    assert_eq!(ended.closed_by, ClosedBy::Policy);
    assert_eq!(ended.detail.as_deref(), Some("reserved opcode"));
}

#[tokio::test]
async fn a_close_without_known_framing_just_ends_the_stream() {
    let (mut client, mut upstream, handle) = open(WebSocketConfig::default()).await;
    client.write_all(b"\x83garbage").await.expect("write");
    assert_eq!(read(&mut upstream, 8).await, b"\x83garbage");
    handle.close(order(ClosedBy::Drain));
    assert_eq!(read_to_end(&mut upstream).await, b"");
    let close = close_frame(1012, "service restart");
    assert_eq!(read(&mut client, close.len()).await, close);
    drop((client, upstream));
    assert_eq!(ended().await.closed_by, ClosedBy::Drain);
}

#[tokio::test]
async fn a_dropped_tunnel_leaves_nothing_behind() {
    let (_client, near_client) = tcp_pair().await;
    let (_upstream, near_upstream) = tcp_pair().await;
    struct Lease(Arc<()>);
    let lease = Arc::new(());
    let spec = spec(near_client, near_upstream);
    let tunnel = Tunnel::new(TunnelSpec {
        guard: Lease(lease.clone()),
        client: spec.client,
        upstream: spec.upstream,
        from_client: spec.from_client,
        from_upstream: spec.from_upstream,
        settings: spec.settings,
        identity: spec.identity,
        report: spec.report,
    });
    assert_eq!(Arc::strong_count(&tunnel.guard.0), 2);
    registry::add(&tunnel.journal.handle);
    assert_eq!(registry::count(), 1);
    drop(Task(Some(Box::new(tunnel))));
    assert_eq!(Arc::strong_count(&lease), 1);
    let ended = ended().await;
    assert_eq!(
        (ended.closed_by, ended.detail.as_deref()),
        (ClosedBy::Error, Some("worker stopped"))
    );
}
