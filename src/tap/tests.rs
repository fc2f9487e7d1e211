//! Taps that are given numbers and bytes: there are no tunnels here.

use std::time::{Duration, Instant};

use tokio::sync::mpsc::Receiver;

use super::*;
use crate::metrics::slots;
use crate::tunnel_info::{IdentityParts, TunnelIdentity};
use crate::vocabulary::Side;
use crate::websocket::control;
use crate::websocket::frame::Opcode;

fn identity(route: &str, upgrade: Option<&str>) -> Box<TunnelIdentity> {
    TunnelIdentity::new(IdentityParts {
        request_id: "0123456789abcdef",
        route: slots::route(&route.into()),
        endpoint: slots::endpoint(&"app".into(), &"127.0.0.1:9000".into()),
        client: "192.0.2.7:50000",
        host: "example.com",
        path: "/ws",
        upgrade,
        subprotocol: None,
        origin: None,
        traceparent: "",
        deflate: None,
    })
}

fn candidate(number: u64, identity: &TunnelIdentity) -> Candidate<'_> {
    let now = Instant::now();
    Candidate {
        number,
        identity,
        opened: now,
        heard: now,
    }
}

/// A tap on the tunnels of one route, once there is room for it among those of other tests.
fn subscribe(route: &'static str) -> (Subscription, Receiver<TapMessage>) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let subscribed = open(Wanted {
            select: Box::new(move |tunnel| **tunnel.identity.route() == *route),
            payload: Some(100),
        });
        if let Ok(subscribed) = subscribed {
            return subscribed;
        }
        assert!(Instant::now() < deadline, "there is never room for a tap");
        std::thread::yield_now();
    }
}

fn start() -> Option<Position> {
    Some(Position {
        left: 0,
        opcode: Opcode::Continuation,
        fin: true,
        open: false,
        text: false,
        pending: Vec::new(),
    })
}

#[test]
fn a_tap_follows_the_numbers_that_it_selects_and_no_others() {
    let (chat, news) = (identity("tap: chat", None), identity("tap: news", None));
    let (subscription, mut messages) = subscribe("tap: chat");
    let mut tap = Tap::new(&subscription);
    assert!(tap.offer(&candidate(1, &chat)) && !tap.offer(&candidate(2, &news)));
    assert_eq!(tap.begin(), 1);
    // Those that open later come to it.
    assert!(opened(&candidate(3, &chat)) && !opened(&candidate(4, &news)));
    for number in 1..=4 {
        let ping = control::ping(Side::Upstream, &[number as u8]);
        let is_tapped = join(number, Side::Client, start);
        assert_eq!(is_tapped, number % 2 == 1, "{number}");
        passed(number, Side::Client, &ping);
    }
    for number in [1, 3] {
        let message = messages.try_recv();
        let Ok(TapMessage::Frame { of, frame, .. }) = message else {
            panic!("{message:?}");
        };
        assert_eq!(
            (of.number, &frame.payload[..]),
            (number, &[number as u8][..])
        );
        assert_eq!((&*of.route, &*of.client), ("tap: chat", "192.0.2.7:50000"));
    }
    assert!(messages.try_recv().is_err(), "the others are not followed");
    ended(3);
    assert!(join(1, Side::Upstream, start) && !join(3, Side::Upstream, start));
    drop(messages);
    tick(Instant::now());
    assert!(followed().is_empty() && !join(1, Side::Client, start));
}

#[test]
fn why_there_are_no_frames_is_said_once() {
    let (plain, other) = (
        identity("tap: unframed", None),
        identity("tap: unframed", Some("tcp")),
    );
    let (subscription, mut messages) = subscribe("tap: unframed");
    let mut tap = Tap::new(&subscription);
    assert!(tap.offer(&candidate(1, &plain)) && tap.offer(&candidate(2, &other)));
    tap.begin();
    for (number, said) in [(1, "before the tap"), (2, "not a WebSocket")] {
        for _ in 0..2 {
            assert!(join(number, Side::Upstream, || None));
            passed(number, Side::Upstream, b"\x83 no frame");
        }
        let message = messages.try_recv();
        let Ok(TapMessage::Unframed { of, from, why, .. }) = message else {
            panic!("{message:?}");
        };
        assert_eq!((of.number, from), (number, Side::Upstream));
        assert!(why.contains(said), "{why}");
        assert!(messages.try_recv().is_err(), "once");
    }
}
