//! What a reload does to live tunnels: new settings, closes and drains by review.

use super::*;
use crate::config::DrainConfig;
use crate::tunnel_registry::Review;

fn give(at: Instant, settings: WebSocketConfig) {
    let settings = Arc::new(settings);
    registry::review(at, &|_| Review::Settings(settings.clone()));
}

fn order_of(handle: &TunnelHandle) -> Option<ClosedBy> {
    handle.order().map(|order| order.by)
}

fn idle(timeout: Duration) -> WebSocketConfig {
    WebSocketConfig {
        idle_timeout: Some(timeout),
        ..WebSocketConfig::default()
    }
}

fn aged(max_age: Duration, max_age_jitter: f64) -> WebSocketConfig {
    WebSocketConfig {
        idle_timeout: None,
        max_age: Some(max_age),
        max_age_jitter,
        ..WebSocketConfig::default()
    }
}

fn pinging(interval: Duration) -> WebSocketConfig {
    WebSocketConfig {
        ping_interval: Some(interval),
        ..WebSocketConfig::default()
    }
}

#[tokio::test]
async fn another_idle_timeout_applies_to_a_live_tunnel() {
    let (_client, _upstream, handle) = open(idle(3600 * SECOND)).await;
    let start = Instant::now();
    registry::tick(start + SECOND);
    give(start + 100 * SECOND, idle(200 * SECOND));
    assert_eq!(handle.settings().idle_timeout, Some(200 * SECOND));
    registry::tick(start + 100 * SECOND);
    registry::tick(start + 199 * SECOND);
    assert_eq!(order_of(&handle), None);
    give(start + 199 * SECOND, idle(300 * SECOND));
    registry::tick(start + 299 * SECOND);
    assert_eq!(order_of(&handle), None, "a longer one as well");
    registry::tick(start + 301 * SECOND);
    assert_eq!(order_of(&handle), Some(ClosedBy::Idle));
}

#[tokio::test]
async fn another_max_age_counts_from_the_opening() {
    let (_client, _upstream, handle) = open(aged(50 * SECOND, 0.0)).await;
    let start = Instant::now();
    give(start + 40 * SECOND, idle(3600 * SECOND));
    registry::tick(start + 100 * SECOND);
    assert_eq!(order_of(&handle), None, "it is off");
    give(start + 100 * SECOND, aged(300 * SECOND, 0.0));
    registry::tick(start + 299 * SECOND);
    assert_eq!(order_of(&handle), None);
    registry::tick(start + 301 * SECOND);
    assert_eq!(order_of(&handle), Some(ClosedBy::MaxAge));
}

#[tokio::test]
async fn what_new_limits_make_overdue_is_spread() {
    for (settings, by) in [
        (aged(60 * SECOND, 0.0), ClosedBy::MaxAge),
        (idle(60 * SECOND), ClosedBy::Idle),
    ] {
        let tunnels: Vec<Small> = (0..200)
            .map(|_| small(WebSocketConfig::default(), identity()))
            .collect();
        let at = Instant::now() + 1000 * SECOND;
        give(at, settings);
        told_evenly(at, 30 * SECOND);
        assert_eq!(order_of(&tunnels[0].handle), Some(by));
        drop(tunnels);
        until("the ends", || registry::count() == 0).await;
    }
}

#[tokio::test]
async fn a_limit_below_the_spread_is_not_exceeded_twice() {
    let tunnel = small(WebSocketConfig::default(), identity());
    let at = Instant::now() + 1000 * SECOND;
    give(at, aged(3 * SECOND, 0.0));
    registry::tick(at + 4 * SECOND);
    assert_eq!(order_of(&tunnel.handle), Some(ClosedBy::MaxAge));
}

#[tokio::test]
async fn reviews_do_not_put_off_what_is_overdue() {
    let tunnels: Vec<Small> = (0..50)
        .map(|_| small(WebSocketConfig::default(), identity()))
        .collect();
    let at = Instant::now() + 1000 * SECOND;
    for second in 0..=31 {
        give(at + second * SECOND, idle(60 * SECOND));
        registry::tick(at + second * SECOND);
    }
    assert_eq!(told(), tunnels.len());
}

#[tokio::test]
async fn a_tunnels_share_of_the_jitter_is_its_own() {
    let settings = aged(1000 * SECOND, 1.0);
    let tunnels: Vec<Small> = (0..200)
        .map(|_| small(settings.clone(), identity()))
        .collect();
    let start = Instant::now();
    for second in (10..=500).step_by(10) {
        let at = start + second * SECOND;
        give(at, settings.clone());
        registry::tick(at);
    }
    // 100 are expected in the first half; five standard deviations are 36. If each review
    // chose anew, hardly one were left.
    assert!((64..=136).contains(&told()), "{}", told());
    drop(tunnels);
}

#[tokio::test]
async fn consecutive_tunnels_have_unlike_ages() {
    let settings = aged(1000 * SECOND, 1.0);
    let tunnels: Vec<Small> = (0..200)
        .map(|_| small(settings.clone(), identity()))
        .collect();
    told_evenly(Instant::now(), 1000 * SECOND);
    drop(tunnels);
}

#[tokio::test]
async fn keep_alive_can_be_switched_on_and_off() {
    let (mut client, mut upstream, handle) = open(WebSocketConfig {
        idle_timeout: None,
        ..WebSocketConfig::default()
    })
    .await;
    let start = Instant::now();
    // After this one nothing is due for it, ever.
    registry::tick(start + 6 * SECOND);
    give(start + 100 * SECOND, pinging(30 * SECOND));
    registry::tick(start + 100 * SECOND);
    // It was silent for longer: its turn comes within the interval.
    registry::tick(start + 130 * SECOND);
    let ping = read(&mut client, 14).await;
    assert_eq!(ping[..2], [0x89, 12]);
    let masked = read(&mut upstream, 18).await;
    assert_eq!(masked[..2], [0x89, 0x8C]);
    // Off: no answer is waited for any more, and no further Pings are sent.
    give(start + 131 * SECOND, WebSocketConfig::default());
    registry::tick(start + 132 * SECOND);
    registry::tick(start + 200 * SECOND);
    assert_eq!(order_of(&handle), None);
    client
        .write_all(&client_frame(0x8A, &ping[2..]))
        .await
        .expect("write");
    until("the pong", || {
        handle.counters(Side::Client).tally().pongs == 1
    })
    .await;
    // On again: the Ping from before is not taken for an unanswered one.
    give(start + 201 * SECOND, pinging(300 * SECOND));
    for second in 202..230 {
        registry::tick(start + second * SECOND);
    }
    assert_eq!(order_of(&handle), None);
}

#[tokio::test]
async fn strictness_can_be_switched_on() {
    let (mut client, mut upstream, _) = open(WebSocketConfig::default()).await;
    let text = client_frame(0x81, b"text");
    client.write_all(&text).await.expect("write");
    assert_eq!(read(&mut upstream, text.len()).await, text);
    give(
        Instant::now(),
        WebSocketConfig {
            strict: true,
            ..WebSocketConfig::default()
        },
    );
    client.write_all(b"\x83garbage").await.expect("write");
    assert_eq!(read(&mut client, 4).await[2..], 1002_u16.to_be_bytes());
    drop((client, upstream));
    assert_eq!(ended().await.closed_by, ClosedBy::Policy);
}

#[tokio::test]
async fn strictness_can_be_switched_off() {
    let (mut client, mut upstream, handle) = open(WebSocketConfig {
        strict: true,
        ..WebSocketConfig::default()
    })
    .await;
    give(Instant::now(), WebSocketConfig::default());
    client.write_all(b"\x83garbage").await.expect("write");
    assert_eq!(read(&mut upstream, 8).await, b"\x83garbage");
    assert_eq!(order_of(&handle), None);
}

#[tokio::test]
async fn a_deadline_that_runs_is_not_changed() {
    let (mut client, upstream, handle) = open(WebSocketConfig::default()).await;
    client.shutdown().await.expect("shutdown");
    until("the phase", || handle.phase() == Phase::Half).await;
    let start = Instant::now();
    registry::tick(start);
    give(
        start + 10 * SECOND,
        WebSocketConfig {
            half_close_timeout: 300 * SECOND,
            ..WebSocketConfig::default()
        },
    );
    registry::tick(start + 29 * SECOND);
    tokio::task::yield_now().await;
    assert_eq!(registry::count(), 1);
    registry::tick(start + 31 * SECOND);
    assert_eq!(ended().await.detail.as_deref(), Some("half-close deadline"));
    drop(upstream);
}

#[tokio::test]
async fn a_review_asks_about_each_tunnel() {
    let tunnel = |route| {
        small(
            WebSocketConfig::default(),
            identity_of(route, "app", "127.0.0.1:9000"),
        )
    };
    let [mut gone, moved, kept] = ["gone", "moved", "kept"].map(tunnel);
    let start = Instant::now();
    let config = DrainConfig {
        over: 100 * SECOND,
        deadline: 200 * SECOND,
        ..DrainConfig::default()
    };
    let order = DrainOrder::from_config(&config, Selection::Chosen, start);
    let close = order.close.clone();
    registry::review(start, &|handle| match &**handle.identity.route() {
        "gone" => Review::Close(close.clone()),
        "moved" => Review::Drain(order.clone()),
        _ => {
            // A judge may look around.
            assert_eq!(registry::count(), 3);
            Review::Keep
        }
    });
    assert_eq!(read(&mut gone.client, 4).await, b"\x88\x11\x03\xf4");
    assert!(moved.handle.order().is_none(), "its moment is to come");
    let later = tunnel("moved");
    assert_eq!(order.progress.total(), 1);
    // Another review changes nothing about it.
    registry::review(start, &|handle| {
        if handle.id == moved.handle.id {
            Review::Drain(order.clone())
        } else {
            Review::Keep
        }
    });
    assert_eq!(order.progress.total(), 1);
    registry::tick(start + 100 * SECOND);
    assert_eq!(order_of(&moved.handle), Some(ClosedBy::Drain));
    assert_eq!(order_of(&kept.handle), None);
    assert_eq!(order_of(&later.handle), None, "only what was chosen");
    drop(moved);
    until("the end", || order.progress.left() == 0).await;
    assert_eq!(order.progress.closed(), 1);
}

#[tokio::test]
async fn a_chosen_drain_can_be_taken_back() {
    let tunnel = small(WebSocketConfig::default(), identity());
    let start = Instant::now();
    let order = DrainOrder::from_config(&DrainConfig::default(), Selection::Chosen, start);
    registry::review(start, &|_| Review::Drain(order.clone()));
    assert_eq!(registry::undrain(order.id), 1);
    registry::tick(start + 100 * SECOND);
    assert_eq!(order_of(&tunnel.handle), None);
    assert_eq!(order.progress.spared(), 1);
}
