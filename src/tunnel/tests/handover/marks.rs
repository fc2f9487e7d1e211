//! Who may leave, who stays, and what else goes along: half-closes, Pings, guards.

use super::*;
use crate::tunnel::tests::closing::close_frame;

fn order() -> Arc<CloseOrder> {
    Arc::new(CloseOrder {
        by: ClosedBy::Drain,
        detail: None,
        client_code: 1012,
        upstream_code: 1001,
        reason: "".into(),
    })
}

#[tokio::test]
async fn a_half_closed_tunnel_goes_on_half_closed() {
    for client_first in [true, false] {
        let (client, upstream, handle) = open(WebSocketConfig::default()).await;
        let (mut first, mut second) = if client_first {
            (client, upstream)
        } else {
            (upstream, client)
        };
        first.write_all(b"\x82").await.expect("write");
        first.shutdown().await.expect("shutdown");
        until("the phase", || handle.phase() == Phase::Half).await;
        let handle = move_on().await;
        assert_eq!(handle.phase(), Phase::Half);
        assert_eq!(read_to_end(&mut second).await, b"\x82");
        second.write_all(b"\x81").await.expect("write");
        assert_eq!(read(&mut first, 1).await, b"\x81");
        move_on().await;
        second.shutdown().await.expect("shutdown");
        assert_eq!(read_to_end(&mut first).await, b"");
        let by = if client_first {
            ClosedBy::Client
        } else {
            ClosedBy::Upstream
        };
        let ended = ended().await;
        let detail = Some("ended in mid-frame".to_owned());
        assert_eq!((ended.closed_by, ended.detail), (by, detail));
    }
}

#[tokio::test]
async fn an_end_after_unwritten_bytes_is_sent_after_them() {
    let (mut client, mut upstream, handle) = open(WebSocketConfig::default()).await;
    let all = server_frame(0x82, &noise(9, 8 << 20));
    let sent = all.clone();
    let writing = tokio::spawn(async move {
        upstream.write_all(&sent).await.expect("write");
        upstream.shutdown().await.expect("shutdown");
        upstream
    });
    // Little by little, so that the end is reached with bytes still in hand.
    let mut seen = Vec::new();
    while handle.counters(Side::Upstream).bytes() < all.len() as u64 {
        seen.extend(read(&mut client, 4096).await);
    }
    let exported = hand_off().await;
    go_on(exported);
    seen.extend(read_to_end(&mut client).await);
    let told = server_frame(0x88, b"\x03\xf3connection lost");
    assert!(seen == [all, told].concat());
    drop((client, writing.await.expect("writer")));
    assert_eq!(ended().await.closed_by, ClosedBy::Upstream);
}

#[tokio::test]
async fn a_pong_that_comes_later_is_swallowed_and_timed() {
    let (mut client, mut upstream, handle) = open(WebSocketConfig::default()).await;
    handle.ask(command::PING_CLIENT);
    let ping = read(&mut client, 14).await;
    assert!(handle.rtt(Side::Client).is_none());
    let handle = move_on().await;
    let pong = client_frame(0x8A, &ping[2..]);
    client.write_all(&pong[..7]).await.expect("write");
    received(&handle, Side::Client, 7).await;
    let mut exported = hand_off().await;
    exported.state.client.pings.age += 5_000_000;
    let handle = go_on(exported);
    let text = client_frame(0x81, b"text");
    client
        .write_all(&[&pong[7..], &text].concat())
        .await
        .expect("write");
    assert_eq!(read(&mut upstream, text.len()).await, text);
    let rtt = handle.rtt(Side::Client).expect("a round trip");
    assert!((5 * SECOND..60 * SECOND).contains(&rtt), "{rtt:?}");
    // The next Ping has the next number.
    handle.ask(command::PING_CLIENT);
    let next = read(&mut client, 14).await;
    assert_eq!(next[2..10], ping[2..10]);
    assert_ne!(next[10..], ping[10..]);
    drop((client, upstream));
    let ended = ended().await;
    assert_eq!((ended.from_client.pongs, ended.client_rtt), (1, Some(rtt)));
}

#[tokio::test]
async fn a_ping_that_is_due_waits_for_the_boundary_elsewhere() {
    let (mut client, mut upstream, handle) = open(WebSocketConfig::default()).await;
    let frame = server_frame(0x82, b"0123456789");
    upstream.write_all(&frame[..6]).await.expect("write");
    received(&handle, Side::Upstream, 6).await;
    handle.ask(command::PING_CLIENT);
    let exported = hand_off().await;
    assert!(exported.state.upstream.flow.ping_due);
    go_on(exported);
    upstream.write_all(&frame[6..]).await.expect("write");
    let seen = read(&mut client, frame.len() + 14).await;
    assert_eq!(seen[..frame.len()], frame);
    assert_eq!(seen[frame.len()..][..2], [0x89, 12]);
}

#[tokio::test]
async fn those_on_their_way_to_the_end_stay() {
    // Both have sent a Close.
    let (mut client, mut upstream, handle) = open(WebSocketConfig::default()).await;
    client
        .write_all(&client_frame(0x88, b""))
        .await
        .expect("write");
    upstream
        .write_all(&server_frame(0x88, b""))
        .await
        .expect("write");
    until("the phase", || handle.phase() == Phase::Closed).await;
    assert_eq!(try_hand_off().await.map(drop), Err("not asked"));
    drop((client, upstream));
    ended().await;

    // A close was ordered, and the order comes first.
    let (_client, _upstream, handle) = open(WebSocketConfig::default()).await;
    let (sink, mut answers) = unbounded_channel();
    assert_eq!(crate::tunnel::export(1, &sink), 1);
    assert_eq!(crate::tunnel::export(1, &sink), 0, "it was asked");
    handle.close(order());
    let answer = answers.recv().await.expect("an answer");
    let Export::Stays(id, "it is being closed") = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(id, Some(handle.id));
    handle.cut(Cut::Command);
    ended().await;

    // Its end comes first.
    let (_client, _upstream, handle) = open(WebSocketConfig::default()).await;
    crate::tunnel::export(1, &sink);
    handle.cut(Cut::Command);
    let answer = answers.recv().await.expect("an answer");
    assert!(matches!(answer, Export::Stays(_, "it has ended")));
    ended().await;

    // The client was reset; what the upstream sends goes nowhere.
    let (client, _upstream, handle) = open(WebSocketConfig {
        client_lost_code: None,
        ..WebSocketConfig::default()
    })
    .await;
    socket2::SockRef::from(&client)
        .set_linger(Some(Duration::ZERO))
        .expect("linger");
    drop(client);
    until("the phase", || handle.phase() == Phase::Half).await;
    assert_eq!(crate::tunnel::export(1, &sink), 1);
    let answer = answers.recv().await.expect("an answer");
    assert!(matches!(answer, Export::Stays(_, "one side is gone")));
    handle.cut(Cut::Command);
    ended().await;
    assert!(answers.try_recv().is_err(), "one answer each");
}

#[tokio::test]
async fn a_task_that_is_dropped_answers_too() {
    let (_client, near_client) = tcp_pair().await;
    let (_upstream, near_upstream) = tcp_pair().await;
    let tunnel = Tunnel::new(spec(near_client, near_upstream));
    registry::add(&tunnel.journal.handle);
    let (sink, mut answers) = unbounded_channel();
    assert_eq!(crate::tunnel::export(9, &sink), 1);
    drop(Task(Some(Box::new(tunnel))));
    assert!(matches!(answers.try_recv(), Ok(Export::Stays(_, _))));
    ended().await;
}

#[tokio::test]
async fn the_guard_and_the_record_belong_to_the_last() {
    let (mut client, near_client) = tcp_pair().await;
    let (upstream, near_upstream) = tcp_pair().await;
    let lease = Arc::new(());
    let spec = spec(near_client, near_upstream);
    spawn(TunnelSpec {
        guard: lease.clone(),
        client: spec.client,
        upstream: spec.upstream,
        from_client: spec.from_client,
        from_upstream: spec.from_upstream,
        settings: spec.settings,
        identity: spec.identity,
        report: spec.report,
    });
    for _ in 0..3 {
        // Brought back again and again, the guard is boxed once.
        let exported = hand_off().await;
        assert_eq!(Arc::strong_count(&lease), 2);
        assert!(exported.guard.is::<Arc<()>>());
        exported.restore().expect("restored");
    }
    let exported = hand_off().await;
    let copies = [&exported.client, &exported.upstream].map(|fd| fd.try_clone().expect("dup"));
    drop(exported);
    assert_eq!(Arc::strong_count(&lease), 1);
    // Another process holds the connections: nothing was sent to either peer.
    client.write_all(b"\x81").await.expect("write");
    assert_eq!(
        client.try_read(&mut [0]).map_err(|e| e.kind()),
        Err(std::io::ErrorKind::WouldBlock)
    );
    assert_eq!(
        upstream.try_read(&mut [0]).map_err(|e| e.kind()),
        Err(std::io::ErrorKind::WouldBlock)
    );
    assert!(ENDED.with_borrow(Vec::is_empty), "no record");
    drop(copies);
}

#[tokio::test]
async fn a_tunnel_that_is_not_taken_goes_on() {
    let (mut client, mut upstream, _handle) = open(WebSocketConfig::default()).await;
    let (sink, answers) = unbounded_channel();
    drop(answers);
    assert_eq!(crate::tunnel::export(1, &sink), 1);
    tokio::task::yield_now().await;
    let text = client_frame(0x81, b"here");
    client.write_all(&text).await.expect("write");
    assert_eq!(read(&mut upstream, text.len()).await, text);
    // It came back: not asked again in the same hand-over, but in the next one.
    assert_eq!(crate::tunnel::export(1, &sink), 0);
    crate::tunnel::end_export();
    move_on().await;
    drop((client, upstream));
    assert_eq!(ended().await.from_client.text, 1);
}

#[tokio::test]
async fn a_drain_waits_for_none_that_has_left() {
    let (_client, _upstream, _handle) = open(WebSocketConfig::default()).await;
    let config = crate::config::DrainConfig::default();
    let drain = DrainOrder::from_config(&config, Selection::All, Instant::now());
    registry::drain(&drain, Instant::now());
    assert_eq!((drain.progress.total(), drain.progress.left()), (1, 1));
    let exported = hand_off().await;
    let progress = &drain.progress;
    assert_eq!(
        (progress.closed(), progress.moved(), progress.left()),
        (0, 1, 0)
    );
    // Back again it is in the drain that is still in force.
    exported.restore().expect("restored");
    assert_eq!((drain.progress.total(), drain.progress.left()), (2, 1));
    registry::undrain(drain.id);
}

#[tokio::test]
async fn sockets_of_another_kind_are_refused() {
    let (_client, _upstream, _handle) = open(WebSocketConfig::default()).await;
    let exported = hand_off().await;
    let file = std::fs::File::open("Cargo.toml").expect("a file");
    let datagram = std::net::UdpSocket::bind("127.0.0.1:0").expect("bind");
    for wrong in [file.into(), datagram.into()] {
        let refused = resume(Resume {
            client: wrong,
            upstream: exported.upstream.try_clone().expect("dup"),
            tls: [None, None],
            state: exported.state.clone(),
            spill: Default::default(),
            settings: Arc::default(),
            identity: identity(),
            guard: (),
            report: record,
        });
        refused.expect_err("not a stream");
        assert_eq!(registry::count(), 0);
    }
    go_on(exported);
}

#[tokio::test]
async fn a_loss_has_its_record() {
    let (mut client, _upstream, handle) = open(WebSocketConfig::default()).await;
    client.write_all(b"\x81\x80").await.expect("write");
    received(&handle, Side::Client, 2).await;
    let mut exported = hand_off().await;
    exported.client = std::fs::File::open("Cargo.toml").expect("a file").into();
    exported.restore().expect_err("not a socket");
    let ended = ended().await;
    assert_eq!(ended.closed_by, ClosedBy::Error);
    assert_eq!(ended.detail.as_deref(), Some("hand-over failed"));
    assert_eq!(ended.from_client.bytes, 2);
}

#[test]
fn an_exported_tunnel_may_go_to_another_thread() {
    fn send<T: Send>() {}
    send::<Export>();
}

#[tokio::test]
async fn numbers_of_two_processes_do_not_meet() {
    // What the other process may still give out is below ours, and is taken.
    let before = next_id();
    reserve_ids(before);
    let (_client, _upstream, handle) = open(WebSocketConfig::default()).await;
    assert!(handle.id >= before + 1000);
    let mut exported = hand_off().await;
    exported.state.id = before + 999;
    assert_eq!(go_on(exported).id, before + 999);
    let (_client, _upstream, next) = open(WebSocketConfig::default()).await;
    assert!(next.id > handle.id);
}

#[tokio::test]
async fn what_was_said_is_known_after_a_hand_over() {
    let (mut client, mut upstream, handle) = open(WebSocketConfig::default()).await;
    upstream
        .write_all(&server_frame(0x81, b"hi"))
        .await
        .expect("write");
    upstream.shutdown().await.expect("shutdown");
    until("the phase", || handle.phase() == Phase::Half).await;
    move_on().await;
    let all = [
        server_frame(0x81, b"hi"),
        close_frame(1011, "connection lost"),
    ]
    .concat();
    assert_eq!(read_to_end(&mut client).await, all);
    // The other direction goes on, and the answer ends it.
    client
        .write_all(&client_frame(0x81, b"still"))
        .await
        .expect("write");
    assert_eq!(read(&mut upstream, 11).await, client_frame(0x81, b"still"));
    client
        .write_all(&client_frame(0x88, b"\x03\xf3"))
        .await
        .expect("write");
    let ended = ended().await;
    assert_eq!(ended.closed_by, ClosedBy::Upstream);
    assert_eq!(ended.closes.sent_client, Some(1011));
    assert_eq!(ended.closes.client, Some(Some((1011, "".into()))));
}
