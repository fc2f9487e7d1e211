//! Floods of tiny frames: a turn is bounded by frames too, so that others get theirs. Told by
//! what passes between two turns of another task, not by a clock.

use std::io::{Read, Write};

use super::*;

/// Frames in a flood.
const FLOOD: u64 = 300_000;

/// How many frames passed before each turn of another task while `from` flooded.
async fn between_turns(from: Side, frame: &[u8]) -> Vec<u64> {
    let (client, upstream, handle) = open(WebSocketConfig::default()).await;
    let [client, upstream] = [client, upstream].map(|stream| {
        let stream = stream.into_std().expect("std");
        stream.set_nonblocking(false).expect("blocking");
        stream
    });
    let (mut source, mut sink) = match from {
        Side::Client => (client, upstream),
        Side::Upstream => (upstream, client),
    };
    let flood = frame.repeat(FLOOD as usize);
    let whole = flood.len();
    // The peers have threads of their own, as they have processes elsewhere.
    let writing = std::thread::spawn(move || {
        source.write_all(&flood).expect("write");
        source
    });
    let reading = std::thread::spawn(move || {
        sink.read_exact(&mut vec![0; whole]).expect("read");
        sink
    });
    let passed = || {
        let tally = handle.counters(from).tally();
        tally.frames + u64::from(tally.pings) + u64::from(tally.pongs)
    };
    let (mut before, mut turns) = (0, Vec::new());
    while before < FLOOD {
        tokio::task::yield_now().await;
        let now = passed();
        if now > before {
            turns.push(now - before);
        }
        before = now;
    }
    drop((writing.join(), reading.join()));
    ended().await;
    turns
}

#[tokio::test]
async fn tiny_frames_end_a_turn_after_a_few_thousand() {
    for (from, frame) in [
        (Side::Upstream, server_frame(0x89, b"")),
        (Side::Upstream, server_frame(0x8A, b"")),
        (Side::Upstream, server_frame(0x82, b"")),
        (Side::Upstream, server_frame(0x89, b"x")),
        (Side::Client, client_frame(0x89, b"")),
        (Side::Client, client_frame(0x81, b"")),
    ] {
        let turns = between_turns(from, &frame).await;
        // Until the flood is known for what it is, one buffer of it may pass.
        let whole = turns.iter().filter(|frames| **frames > 4096).count();
        assert!(whole <= 1, "{from:?} {frame:?}: {turns:?}");
        let most = *turns.iter().max().expect("turns");
        assert!(most <= 2 * 32_768, "{from:?} {frame:?}: {turns:?}");
    }
}

#[tokio::test]
async fn messages_of_a_common_size_have_long_turns() {
    // Between two turns a whole buffer may pass; nothing makes it narrow.
    let frame = server_frame(0x82, &noise(4, 100));
    let turns = between_turns(Side::Upstream, &frame).await;
    let mean = FLOOD / turns.len() as u64;
    assert!(mean > 100, "{mean}");
}
