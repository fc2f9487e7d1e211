//! What a tap sees of real tunnels, and that they notice nothing of it.

use tokio::sync::mpsc::Receiver;

use super::*;
use crate::tap::{self, BYTES, Candidate, FRAMES, Frame, Origin, TapMessage, Wanted};
use crate::websocket::frame::Opcode;

/// A tap on every tunnel of this thread.
pub(super) async fn tap_all(payload: Option<usize>) -> Receiver<TapMessage> {
    let mut opened = None;
    // Other tests of this process have taps too.
    until("a place", || {
        let select = Box::new(|_: &Candidate<'_>| true);
        opened = tap::open(Wanted { select, payload }).ok();
        opened.is_some()
    })
    .await;
    let (subscription, messages) = opened.expect("a place");
    let taken = taps::begin(&subscription, Instant::now());
    assert_eq!(taken, registry::count());
    messages
}

async fn next(messages: &mut Receiver<TapMessage>) -> TapMessage {
    let next = tokio::time::timeout(Duration::from_secs(10), messages.recv());
    next.await.expect("in time").expect("the tap goes on")
}

pub(super) async fn frame(messages: &mut Receiver<TapMessage>) -> (Origin, Frame) {
    match next(messages).await {
        TapMessage::Frame {
            from, to, frame, ..
        } => {
            assert_ne!(Origin::from(to), from);
            (from, frame)
        }
        other => panic!("{other:?}"),
    }
}

/// Origin, opcode, payload and whether it went on.
pub(super) async fn brief(messages: &mut Receiver<TapMessage>) -> (Origin, Opcode, Vec<u8>, bool) {
    let (from, frame) = frame(messages).await;
    (from, frame.opcode, frame.payload, frame.passed)
}

/// Sends and sees it arrive.
pub(super) async fn pass(from: &mut TcpStream, to: &mut TcpStream, bytes: &[u8]) {
    from.write_all(bytes).await.expect("write");
    assert!(read(to, bytes.len()).await == bytes);
}

#[tokio::test]
async fn frames_of_both_sides_are_seen_in_their_order() {
    let (mut client, mut upstream, _) = open(WebSocketConfig::default()).await;
    let mut messages = tap_all(Some(5)).await;
    pass(&mut client, &mut upstream, &client_frame(0x01, b"hello ")).await;
    pass(&mut upstream, &mut client, &server_frame(0x82, b"\0\xff")).await;
    let rest = [client_frame(0x89, b"?"), client_frame(0x80, b"world")].concat();
    pass(&mut client, &mut upstream, &rest).await;
    let (from, begins) = frame(&mut messages).await;
    assert_eq!((from, begins.opcode), (Origin::Client, Opcode::Text));
    assert_eq!((begins.fin, begins.length), (false, 6));
    assert_eq!(begins.payload, b"hello", "as much as was asked for");
    let seen = brief(&mut messages).await;
    assert_eq!(
        seen,
        (Origin::Upstream, Opcode::Binary, b"\0\xff".to_vec(), true)
    );
    let seen = brief(&mut messages).await;
    assert_eq!(seen, (Origin::Client, Opcode::Ping, b"?".to_vec(), true));
    let (_, ends) = frame(&mut messages).await;
    assert_eq!(
        (ends.opcode, ends.fin, ends.text),
        (Opcode::Continuation, true, true)
    );
    assert_eq!((ends.number, &ends.payload[..]), (3, &b"world"[..]));
}

#[tokio::test]
async fn without_payloads_only_a_close_says_something() {
    let (mut client, mut upstream, _) = open(WebSocketConfig::default()).await;
    let mut messages = tap_all(None).await;
    pass(&mut client, &mut upstream, &client_frame(0x81, b"secret")).await;
    pass(&mut client, &mut upstream, &client_frame(0x89, b"secret")).await;
    pass(
        &mut client,
        &mut upstream,
        &client_frame(0x88, b"\x03\xe8bye"),
    )
    .await;
    for (opcode, length, payload) in [
        (Opcode::Text, 6, &b""[..]),
        (Opcode::Ping, 6, b""),
        (Opcode::Close, 5, b"\x03\xe8bye"),
    ] {
        let (_, frame) = frame(&mut messages).await;
        assert_eq!((frame.opcode, frame.length), (opcode, length));
        assert_eq!(frame.payload, payload);
    }
}

#[tokio::test]
async fn what_sluice_sends_and_keeps_is_seen_as_that() {
    let (mut client, mut upstream, handle) = open(WebSocketConfig::default()).await;
    let mut messages = tap_all(Some(200)).await;
    handle.ask(command::PING_CLIENT);
    let ping = read(&mut client, 14).await;
    let bytes = [client_frame(0x8A, &ping[2..]), client_frame(0x81, b"on")].concat();
    client.write_all(&bytes).await.expect("write");
    assert_eq!(read(&mut upstream, 8).await, client_frame(0x81, b"on"));
    let payload = ping[2..].to_vec();
    let seen = brief(&mut messages).await;
    assert_eq!(seen, (Origin::Sluice, Opcode::Ping, payload.clone(), true));
    let seen = brief(&mut messages).await;
    assert_eq!(seen, (Origin::Client, Opcode::Pong, payload, false));
    let seen = brief(&mut messages).await;
    assert_eq!(seen, (Origin::Client, Opcode::Text, b"on".to_vec(), true));

    handle.close(Arc::new(CloseOrder {
        by: ClosedBy::Drain,
        detail: None,
        client_code: 1012,
        upstream_code: 1001,
        reason: "later".into(),
    }));
    assert_eq!(
        read(&mut client, 9).await,
        server_frame(0x88, b"\x03\xf4later")
    );
    client
        .write_all(&client_frame(0x81, b"too late"))
        .await
        .expect("write");
    let mut closes = [brief(&mut messages).await, brief(&mut messages).await];
    closes.sort_by_key(|(_, _, payload, _)| payload.clone());
    let close = |payload: &[u8]| (Origin::Sluice, Opcode::Close, payload.to_vec(), true);
    assert_eq!(closes, [close(b"\x03\xe9later"), close(b"\x03\xf4later")]);
    let seen = brief(&mut messages).await;
    assert_eq!(
        seen,
        (Origin::Client, Opcode::Text, b"too late".to_vec(), false)
    );
}

#[tokio::test]
async fn a_tap_that_begins_inside_of_a_frame_is_in_step() {
    for (first, length) in [(0x82, 40_000), (0x89, 100)] {
        let whole = [
            client_frame(first, &noise(1, length)),
            client_frame(0x81, b"next"),
        ]
        .concat();
        // Inside of the header, inside of the payload, in front of its last byte.
        for at in [1, 3, length / 2, length + 5] {
            let (mut client, mut upstream, handle) = open(WebSocketConfig::default()).await;
            client.write_all(&whole[..at]).await.expect("write");
            until("the first part", || {
                handle.counters(Side::Client).bytes() == at as u64
            })
            .await;
            let mut messages = tap_all(Some(100)).await;
            client.write_all(&whole[at..]).await.expect("write");
            assert!(read(&mut upstream, whole.len()).await == whole);
            let (_, long) = frame(&mut messages).await;
            assert_eq!(long.opcode as u8, first & 0xF, "{at}");
            let in_payload = long.partial;
            assert_eq!(in_payload, first == 0x82 && at > 8, "{at}");
            if !in_payload {
                assert_eq!(long.payload, noise(1, length)[..100]);
            }
            let seen = brief(&mut messages).await;
            let text = (Origin::Client, Opcode::Text, b"next".to_vec(), true);
            assert_eq!(seen, text, "{at}");
            drop((client, upstream, messages));
            ended().await;
            tap::tick(Instant::now());
        }
    }
}

#[tokio::test]
async fn tunnels_that_open_come_to_it_with_what_was_read_before() {
    let mut messages = tap_all(Some(100)).await;
    let (_client, near_client) = tcp_pair().await;
    let (mut upstream, near_upstream) = tcp_pair().await;
    let first = client_frame(0x81, b"first");
    let handle = spawn(TunnelSpec {
        from_client: first.clone().into(),
        ..spec(near_client, near_upstream)
    });
    assert_eq!(read(&mut upstream, first.len()).await, first);
    assert_eq!(tap::followed(), [1]);
    let seen = brief(&mut messages).await;
    assert_eq!(
        seen,
        (Origin::Client, Opcode::Text, b"first".to_vec(), true)
    );
    handle.cut(Cut::Command);
    ended().await;
    assert_eq!(tap::followed(), [0], "an ended tunnel is let go");
}

#[tokio::test]
async fn what_is_no_framing_is_said_and_passes() {
    let (mut client, mut upstream, _) = open(WebSocketConfig::default()).await;
    let mut early = tap_all(None).await;
    pass(&mut client, &mut upstream, &client_frame(0x81, b"x")).await;
    pass(&mut client, &mut upstream, b"\x83\xff no frame").await;
    let mut late = tap_all(None).await;
    pass(&mut client, &mut upstream, &client_frame(0x81, b"y")).await;
    frame(&mut early).await;
    for (messages, said) in [
        (&mut early, "reserved opcode"),
        (&mut late, "before the tap"),
    ] {
        match next(messages).await {
            TapMessage::Unframed { from, why, .. } => {
                assert!(from == Side::Client && why.contains(said), "{why}");
            }
            other => panic!("{other:?}"),
        }
    }
    pass(&mut client, &mut upstream, &client_frame(0x81, b"z")).await;
    pass(&mut upstream, &mut client, &server_frame(0x81, b"seen")).await;
    for messages in [&mut early, &mut late] {
        assert_eq!(
            frame(messages).await.0,
            Origin::Upstream,
            "nothing else was sent"
        );
    }
}

#[tokio::test]
async fn what_exceeds_the_rate_is_counted_and_passes() {
    const MORE: usize = 700;
    let (mut client, mut upstream, _) = open(WebSocketConfig::default()).await;
    let mut messages = tap_all(Some(4096)).await;
    let small = client_frame(0x81, b"x").repeat(FRAMES as usize + MORE);
    pass(&mut client, &mut upstream, &small).await;
    for number in 1..=u64::from(FRAMES) {
        assert_eq!(frame(&mut messages).await.1.number, number);
    }
    assert!(messages.try_recv().is_err(), "the rest is not sent");
    tap::tick(Instant::now() + SECOND);
    let lost = match next(&mut messages).await {
        TapMessage::Lost {
            frames, payloads, ..
        } => (frames, payloads),
        other => panic!("{other:?}"),
    };
    assert_eq!(lost, (MORE as u64, 0));

    let large = client_frame(0x82, &[7; 4096]);
    let fit = BYTES as usize / 4096;
    pass(&mut client, &mut upstream, &large.repeat(fit + 3)).await;
    for index in 0..fit + 3 {
        // The first of those without a payload comes after what is said of it.
        let message = match next(&mut messages).await {
            TapMessage::Lost { payloads, .. } => {
                assert_eq!(payloads, 1);
                next(&mut messages).await
            }
            message => message,
        };
        let TapMessage::Frame { frame, .. } = message else {
            panic!("{message:?}");
        };
        let kept = if index < fit { 4096 } else { 0 };
        assert_eq!((frame.length, frame.payload.len()), (4096, kept), "{index}");
    }
}

#[tokio::test]
async fn a_reader_that_goes_or_stops_reading_leaves_nothing_behind() {
    let (mut client, mut upstream, handle) = open(WebSocketConfig::default()).await;
    let messages = tap_all(None).await;
    let mut stuck = tap_all(None).await;
    assert_eq!(tap::followed(), [1, 1]);
    drop(messages);
    let now = Instant::now();
    tap::tick(now);
    assert_eq!(tap::followed(), [1]);

    let many = client_frame(0x81, b"x").repeat(FRAMES as usize);
    pass(&mut client, &mut upstream, &many).await;
    tap::tick(now + SECOND);
    pass(&mut client, &mut upstream, &many).await;
    tap::tick(now + SECOND);
    assert_eq!(tap::followed(), [1], "its queue has just become full");
    tap::tick(now + 11 * SECOND);
    assert_eq!(tap::followed(), [0; 0]);
    assert!(handle.is_tapped());
    pass(&mut client, &mut upstream, &many).await;
    assert!(!handle.is_tapped(), "the tunnel has noticed");
    let mut read = 0;
    while stuck.recv().await.is_some() {
        read += 1;
    }
    assert_eq!(read, 1024, "what had been sent is there, and then the end");
}
