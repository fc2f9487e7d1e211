//! Every clock goes on where it was, by a clock in the test's hand.

use super::*;

fn go_on_with(exported: ExportedTunnel, settings: WebSocketConfig) -> Arc<TunnelHandle> {
    resume(Resume {
        client: exported.client,
        upstream: exported.upstream,
        tls: exported.tls,
        settings: Arc::new(settings),
        identity: exported.state.identity.identity(),
        state: exported.state,
        spill: exported.spill,
        guard: (),
        report: record,
    })
    .expect("it goes on")
}

fn ordered(handle: &TunnelHandle) -> Option<ClosedBy> {
    handle.order().map(|order| order.by)
}

#[tokio::test]
async fn silence_counts_from_its_beginning() {
    let (_client, _upstream, _handle) = open(WebSocketConfig {
        idle_timeout: Some(60 * SECOND),
        ..WebSocketConfig::default()
    })
    .await;
    let mut exported = hand_off().await;
    for side in [&mut exported.state.client, &mut exported.state.upstream] {
        (side.pulse.heard, side.pulse.active) = (480, 500);
    }
    go_on(exported);
    let exported = hand_off().await;
    let pulse = &exported.state.client.pulse;
    assert!((480..500).contains(&pulse.heard) && pulse.active >= 500);
    let handle = go_on(exported);
    tick_at(5 * SECOND);
    assert_eq!(ordered(&handle), None);
    tick_at(11 * SECOND);
    assert_eq!(ordered(&handle), Some(ClosedBy::Idle));
}

#[tokio::test]
async fn the_end_of_its_life_stays_the_same() {
    let settings = WebSocketConfig {
        max_age: Some(1000 * SECOND),
        max_age_jitter: 0.5,
        ..WebSocketConfig::default()
    };
    let (_client, _upstream, _handle) = open(settings.clone()).await;
    let mut exported = hand_off().await;
    let left = exported.state.clock.max_age.expect("it has one");
    assert!((4_900..=10_000).contains(&left));
    exported.state.clock.max_age = Some(50);
    let handle = go_on(exported);
    tick_at(3 * SECOND);
    assert_eq!(ordered(&handle), None);
    let exported = hand_off().await;
    let handle = go_on_with(exported, settings);
    tick_at(6 * SECOND);
    assert_eq!(ordered(&handle), Some(ClosedBy::MaxAge));
}

#[tokio::test]
async fn another_greatest_age_counts_from_the_opening() {
    let (_client, _upstream, _handle) = open(WebSocketConfig::default()).await;
    let mut exported = hand_off().await;
    exported.state.age += 100_000_000;
    let settings = WebSocketConfig {
        max_age: Some(120 * SECOND),
        max_age_jitter: 0.0,
        ..WebSocketConfig::default()
    };
    let handle = go_on_with(exported, settings);
    tick_at(10 * SECOND);
    assert_eq!(ordered(&handle), None);
    tick_at(21 * SECOND);
    assert_eq!(ordered(&handle), Some(ClosedBy::MaxAge));
}

#[tokio::test]
async fn an_unanswered_ping_is_still_one() {
    let settings = WebSocketConfig {
        ping_interval: Some(300 * SECOND),
        ..WebSocketConfig::default()
    };
    let (mut client, mut upstream, _handle) = open(settings).await;
    tick_at(301 * SECOND);
    read(&mut client, 14).await;
    read(&mut upstream, 18).await;
    tick_at(302 * SECOND);
    let mut exported = hand_off().await;
    let pulse = &mut exported.state.upstream.pulse;
    assert_eq!(
        (pulse.pings, pulse.asked, pulse.pinged),
        (1, false, Some(0))
    );
    pulse.pinged = Some(150);
    let handle = go_on(exported);
    tick_at(2 * SECOND);
    assert_eq!(ordered(&handle), None);
    tick_at(6 * SECOND);
    assert_eq!(ordered(&handle), Some(ClosedBy::KeepAlive));
    let detail = handle.order().and_then(|order| order.detail);
    assert_eq!(detail, Some("upstream did not answer a ping"));
}

#[tokio::test]
async fn a_half_closed_tunnel_keeps_its_deadline() {
    let (client, _upstream, handle) = open(WebSocketConfig::default()).await;
    drop(client);
    until("the phase", || handle.phase() == Phase::Half).await;
    tick_at(Duration::ZERO);
    let mut exported = hand_off().await;
    let left = exported.state.clock.half_close.expect("it has one");
    assert!((250..=300).contains(&left), "{left}");
    exported.state.clock.half_close = Some(40);
    go_on(exported);
    let exported = hand_off().await;
    let left = exported.state.clock.half_close.expect("it has one");
    assert!((1..=40).contains(&left), "{left}");
    go_on(exported);
    tick_at(5 * SECOND);
    let ended = ended().await;
    assert_eq!(ended.detail.as_deref(), Some("half-close deadline"));
}

#[tokio::test]
async fn tcp_keep_alive_is_switched_on_once() {
    let (_client, near_client) = tcp_pair().await;
    let (_upstream, near_upstream) = tcp_pair().await;
    let fd = rustix::io::dup(&near_upstream).expect("dup");
    let kept_alive = || rustix::net::sockopt::socket_keepalive(&fd).expect("getsockopt");
    spawn(spec(near_client, near_upstream));
    let mut exported = hand_off().await;
    assert!(exported.state.clock.keep_alive.is_some());
    exported.state.clock.keep_alive = Some(20);
    go_on(exported);
    tick_at(SECOND / 2);
    tokio::task::yield_now().await;
    assert!(!kept_alive());
    tick_at(3 * SECOND);
    until("keep-alive", kept_alive).await;
    rustix::net::sockopt::set_socket_keepalive(&fd, false).expect("setsockopt");
    let exported = hand_off().await;
    assert_eq!(exported.state.clock.keep_alive, None);
    go_on(exported);
    tick_at(20 * SECOND);
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert!(!kept_alive(), "it is on already as far as we know");
}

#[tokio::test]
async fn age_and_the_time_under_way_count() {
    let (_client, _upstream, _handle) = open(WebSocketConfig::default()).await;
    let mut exported = hand_off().await;
    let hour = 3_600_000_000;
    exported.state.age += hour;
    exported.state.written -= 20_000_000;
    let handle = go_on(exported);
    assert!(handle.opened.elapsed() >= 3620 * SECOND);
    let mut exported = hand_off().await;
    assert!(exported.state.age >= hour + 20_000_000);
    assert!(exported.state.client.pulse.heard >= 200);
    // Clocks that were set in between are not believed.
    let age = exported.state.age;
    exported.state.written = 1;
    let handle = go_on(exported);
    let more = handle.opened.elapsed() - Duration::from_micros(age);
    assert!((60 * SECOND..100 * SECOND).contains(&more), "{more:?}");
    let mut exported = hand_off().await;
    let age = exported.state.age;
    exported.state.written = u64::MAX;
    let handle = go_on(exported);
    let more = handle.opened.elapsed() - Duration::from_micros(age);
    assert!(more < 30 * SECOND, "{more:?}");
}
