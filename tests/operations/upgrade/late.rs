//! What an exchange keeps in the old process: it holds up nothing, and goes to the new one when
//! that has ended.

use super::*;
use rustix::process::Signal;

const HELD: &str = "GET /held HTTP/1.1\r\nHost: x\r\n\r\n";

/// Answers every request; `/held` when the gate is opened.
fn backend() -> (RawBackend, support::gate::Gate) {
    let (gate, door) = gate();
    let backend = RawBackend::start(move |_, mut wire| {
        while let Some(head) = wire.try_read_head() {
            if head.first.contains("/held") {
                door.wait();
            }
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    (backend, gate)
}

/// Accepts a handshake when the gate is opened, and goes on as a tunnel that is said something.
fn held_handshake() -> (RawBackend, support::gate::Gate) {
    let (gate, door) = gate();
    let backend = RawBackend::start(move |_, mut wire| {
        wire.read_head();
        door.wait();
        wire.send(switching(""));
        wire.send(frame(1, b"from the upstream"));
        // It may be drained instead.
        if read_frame(&mut wire) == (0x81, b"from the client".to_vec()) {
            wire.send(frame(1, b"and back"));
        }
        wire.read_until_close();
    });
    (backend, gate)
}

/// A handshake that the backend has and does not answer until the gate is opened.
fn handshake_under_way() -> (RawBackend, support::gate::Gate, Succession, Wire) {
    let (backend, gate) = held_handshake();
    let succession = start(backend.address());
    let wire = succession.proxy.send(handshake("x", "/ws", ""));
    gate.reached();
    (backend, gate, succession, wire)
}

/// A tunnel that comes late and is offered to a process that does not answer, which is the last:
/// nothing moves, and nothing is lost.
fn offered_to_a_stopped_process() -> (RawBackend, Succession, Wire, u32) {
    let (backend, gate, succession, mut wire) = handshake_under_way();
    succession.upgrade();
    let serving = succession.serving();
    succession.signal(serving, Signal::STOP);
    gate.open();
    assert_eq!(wire.read_head().status(), 101);
    wire.send(masked_frame(1, b"from the client"));
    (backend, succession, wire, serving)
}

fn is_served(wire: &mut Wire) {
    wire.send(GET);
    assert_eq!(wire.read_response().status(), 200);
}

#[test]
fn a_slow_request_holds_up_nothing_and_its_connection_follows() {
    let (backend, gate) = backend();
    let mut succession = start(backend.address());
    let mut idle = succession.proxy.send(GET);
    assert_eq!(idle.read_response().status(), 200);
    let mut busy = succession.proxy.send(HELD);
    gate.reached();
    // It returns while the backend still waits.
    let (code, _, err) = support::admin::printed(&succession.proxy.command(&["upgrade"]));
    assert_eq!(code, 0, "{err}");
    let event = succession.event("handed over", 0);
    assert_eq!(number(&event, "connections"), 1, "{event}");
    is_served(&mut idle);
    gate.open();
    let response = busy.read_response();
    assert_eq!(response.status(), 200);
    assert!(!response.head.has_token("connection", "close"));
    assert!(succession.proxy.wait_exit().success());
    let event = succession.event("handed over in all", 0);
    assert_eq!(number(&event, "connections"), 2, "{event}");
    is_served(&mut busy);
    is_served(&mut idle);
}

#[test]
fn a_client_that_never_pauses_follows_too() {
    let backend = HttpBackend::start();
    let mut succession = start(backend.address());
    let address = succession.proxy.address();
    let (done, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let client = || {
            let mut wire = Wire::connect(address);
            while !done.load(Relaxed) {
                is_served(&mut wire);
                served.fetch_add(1, Relaxed);
            }
        };
        let clients = [
            scope.spawn(client),
            scope.spawn(client),
            scope.spawn(client),
        ];
        eventually!(served.load(Relaxed) > 50);
        succession.upgrade();
        assert!(succession.proxy.wait_exit().success(), "nothing is left");
        let before = served.load(Relaxed);
        eventually!(served.load(Relaxed) > before + 50);
        done.store(true, Relaxed);
        for client in clients {
            client.join().expect("no connection is closed");
        }
    });
}

#[test]
fn a_handshake_under_way_becomes_a_tunnel_and_goes_on() {
    let (_backend, gate, mut succession, mut wire) = handshake_under_way();
    let event = succession.upgrade();
    assert_eq!(number(&event, "tunnels"), 0, "{event}");
    gate.open();
    assert_eq!(wire.read_head().status(), 101);
    assert!(succession.proxy.wait_exit().success());
    let event = succession.event("handed over in all", 0);
    assert_eq!(number(&event, "tunnels"), 1, "{event}");
    assert_eq!(read_frame(&mut wire), (0x81, b"from the upstream".to_vec()));
    wire.send(masked_frame(1, b"from the client"));
    assert_eq!(read_frame(&mut wire), (0x81, b"and back".to_vec()));
}

#[test]
fn a_tunnel_that_comes_late_is_told_what_the_new_configuration_means_for_it() {
    let (backend, gate) = held_handshake();
    let settings = settings(backend.address(), "");
    let named = |name| settings.replace("[[route]]", &format!("[[route]]\nname = \"{name}\""));
    let mut succession = Succession::start(|_| named("a"));
    let mut wire = succession.proxy.send(handshake("x", "/ws", ""));
    gate.reached();
    succession.configure(&named("b"));
    succession.upgrade();
    gate.open();
    assert_eq!(wire.read_head().status(), 101);
    assert_eq!(read_frame(&mut wire), (0x81, b"from the upstream".to_vec()));
    assert_eq!(read_frame(&mut wire).0, 0x88, "its route is gone");
    wire.send(masked_frame(8, &close_payload(1012, "")));
    let record = succession.proxy.wait_for_tunnel_close();
    assert_eq!(record["closed_by"], "reload", "{record}");
    assert!(succession.proxy.wait_exit().success());
}

#[test]
fn kill_9_after_the_declaration_loses_what_was_given_and_the_exchange_ends_well() {
    let (backend, gate) = backend();
    let tunnels = EchoBackend::start();
    let mut succession = Succession::start(|_| {
        let more = format!(
            "[[route]]\npath_prefix = \"/ws\"\nto = \"{}\"\n",
            tunnels.address()
        );
        settings(backend.address(), &more)
    });
    let mut given = connect(&succession.proxy, "/ws");
    say(&mut given, 0);
    let mut busy = succession.proxy.send(HELD);
    gate.reached();
    let event = succession.upgrade();
    assert_eq!(number(&event, "tunnels"), 1, "{event}");
    say(&mut given, 1);
    succession.signal(succession.serving(), Signal::KILL);
    assert!(given.read().is_err(), "it was the new one's alone");
    gate.open();
    let response = busy.read_response();
    assert_eq!(response.status(), 200);
    assert!(succession.proxy.wait_exit().success(), "as it was told");
    assert!(TcpStream::connect(succession.proxy.address()).is_err());
}

#[test]
fn what_comes_late_and_is_not_taken_is_drained_where_it_is() {
    let (_backend, mut succession, mut wire, serving) = offered_to_a_stopped_process();
    succession.signal(serving, Signal::KILL);
    assert_eq!(read_frame(&mut wire), (0x81, b"from the upstream".to_vec()));
    let (mut first, mut payload) = read_frame(&mut wire);
    if first == 0x81 {
        assert_eq!(payload, b"and back");
        (first, payload) = read_frame(&mut wire);
    }
    assert_eq!(
        (first, payload),
        (0x88, close_payload(1012, "service restart"))
    );
    wire.send(masked_frame(8, &close_payload(1012, "")));
    wire.read_until_close();
    assert!(succession.proxy.wait_exit().success());
}

#[test]
fn what_comes_late_waits_for_a_new_process_that_stands_still() {
    let (_backend, mut succession, mut wire, serving) = offered_to_a_stopped_process();
    succession.signal(serving, Signal::CONT);
    assert_eq!(read_frame(&mut wire), (0x81, b"from the upstream".to_vec()));
    assert_eq!(read_frame(&mut wire), (0x81, b"and back".to_vec()));
    assert!(succession.proxy.wait_exit().success());
    let event = succession.event("handed over in all", 0);
    assert_eq!(number(&event, "tunnels"), 1, "{event}");
}

#[test]
fn sigterm_of_the_old_process_ends_its_exchange_with_its_connection() {
    let (backend, gate) = backend();
    let mut succession = start(backend.address());
    let mut busy = succession.proxy.send(HELD);
    gate.reached();
    succession.upgrade();
    succession.proxy.terminate();
    succession.event("this process was told to end, too", 0);
    gate.open();
    assert_eq!(busy.read_response().status(), 200);
    busy.expect_close();
    assert!(succession.proxy.wait_exit().success());
    serves(&succession);
}

#[test]
fn what_comes_late_goes_through_a_process_that_is_replaced_itself() {
    let (_backend, gate, mut succession, mut wire) = handshake_under_way();
    succession.upgrade();
    let second = succession.serving();
    succession.upgrade();
    gate.open();
    assert_eq!(wire.read_head().status(), 101);
    assert!(succession.proxy.wait_exit().success());
    eventually!(!succession.runs(second), "it has nothing of its own");
    assert_eq!(read_frame(&mut wire), (0x81, b"from the upstream".to_vec()));
    wire.send(masked_frame(1, b"from the client"));
    assert_eq!(read_frame(&mut wire), (0x81, b"and back".to_vec()));
}
