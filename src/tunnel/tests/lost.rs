//! One side is lost, or ends its stream without a Close: what the other side is sent, after all
//! that came before, and where nothing can be sent.

use super::closing::{close_frame, read_masked};
use super::*;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum End {
    Orderly,
    Reset,
}

pub(super) fn end(stream: TcpStream, how: End) {
    if how == End::Reset {
        let socket = socket2::SockRef::from(&stream);
        socket.set_linger(Some(Duration::ZERO)).expect("linger");
    }
    drop(stream);
}

/// What a client gets, to the end, whose upstream says `bytes` and is gone.
async fn told(settings: WebSocketConfig, bytes: &[u8], how: End) -> (Vec<u8>, Ended) {
    let (mut client, mut upstream, handle) = open(settings).await;
    upstream.write_all(bytes).await.expect("write");
    let seen = || handle.counters(Side::Upstream).bytes() == bytes.len() as u64;
    until("the bytes", seen).await;
    end(upstream, how);
    let all = read_to_end(&mut client).await;
    // As a browser does; without an answer the tunnel is bounded by `close_timeout`.
    let _ = client.write_all(&client_frame(0x88, b"\x03\xe8")).await;
    drop(client);
    (all, ended().await)
}

#[tokio::test]
async fn an_upstream_that_is_gone_leaves_a_close() {
    for how in [End::Orderly, End::Reset] {
        for (before, code) in [
            // Nothing at all, or no whole frame yet: it was never sound.
            (Vec::new(), 1014),
            (server_frame(0x81, b"hello"), 1011),
            (server_frame(0x89, b""), 1011),
            // Between two fragments, and compressed.
            (server_frame(0x01, b"first part"), 1011),
            (server_frame(0xC1, b"\xf2H\xcd\xc9\xc9\x07\0"), 1011),
            // Copied, and spliced.
            (server_frame(0x82, &noise(5, 30_000)), 1011),
            (server_frame(0x82, &noise(6, 3_000_000)), 1011),
        ] {
            if before.len() > 1_000_000 && how == End::Reset {
                continue;
            }
            let (mut client, mut upstream, handle) = open(WebSocketConfig::default()).await;
            let writing = before.clone();
            let writing = tokio::spawn(async move {
                upstream.write_all(&writing).await.expect("write");
                upstream
            });
            let mut all = read(&mut client, before.len()).await;
            until("all of it", || {
                handle.counters(Side::Upstream).bytes() == before.len() as u64
            })
            .await;
            end(writing.await.expect("written"), how);
            all.extend(read_to_end(&mut client).await);
            assert!(all.starts_with(&before), "data comes first");
            assert_eq!(all[before.len()..], close_frame(code, "connection lost"));
            drop(client);
            let ended = ended().await;
            assert_eq!(ended.closed_by, ClosedBy::Upstream);
            assert_eq!(ended.closes.sent_client, Some(code));
            let detail = match how {
                End::Orderly => "ended without a Close",
                End::Reset => "connection reset",
            };
            assert_eq!(ended.detail.as_deref(), Some(detail));
        }
    }
}

#[tokio::test]
async fn inside_of_a_frame_only_the_record_can_say_it() {
    for how in [End::Orderly, End::Reset] {
        for bytes in [
            server_frame(0x82, &noise(1, 100))[..50].to_vec(),
            server_frame(0x82, &noise(1, 100_000))[..3].to_vec(),
            server_frame(0x82, &noise(1, 1_000_000))[..70_000].to_vec(),
            server_frame(0x89, b"ping")[..4].to_vec(),
            b"\x81".to_vec(),
        ] {
            let (mut client, mut upstream, _) = open(WebSocketConfig::default()).await;
            upstream.write_all(&bytes).await.expect("write");
            let mut all = read(&mut client, bytes.len()).await;
            end(upstream, how);
            all.extend(read_to_end(&mut client).await);
            assert!(all == bytes, "nothing is put into a frame");
            drop(client);
            let ended = ended().await;
            assert_eq!(ended.closes.sent_client, None);
            let detail = match how {
                End::Orderly => "ended in mid-frame",
                End::Reset => "connection reset, in mid-frame",
            };
            assert_eq!(ended.detail.as_deref(), Some(detail));
        }
    }
}

#[tokio::test]
async fn code_and_reason_can_be_set_and_switched_off() {
    let hello = server_frame(0x81, b"hello");
    for (code, expected) in [
        (Some(4444), close_frame(4444, "try again")),
        (Some(1011), close_frame(1011, "try again")),
        (None, Vec::new()),
    ] {
        let settings = WebSocketConfig {
            upstream_lost_code: code,
            lost_reason: "try again".into(),
            ..WebSocketConfig::default()
        };
        let (all, ended) = told(settings, &hello, End::Orderly).await;
        assert_eq!(all, [hello.clone(), expected].concat());
        assert_eq!(ended.closes.sent_client, code);
    }
}

#[tokio::test]
async fn a_close_that_the_upstream_does_not_answer_is_answered() {
    for how in [End::Orderly, End::Reset] {
        for (payload, answer) in [
            (&b"\x0f\xa1bye"[..], 4001),
            (b"", 1000),
            (b"\x03\xee", 1000),
        ] {
            let (mut client, mut upstream, _) = open(WebSocketConfig::default()).await;
            let close = client_frame(0x88, payload);
            client.write_all(&close).await.expect("write");
            assert_eq!(read(&mut upstream, close.len()).await, close);
            end(upstream, how);
            assert_eq!(read_to_end(&mut client).await, close_frame(answer, ""));
            drop(client);
            assert_eq!(ended().await.closed_by, ClosedBy::Client);
        }
    }
}

#[tokio::test]
async fn the_upstream_of_a_lost_client_is_told() {
    for how in [End::Orderly, End::Reset] {
        let (mut client, mut upstream, _) = open(WebSocketConfig::default()).await;
        let last = client_frame(0x81, b"last words");
        client.write_all(&last).await.expect("write");
        assert_eq!(read(&mut upstream, last.len()).await, last);
        end(client, how);
        assert_eq!(read_masked(&mut upstream).await, lost_close());
        assert_eq!(read_to_end(&mut upstream).await, b"", "and the end");
        drop(upstream);
        let ended = ended().await;
        assert_eq!(ended.closed_by, ClosedBy::Client);
        let detail = match how {
            End::Orderly => "ended without a Close",
            End::Reset => "connection reset",
        };
        assert_eq!(ended.detail.as_deref(), Some(detail));
        assert_eq!(ended.closes.sent_upstream, Some(1001));
    }
}

/// The Close for the upstream of a client that is lost.
fn lost_close() -> (u8, Vec<u8>) {
    (
        0x88,
        [&1001_u16.to_be_bytes()[..], b"connection lost"].concat(),
    )
}

#[tokio::test]
async fn a_client_that_ends_its_direction_still_gets_everything() {
    let (mut client, mut upstream, handle) = open(WebSocketConfig::default()).await;
    client.shutdown().await.expect("shutdown");
    assert_eq!(read_masked(&mut upstream).await, lost_close());
    assert_eq!(read_to_end(&mut upstream).await, b"");
    until("the phase", || handle.phase() == Phase::Half).await;
    let more = [
        server_frame(0x82, &noise(2, 300_000)),
        server_frame(0x88, b"\x03\xe9"),
    ]
    .concat();
    let sent = more.clone();
    let writing = tokio::spawn(async move {
        upstream.write_all(&sent).await.expect("write");
        upstream
    });
    assert!(read_to_end(&mut client).await == more);
    drop((client, writing.await.expect("written")));
    let ended = ended().await;
    assert_eq!(ended.closed_by, ClosedBy::Client);
    assert_eq!(ended.closes.upstream, Some(Some((1001, "".into()))));
}

#[tokio::test]
async fn an_upstream_is_told_nothing_inside_of_a_frame_or_where_that_is_off() {
    for (bytes, code) in [
        (
            client_frame(0x82, &noise(1, 100))[..50].to_vec(),
            Some(1001),
        ),
        (
            client_frame(0x82, &noise(1, 1_000_000))[..70_000].to_vec(),
            Some(1001),
        ),
        (client_frame(0x82, b"whole"), None),
    ] {
        let (mut client, mut upstream, _) = open(WebSocketConfig {
            client_lost_code: code,
            ..WebSocketConfig::default()
        })
        .await;
        client.write_all(&bytes).await.expect("write");
        end(client, End::Orderly);
        assert!(read_to_end(&mut upstream).await == bytes);
        drop(upstream);
        assert_eq!(ended().await.closes.sent_upstream, None);
    }
}

#[tokio::test]
async fn a_peer_that_was_told_and_does_not_answer_is_not_waited_for_long() {
    let (client, upstream, handle) = open(WebSocketConfig::default()).await;
    end(upstream, End::Reset);
    until("the phase", || handle.phase() == Phase::Closing).await;
    tick_at(SECOND);
    tick_at(7 * SECOND);
    let ended = ended().await;
    assert_eq!(ended.closed_by, ClosedBy::Upstream);
    assert_eq!(ended.detail.as_deref(), Some("connection reset"));
    drop(client);
}
