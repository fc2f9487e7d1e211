//! Endpoints that die, hang or are slow: what one request finds out costs the others nothing.

use crate::support;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use support::{DEADLINE, HttpBackend, Proxy, RawBackend, Wire};

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Two endpoints in turn, with these settings of the upstream and of the route's time-outs.
fn in_turn(endpoints: [SocketAddr; 2], upstream: &str, timeouts: &str) -> Proxy {
    in_turn_on(2, endpoints, upstream, timeouts)
}

/// The same with so many workers.
fn in_turn_on(workers: usize, endpoints: [SocketAddr; 2], upstream: &str, timeouts: &str) -> Proxy {
    let [one, other] = endpoints;
    Proxy::start(&format!(
        "workers = {workers}\n[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [upstream.app]\nendpoints = [\"{one}\", \"{other}\"]\nbalance = \"round-robin\"\n\
         {upstream}\n[[route]]\nupstream = \"app\"\n[route.timeouts]\n{timeouts}\n"
    ))
}

/// A listener whose queue is full: the kernel drops every further SYN, as a dead host does.
fn deaden(listener: &TcpListener) -> TcpStream {
    rustix::net::listen(listener, 0).expect("a shorter queue");
    let address = listener.local_addr().expect("a bound address");
    TcpStream::connect(address).expect("the one that fits")
}

fn says(proxy: &Proxy, words: &str) -> bool {
    proxy.output().contains(words)
}

/// What twelve requests get once a host has died of which four connections are kept.
fn statuses_after_a_death(workers: usize) -> Vec<u16> {
    let sound = HttpBackend::start();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = in_turn_on(
        workers,
        [listener.local_addr().unwrap(), sound.address()],
        "connect_timeout = \"500ms\"\nretry_after = \"1h\"",
        "response_head = \"500ms\"",
    );
    // Four exchanges at once make four connections, which are kept.
    let mut clients: Vec<Wire> = (0..8).map(|_| proxy.send(GET)).collect();
    let accept = |_| Wire::over(listener.accept().expect("a connection").0);
    let mut kept: Vec<Wire> = (0..4).map(accept).collect();
    for wire in &mut kept {
        wire.read_head();
        wire.send(OK);
    }
    for client in &mut clients {
        assert_eq!(client.read_response().status(), 200);
    }
    drop(clients);
    let _queued = deaden(&listener);

    let statuses = (0..12).map(|_| proxy.ask("GET", "/", "")).collect();
    eventually!(says(&proxy, "endpoint failed"));
    // What was kept is closed, on every worker.
    for wire in &mut kept {
        wire.read_until_close();
    }
    statuses
}

#[test]
fn a_host_that_dies_with_kept_connections_costs_one_wait() {
    let waits = |statuses: &[u16]| statuses.iter().filter(|status| **status == 504).count();
    // With one worker the first request for it finds a kept connection.
    let statuses = statuses_after_a_death(1);
    assert_eq!(waits(&statuses), 1, "{statuses:?}");
    // With two it may come to the one that keeps none, whose connect fails and is tried elsewhere.
    let statuses = statuses_after_a_death(2);
    assert!(waits(&statuses) <= 1, "{statuses:?}");
}

/// A backend that answers while it is told to, and else only reads.
fn hanging() -> (RawBackend, Arc<AtomicBool>) {
    let sound = Arc::new(AtomicBool::new(true));
    let answers = sound.clone();
    let backend = RawBackend::start(move |_, mut wire| {
        while wire.try_read_head().is_some() {
            if answers.load(Ordering::SeqCst) {
                wire.send(OK);
            }
        }
    });
    (backend, sound)
}

#[test]
fn a_process_that_hangs_fails_by_its_silence_and_comes_back_by_an_answer() {
    let sound = HttpBackend::start();
    let (hung, answers) = hanging();
    let proxy = in_turn(
        [hung.address(), sound.address()],
        "retry_after = \"1s\"",
        "response_head = \"500ms\"",
    );
    assert_eq!(proxy.ask("GET", "/", ""), 200);
    assert_eq!(proxy.ask("GET", "/", ""), 200);
    answers.store(false, Ordering::SeqCst);
    let mut slow = 0;
    while !says(&proxy, "endpoint failed") {
        slow += usize::from(proxy.ask("GET", "/", "") == 504);
        assert!(slow <= 3, "the endpoint never failed");
    }
    // A connect alone, which the kernel accepts, does not bring it back.
    eventually!(proxy.ask("GET", "/", "") == 504, "a trial");
    assert!(!says(&proxy, "endpoint is back"));
    answers.store(true, Ordering::SeqCst);
    eventually!(
        proxy.ask("GET", "/", "") != 0 && says(&proxy, "endpoint is back"),
        "an answer brings it back"
    );
}

#[test]
fn one_slow_page_does_not_cost_a_sound_endpoint_its_place() {
    let backend = RawBackend::start(|_, mut wire| {
        while let Some(head) = wire.try_read_head() {
            if !head.first.contains("/slow") {
                wire.send(OK);
            }
        }
    });
    let other = HttpBackend::start();
    let proxy = in_turn(
        [backend.address(), other.address()],
        "",
        "response_head = \"500ms\"",
    );
    let (done, waits) = mpsc::channel();
    for _ in 0..8 {
        let mut wire = proxy.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
        let done = done.clone();
        std::thread::spawn(move || done.send(wire.read_response().status()));
    }
    drop(done);
    let mut slow = 0;
    loop {
        assert_eq!(proxy.ask("GET", "/fast", ""), 200);
        match waits.try_recv() {
            Ok(status) => slow += usize::from(status == 504),
            Err(mpsc::TryRecvError::Empty) => {}
            Err(mpsc::TryRecvError::Disconnected) => break,
        }
    }
    assert!(slow >= 3, "{slow} pages were slow");
    assert!(!says(&proxy, "endpoint failed"), "{}", proxy.output());
}

#[test]
fn while_a_connect_hangs_the_others_go_elsewhere() {
    let sound = HttpBackend::start();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let _queued = deaden(&listener);
    let proxy = in_turn(
        [listener.local_addr().unwrap(), sound.address()],
        "connect_timeout = \"10s\"",
        "",
    );
    let (done, answers) = mpsc::channel();
    for _ in 0..8 {
        let mut wire = proxy.send(GET);
        let done = done.clone();
        std::thread::spawn(move || done.send(wire.read_response().status()));
    }
    for _ in 0..7 {
        assert_eq!(answers.recv_timeout(DEADLINE), Ok(200));
    }
    for _ in 0..4 {
        assert_eq!(proxy.ask("GET", "/", ""), 200);
    }
    assert!(
        !says(&proxy, "endpoint failed"),
        "the one that tries has not ended: the others did not wait for it"
    );
    assert_eq!(answers.try_recv(), Err(mpsc::TryRecvError::Empty));
}
