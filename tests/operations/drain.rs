//! SIGTERM: what is running ends well, what is new is turned away, tunnels get a Close at a
//! frame boundary, and the exit code says whether all of it was clean.

use crate::support;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use rustix::process::Signal;
use support::websocket::{
    close_payload, expect_close_frame, frame, handshake, masked_frame, open, read_frame,
    tunnel_backend,
};
use support::{HttpBackend, Proxy, Wire, held};

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

fn quick(backend: std::net::SocketAddr, drain: &str) -> Proxy {
    Proxy::with(
        backend,
        &format!("[route.websocket]\nclose_timeout = \"2s\"\n[drain]\nover = \"0s\"\n{drain}\n"),
    )
}

fn draining(proxy: &Proxy) {
    proxy.wait_for_log("draining", |line| line.text.contains("draining"));
}

#[test]
fn an_idle_proxy_ends_at_once_and_well() {
    let backend = HttpBackend::start();
    // Nothing is left, so that neither span is waited for.
    let spans = "[drain]\nover = \"10m\"\ndeadline = \"20m\"\n";
    let mut proxy = Proxy::with(backend.address(), spans);
    proxy.terminate();
    assert!(proxy.wait_exit().success());
}

#[test]
fn an_idle_keep_alive_connection_is_closed() {
    let backend = HttpBackend::start();
    let mut proxy = Proxy::minimal(backend.address());
    let mut wire = proxy.send(GET);
    assert_eq!(wire.read_response().status(), 200);
    proxy.terminate();
    wire.expect_close();
    assert!(proxy.wait_exit().success());
}

#[test]
fn a_running_request_finishes_and_closes_its_connection() {
    let (backend, gate) = held();
    let mut proxy = quick(backend.address(), "");
    let mut wire = proxy.send(GET);
    gate.reached();
    proxy.terminate();
    draining(&proxy);
    gate.open();
    let response = wire.read_response();
    assert_eq!((response.status(), response.text()), (200, "ok".into()));
    assert!(
        response.head.has_token("connection", "close"),
        "{response:?}"
    );
    wire.expect_close();
    assert!(proxy.wait_exit().success());
}

#[test]
fn nobody_new_is_accepted() {
    let (backend, gate) = held();
    let mut proxy = quick(backend.address(), "");
    let mut wire = proxy.send(GET);
    gate.reached();
    proxy.terminate();
    draining(&proxy);
    let address = proxy.address();
    eventually!(std::net::TcpStream::connect(address).is_err());
    gate.open();
    assert_eq!(wire.read_response().status(), 200);
    assert!(proxy.wait_exit().success());
}

/// Answers a Close as a peer does, and waits for the end.
fn answer_close(wire: &mut Wire, code: u16, masked: bool) {
    expect_close_frame(wire, code);
    let payload = close_payload(code, "");
    wire.send(if masked {
        masked_frame(8, &payload)
    } else {
        frame(8, &payload)
    });
    wire.read_until_close();
}

#[test]
fn both_sides_of_a_tunnel_are_told() {
    let backend = tunnel_backend(|mut wire| answer_close(&mut wire, 1001, false));
    let mut proxy = quick(backend.address(), "");
    let mut wire = open(&proxy, "/ws");
    proxy.terminate();
    let (first, payload) = read_frame(&mut wire);
    assert_eq!(
        (first, payload),
        (0x88, close_payload(1012, "service restart"))
    );
    wire.send(masked_frame(8, &close_payload(1012, "")));
    wire.read_until_close();
    assert!(proxy.wait_exit().success());
    assert_eq!(proxy.wait_for_tunnel_close()["closed_by"], "drain");
}

#[test]
fn codes_and_reason_can_be_chosen() {
    let backend = tunnel_backend(|mut wire| answer_close(&mut wire, 4002, false));
    let mut proxy = quick(
        backend.address(),
        "client_code = 4001\nupstream_code = 4002\nreason = \"moving\"\n",
    );
    let mut wire = open(&proxy, "/ws");
    proxy.terminate();
    assert_eq!(read_frame(&mut wire), (0x88, close_payload(4001, "moving")));
    wire.send(masked_frame(8, &close_payload(4001, "")));
    wire.read_until_close();
    assert!(proxy.wait_exit().success());
}

#[test]
fn a_close_waits_for_the_boundary_of_the_frame() {
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let message = frame(1, b"a message in two parts");
    let parts = message.clone();
    let backend = tunnel_backend(move |mut wire| {
        wire.send(&parts[..10]);
        released.lock().unwrap().recv().expect("the test goes on");
        wire.send(&parts[10..]);
        answer_close(&mut wire, 1001, false);
    });
    let mut proxy = quick(backend.address(), "");
    let mut wire = open(&proxy, "/ws");
    assert_eq!(wire.read_exact(10), message[..10]);
    proxy.terminate();
    draining(&proxy);
    // Longer than a tick of the clock: nothing may be written into the message.
    wire.expect_silence(Duration::from_millis(700));
    release.send(()).unwrap();
    assert_eq!(wire.read_exact(message.len() - 10), message[10..]);
    answer_close(&mut wire, 1012, true);
    assert!(proxy.wait_exit().success());
}

#[test]
fn a_handshake_that_comes_too_late_is_told_when_to_come_back() {
    let backend = HttpBackend::start();
    let address = backend.address();
    // One worker, so that what one connection sees is true for the other.
    let mut proxy = Proxy::start(&format!(
        "workers = 1\n[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\nto = \"{address}\"\n\
         [drain]\nover = \"0s\"\nretry_after = \"7s\"\n"
    ));
    let bytes = handshake("x", "/ws", "");
    let (begun, rest) = bytes.split_at(20);
    let mut late = proxy.send(begun);
    let mut idle = proxy.send(GET);
    assert_eq!(idle.read_response().status(), 200);
    proxy.terminate();
    idle.expect_close();
    late.send(rest);
    let head = late.read_head();
    assert_eq!(head.status(), 503, "{head:?}");
    assert_eq!(head.field("retry-after").as_deref(), Some("7"));
    assert!(head.has_token("connection", "close"));
    late.read_until_close();
    assert!(proxy.wait_exit().success());
    assert_eq!(backend.requests().len(), 1);
}

#[test]
fn closes_are_spread_over_time() {
    const TUNNELS: usize = 40;
    let backend = tunnel_backend(|mut wire| {
        wire.read_until_close();
    });
    // How evenly, is seen in `drain_spread`.
    let spans = "[drain]\nover = \"20s\"\ndeadline = \"10m\"\n";
    let mut proxy = Proxy::with(backend.address(), spans);
    let told = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..TUNNELS)
        .map(|_| {
            let (wire, told) = (open(&proxy, "/ws"), told.clone());
            let stream = wire.into_stream();
            stream.set_read_timeout(None).expect("an option");
            std::thread::spawn(move || {
                // A Close, or the end of the connection without one.
                if stream.peek(&mut [0]).is_ok_and(|bytes| bytes > 0) {
                    told.fetch_add(1, Relaxed);
                }
            })
        })
        .collect();
    proxy.terminate();
    eventually!(told.load(Relaxed) > 0);
    proxy.terminate();
    assert_eq!(proxy.wait_exit().code(), Some(3));
    clients
        .into_iter()
        .for_each(|client| client.join().unwrap());
    let told = told.load(Relaxed);
    assert!(told < TUNNELS, "all were told at once");
}

fn cut_by(proxy: &Proxy, reason: &str) {
    proxy.wait_for_log("the cut", |line| {
        line.text.contains("what has not ended is cut") && line.text.contains(reason)
    });
}

#[test]
fn what_does_not_answer_is_cut_at_the_deadline() {
    let backend = tunnel_backend(|mut wire| {
        wire.read_until_close();
    });
    let mut proxy = quick(backend.address(), "deadline = \"1s\"\n");
    let mut wire = open(&proxy, "/ws");
    proxy.terminate();
    expect_close_frame(&mut wire, 1012);
    wire.read_until_close();
    assert!(!proxy.wait_exit().success(), "a cut is not clean");
    cut_by(&proxy, "deadline");
}

#[test]
fn a_second_signal_cuts_at_once() {
    let backend = tunnel_backend(|mut wire| {
        wire.read_until_close();
    });
    for second in [Signal::TERM, Signal::INT] {
        let spans = "[drain]\nover = \"10m\"\ndeadline = \"20m\"\n";
        let mut proxy = Proxy::with(backend.address(), spans);
        let mut wire = open(&proxy, "/ws");
        proxy.terminate();
        draining(&proxy);
        proxy.signal(second);
        wire.read_until_close();
        assert!(!proxy.wait_exit().success());
        cut_by(&proxy, "a second");
    }
}

#[test]
fn the_first_signal_says_that_there_is_a_second_which_is_named() {
    let (backend, gate) = held();
    let mut proxy = quick(backend.address(), "");
    let _wire = proxy.send(GET);
    gate.reached();
    proxy.signal(Signal::INT);
    let first = proxy.wait_for_log("the drain", |line| line.text.contains("draining"));
    assert!(
        first.text.contains("a second Ctrl-C or SIGTERM cuts"),
        "{first:?}"
    );
    proxy.signal(Signal::INT);
    assert_eq!(proxy.wait_exit().code(), Some(3));
    proxy.wait_for_log("the second", |line| {
        line.text.contains("a second Ctrl-C (SIGINT)") && line.text.contains("is cut")
    });
    gate.open();
}
