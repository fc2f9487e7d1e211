//! Under load: large frames, slow readers, many moves.

use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::*;
use crate::tap;
use crate::tunnel::tests::tap::{frame, pass, tap_all};
use crate::websocket::frame::Opcode;

/// Waits until this direction waits for its sink, or has moved so many bytes.
async fn stalled(handle: &TunnelHandle, side: Side, all: usize) {
    until("it stalls", || {
        handle.leaves_unread(side.other()) || handle.counters(side).bytes() == all as u64
    })
    .await;
}

#[tokio::test]
async fn a_spliced_frame_is_moved_out_of_its_pipe() {
    let (mut client, mut upstream, mut handle) = open(WebSocketConfig::default()).await;
    let frame = server_frame(0x82, &noise(5, 24 << 20));
    let (all, next) = (frame.clone(), server_frame(0x81, b"behind"));
    let writing = tokio::spawn(async move {
        upstream.write_all(&all).await.expect("write");
        upstream.write_all(&next).await.expect("write");
        upstream
    });
    let (mut seen, mut piped) = (Vec::new(), 0);
    while seen.len() < frame.len() {
        stalled(&handle, Side::Upstream, frame.len() + 8).await;
        let exported = hand_off().await;
        assert_eq!(splice::lent(), 0, "its pipe was given back");
        piped += usize::from(!exported.spill[1].is_empty());
        handle = go_on(exported);
        let n = (frame.len() - seen.len()).min(5 << 20);
        seen.extend(read(&mut client, n).await);
    }
    assert!(seen == frame);
    assert!(piped > 0, "a pipe was full");
    assert_eq!(read(&mut client, 8).await, server_frame(0x81, b"behind"));
    drop((client, writing.await.expect("writer")));
    let ended = ended().await;
    assert_eq!(
        (ended.from_upstream.binary, ended.from_upstream.text),
        (1, 1)
    );
    assert_eq!(ended.from_upstream.bytes, frame.len() as u64 + 8);
}

#[tokio::test]
async fn what_a_slow_reader_has_not_taken_goes_with_the_tunnel() {
    let (mut client, mut upstream, handle) = open(WebSocketConfig::default()).await;
    // Small frames, so that none is spliced.
    let all: Vec<u8> = (0..20_000_u32)
        .flat_map(|n| client_frame(0x82, &n.to_be_bytes().repeat(200)))
        .collect();
    let sent = all.clone();
    let writing = tokio::spawn(async move {
        client.write_all(&sent).await.expect("write");
        client
    });
    stalled(&handle, Side::Client, all.len()).await;
    let exported = hand_off().await;
    assert!(!exported.spill[0].is_empty(), "the sink was full");
    assert_eq!(exported.state.check(&exported.spill), Ok(()));
    // It was not taken: it goes on here, and is moved once more.
    let handle = exported.restore().expect("restored");
    stalled(&handle, Side::Client, all.len()).await;
    move_on().await;
    assert!(read(&mut upstream, all.len()).await == all);
    drop((writing.await.expect("writer"), upstream));
    assert_eq!(ended().await.from_client.binary, 20_000);
}

async fn in_time<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(60), future)
        .await
        .expect("in time")
}

/// A message of its number's own size: tiny, copied, or spliced.
fn numbered(n: u32) -> Message {
    let size = match n % 64 {
        0 => 200_000,
        1..4 => 10_000,
        _ => 4 + n as usize % 150,
    };
    let mut payload = vec![n as u8; size];
    payload[..4].copy_from_slice(&n.to_be_bytes());
    Message::binary(payload)
}

#[tokio::test]
async fn two_hundred_moves_under_numbered_messages() {
    let (client, upstream, _) = open(WebSocketConfig::default()).await;
    let client = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
    let mut upstream = WebSocketStream::from_raw_socket(upstream, Role::Server, None).await;
    let echo = tokio::spawn(async move {
        while let Some(message) = upstream.next().await {
            match message.expect("valid at the upstream") {
                Message::Binary(payload) => {
                    upstream.send(Message::Binary(payload)).await.expect("send")
                }
                _ => continue,
            }
        }
    });
    let (mut sink, mut stream) = client.split();
    let (enough, mut stop) = tokio::sync::watch::channel(false);
    let sending = tokio::spawn(async move {
        let mut n = 0;
        while !*stop.borrow_and_update() {
            sink.send(numbered(n)).await.expect("send");
            n += 1;
        }
        sink.close().await.expect("close");
        n
    });
    let receiving = tokio::spawn(async move {
        let mut n = 0;
        while let Some(message) = stream.next().await {
            match message.expect("valid at the client") {
                Message::Ping(_) => {}
                Message::Close(_) => {}
                message => {
                    assert!(message == numbered(n), "message {n}");
                    n += 1;
                    // Slower than they are sent, so that tunnels move with full hands.
                    tokio::task::yield_now().await;
                }
            }
        }
        n
    });
    let mut random = fastrand::Rng::with_seed(17);
    let mut spilled = 0;
    for round in 0..200 {
        let handle = &registry::handles()[0];
        let before = handle.counters(Side::Client).bytes();
        soon("traffic", || handle.counters(Side::Client).bytes() > before).await;
        for _ in 0..random.u8(..8) {
            tokio::task::yield_now().await;
        }
        if round % 5 == 0 {
            handle.ask(command::PING_CLIENT | command::PING_UPSTREAM);
        }
        let exported = hand_off().await;
        spilled += usize::from(exported.spill.iter().any(|bytes| !bytes.is_empty()));
        go_on(exported);
    }
    enough.send(true).expect("the sender listens");
    let sent = in_time(sending).await.expect("sender");
    assert_eq!(in_time(receiving).await.expect("receiver"), sent);
    in_time(echo).await.expect("upstream");
    assert!(spilled > 0, "some moves were in the middle of something");
    let ended = ended().await;
    assert_eq!(ended.closed_by, ClosedBy::Client);
    assert_eq!(
        (ended.from_client.binary, ended.from_upstream.binary),
        (u64::from(sent), u64::from(sent))
    );
    assert_eq!(
        ended.from_client.binary_bytes,
        ended.from_upstream.binary_bytes
    );
    assert!(ended.from_client.pongs > 0 && ended.client_rtt.is_some());
}

#[tokio::test]
async fn a_tunnel_that_leaves_is_let_go_and_tapped_again_when_it_comes_back() {
    let (mut client, mut upstream, _) = open(WebSocketConfig::default()).await;
    let mut messages = tap_all(Some(100)).await;
    // It leaves inside of a frame.
    let text = client_frame(0x81, b"two parts");
    pass(&mut client, &mut upstream, &text[..8]).await;
    let exported = hand_off().await;
    assert_eq!(tap::followed(), [0]);
    exported.restore().expect("it goes on");
    assert_eq!(tap::followed(), [1]);
    pass(&mut client, &mut upstream, &text[8..]).await;
    let (_, rest) = frame(&mut messages).await;
    assert!(rest.partial);
    assert_eq!((rest.opcode, rest.length), (Opcode::Text, 7));
}
