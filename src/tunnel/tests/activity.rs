//! Only what moves something is visited, and what it moves is counted once, wherever it goes.

use super::handover::{go_on, hand_off};
use super::*;
use crate::metrics::thread::{FLOWS, flow, mine};
use crate::metrics::{self, Slot};

/// Bytes counted for the route on this thread, from clients and from upstreams, and its tunnels.
fn counted(route: &Slot) -> ([u64; 2], u64) {
    registry::settle(Instant::now(), usize::MAX);
    assert!(!metrics::is_moving_here());
    let cells = mine().routes.get(route.index()).expect("it is counted");
    let tunnels = cells.tunnels.get().expect("it has had tunnels");
    let bytes = tunnels.flows.each_ref().map(|row| {
        let mut sums = [0; FLOWS];
        row.add_to(&mut sums);
        sums[flow::BYTES]
    });
    (bytes, tunnels.open.get())
}

#[tokio::test]
async fn nothing_visits_a_tunnel_that_does_nothing() {
    let start = Instant::now();
    let mut tunnels: Vec<Small> = (0..100)
        .map(|_| small(WebSocketConfig::default(), identity()))
        .collect();
    // What is done once for each is done by then.
    registry::tick(start + 10 * SECOND);
    let before = registry::visits();
    let minutes =
        |n: u32| (40 * n..40 * (n + 10)).map(move |tick| start + tick * 6 * registry::TICK);
    for now in minutes(1) {
        registry::tick(now);
        registry::settle(now, usize::MAX);
        assert!(!registry::is_draining());
    }
    assert_eq!(registry::visits(), before);
    // One that does is visited once for each time that it is settled.
    let one = &mut tunnels[70];
    for (round, now) in minutes(11).enumerate() {
        let frame = client_frame(0x81, b"x");
        one.client.write_all(&frame).await.expect("write");
        read(&mut one.upstream, frame.len()).await;
        registry::tick(now);
        assert_eq!(registry::visits(), before + round as u64 + 1);
    }
    let seen = registry::snapshots(start + 3600 * SECOND);
    let heard = |tunnel: &&registry::TunnelSnapshot| tunnel.heard > start + SECOND;
    let moved: Vec<u64> = seen.iter().filter(heard).map(|t| t.handle.id).collect();
    assert_eq!(moved, [one.handle.id]);
}

#[tokio::test]
async fn what_passes_is_counted_once_wherever_the_tunnel_goes() {
    let own = || identity_of("activity: counted", "app", "127.0.0.1:9000");
    let route = slots::route(&"activity: counted".into());
    let with_identity = |client, upstream| TunnelSpec {
        identity: own(),
        from_client: Bytes::from_static(b"\x81\x80\0\0\0\0"),
        ..spec(client, upstream)
    };
    let (mut client, mut upstream, _) = open_over(with_identity, WebSocketConfig::default()).await;
    read(&mut upstream, 6).await;
    assert_eq!(counted(&route), ([6, 0], 1), "what came with the handshake");
    let (up, down) = (client_frame(0x82, &[7; 100]), server_frame(0x82, &[7; 200]));
    let mut bytes = [6, 0];
    let mut exchange = async |rounds: usize| {
        for _ in 0..rounds {
            client.write_all(&up).await.expect("write");
            read(&mut upstream, up.len()).await;
            upstream.write_all(&down).await.expect("write");
            read(&mut client, down.len()).await;
            bytes[0] += up.len() as u64;
            bytes[1] += down.len() as u64;
        }
        bytes
    };
    let bytes = exchange(3).await;
    assert_eq!(counted(&route), (bytes, 1));
    assert_eq!(counted(&route), (bytes, 1), "asked again");
    // It leaves while it is not settled, goes on in another process, and comes back.
    exchange(1).await;
    let exported = hand_off().await;
    let bytes = exchange(0).await;
    assert_eq!(counted(&route), (bytes, 0));
    go_on(exported);
    assert_eq!(counted(&route), (bytes, 1));
    let bytes = exchange(1).await;
    assert_eq!(counted(&route), (bytes, 1));
    hand_off().await.restore().expect("it goes on");
    let bytes = exchange(2).await;
    drop((client, upstream));
    ended().await;
    assert_eq!(counted(&route), (bytes, 0));
}

#[tokio::test]
async fn some_are_settled_at_a_time_and_each_has_its_turn() {
    let route = slots::route(&"activity: turns".into());
    let own = || identity_of("activity: turns", "app", "127.0.0.1:9000");
    let mut tunnels: Vec<Small> = (0..10)
        .map(|_| small(WebSocketConfig::default(), own()))
        .collect();
    let start = Instant::now();
    let frame = client_frame(0x81, b"x");
    let mut frames = 0;
    for round in 0..8 {
        // Three move always, the others once.
        let moving = if round == 0 { 10 } else { 3 };
        for tunnel in &mut tunnels[..moving] {
            tunnel.client.write_all(&frame).await.expect("write");
            read(&mut tunnel.upstream, frame.len()).await;
            frames += 1;
        }
        registry::settle(start + (round + 1) * SECOND, 3);
    }
    let seen = registry::snapshots(start + 100 * SECOND);
    let in_time = |tunnel: &Small| {
        let own = seen.iter().find(|seen| seen.handle.id == tunnel.handle.id);
        own.is_some_and(|seen| seen.heard < start + 10 * SECOND)
    };
    assert!(
        tunnels[3..].iter().all(in_time),
        "those that move always hide none"
    );
    let bytes = frames * frame.len() as u64;
    assert_eq!(counted(&route), ([bytes, 0], 10));
    // Those that end are settled, in whatever order.
    for tunnel in &mut tunnels {
        tunnel.client.write_all(&frame).await.expect("write");
        read(&mut tunnel.upstream, frame.len()).await;
    }
    while !tunnels.is_empty() {
        drop(tunnels.swap_remove(tunnels.len() / 2));
        until("its end", || registry::count() == tunnels.len()).await;
    }
    assert_eq!(counted(&route), ([bytes + 10 * frame.len() as u64, 0], 0));
}

#[tokio::test]
async fn a_silence_goes_on_in_another_process() {
    let (_client, _upstream, _) = open(WebSocketConfig::default()).await;
    let mut exported = hand_off().await;
    for side in [&mut exported.state.client, &mut exported.state.upstream] {
        (side.pulse.heard, side.pulse.active) = (5000, 6000);
    }
    let now = Instant::now();
    go_on(exported);
    let seen = registry::snapshots(Instant::now());
    let silence = now.saturating_duration_since(seen[0].heard);
    assert!(
        (595 * SECOND..605 * SECOND).contains(&silence),
        "{silence:?}"
    );
}
