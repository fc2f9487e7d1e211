//! What a hostile or broken peer may try with the connection itself: bytes at the wrong time,
//! ends at the wrong place, answers that nobody asked for. Nothing may be lost, doubled,
//! smuggled or left hanging.

use crate::support;

use std::io::{ErrorKind, Read, Write};
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use support::websocket::handshake;
use support::{DEADLINE, HttpBackend, Proxy, RawBackend, Wire};

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A backend that tells of each request head, and answers when it is told what.
fn held() -> (RawBackend, Receiver<()>, Sender<Vec<u8>>) {
    let (arrived, seen) = mpsc::channel();
    let (answer, answers) = mpsc::channel::<Vec<u8>>();
    let both = Mutex::new((arrived, answers));
    let backend = RawBackend::start(move |_, mut wire| {
        while wire.try_read_head().is_some() {
            let both = both.lock().unwrap();
            let _ = both.0.send(());
            let Ok(answer) = both.1.recv() else { return };
            wire.try_send(answer);
        }
    });
    (backend, seen, answer)
}

fn sized(length: usize) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").into_bytes();
    answer.resize(answer.len() + length, b'x');
    answer
}

#[test]
fn a_handshake_that_becomes_no_tunnel_ends_its_connection_whoever_answers() {
    let backend = HttpBackend::start();
    let proxy = Proxy::start(&format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\npath = \"/app\"\nto = \"{}\"\n\
         [[route]]\npath = \"/own\"\nrespond = {{ status = 200, body = \"mine\" }}\n\
         [[route]]\npath = \"/away\"\nredirect = {{ status = 302, to = \"http://y/\" }}\n",
        backend.address()
    ));
    for (path, status) in [("/nowhere", 404), ("/own", 200), ("/away", 302)] {
        let mut wire = proxy.connect();
        let early =
            "GET /app HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n";
        wire.send(handshake(proxy.address(), path, "") + early);
        let response = wire.read_response();
        assert_eq!(response.status(), status, "{path}: {response:?}");
        assert!(
            response.head.has_token("connection", "close"),
            "{path}: {response:?}"
        );
        wire.expect_close();
    }
    assert!(backend.requests().is_empty(), "{:?}", backend.requests());
    // The same answers keep the connection of a plain request.
    let mut wire = proxy.send("GET /own HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(wire.read_response().text(), "mine");
    wire.send("GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(wire.read_response().status(), 404);
}

#[test]
fn early_hints_never_land_inside_an_earlier_answer() {
    let (backend, seen, answer) = held();
    let proxy = Proxy::minimal(backend.address());
    // The kernel takes all of the small ones and part of the large ones.
    for size in [2, 300_000, 3_000_000, 8_000_000] {
        let mut wire = proxy.send([GET, GET].concat());
        seen.recv_timeout(DEADLINE).expect("the first request");
        answer.send(sized(size)).unwrap();
        let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(3) + OK;
        answer.send(hints.into_bytes()).unwrap();
        let early = seen.recv_timeout(Duration::from_millis(100)).is_ok();
        let first = wire.read_response();
        assert!(first.complete && first.body.len() == size, "{size}");
        assert!(first.body.iter().all(|byte| *byte == b'x'), "{size}");
        for _ in 0..3 {
            assert_eq!(wire.read_head().status(), 103, "{size}");
        }
        assert_eq!(wire.read_response().text(), "ok", "{size}");
        if !early {
            seen.recv_timeout(DEADLINE).expect("the second request");
        }
    }
}

#[test]
fn garbage_behind_a_request_does_not_cost_it_its_answer() {
    let (backend, seen, answer) = held();
    let proxy = Proxy::minimal(backend.address());
    let garbage = "GET / HTTP/1.1\r\nHost : x\r\n\r\n";
    // Large ones are still in the proxy when the garbage is to be answered.
    for size in [2, 300_000, 3_000_000, 8_000_000] {
        let mut wire = proxy.send(GET);
        seen.recv_timeout(DEADLINE).expect("the request");
        wire.send(garbage);
        // Long enough for the proxy to have read it; a slower one makes the test easier.
        wire.expect_silence(Duration::from_millis(100));
        answer.send(sized(size)).unwrap();
        let first = wire.read_response();
        assert_eq!(first.status(), 200, "{size}");
        assert!(
            first.complete && first.body.len() == size,
            "{size}: {}",
            first.body.len()
        );
        assert_eq!(wire.read_response().status(), 400, "{size}");
        wire.expect_close();
    }
}

#[test]
fn a_bad_chunk_gets_one_answer_that_names_it() {
    let backend = HttpBackend::start();
    let proxy = Proxy::minimal(backend.address());
    for path in ["/sink", "/unread"] {
        let mut wire = proxy.send(format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
        ));
        wire.try_send("zz\r\n");
        let answers = String::from_utf8_lossy(&wire.read_until_close()).into_owned();
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{path}: {answers}");
        if path == "/sink" {
            assert!(answers.starts_with("HTTP/1.1 400"), "{answers}");
            assert!(answers.contains("chunk"), "{answers}");
        }
    }
}

#[test]
fn a_bad_chunk_behind_the_beginning_of_an_answer_breaks_it_off() {
    let backend = RawBackend::start(|_, mut wire| {
        wire.read_head();
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
        wire.read_until_close();
    });
    let proxy = Proxy::minimal(backend.address());
    let mut wire =
        proxy.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    assert_eq!(wire.read_head().status(), 200);
    wire.read_until(b"first\r\n");
    wire.send("zz\r\n");
    wire.expect_close();
}

#[test]
fn a_break_is_a_reset_where_the_end_of_the_connection_is_the_end_of_the_answer() {
    let backend = RawBackend::start(|n, mut wire| {
        wire.read_head();
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
        if n == 1 {
            wire.read_until_close();
        }
    });
    let proxy = Proxy::with(
        backend.address(),
        "[route.timeouts]\nresponse_idle = \"500ms\"",
    );
    // The upstream ends it, or falls silent; a client that half-closes waits for all of it.
    for half_closing in [false, true] {
        let mut wire = proxy.send("GET / HTTP/1.0\r\nHost: x\r\n\r\n");
        if half_closing {
            wire.read_until(b"first");
            wire.shutdown_write();
        }
        let mut rest = Vec::new();
        let end = wire.read_to_end(&mut rest).map_err(|error| error.kind());
        let rest = String::from_utf8_lossy(&rest);
        assert_eq!(end, Err(ErrorKind::ConnectionReset), "{rest}");
    }
}

#[test]
fn nothing_is_sent_again_once_an_interim_answer_came() {
    let backend = RawBackend::start(|_, mut wire| {
        wire.read_head();
        wire.send(OK);
        wire.read_head();
        wire.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    });
    let proxy = Proxy::with(backend.address(), "[log]\nlevel = \"info\"");
    let mut wire = proxy.send(GET);
    wire.read_response();
    wire.send(GET);
    assert_eq!(wire.read_head().status(), 103);
    assert_eq!(wire.read_response().status(), 502);
    assert_eq!(backend.accepted(), 1);
}

#[test]
fn large_answers_leave_a_connection_that_is_reused() {
    let backend = HttpBackend::start();
    let proxy = Proxy::minimal(backend.address());
    let mut wire = proxy.connect();
    for _ in 0..10 {
        for size in [70_000, 200_000, 1 << 20] {
            wire.send(format!("GET /bytes/{size} HTTP/1.1\r\nHost: x\r\n\r\n"));
            assert_eq!(wire.read_response().body.len(), size);
        }
    }
    assert_eq!(backend.accepted(), 1);
}

#[test]
fn five_thousand_connections_leave_no_descriptor_behind() {
    let backend = HttpBackend::start();
    let proxy = Proxy::with(backend.address(), "[http]\nkeepalive_timeout = \"60s\"");
    proxy.send(GET).read_response();
    let before = proxy.open_files();
    for n in 0..5000 {
        let mut wire = proxy.connect();
        match n % 4 {
            0 => drop(wire),
            1 => {
                wire.send("GET / HT");
                wire.reset();
            }
            2 => {
                wire.send(GET);
                drop(wire);
            }
            _ => {
                wire.send(handshake(proxy.address(), "/status/403", ""));
                assert_eq!(wire.read_response().status(), 403);
            }
        }
    }
    // What stays are the workers' pools of upstream connections.
    eventually!(
        proxy.open_files() <= before + 200,
        "{} of {before}",
        proxy.open_files()
    );
}

#[test]
fn many_workers_share_connections_evenly() {
    let backend = HttpBackend::start();
    let proxy = Proxy::start(&format!(
        "workers = 4\n[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\nto = \"{}\"\n",
        backend.address()
    ));
    let before = proxy.watched_by_each();
    let wires: Vec<Wire> = (0..40).map(|_| proxy.connect()).collect();
    let shares = || -> Vec<usize> {
        let after = proxy.watched_by_each();
        let grown = before.iter().map(|(epoll, n)| after[epoll] - n);
        grown.filter(|n| *n > 4).collect()
    };
    // A reactor holds its epoll descriptor more than once; a few more are the control
    // thread's own, registered late.
    let even = |shares: Vec<usize>| shares.len() >= 4 && shares.iter().all(|n| *n == 10);
    eventually!(even(shares()), "{:?}", shares());
    drop(wires);
}

#[test]
fn connections_beyond_the_limit_are_closed() {
    let backend = HttpBackend::start();
    let proxy = Proxy::with(backend.address(), "[http]\nmax_connections = 2");
    let mut first = proxy.send(GET);
    first.read_response();
    let mut second = proxy.send(GET);
    second.read_response();
    proxy.connect().expect_close();
    drop(first);
    let served = || {
        let mut again = proxy.connect();
        again.try_send(GET) && again.try_read_head().is_some()
    };
    eventually!(served(), "there is room again");
    // However many they are, one line tells of it.
    let told = |what: &str| {
        let lines = proxy.lines();
        lines.iter().filter(|line| line.text.contains(what)).count()
    };
    eventually!(told("clients are turned away no more") == 1);
    assert_eq!(told("`http.max_connections` allows are open"), 1);
}

#[test]
fn records_of_an_idle_proxy_survive_its_end() {
    let backend = HttpBackend::start();
    for workers in [1, 3] {
        let mut proxy = Proxy::start(&format!(
            "workers = {workers}\n[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\nto = \"{}\"\n",
            backend.address()
        ));
        for _ in 0..3 {
            let mut wire =
                proxy.send("GET /status/204 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            assert_eq!(wire.read_response().status(), 204);
        }
        proxy.terminate();
        assert!(proxy.wait_exit().success());
        eventually!(proxy.access().len() == 3, "{workers}: {:?}", proxy.access());
    }
}

#[test]
fn an_exchange_that_is_cut_leaves_its_record_and_exit_code_3() {
    let (backend, seen, _answer) = held();
    let mut proxy = Proxy::with(
        backend.address(),
        "[drain]\nover = \"0s\"\ndeadline = \"0s\"",
    );
    let _wire = proxy.send("GET /cut HTTP/1.1\r\nHost: x\r\n\r\n");
    seen.recv_timeout(DEADLINE).expect("the request arrives");
    proxy.terminate();
    assert_eq!(proxy.wait_exit().code(), Some(3));
    eventually!(proxy.access().iter().any(|json| json["path"] == "/cut"));
}

/// Writes until nothing is taken any more, and says how much was.
fn push(wire: &mut Wire) -> usize {
    let stream = wire.second().into_stream();
    stream
        .set_write_timeout(Some(Duration::from_secs(1)))
        .expect("a socket option");
    let mut pushed = 0;
    while let Ok(n) = (&stream).write(&[b'x'; 65536]) {
        pushed += n;
    }
    pushed
}

#[test]
fn who_does_not_read_holds_the_other_side_back() {
    const MIB: u64 = 1024 * 1024;
    let (pushed, download) = mpsc::channel();
    let pushed = Mutex::new(pushed);
    let (done, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let backend = RawBackend::start(move |_, mut wire| {
        if wire.read_head().first.starts_with("GET") {
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n");
            pushed.lock().unwrap().send(push(&mut wire)).unwrap();
        }
        let _ = wait.lock().unwrap().recv();
    });
    let proxy = Proxy::minimal(backend.address());
    proxy.reset_peak_memory();
    let before = proxy.peak_memory();
    let _reader = proxy.send(GET);
    let download = download.recv_timeout(DEADLINE).expect("the upstream stops");
    let mut writer =
        proxy.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000000\r\n\r\n");
    let upload = push(&mut writer);
    // What the kernel holds for four sockets is not the proxy's.
    assert!(
        download < 64 << 20 && upload < 64 << 20,
        "{download} {upload}"
    );
    let grown = proxy.peak_memory() - before;
    assert!(grown < 16 * MIB, "{grown} bytes");
    drop(done);
}
