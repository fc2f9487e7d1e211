//! A process that stood still: stopped, frozen, on a host that slept. What arrived meanwhile is
//! read before a time-out is judged, and the time is held against no peer.

use crate::support;

use std::sync::{Arc, RwLock};
use std::time::Duration;

use rustix::process::Signal;
use support::gate::gate;
use support::websocket::{masked_frame, open, read_frame};
use support::{EchoBackend, Proxy, RawBackend};

/// Longer than every limit of the tunnels here.
const STILL: Duration = Duration::from_millis(3500);

fn stand_still(proxy: &Proxy) {
    stand_still_while(proxy, || {});
}

/// `meanwhile` comes when the process stands already.
fn stand_still_while(proxy: &Proxy, meanwhile: impl FnOnce()) {
    proxy.signal(Signal::STOP);
    meanwhile();
    // The span is what is tested, not a wait for something.
    std::thread::sleep(STILL);
}

fn closes(proxy: &Proxy) -> usize {
    let records = proxy.access();
    let closes = records.iter().filter(|r| r["kind"] == "tunnel_close");
    closes.count()
}

#[test]
fn tunnels_outlive_a_process_that_stood_still() {
    let backend = EchoBackend::start();
    let proxy = Proxy::with(
        backend.address(),
        "[route.websocket]\nidle_timeout = \"3s\"\n",
    );
    let mut tunnels: Vec<_> = (0..8).map(|_| open(&proxy, "/ws")).collect();
    stand_still(&proxy);
    // Half of them have said something that waits to be read, half have not.
    for wire in tunnels.iter_mut().step_by(2) {
        wire.send(masked_frame(1, b"waits"));
    }
    proxy.signal(Signal::CONT);
    for wire in tunnels.iter_mut().step_by(2) {
        assert_eq!(read_frame(wire), (0x81, b"waits".to_vec()));
    }
    proxy.wait_for_log("the event", |line| line.text.contains("stood still"));
    assert_eq!(closes(&proxy), 0, "{}", proxy.output());
    // All of them are there, and the silent ones have what was left of their time.
    for wire in &mut tunnels {
        wire.send(masked_frame(1, b"there"));
        assert_eq!(read_frame(wire), (0x81, b"there".to_vec()));
    }
    let scrape = proxy.get_admin("/metrics").1;
    let times = scrape
        .lines()
        .find_map(|line| line.strip_prefix("sluice_worker_stood_still_total "));
    assert_ne!(times, Some("0"), "{scrape}");
    assert!(times.is_some(), "{scrape}");
}

#[test]
fn a_pong_that_waits_is_an_answer() {
    let backend = EchoBackend::start();
    let proxy = Proxy::with(
        backend.address(),
        "[route.websocket]\nping_interval = \"1s\"\nping_timeout = \"1s\"\n",
    );
    let mut wire = open(&proxy, "/ws");
    let (first, payload) = read_frame(&mut wire);
    assert_eq!(first, 0x89, "a Ping");
    stand_still(&proxy);
    wire.send(masked_frame(10, &payload));
    proxy.signal(Signal::CONT);
    proxy.wait_for_log("the event", |line| line.text.contains("stood still"));
    // The next Ping comes instead of a Close, and is answered.
    let (first, payload) = read_frame(&mut wire);
    assert_eq!(first, 0x89, "{}", proxy.output());
    wire.send(masked_frame(10, &payload));
    wire.send(masked_frame(1, b"there"));
    loop {
        match read_frame(&mut wire) {
            (0x89, payload) => wire.send(masked_frame(10, &payload)),
            other => break assert_eq!(other, (0x81, b"there".to_vec())),
        }
    }
}

#[test]
fn exchanges_outlive_a_process_that_stood_still() {
    let stands = Arc::new(RwLock::new(()));
    let running = stands.write().expect("a lock");
    let backend = RawBackend::start({
        let stands = stands.clone();
        move |_, mut wire| {
            let head = wire.read_head();
            if head.first.starts_with("POST") {
                wire.read_exact(8);
            } else {
                // Its answer is written while the proxy stands still.
                let _stands = stands.read();
            }
            wire.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let proxy = Proxy::with(
        backend.address(),
        "[route.timeouts]\nresponse_head = \"3s\"\n[http]\nbody_timeout = \"3s\"\n\
         head_timeout = \"3s\"\nkeepalive_timeout = \"3s\"\n",
    );
    let mut uploads: Vec<_> = (0..6)
        .map(|_| proxy.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\n1234"))
        .collect();
    let mut heads: Vec<_> = (0..6).map(|_| proxy.send("GET / HTTP/1.1\r\n")).collect();
    let mut waiting: Vec<_> = (0..6)
        .map(|_| proxy.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
        .collect();
    eventually!(backend.accepted() == 12);
    stand_still_while(&proxy, || drop(running));
    for wire in &mut uploads {
        wire.send("5678");
    }
    for wire in &mut heads {
        wire.send("Host: x\r\n\r\n");
    }
    proxy.signal(Signal::CONT);
    for wire in uploads.iter_mut().chain(&mut waiting).chain(&mut heads) {
        assert_eq!(wire.read_response().status(), 200, "{}", proxy.output());
    }
}

#[test]
fn what_arrived_during_a_short_stop_is_read_before_its_time_is_judged() {
    let (gate, door) = gate();
    let backend = RawBackend::start(move |_, mut wire| {
        wire.read_head();
        door.wait();
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        let _ = wire.try_read_head();
    });
    let proxy = Proxy::with(
        backend.address(),
        "[route.timeouts]\nresponse_head = \"3s\"\n",
    );
    let mut wire = proxy.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    gate.reached();
    // The spans are what is tested: a stop of less than a second, in which the time runs out.
    std::thread::sleep(Duration::from_millis(2400));
    proxy.signal(Signal::STOP);
    gate.open();
    std::thread::sleep(Duration::from_millis(900));
    proxy.signal(Signal::CONT);
    assert_eq!(wire.read_head().status(), 200, "{}", proxy.output());
}
