//! Drains: which tunnels, when, with which Close, and what is counted.

use super::*;
use crate::config::DrainConfig;

fn config(over: Duration, deadline: Duration) -> DrainConfig {
    DrainConfig {
        over,
        deadline,
        ..DrainConfig::default()
    }
}

/// A drain over 100 s with a deadline of 1000 s, in force on this thread.
fn drain(select: Selection, start: Instant) -> Arc<DrainOrder> {
    let order = DrainOrder::from_config(&config(100 * SECOND, 1000 * SECOND), select, start);
    registry::drain(&order, start);
    order
}

fn tunnel(route: &str, upstream: &str, endpoint: &str) -> Small {
    small(
        WebSocketConfig::default(),
        identity_of(route, upstream, endpoint),
    )
}

fn chat() -> Small {
    small(WebSocketConfig::default(), identity())
}

/// Total, closed, cut, spared, moved, left.
fn counts(order: &DrainOrder) -> [u64; 6] {
    let progress = &order.progress;
    [
        progress.total(),
        progress.closed(),
        progress.cut(),
        progress.spared(),
        progress.moved(),
        progress.left(),
    ]
}

fn is_told(tunnel: &Small) -> bool {
    tunnel.handle.order().is_some()
}

#[tokio::test]
async fn a_drain_is_spread_over_its_span() {
    let tunnels: Vec<Small> = (0..200).map(|_| chat()).collect();
    let start = Instant::now();
    let order = DrainOrder::from_config(&config(100 * SECOND, 200 * SECOND), Selection::All, start);
    registry::drain(&order, start);
    assert_eq!(counts(&order), [200, 0, 0, 0, 0, 200]);
    told_evenly(start, 100 * SECOND);
    registry::tick(start + 201 * SECOND);
    until("all are cut", || registry::count() == 0).await;
    let by: Vec<ClosedBy> = ENDED.with_borrow(|ended| ended.iter().map(|e| e.closed_by).collect());
    assert_eq!(by, vec![ClosedBy::Drain; 200]);
    assert_eq!(counts(&order), [200, 0, 200, 0, 0, 0]);
    drop(tunnels);
}

#[test]
fn every_moment_of_the_span_is_as_likely() {
    use crate::tunnel_registry::pick;
    fastrand::seed(1);
    let mut picked = [0_i32; 21];
    for _ in 0..210_000 {
        picked[pick(1000, 1020) as usize - 1000] += 1;
    }
    // 10,000 are expected of each; six standard deviations are 600.
    for (moment, n) in picked.iter().enumerate() {
        assert!((n - 10_000).abs() < 600, "{n} at {moment}");
    }
    for (now, end, only) in [(7, 7, 7), (7, 3, 7), (u32::MAX, u32::MAX, u32::MAX - 1)] {
        assert_eq!(pick(now, end), only);
    }
}

#[tokio::test]
async fn a_span_has_no_end_before_the_deadline() {
    let start = Instant::now();
    let forever = config(Duration::MAX, Duration::MAX);
    let order = DrainOrder::from_config(&forever, Selection::All, start);
    let tunnel = chat();
    registry::drain(&order, start);
    registry::tick(start + SECOND);
    assert!(!is_told(&tunnel));
    assert_eq!(registry::undrain(order.id), 1);
    let short = DrainOrder::new(&forever, Selection::All, start, 60 * SECOND, 10 * SECOND);
    registry::drain(&short, start);
    registry::tick(start + 10 * SECOND);
    assert!(is_told(&tunnel), "before it can be cut");
    registry::tick(start + 11 * SECOND);
    until("the cut", || registry::count() == 0).await;
    assert_eq!(counts(&short), [1, 0, 1, 0, 0, 0]);
}

#[tokio::test]
async fn an_endpoints_drain_touches_only_its_tunnels() {
    let start = Instant::now();
    let drained = tunnel("chat", "app", "127.0.0.1:9000");
    let others = [
        tunnel("chat", "app", "127.0.0.1:9001"),
        tunnel("chat", "other", "127.0.0.1:9000"),
    ];
    let endpoint = Selection::Endpoint {
        upstream: "app".into(),
        endpoint: "127.0.0.1:9000".into(),
    };
    let order = drain(endpoint, start);
    registry::tick(start + 100 * SECOND);
    assert!(is_told(&drained));
    assert!(!others.iter().any(is_told));
    assert_eq!(counts(&order), [1, 0, 0, 0, 0, 1]);
    // The others are not cut at the deadline either.
    registry::tick(start + 1001 * SECOND);
    until("the end", || registry::count() == 2).await;
    registry::tick(start + 1002 * SECOND);
    tokio::task::yield_now().await;
    assert_eq!(registry::count(), 2);
}

#[tokio::test]
async fn several_drains_are_in_force_side_by_side() {
    let start = Instant::now();
    let tunnels = ["chat", "feed", "game"].map(|route| tunnel(route, "app", "127.0.0.1:9000"));
    let chat = drain(Selection::Route("chat".into()), start);
    let feed = drain(Selection::Route("feed".into()), start);
    // It is in the first that selected it.
    let again = drain(Selection::Route("feed".into()), start);
    registry::drain(&feed, start);
    assert_eq!(
        [&chat, &feed, &again].map(|order| order.progress.total()),
        [1, 1, 0]
    );
    registry::tick(start + 100 * SECOND);
    assert_eq!(tunnels.each_ref().map(is_told), [true, true, false]);
}

#[tokio::test]
async fn tunnels_opened_later_are_drained_too() {
    let start = Instant::now();
    let order = drain(Selection::Route("chat".into()), start);
    let later = chat();
    let other = tunnel("feed", "app", "127.0.0.1:9000");
    assert_eq!(order.progress.total(), 1);
    registry::tick(start + 101 * SECOND);
    assert!(is_told(&later));
    assert!(!is_told(&other));
}

#[tokio::test]
async fn a_tunnel_opened_after_the_deadline_is_sent_a_close() {
    let now = Instant::now();
    let order = drain(Selection::Route("chat".into()), now - 2000 * SECOND);
    let mut late = chat();
    registry::tick(now + SECOND);
    let close = [b"\x88\x11\x03\xf4", &b"service restart"[..]].concat();
    assert_eq!(read(&mut late.client, close.len()).await, close);
    until("the phase", || late.handle.phase() == Phase::Closing).await;
    registry::tick(now + 2 * SECOND);
    tokio::task::yield_now().await;
    assert_eq!(registry::count(), 1, "its handshake has its own time-out");
    late.client
        .write_all(&client_frame(0x88, b"\x03\xf4"))
        .await
        .expect("write");
    drop(late.upstream);
    assert_eq!(ended().await.closed_by, ClosedBy::Drain);
    assert_eq!(counts(&order), [1, 1, 0, 0, 0, 0]);
}

#[tokio::test]
async fn a_drain_taken_back_spares_the_rest() {
    let start = Instant::now();
    let mut tunnels: Vec<Small> = (0..40).map(|_| chat()).collect();
    let order = drain(Selection::All, start);
    registry::tick(start + 50 * SECOND);
    let reached = told();
    let rest = 40 - reached;
    assert!((1..40).contains(&reached), "{reached}");
    assert_eq!(registry::undrain(order.id), rest);
    assert_eq!(registry::undrain(order.id), 0, "only once");
    let [reached, rest] = [reached, rest].map(|n| n as u64);
    assert_eq!(counts(&order), [40, 0, 0, rest, 0, reached]);
    registry::tick(start + 300 * SECOND);
    assert_eq!(told() as u64, reached);
    // Neither a later tunnel nor the end of a spared one counts for it.
    let later = chat();
    registry::tick(start + 301 * SECOND);
    assert!(!is_told(&later));
    let spared = tunnels.iter().position(|tunnel| !is_told(tunnel));
    drop(tunnels.swap_remove(spared.expect("one")));
    until("the end", || registry::count() == 40).await;
    // Those reached do not answer, and end at the deadline of their handshake.
    registry::tick(start + 400 * SECOND);
    registry::tick(start + 410 * SECOND);
    until("the ends", || registry::count() as u64 == rest).await;
    assert_eq!(counts(&order), [40, reached, 0, rest, 0, 0]);
}

#[tokio::test]
async fn a_cut_by_the_process_spares_none() {
    let start = Instant::now();
    let _tunnel = chat();
    let order = drain(Selection::All, start);
    assert_eq!(registry::cut_all(Cut::Drain), 1);
    let ended = ended().await;
    assert_eq!(ended.closed_by, ClosedBy::Drain);
    assert_eq!(ended.detail.as_deref(), Some("drain deadline"));
    assert_eq!(counts(&order), [1, 0, 1, 0, 0, 0]);
}

#[tokio::test]
async fn a_drain_for_all_takes_over() {
    let start = Instant::now();
    let tunnels = [chat(), chat(), tunnel("feed", "app", "127.0.0.1:9000")];
    let route = drain(Selection::Route("chat".into()), start);
    let all = drain(Selection::All, start);
    registry::drain(&all, start);
    assert_eq!(counts(&route), [2, 0, 0, 0, 2, 0]);
    assert_eq!(counts(&all), [3, 0, 0, 0, 0, 3]);
    // The older drain is still in force, but the one for all comes first.
    let later = chat();
    assert_eq!((all.progress.total(), route.progress.total()), (4, 2));
    drop(tunnels);
    until("the ends", || registry::count() == 1).await;
    assert_eq!(counts(&all), [4, 3, 0, 0, 0, 1]);
    // Taken back, it leaves what is left to the older one.
    assert_eq!(registry::undrain(all.id), 1);
    assert_eq!(counts(&all), [4, 3, 0, 1, 0, 0]);
    assert_eq!(counts(&route), [3, 0, 0, 0, 2, 1]);
    drop(later);
    until("the end", || registry::count() == 0).await;
    assert_eq!(counts(&route), [3, 1, 0, 0, 2, 0]);
}

#[tokio::test]
async fn a_tunnel_taken_over_while_it_closes_is_counted_once_and_not_spared() {
    let start = Instant::now();
    let tunnel = chat();
    let route = drain(Selection::Route("chat".into()), start);
    registry::tick(start + 100 * SECOND);
    assert!(is_told(&tunnel));
    let all = drain(Selection::All, start + 100 * SECOND);
    assert_eq!(counts(&route), [1, 0, 0, 0, 1, 0]);
    assert_eq!(registry::undrain(all.id), 0, "it is closing");
    drop(tunnel);
    ended().await;
    assert_eq!(counts(&route), [1, 0, 0, 0, 1, 0]);
    assert_eq!(counts(&all), [1, 1, 0, 0, 0, 0]);
}

#[test]
fn progress_sums_up_over_workers() {
    const TUNNELS: u64 = 30;
    let start = Instant::now();
    let order = DrainOrder::from_config(&config(100 * SECOND, 200 * SECOND), Selection::All, start);
    let worker = |index: u64| {
        let order = order.clone();
        move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("runtime");
            runtime.block_on(async {
                let mut tunnels: Vec<Small> = (0..TUNNELS).map(|_| chat()).collect();
                registry::drain(&order, start);
                // Each worker sees another end of it.
                match index {
                    0 => tunnels.clear(),
                    1 => registry::tick(start + 201 * SECOND),
                    _ => {
                        registry::undrain(order.id);
                    }
                }
                let rest = if index < 2 { 0 } else { TUNNELS };
                until("the ends", || registry::count() as u64 == rest).await;
            });
        }
    };
    std::thread::scope(|scope| {
        for index in 0..3 {
            scope.spawn(worker(index));
        }
    });
    assert_eq!(
        counts(&order),
        [3 * TUNNELS, TUNNELS, TUNNELS, TUNNELS, 0, 0]
    );
}

#[tokio::test]
async fn the_reason_says_when_to_come_back() {
    let start = Instant::now();
    let close = |reason: &str, retry_after| {
        let config = DrainConfig {
            over: Duration::ZERO,
            reason: reason.into(),
            retry_after,
            ..DrainConfig::default()
        };
        DrainOrder::from_config(&config, Selection::All, start)
    };
    let order = close("back in {retry_after} s ({retry_after})", 3 * SECOND / 2);
    assert_eq!(&*order.close.reason, "back in 2 s (2)");
    // What is longer than a control frame's payload is cut between characters.
    let long = format!("{{retry_after}}{}", "é".repeat(55));
    let mut tunnel = chat();
    let order = close(&long, Duration::from_secs(12_345_678_901_234));
    registry::drain(&order, start);
    registry::tick(start + SECOND);
    let frame = read(&mut tunnel.client, 126).await;
    assert_eq!(frame[..4], *b"\x88\x7c\x03\xf4");
    let sent = format!("12345678901234{}", "é".repeat(54));
    assert_eq!(frame[4..], *sent.as_bytes());
}
