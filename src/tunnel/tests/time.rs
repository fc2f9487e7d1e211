//! Deadlines, by a clock in the test's hand.

use super::closing::close_frame;
use super::*;

#[tokio::test]
async fn silence_in_both_directions_is_idle() {
    let (mut client, mut upstream, handle) = open(WebSocketConfig {
        idle_timeout: Some(60 * SECOND),
        ..WebSocketConfig::default()
    })
    .await;
    tick_at(50 * SECOND);
    // One direction that speaks keeps the tunnel.
    upstream
        .write_all(&server_frame(0x81, b"x"))
        .await
        .expect("write");
    read(&mut client, 3).await;
    tick_at(55 * SECOND);
    tick_at(110 * SECOND);
    tokio::task::yield_now().await;
    assert_eq!(handle.phase(), Phase::Open);
    tick_at(116 * SECOND);
    let frame = read(&mut client, 16).await;
    assert_eq!(frame, server_frame(0x88, b"\x03\xe9idle timeout"));
    until("the phase", || handle.phase() == Phase::Closing).await;
    // There is no answer: the close deadline ends it.
    tick_at(117 * SECOND);
    tick_at(123 * SECOND);
    let ended = ended().await;
    assert_eq!(ended.closed_by, ClosedBy::Idle);
    assert_eq!(ended.detail.as_deref(), Some("close deadline"));
    assert_eq!(ended.closes.sent_client, Some(1001));
}

#[tokio::test]
async fn the_greatest_age_is_shortened_at_random() {
    let (_client, _upstream, handle) = open(WebSocketConfig {
        max_age: Some(1000 * SECOND),
        max_age_jitter: 0.5,
        ..WebSocketConfig::default()
    })
    .await;
    tick_at(499 * SECOND);
    assert!(handle.order().is_none());
    tick_at(1000 * SECOND);
    assert_eq!(handle.order().map(|order| order.by), Some(ClosedBy::MaxAge));
}

#[tokio::test]
async fn the_other_direction_has_a_deadline_after_a_half_close() {
    let (mut client, upstream, handle) = open(WebSocketConfig::default()).await;
    client.shutdown().await.expect("shutdown");
    until("the phase", || handle.phase() == Phase::Half).await;
    tick_at(SECOND);
    tick_at(30 * SECOND);
    tokio::task::yield_now().await;
    assert_eq!(registry::count(), 1);
    tick_at(32 * SECOND);
    let ended = ended().await;
    assert_eq!(ended.closed_by, ClosedBy::Client);
    assert_eq!(ended.detail.as_deref(), Some("half-close deadline"));
    let mut came = Vec::new();
    client.read_to_end(&mut came).await.expect("its end");
    assert_eq!(came, close_frame(1001, "half-close deadline"));
    drop(upstream);
}

fn keep_alive() -> WebSocketConfig {
    WebSocketConfig {
        ping_interval: Some(30 * SECOND),
        ..WebSocketConfig::default()
    }
}

#[tokio::test]
async fn our_pong_is_swallowed_and_others_pass() {
    let (mut client, mut upstream, handle) = open(keep_alive()).await;
    tick_at(31 * SECOND);
    let ping = read(&mut client, 14).await;
    assert_eq!(ping[..2], [0x89, 12]);
    let pong = client_frame(0x8A, &ping[2..]);
    let other = client_frame(0x8A, b"unasked 1234");
    let text = client_frame(0x81, b"text");
    // Byte by byte: it is held until it is known.
    for part in [&text, &pong, &other, &pong, &text] {
        for byte in part {
            client
                .write_all(std::slice::from_ref(byte))
                .await
                .expect("write");
            tokio::task::yield_now().await;
        }
    }
    client
        .write_all(&[pong.clone(), text.clone(), pong, text.clone()].concat())
        .await
        .expect("write");
    // The upstream was silent as well: our masked Ping comes first.
    assert_eq!(read(&mut upstream, 18).await[..2], [0x89, 0x8C]);
    let expected = [&text[..], &other, &text, &text, &text].concat();
    assert_eq!(read(&mut upstream, expected.len()).await, expected);
    assert!(handle.rtt(Side::Client).is_some());
    drop((client, upstream));
    let ended = ended().await;
    assert_eq!(ended.from_client.pongs, 5);
    assert!(ended.client_rtt.is_some());
}

#[tokio::test]
async fn a_held_pong_is_passed_on_at_the_end() {
    let (mut client, mut upstream, _) = open(WebSocketConfig {
        client_lost_code: None,
        ..keep_alive()
    })
    .await;
    tick_at(31 * SECOND);
    read(&mut client, 14).await;
    read(&mut upstream, 18).await;
    client
        .write_all(&client_frame(0x8A, b"cut off")[..9])
        .await
        .expect("write");
    client.shutdown().await.expect("shutdown");
    assert_eq!(
        read_to_end(&mut upstream).await,
        client_frame(0x8A, b"cut off")[..9]
    );
}

#[tokio::test]
async fn an_unanswered_ping_closes_and_an_answered_one_does_not() {
    let (mut client, mut upstream, handle) = open(keep_alive()).await;
    tick_at(31 * SECOND);
    let ping = read(&mut client, 14).await;
    read(&mut upstream, 18).await;
    tick_at(32 * SECOND);
    client
        .write_all(&client_frame(0x8A, &ping[2..]))
        .await
        .expect("write");
    let both = 2 * SECOND;
    until("the pong", || {
        handle.counters(Side::Client).tally().pongs == 1
    })
    .await;
    tick_at(31 * SECOND + both);
    tick_at(51 * SECOND);
    assert!(handle.order().is_none(), "20 s are not over");
    tick_at(53 * SECOND);
    let order = handle.order().expect("an order");
    assert_eq!(order.by, ClosedBy::KeepAlive);
    assert_eq!(order.detail, Some("upstream did not answer a ping"));
}

#[tokio::test]
async fn pings_of_tunnels_that_opened_together_are_spread() {
    let settings = WebSocketConfig {
        ping_interval: Some(100 * SECOND),
        ..WebSocketConfig::default()
    };
    let tunnels: Vec<_> = (0..200)
        .map(|_| small(settings.clone(), identity()))
        .collect();
    let start = Instant::now();
    let mut due = Vec::new();
    for second in 0..=101 {
        registry::tick(start + second * SECOND);
        // No task runs meanwhile that would take them.
        let asked = tunnels.iter().map(|tunnel| tunnel.handle.take_commands());
        let pings = asked.map(|what| what & (command::PING_CLIENT | command::PING_UPSTREAM));
        due.push(pings.map(u8::count_ones).sum::<u32>());
    }
    assert_eq!(due.iter().sum::<u32>(), 400, "one to each side: {due:?}");
    assert_eq!(due[..75].iter().sum::<u32>(), 0, "none too early: {due:?}");
    // 16 are expected in each second of the last quarter; six standard deviations are 24.
    assert!(due.iter().all(|pings| *pings <= 40), "{due:?}");
}

#[tokio::test]
async fn answers_to_our_pings_do_not_defeat_the_idle_timeout() {
    let (mut client, mut upstream, handle) = open(WebSocketConfig {
        idle_timeout: Some(100 * SECOND),
        ..keep_alive()
    })
    .await;
    for (at, answered) in [(31, 1), (62, 2), (93, 3)] {
        tick_at(at * SECOND);
        let ping = read(&mut client, 14).await;
        client
            .write_all(&client_frame(0x8A, &ping[2..]))
            .await
            .expect("write");
        let masked = read(&mut upstream, 18).await;
        let payload: Vec<u8> = (0..12).map(|i| masked[6 + i] ^ masked[2 + i % 4]).collect();
        upstream
            .write_all(&server_frame(0x8A, &payload))
            .await
            .expect("write");
        until("the pongs", || {
            [Side::Client, Side::Upstream]
                .iter()
                .all(|s| handle.counters(*s).tally().pongs == answered)
        })
        .await;
        tick_at(at * SECOND + SECOND);
    }
    assert!(handle.order().is_none());
    tick_at(101 * SECOND);
    assert_eq!(handle.order().map(|order| order.by), Some(ClosedBy::Idle));
}

#[tokio::test]
async fn no_ping_stands_inside_a_frame() {
    let (mut client, mut upstream, _) = open(keep_alive()).await;
    let frame = server_frame(0x82, &noise(1, 5000));
    upstream.write_all(&frame[..2000]).await.expect("write");
    assert_eq!(read(&mut client, 2000).await, frame[..2000]);
    tick_at(2 * SECOND);
    tick_at(33 * SECOND);
    // The upstream's direction is free: its Ping shows that the tick has been obeyed.
    read(&mut upstream, 18).await;
    let tail = [&frame[2000..], &server_frame(0x81, b"next")].concat();
    upstream.write_all(&tail).await.expect("write");
    let rest = frame.len() - 2000;
    let seen = read(&mut client, rest + 14 + 6).await;
    assert!(seen[..rest] == frame[2000..]);
    assert_eq!(seen[rest..rest + 2], [0x89, 12]);
    assert_eq!(seen[rest + 14..], server_frame(0x81, b"next"));
}

#[tokio::test]
async fn silence_is_measured_closely_enough() {
    // The look that notices the bytes comes at most a 64th of the limit after them.
    let limit = 640 * SECOND;
    let (mut client, mut upstream, handle) = open(WebSocketConfig {
        idle_timeout: Some(limit),
        ..WebSocketConfig::default()
    })
    .await;
    let start = Instant::now();
    let spoken = 305 * SECOND;
    let mut at = Duration::ZERO;
    while handle.order().is_none() {
        at += registry::TICK;
        if at == spoken {
            upstream
                .write_all(&server_frame(0x81, b"x"))
                .await
                .expect("write");
            read(&mut client, 3).await;
        }
        registry::tick(start + at);
        assert!(at < 2 * limit, "never idle");
    }
    assert!(at >= spoken + limit, "{at:?}");
    assert!(at <= spoken + limit + limit / 64 + SECOND, "{at:?}");
}
