//! The old process after its hand-over: what the new one knows of it, and that it ends with
//! the service.

use std::sync::{Mutex, mpsc};

use super::*;
use crate::support::DEADLINE;
use crate::support::admin::{parsed, printed};
use rustix::process::Signal;

/// A backend whose answers begin and do not end before the sender is dropped.
fn endless() -> (RawBackend, mpsc::Sender<()>) {
    let (hold, held) = mpsc::channel();
    let held = Mutex::new(held);
    let backend = RawBackend::start(move |_, mut wire| {
        wire.read_head();
        wire.send(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
             Transfer-Encoding: chunked\r\n\r\n4\r\n: \n\n\r\n",
        );
        let _ = held.lock().unwrap().recv();
    });
    (backend, hold)
}

/// An upgrade that leaves an event stream in the old process.
fn with_a_stream() -> (Succession, Wire, RawBackend, mpsc::Sender<()>) {
    let (backend, hold) = endless();
    let more = "deadline = \"1s\"\n[upgrade]\ndeadline = \"10m\"\n";
    let succession = Succession::start(|_| settings(backend.address(), more));
    let mut stream = succession.proxy.send(GET);
    assert_eq!(stream.read_head().status(), 200);
    succession.upgrade();
    (succession, stream, backend, hold)
}

fn predecessors(succession: &Succession) -> Value {
    let (code, body) = succession.proxy.get_admin("/v1/status");
    assert_eq!(code, 200, "{body}");
    parsed(&body)["predecessors"].clone()
}

#[test]
fn the_new_process_shows_it_and_ends_it_with_itself() {
    let (mut succession, mut stream, _backend, _hold) = with_a_stream();
    let old = succession.proxy.id();
    eventually!(predecessors(&succession)[0]["pid"] == old);
    let shown = predecessors(&succession)[0].clone();
    assert_eq!(
        (&shown["connections"], &shown["tunnels"]),
        (&1.into(), &0.into())
    );
    assert!(shown["ends_in_ms"].as_u64() > Some(500_000), "{shown}");
    let scrape = succession.proxy.scrape();
    assert_eq!(scrape.sum("sluice_predecessors", &[]), 1.0);
    assert_eq!(scrape.sum("sluice_predecessor_connections", &[]), 1.0);
    let (_, out, err) = printed(&succession.proxy.command(&["status"]));
    assert!(out.contains(&format!("old process {old}")), "{out}{err}");

    let serving = succession.serving();
    succession.signal(serving, Signal::TERM);
    // Cut at the deadline of a drain, not at that of an upgrade.
    assert_eq!(succession.proxy.wait_exit().code(), Some(3));
    stream.read_until_close();
    eventually!(!succession.runs(serving), "{serving} ends after it");
}

#[test]
fn one_that_ends_by_itself_is_forgotten() {
    let (backend, gate) = held();
    let mut succession = start(backend.address());
    let mut wire = succession.proxy.send(GET);
    gate.reached();
    succession.upgrade();
    eventually!(predecessors(&succession)[0]["connections"] == 1);
    gate.open();
    assert_eq!(wire.read_response().status(), 200);
    assert!(succession.proxy.wait_exit().success());
    eventually!(predecessors(&succession) == Value::Array(Vec::new()));
}

#[test]
fn the_one_before_it_is_known_and_ended_too() {
    let (mut succession, _first, _backend, _hold) = with_a_stream();
    let second = succession.serving();
    let mut other = succession.proxy.send(GET);
    assert_eq!(other.read_head().status(), 200);
    succession.upgrade();
    let pids = || -> Vec<u64> {
        let all = predecessors(&succession);
        let all = all.as_array().expect("a list");
        all.iter().filter_map(|one| one["pid"].as_u64()).collect()
    };
    let wanted = vec![u64::from(second), u64::from(succession.proxy.id())];
    eventually!(pids() == wanted);
    let serving = succession.serving();
    succession.signal(serving, Signal::TERM);
    eventually!(!succession.runs(serving) && !succession.runs(second));
    assert_eq!(succession.proxy.wait_exit().code(), Some(3));
}

#[test]
fn a_follower_of_events_does_not_keep_it() {
    let backend = EchoBackend::start();
    let mut succession = start(backend.address());
    let path = succession.file("admin.sock");
    let mut follower = UnixStream::connect(path).expect("it accepts");
    follower
        .set_read_timeout(Some(DEADLINE))
        .expect("an option");
    let request = "GET /v1/events HTTP/1.1\r\nHost: sluice\r\n\r\n";
    std::io::Write::write_all(&mut follower, request.as_bytes()).expect("it reads");
    succession.upgrade();
    assert!(succession.proxy.wait_exit().success());
    let mut rest = Vec::new();
    std::io::Read::read_to_end(&mut follower, &mut rest).expect("the stream ends");
}
