//! Every byte arrives, once, in order, however it is cut, and memory stays bounded.

use super::*;

#[tokio::test]
async fn seeds_come_first_and_in_order() {
    let (mut client, near_client) = tcp_pair().await;
    let (mut upstream, near_upstream) = tcp_pair().await;
    let (first, second) = (client_frame(0x81, b"one"), client_frame(0x81, b"two"));
    client.write_all(&second[..5]).await.expect("write");
    let mut spec = spec(near_client, near_upstream);
    spec.from_client = first.clone().into();
    spec.from_upstream = server_frame(0x82, b"hello").into();
    spawn(spec);
    client.write_all(&second[5..]).await.expect("write");
    assert_eq!(
        read(&mut upstream, first.len() + second.len()).await,
        [first, second].concat()
    );
    assert_eq!(read(&mut client, 7).await, server_frame(0x82, b"hello"));
    drop((client, upstream));
    let ended = ended().await;
    assert_eq!(ended.from_client.text, 2);
    assert_eq!(ended.from_client.text_bytes, 6);
    assert_eq!(ended.from_upstream.binary, 1);
}

#[tokio::test]
async fn any_split_is_delivered() {
    let (mut client, mut upstream, handle) = open(WebSocketConfig::default()).await;
    let mut sent = Vec::new();
    for (i, size) in [0, 1, 125, 126, 300, 70_000].into_iter().enumerate() {
        sent.extend(client_frame(0x82, &noise(i as u64, size)));
        sent.extend(client_frame(0x89, b"ping"));
    }
    let all = sent.clone();
    let writing = tokio::spawn(async move {
        let mut random = fastrand::Rng::with_seed(7);
        let mut at = 0;
        while at < all.len() {
            let n = random
                .usize(1..=if at < 2000 { 3 } else { 9000 })
                .min(all.len() - at);
            client.write_all(&all[at..at + n]).await.expect("write");
            tokio::task::yield_now().await;
            at += n;
        }
        client
    });
    assert!(read(&mut upstream, sent.len()).await == sent);
    let client = writing.await.expect("writer");
    let tally = handle.counters(Side::Client).tally();
    assert_eq!(
        (tally.binary, tally.pings, tally.bytes),
        (6, 6, sent.len() as u64)
    );
    drop(client);
}

#[tokio::test]
async fn unix_sockets_carry_a_tunnel() {
    let (mut client, near_client) = UnixStream::pair().expect("pair");
    let (mut upstream, near_upstream) = UnixStream::pair().expect("pair");
    spawn(spec(near_client, near_upstream));
    // Large enough to be spliced.
    let frame = client_frame(0x82, &noise(1, 300_000));
    let (written, seen) = tokio::join!(client.write_all(&frame), read(&mut upstream, frame.len()));
    written.expect("write");
    assert!(seen == frame);
    upstream
        .write_all(&server_frame(0x81, b"x"))
        .await
        .expect("write");
    assert_eq!(read(&mut client, 3).await, server_frame(0x81, b"x"));
}

/// Frames of all sizes around the splice threshold, until `total` bytes went through.
async fn bulk(from: TcpStream, to: TcpStream, masked: bool, total: usize) {
    let (mut from, mut to) = (from, to);
    let payload = noise(3, 3 << 20);
    let writing = tokio::spawn(async move {
        let mut random = fastrand::Rng::with_seed(11);
        let (mut sent, mut sum) = (0, Fletcher::default());
        while sent < total {
            let size = match random.u8(0..4) {
                0 => random.usize(0..200),
                1 => random.usize(60_000..140_000),
                _ => random.usize(200_000..payload.len()),
            };
            let start = random.usize(0..=payload.len() - size);
            let payload = &payload[start..start + size];
            let frame = if masked {
                client_frame(0x82, payload)
            } else {
                server_frame(0x82, payload)
            };
            from.write_all(&frame).await.expect("write");
            sum.add(&frame);
            sent += frame.len();
        }
        from.shutdown().await.expect("shutdown");
        (from, sent, sum)
    });
    let (mut received, mut sum, mut buffer) = (0, Fletcher::default(), vec![0; 1 << 18]);
    loop {
        let n = to.read(&mut buffer).await.expect("read");
        if n == 0 {
            break;
        }
        sum.add(&buffer[..n]);
        received += n;
    }
    let (from, sent, expected) = writing.await.expect("writer");
    assert_eq!((received, sum), (sent, expected));
    drop((from, to));
}

/// A checksum that sees reordering.
#[derive(Debug, Default, PartialEq, Eq)]
struct Fletcher(u64, u64);

impl Fletcher {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.wrapping_add(u64::from(*byte) + 1);
            self.1 = self.1.wrapping_add(self.0);
        }
    }
}

#[tokio::test]
async fn bulk_upwards_keeps_its_sum() {
    let (client, upstream, _) = open(WebSocketConfig {
        client_lost_code: None,
        ..WebSocketConfig::default()
    })
    .await;
    bulk(client, upstream, true, 64 << 20).await;
    let ended = ended().await;
    assert!(ended.from_client.binary > 20 && ended.from_client.binary_bytes > 60 << 20);
    assert_eq!(splice::lent(), 0, "no pipe is held");
}

#[tokio::test]
async fn bulk_downwards_keeps_its_sum() {
    let (client, upstream, _) = open(WebSocketConfig {
        upstream_lost_code: None,
        ..WebSocketConfig::default()
    })
    .await;
    bulk(upstream, client, false, 64 << 20).await;
    assert_eq!(ended().await.closed_by, ClosedBy::Upstream);
}

#[tokio::test]
async fn a_slow_reader_stops_the_writer() {
    let (mut client, mut upstream, handle) = open(WebSocketConfig::default()).await;
    // Small frames, so that none is spliced.
    let chunk = client_frame(0x82, &[0; 1000]).repeat(64);
    let mut sent = 0;
    let stalled = Duration::from_millis(300);
    while tokio::time::timeout(stalled, client.write_all(&chunk))
        .await
        .is_ok()
    {
        sent += chunk.len();
        assert!(sent < 64 << 20, "nothing held the writer back");
    }
    let taken = handle.counters(Side::Client).bytes();
    // While it stalls the tunnel takes nothing more; and the rest is not lost.
    let reading = tokio::spawn(async move { read_to_end(&mut upstream).await.len() });
    until("the tunnel goes on", || {
        handle.counters(Side::Client).bytes() > taken
    })
    .await;
    drop(client);
    let total = reading.await.expect("reader");
    assert!(
        total >= sent && total <= sent + chunk.len(),
        "{total} of {sent}"
    );
}

#[tokio::test]
async fn garbage_passes_unseen() {
    let (mut client, mut upstream, _) = open(WebSocketConfig::default()).await;
    let garbage = b"\x83\xffEHLO not a websocket".repeat(500);
    let (written, seen) = tokio::join!(
        client.write_all(&garbage),
        read(&mut upstream, garbage.len())
    );
    written.expect("write");
    assert!(seen == garbage);
    // The other direction is still observed.
    upstream
        .write_all(&server_frame(0x81, b"ok"))
        .await
        .expect("write");
    assert_eq!(read(&mut client, 4).await, server_frame(0x81, b"ok"));
    drop((client, upstream));
    let ended = ended().await;
    assert_eq!((ended.from_client.frames, ended.from_upstream.text), (0, 1));
    assert_eq!(ended.from_client.bytes, garbage.len() as u64);
}

#[tokio::test]
async fn an_idle_tunnel_is_small() {
    let (_client, near_client) = tcp_pair().await;
    let (_upstream, near_upstream) = tcp_pair().await;
    let tunnel = Tunnel::new(spec(near_client, near_upstream));
    let sizes = (
        size_of_val(&tunnel),
        size_of::<TunnelHandle>(),
        size_of::<Direction>(),
    );
    // With what a tunnel of a route holds besides, 24 bytes, and with the counts of an `Arc`, both
    // fit the allocator's blocks of 256 bytes.
    assert!(
        sizes.0 <= 224 && sizes.1 <= 240 && sizes.2 <= 48,
        "{sizes:?}"
    );
    // With this, what the runtime keeps of it is 128 bytes.
    assert_eq!(size_of::<Task<()>>(), size_of::<usize>());
}

#[tokio::test]
async fn no_wake_up_is_lost_when_both_sides_speak_at_once() {
    let (mut client, mut upstream, handle) = open(WebSocketConfig::default()).await;
    let (message, answer) = (client_frame(0x82, b"up"), server_frame(0x82, b"down"));
    let mut random = fastrand::Rng::with_seed(3);
    for round in 0..3000 {
        let which = random.u8(1..4);
        if which & 1 != 0 {
            client.write_all(&message).await.expect("write");
        }
        if random.bool() {
            tokio::task::yield_now().await;
        }
        if which & 2 != 0 {
            upstream.write_all(&answer).await.expect("write");
        }
        // A wake-up that no bytes explain.
        if round % 7 == 0 {
            handle.ask(0);
        }
        if which & 1 != 0 {
            assert_eq!(read(&mut upstream, message.len()).await, message);
        }
        if which & 2 != 0 {
            assert_eq!(read(&mut client, answer.len()).await, answer);
        }
    }
}
