//! tokio-tungstenite, a strict implementation, at both ends.

use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::*;
use crate::config::DrainConfig;

async fn ends(
    settings: WebSocketConfig,
) -> (WebSocketStream<TcpStream>, WebSocketStream<TcpStream>) {
    let (client, upstream, _) = open(settings).await;
    let client = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
    let upstream = WebSocketStream::from_raw_socket(upstream, Role::Server, None).await;
    (client, upstream)
}

/// Echoes until the client closes; returns how the stream ended.
async fn echo(mut upstream: WebSocketStream<TcpStream>) -> Option<u16> {
    let mut code = None;
    while let Some(message) = upstream.next().await {
        match message {
            Ok(Message::Close(frame)) => code = frame.map(|frame| frame.code.into()),
            Ok(message @ (Message::Text(_) | Message::Binary(_))) => {
                upstream.send(message).await.expect("send");
            }
            Ok(_) => {}
            Err(error) => panic!("the strict upstream: {error}"),
        }
    }
    code
}

#[tokio::test]
async fn messages_of_all_sizes_are_echoed_while_pings_are_put_between() {
    let (mut client, upstream) = ends(WebSocketConfig {
        ping_interval: Some(Duration::from_secs(1)),
        ..WebSocketConfig::default()
    })
    .await;
    let upstream = tokio::spawn(echo(upstream));
    for (i, size) in [0, 1, 125, 126, 65_535, 65_536, 200_000, 1_000_000, 5]
        .into_iter()
        .enumerate()
    {
        tick_at(Duration::from_secs(3 * i as u64 + 3));
        let message = Message::binary(noise(i as u64, size));
        client.send(message.clone()).await.expect("send");
        loop {
            let answer = client.next().await.expect("an answer").expect("valid");
            match answer {
                Message::Ping(_) => {}
                answer => {
                    assert!(answer == message);
                    break;
                }
            }
        }
    }
    client.close(None).await.expect("close");
    while client.next().await.is_some() {}
    drop(client);
    upstream.await.expect("upstream");
    let ended = ended().await;
    assert_eq!(
        (ended.from_client.binary, ended.from_upstream.binary),
        (9, 9)
    );
    assert_eq!(ended.closed_by, ClosedBy::Client);
    assert!(ended.from_client.pongs > 0, "pings were sent");
}

#[tokio::test]
async fn a_drain_under_load_breaks_no_frame() {
    let (client, upstream) = ends(WebSocketConfig::default()).await;
    let upstream = tokio::spawn(echo(upstream));
    let (mut sink, mut stream) = client.split();
    let sending = tokio::spawn(async move {
        for size in (0..).map(|i| (i * 7919) % 150_000) {
            if sink.send(Message::binary(vec![1; size])).await.is_err() {
                break;
            }
        }
    });
    let (mut received, mut close) = (0, None);
    while let Some(message) = stream.next().await {
        match message {
            Ok(Message::Binary(_)) => received += 1,
            Ok(Message::Close(frame)) => close = frame,
            Ok(_) => {}
            Err(error) => panic!("the strict client: {error}"),
        }
        assert!(received < 1000, "the Close does not come");
        if received == 50 {
            let now = Instant::now();
            let config = DrainConfig {
                over: Duration::ZERO,
                ..DrainConfig::default()
            };
            let order = DrainOrder::from_config(&config, Selection::All, now);
            registry::drain(&order, now);
            registry::tick(now);
        }
    }
    let close = close.expect("a Close");
    assert_eq!(
        (close.code, close.reason.as_str()),
        (CloseCode::Restart, "service restart")
    );
    sending.await.expect("sender");
    drop(stream);
    assert_eq!(upstream.await.expect("upstream"), Some(1001));
    assert_eq!(ended().await.closed_by, ClosedBy::Drain);
}
