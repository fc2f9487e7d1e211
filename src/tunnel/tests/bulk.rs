//! Large frames one after the other, cut anywhere: their bytes and counts, the boundaries between
//! them, and whose turn it is to move them.

use std::io::{Read, Write};

use super::*;
use crate::websocket::frame::Scanner;

fn frame(from: Side, first: u8, payload: &[u8]) -> Vec<u8> {
    match from {
        Side::Client => client_frame(first, payload),
        Side::Upstream => server_frame(first, payload),
    }
}

/// Frames of which most are large, whole messages and fragments, with Pings and Pongs between
/// them; where each begins, and what is counted of them.
fn mixed(from: Side, random: &mut fastrand::Rng) -> (Vec<u8>, Vec<usize>, Tally) {
    const SIZES: [usize; 9] = [
        0, 100, 20_479, 20_480, 30_000, 65_160, 65_536, 140_000, 600_000,
    ];
    let noise = noise(random.u64(..), 600_000);
    let (mut bytes, mut starts, mut tally) = (Vec::new(), Vec::new(), Tally::default());
    let (mut open, mut text) = (false, false);
    while bytes.len() < 4 << 20 {
        starts.push(bytes.len());
        let control = random.u8(0..8);
        if control < 2 {
            let payload = &noise[..random.usize(0..=125)];
            bytes.extend(frame(from, 0x89 + control, payload));
            *[&mut tally.pings, &mut tally.pongs][usize::from(control)] += 1;
            continue;
        }
        let size = SIZES[random.usize(..SIZES.len())];
        let fin = random.u8(0..3) > 0;
        if !open {
            text = random.bool();
        }
        let opcode = if open { 0 } else { 2 - u8::from(text) };
        bytes.extend(frame(from, opcode | u8::from(fin) << 7, &noise[..size]));
        open = !fin;
        tally.frames += 1;
        let (messages, payload) = match text {
            true => (&mut tally.text, &mut tally.text_bytes),
            false => (&mut tally.binary, &mut tally.binary_bytes),
        };
        *messages += u64::from(fin);
        *payload += size as u64;
    }
    tally.bytes = bytes.len() as u64;
    (bytes, starts, tally)
}

/// Sends the frames of one seed, cut in headers and elsewhere, and reads them at another pace.
async fn passes(from: Side, seed: u64) {
    let (client, upstream, handle) = open(WebSocketConfig::default()).await;
    let (mut source, mut sink) = match from {
        Side::Client => (client, upstream),
        Side::Upstream => (upstream, client),
    };
    let mut random = fastrand::Rng::with_seed(seed);
    let (bytes, starts, tally) = mixed(from, &mut random);
    let mut cuts: Vec<usize> = starts
        .iter()
        .filter(|_| random.bool())
        .map(|start| start + fastrand::Rng::with_seed(*start as u64).usize(0..14))
        .chain((0..40).map(|i| i * 100_000))
        .filter(|cut| *cut < bytes.len())
        .collect();
    cuts.sort_unstable();
    cuts.push(bytes.len());
    let all = bytes.clone();
    let mut pace = random.fork();
    let writing = tokio::spawn(async move {
        let mut at = 0;
        for cut in cuts {
            source.write_all(&all[at..cut]).await.expect("write");
            at = cut;
            for _ in 0..pace.u8(0..6) {
                tokio::task::yield_now().await;
            }
        }
        source
    });
    let mut seen = Vec::with_capacity(bytes.len());
    while seen.len() < bytes.len() {
        let n = random.usize(1..400_000).min(bytes.len() - seen.len());
        seen.extend(read(&mut sink, n).await);
    }
    assert!(seen == bytes, "{from:?} {seed}");
    assert_eq!(handle.counters(from).tally(), tally, "{from:?} {seed}");
    drop((writing.await.expect("writer"), sink));
    ended().await;
}

#[tokio::test]
async fn frames_around_the_size_that_is_spliced_arrive_whole_however_they_are_cut() {
    for seed in 0..5 {
        passes(Side::Client, seed).await;
        passes(Side::Upstream, seed).await;
    }
}

/// The frames of an upstream, as far as they are complete.
fn frames(mut bytes: &[u8]) -> Vec<&[u8]> {
    let scanner = Scanner::new(Side::Upstream);
    let mut frames = Vec::new();
    while let Some(second) = bytes.get(1) {
        let size = match scanner.data_ahead(bytes) {
            Some((header, payload)) => header + payload as usize,
            None => 2 + usize::from(second & 0x7F),
        };
        let (frame, rest) = bytes.split_at(size.min(bytes.len()));
        frames.push(frame);
        bytes = rest;
    }
    frames
}

/// An upstream that pours frames of this size until it is not read any more.
fn pour(mut upstream: TcpStream, frame: Vec<u8>) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move { while upstream.write_all(&frame).await.is_ok() {} })
}

#[tokio::test]
async fn a_close_that_is_ordered_in_bulk_stands_between_two_frames() {
    for size in [30_000, 65_536, 300_000] {
        let (mut client, upstream, handle) = open(WebSocketConfig::default()).await;
        let message = server_frame(0x82, &noise(1, size));
        let pouring = pour(upstream, message.clone());
        let mut seen = read(&mut client, 3 << 20).await;
        handle.close(Arc::new(CloseOrder {
            by: ClosedBy::Drain,
            detail: None,
            client_code: 1012,
            upstream_code: 1001,
            reason: "".into(),
        }));
        // It comes, whatever stood in buffers.
        let mut rest = vec![0; 1 << 16];
        while !seen.ends_with(&server_frame(0x88, &1012_u16.to_be_bytes())) {
            let n = client.read(&mut rest).await.expect("read");
            assert!(n > 0 && seen.len() < 64 << 20, "{size}: no Close");
            seen.extend(&rest[..n]);
        }
        let frames = frames(&seen);
        let (close, data) = frames.split_last().expect("frames");
        assert_eq!(close[0], 0x88);
        assert!(data.iter().all(|frame| **frame == message), "{size}");
        drop(client);
        // The upstream does not answer its Close.
        until("the end", || {
            tick_at(60 * SECOND);
            registry::count() == 0
        })
        .await;
        pouring.await.expect("upstream");
        ended().await;
    }
}

#[tokio::test]
async fn pings_in_bulk_stand_between_frames() {
    let (mut client, upstream, handle) = open(WebSocketConfig::default()).await;
    let message = server_frame(0x82, &noise(2, 65_536));
    let pouring = pour(upstream, message.clone());
    let mut seen = Vec::new();
    for _ in 0..30 {
        seen.extend(read(&mut client, 300_000).await);
        handle.ask(command::PING_CLIENT);
    }
    let sent = handle.ping_counts(Side::Client).sent;
    assert!(sent > 5, "{sent}");
    let mut frames = frames(&seen);
    frames.pop();
    let pings = frames.iter().filter(|frame| frame[0] == 0x89).count();
    assert!(pings > 5, "{pings} of {sent}");
    frames.retain(|frame| frame[0] != 0x89);
    assert!(frames.iter().all(|frame| **frame == message));
    drop(client);
    pouring.await.expect("upstream");
    ended().await;
}

/// A tunnel through which a thread pushes `total` bytes of frames, and another takes them.
struct Pushed {
    handle: Arc<TunnelHandle>,
    reading: std::thread::JoinHandle<u64>,
}

async fn push(size: usize, total: usize) -> Pushed {
    let (client, upstream, handle) = open(WebSocketConfig::default()).await;
    let [mut client, mut upstream] = [client, upstream].map(|stream| {
        let stream = stream.into_std().expect("std");
        stream.set_nonblocking(false).expect("blocking");
        stream
    });
    let message = server_frame(0x82, &noise(3, size));
    std::thread::spawn(move || {
        for _ in 0..total / message.len() {
            if upstream.write_all(&message).is_err() {
                break;
            }
        }
    });
    let reading = std::thread::spawn(move || {
        let (mut buffer, mut sum) = (vec![0; 1 << 20], 0);
        while let Ok(n @ 1..) = client.read(&mut buffer) {
            sum += n as u64;
        }
        sum
    });
    Pushed { handle, reading }
}

/// Tunnels that wait for each other's turns. On a busy machine their peers may be too slow for it
/// once, so it is tried again.
async fn line(size: usize) -> Vec<Pushed> {
    for _ in 0..10 {
        let mut bulk = Vec::new();
        for _ in 0..4 {
            bulk.push(push(size, TOTAL).await);
        }
        while registry::count() > 0 {
            if turns::places() > 1 {
                return bulk;
            }
            tokio::task::yield_now().await;
        }
        ENDED.with_borrow_mut(Vec::clear);
    }
    panic!("none waits for another");
}

/// What a tunnel of [`line`] moves.
const TOTAL: usize = 24 << 20;

async fn no_place_is_left() {
    until("the end of all", || registry::count() == 0).await;
    assert_eq!((turns::places(), splice::lent()), (0, 0));
    ENDED.with_borrow_mut(Vec::clear);
}

#[tokio::test]
async fn bulk_has_its_turns_and_small_messages_come_between() {
    for size in [30_000, 65_536] {
        let bulk = line(size).await;
        let (mut client, mut upstream, _) = open(WebSocketConfig::default()).await;
        let (message, answer) = (client_frame(0x81, b"?"), server_frame(0x81, b"!"));
        while registry::count() > 1 {
            client.write_all(&message).await.expect("write");
            read(&mut upstream, message.len()).await;
            upstream.write_all(&answer).await.expect("write");
            read(&mut client, answer.len()).await;
        }
        for tunnel in bulk {
            let moved = tunnel.handle.counters(Side::Upstream).bytes();
            assert!(moved > (TOTAL - size) as u64);
            // The Close for a client whose upstream is lost comes besides.
            assert!(tunnel.reading.join().expect("reader") >= moved);
        }
        drop((client, upstream));
        no_place_is_left().await;
    }
}

#[tokio::test]
async fn one_that_is_cut_in_line_holds_up_nothing() {
    let bulk = line(65_536).await;
    bulk[1].handle.cut(Cut::Command);
    bulk[2].handle.cut(Cut::Command);
    no_place_is_left().await;
    for i in [0, 3] {
        let moved = bulk[i].handle.counters(Side::Upstream).bytes();
        assert!(moved > (TOTAL - 65_536) as u64);
    }
}
