//! Tunnels that are handed over at an awkward moment: in the middle of a large frame in both
//! directions, half-closed, with a reader that does not read, with our Ping unanswered.

use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use super::*;
use crate::support::DEADLINE;

/// A frame this large has left the scanner, the pipe and every buffer in its middle.
const LARGE: usize = 4 << 20;

/// Bytes that are different everywhere.
fn pattern(length: usize, seed: u8) -> Vec<u8> {
    (0..length)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8 ^ seed)
        .collect()
}

/// A backend whose one tunnel is driven by the test.
fn held_backend() -> (RawBackend, mpsc::Receiver<Wire>) {
    let (give, take) = mpsc::channel();
    let give = Mutex::new(give);
    let backend = tunnel_backend(move |wire| {
        let _ = give.lock().unwrap().send(wire);
    });
    (backend, take)
}

/// Both ends of a tunnel through a proxy.
fn tunnel(more: &str) -> (Succession, RawBackend, Wire, Wire) {
    let (backend, take) = held_backend();
    let settings = settings(backend.address(), "")
        .replace("[route.websocket]\n", &format!("[route.websocket]\n{more}"));
    let succession = Succession::start(|_| settings);
    let client = open(&succession.proxy, "/ws");
    let upstream = take.recv_timeout(DEADLINE).expect("the tunnel is open");
    (succession, backend, client, upstream)
}

fn upgraded(succession: &mut Succession) {
    let event = succession.upgrade();
    assert_eq!(number(&event, "tunnels"), 1, "{event}");
    assert!(
        succession.proxy.wait_exit().success(),
        "the old one is gone"
    );
}

/// Both sides still understand each other.
fn speak(client: &mut Wire, upstream: &mut Wire) {
    client.send(masked_frame(1, b"up"));
    assert_eq!(read_frame(upstream), (0x81, b"up".to_vec()));
    upstream.send(frame(1, b"down"));
    assert_eq!(read_frame(client), (0x81, b"down".to_vec()));
}

/// Carries these bytes through the tunnel, however little of them the kernel holds.
fn carry(from: &Wire, to: &mut Wire, bytes: &[u8]) {
    let (mut from, sent) = (from.second(), bytes.to_vec());
    let writer = std::thread::spawn(move || from.send(sent));
    assert!(to.read_exact(bytes.len()) == bytes, "other bytes came");
    writer.join().expect("all is written");
}

#[test]
fn in_the_middle_of_a_large_frame_in_both_directions() {
    let (mut succession, _backend, mut client, mut upstream) = tunnel("");
    let up = masked_frame(2, &pattern(LARGE, 1));
    let down = frame(2, &pattern(LARGE, 2));
    // All that was sent has been read, so that the tunnel stands inside both frames.
    carry(&client, &mut upstream, &up[..LARGE / 2]);
    carry(&upstream, &mut client, &down[..LARGE / 2]);
    upgraded(&mut succession);
    carry(&client, &mut upstream, &up[LARGE / 2..]);
    carry(&upstream, &mut client, &down[LARGE / 2..]);
    speak(&mut client, &mut upstream);
}

#[test]
fn a_close_waits_for_the_boundary_of_a_frame_that_began_in_the_old_process() {
    let (mut succession, _backend, mut client, mut upstream) = tunnel("");
    let down = frame(2, &pattern(LARGE, 3));
    carry(&upstream, &mut client, &down[..LARGE / 2]);
    // The first fragment of a message: a control frame may stand behind it, not inside it.
    let mut fragment = masked_frame(1, b"fragment");
    fragment[0] &= 0x7f;
    client.send(&fragment[..5]);
    upstream.read_exact(5);
    upgraded(&mut succession);
    succession.signal(succession.serving(), rustix::process::Signal::TERM);
    client.expect_silence(Duration::from_millis(600));
    upstream.expect_silence(Duration::from_millis(1));
    carry(&upstream, &mut client, &down[LARGE / 2..]);
    assert_eq!(
        read_frame(&mut client),
        (0x88, close_payload(1012, "service restart"))
    );
    client.send(&fragment[5..]);
    assert!(upstream.read_exact(fragment.len() - 5) == fragment[5..]);
    assert_eq!(
        read_frame(&mut upstream),
        (0x88, close_payload(1001, "service restart"))
    );
}

#[test]
fn half_closed_each_way() {
    for by_client in [true, false] {
        let (mut succession, _backend, mut client, mut upstream) = tunnel("");
        speak(&mut client, &mut upstream);
        let (ended, other) = match by_client {
            true => (&mut client, &mut upstream),
            false => (&mut upstream, &mut client),
        };
        ended.shutdown_write();
        let (code, reason) = match by_client {
            true => (1001, "connection lost"),
            false => (1011, "connection lost"),
        };
        assert_eq!(read_frame(other), (0x88, close_payload(code, reason)));
        assert!(other.read_until_close().is_empty(), "the end is carried");
        upgraded(&mut succession);
        let bytes = match by_client {
            true => frame(2, &pattern(LARGE, 4)),
            false => masked_frame(2, &pattern(LARGE, 4)),
        };
        let (mut wire, sent) = (other.second(), bytes.clone());
        let writer = std::thread::spawn(move || {
            wire.send(sent);
            wire.shutdown_write();
        });
        assert!(ended.read_until_close() == bytes, "the other way goes on");
        writer.join().expect("all is written");
        let record = succession.proxy.wait_for_tunnel_close();
        let by = if by_client { "client" } else { "upstream" };
        assert_eq!(record["closed_by"], by, "{record}");
    }
}

/// Sends frames until told to stop, and counts their bytes.
fn flood(wire: &Wire, stop: &Arc<AtomicBool>, sent: &Arc<AtomicUsize>) -> JoinHandle<usize> {
    let (mut wire, stop, sent) = (wire.second(), stop.clone(), sent.clone());
    std::thread::spawn(move || {
        let mut frames = 0;
        while !stop.load(Relaxed) {
            let frame = frame(2, &pattern(10_000, frames as u8));
            wire.send(&frame);
            sent.fetch_add(frame.len(), Relaxed);
            frames += 1;
        }
        frames
    })
}

#[test]
fn a_reader_that_does_not_read() {
    let (mut succession, _backend, mut client, mut upstream) = tunnel("");
    let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::default());
    let flood = flood(&upstream, &stop, &sent);
    // What the proxy has read from the upstream and cannot write is more than the kernel's.
    let mut before = 0;
    let mut stands = || {
        let now = sent.load(Relaxed);
        let stands = std::mem::replace(&mut before, now) == now && now > 1 << 20;
        // That nothing moves any more takes time to see.
        std::thread::sleep(Duration::from_millis(100));
        stands
    };
    eventually!(stands(), "the writer stands");
    upgraded(&mut succession);
    stop.store(true, Relaxed);
    let mut read = 0;
    while !flood.is_finished() {
        assert!(read_frame(&mut client) == (0x82, pattern(10_000, read as u8)));
        read += 1;
    }
    let frames = flood.join().expect("all is written");
    for n in read..frames {
        assert!(read_frame(&mut client) == (0x82, pattern(10_000, n as u8)));
    }
    speak(&mut client, &mut upstream);
}

#[test]
fn our_pings_are_answered_to_the_new_process() {
    let (mut succession, _backend, mut client, mut upstream) =
        tunnel("ping_interval = \"1s\"\nping_timeout = \"30s\"\n");
    let (first, of_client) = read_frame(&mut client);
    assert_eq!(first, 0x89, "a Ping of ours");
    let (first, of_upstream) = read_frame(&mut upstream);
    assert_eq!(first, 0x89, "and one to the other side");
    upgraded(&mut succession);
    client.send(masked_frame(10, &of_client));
    upstream.send(frame(10, &of_upstream));
    // Neither Pong is the other side's business: what comes next is what was sent next.
    speak(&mut client, &mut upstream);
    client.send(masked_frame(10, b"not ours"));
    assert_eq!(read_frame(&mut upstream), (0x8a, b"not ours".to_vec()));
}
