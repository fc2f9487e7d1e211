//! The case of field names: as they came, in both directions, and the usual capitals where
//! sluice writes a name of its own.

use crate::support;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use support::{Proxy, RawBackend, Wire};

fn proxy(backend: &RawBackend) -> Proxy {
    Proxy::with(
        backend.address(),
        "[route.request_headers]\nset = { x-added = \"a\" }\n\
         [route.response_headers]\nset = { x-added = \"a\" }\n",
    )
}

fn names(head: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(head);
    let lines = text.lines().skip(1).filter_map(|line| line.split_once(':'));
    lines.map(|(name, _)| name.trim().to_owned()).collect()
}

#[track_caller]
fn has(names: &[String], wanted: &[&str]) {
    for name in wanted {
        assert!(
            names.iter().any(|one| one == name),
            "no {name} in {names:?}"
        );
    }
}

/// A backend that notes the head of each request to the byte.
fn noting(answer: impl Into<Vec<u8>>) -> (RawBackend, Arc<Mutex<Vec<Vec<u8>>>>) {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let (ours, answer) = (heads.clone(), answer.into());
    let backend = RawBackend::start(move |_, mut wire| {
        loop {
            let head = wire.read_until(b"\r\n\r\n");
            let last = head.windows(6).any(|part| part == b"/last ");
            ours.lock().unwrap().push(head);
            wire.send(&answer);
            if last {
                return;
            }
        }
    });
    (backend, heads)
}

const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-LENGTH: 2\r\nx-lower: a\r\nX-MiXed: b\r\n\
    SET-cookie: a\r\nETAG: \"x\"\r\nset-Cookie: b\r\n\r\nok";

#[test]
fn requests_keep_the_names_of_their_fields() {
    let (backend, heads) = noting(ANSWER);
    let proxy = proxy(&backend);
    let mut wire = proxy.connect();
    wire.send("GET /a HTTP/1.1\r\nhost: x\r\nSOAPAction: y\r\nx-lower: z\r\nX-API-KEY: k\r\n\r\n");
    wire.read_response();
    // In pieces, two at once, and with a body.
    for piece in [
        "GET /b HTTP/1.1\r\nHO",
        "ST: x\r\nsoapACTION: y",
        "\r\nDnt: 1\r\n\r\n",
    ] {
        wire.send(piece);
    }
    wire.read_response();
    wire.send("POST /c HTTP/1.1\r\nHost: x\r\nx-C: 1\r\nCONTENT-length: 0\r\n\r\nGET /last HTTP/1.1\r\nHOsT: x\r\nX-d: 1\r\n\r\n");
    wire.read_response();
    wire.read_response();
    let heads = heads.lock().unwrap();
    has(
        &names(&heads[0]),
        &["host", "SOAPAction", "x-lower", "X-API-KEY", "X-Added"],
    );
    has(&names(&heads[1]), &["HOST", "soapACTION", "Dnt"]);
    has(&names(&heads[2]), &["Host", "x-C", "CONTENT-length"]);
    has(&names(&heads[3]), &["HOsT", "X-d"]);
    has(
        &names(&heads[0]),
        &[
            "X-Added",
            "X-Forwarded-For",
            "X-Forwarded-Proto",
            "X-Request-Id",
        ],
    );
}

/// A browser's heads have the usual spelling but for its client hints, which are in lower case.
#[test]
fn client_hints_keep_the_names_that_browsers_give_them() {
    let (backend, heads) = noting(ANSWER);
    let proxy = proxy(&backend);
    let mut wire = proxy.connect();
    for names in [
        ["sec-ch-ua", "sec-ch-ua-mobile", "sec-ch-ua-platform"],
        ["Sec-CH-UA", "Sec-CH-UA-Mobile", "SEC-ch-ua-platform"],
    ] {
        let lines = names.map(|name| format!("{name}: x\r\n")).concat();
        wire.send(format!("GET /last HTTP/1.1\r\nHost: x\r\n{lines}\r\n"));
        wire.read_response();
        let heads = heads.lock().unwrap();
        has(&self::names(heads.last().unwrap()), &names);
    }
}

#[test]
fn answers_keep_the_names_of_their_fields() {
    let (backend, _heads) = noting(ANSWER);
    let proxy = proxy(&backend);
    for (method, body) in [("GET", "ok"), ("HEAD", "")] {
        let mut wire = proxy.send(format!("{method} /last HTTP/1.1\r\nHost: x\r\n\r\n"));
        let head = wire.read_until(b"\r\n\r\n");
        let wanted = [
            "Content-LENGTH",
            "x-lower",
            "X-MiXed",
            "SET-cookie",
            "ETAG",
            "set-Cookie",
        ];
        has(&names(&head), &wanted);
        has(&names(&head), &["X-Added", "Date"]);
        assert_eq!(wire.read_exact(body.len()), body.as_bytes());
    }
}

#[test]
fn large_and_streamed_answers_too_and_nothing_in_their_bodies() {
    let body = "date: x\r\nx-lower: y\r\n\r\n".repeat(20_000);
    let long = "v".repeat(3000);
    let length = format!("content-Length: {}\r\n\r\n{body}", body.len());
    let chunks = format!(
        "Transfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    for rest in [length, chunks] {
        let answer = format!("HTTP/1.1 200 OK\r\nX-LONG: {long}\r\nX-MiXed: b\r\n{rest}");
        let (backend, _heads) = noting(answer);
        let proxy = proxy(&backend);
        let mut wire = proxy.send("GET /last HTTP/1.1\r\nHost: x\r\n\r\n");
        let head = wire.read_head();
        let seen: Vec<_> = head.fields.iter().map(|(name, _)| name.clone()).collect();
        has(&seen, &["X-LONG", "X-MiXed", "X-Added"]);
        assert!(wire.read_body(head).text() == body, "the body is changed");
    }
}

/// The client leaves more answers unread than its socket takes, each small enough to be given
/// to hyper whole.
#[test]
fn pipelined_answers_too_after_some_that_were_left_unread() {
    const EACH: usize = 4000;
    const ALL: usize = 5000;
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let backend = RawBackend::start(move |_, mut wire| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-LENGTH: {EACH}\r\nX-MiXed: b\r\n\r\n");
        let answer = [head.as_bytes(), &[b'x'; EACH]].concat();
        while wire.try_read_head().is_some() && wire.try_send(&answer) {
            counted.fetch_add(1, Relaxed);
        }
    });
    let proxy = proxy(&backend);
    let mut wire = proxy.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(ALL));
    // Until no more goes on: a machine that is slower makes the test easier.
    let mut seen = 0;
    while seen == 0 || asked.load(Relaxed) > seen {
        seen = asked.load(Relaxed);
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(seen < ALL, "all of it is in sockets");
    for _ in 0..ALL {
        let head = wire.read_head();
        let seen: Vec<_> = head.fields.iter().map(|(name, _)| name.clone()).collect();
        has(&seen, &["X-MiXed", "Content-LENGTH", "X-Added"]);
        assert_eq!(wire.read_body(head).body.len(), EACH);
    }
}

#[test]
fn answers_of_our_own_have_the_usual_capitals() {
    let backend = RawBackend::answering("no answer at all\r\n\r\n");
    let proxy = proxy(&backend);
    for request in [
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
    ] {
        let head = proxy.send(request).read_until(b"\r\n\r\n");
        has(
            &names(&head),
            &[
                "Content-Type",
                "Content-Length",
                "Proxy-Status",
                "X-Request-Id",
            ],
        );
    }
}

#[test]
fn handshakes_keep_names_and_have_those_of_the_rfc() {
    let backend = RawBackend::start(|_, mut wire: Wire| {
        let head = wire.read_until(b"\r\n\r\n");
        has(
            &names(&head),
            &["Host", "Sec-WebSocket-Key", "X-Lower", "X-API-KEY"],
        );
        wire.send(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
             sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSET-cookie: a\r\n\r\n",
        );
        wire.read_until_close();
    });
    let proxy = proxy(&backend);
    let mut wire = proxy.send(
        "GET /ws HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         x-lower: a\r\nX-API-KEY: b\r\n\r\n",
    );
    let head = wire.read_until(b"\r\n\r\n");
    has(
        &names(&head),
        &[
            "Upgrade",
            "Connection",
            "Sec-WebSocket-Accept",
            "SET-cookie",
        ],
    );
}

#[test]
fn a_switch_keeps_the_reason_phrase() {
    for reason in ["Web Socket Protocol Handshake", "Switching Protocols", ""] {
        let backend = RawBackend::answering(format!(
            "HTTP/1.1 101 {reason}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
        ));
        let proxy = proxy(&backend);
        let mut wire = proxy.send(
            "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        );
        let head = wire.read_until(b"\r\n");
        let line = format!("HTTP/1.1 101 {reason}\r\n");
        assert_eq!(String::from_utf8_lossy(&head), line);
    }
}

/// Everything where sluice writes a configured name: to both sides, in plain exchanges, both kinds
/// of switches, answers of its own and refusals.
#[test]
fn configured_names_keep_their_case() {
    let (backend, heads) = noting(ANSWER);
    let websocket = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    let tcp = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n";
    let (sockets, handshakes) = noting(websocket);
    let (streams, switches) = noting(tcp);
    let edits = "[route.request_headers]\nset = { SOAPAction = \"a\", x-plain = \"b\" }\n\
        add = { \"X-API-Key\" = [\"c\", \"d\"] }\n\
        [route.response_headers]\nset = { X-XSS-protection = \"0\", ETag = \"e\" }\n";
    let mut toml = String::from(
        "[http]\nrequest_id = \"X-Request-ID\"\n[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\npath = \"/own\"\nrespond = { status = 200 }\n\
         [route.response_headers]\nset = { X-OWN = \"a\" }\n",
    );
    for (path, to, more) in [
        ("/plain", &backend, ""),
        ("/ws", &sockets, ""),
        ("/tcp", &streams, "upgrade = [\"tcp\"]\n"),
    ] {
        let to = to.address();
        toml += &format!("[[route]]\npath_prefix = \"{path}\"\nto = \"{to}\"\n{more}{edits}");
    }
    let proxy = Proxy::start(&toml);
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (request, answer) in [
        // What the client writes in another way is replaced, whatever its way.
        (
            "GET /plain/last HTTP/1.1\r\nhost: x\r\nsoapACTION: y\r\nx-api-key: z\r\n\r\n"
                .to_owned(),
            "X-XSS-protection",
        ),
        (
            format!("GET /ws/last HTTP/1.1\r\nHost: x\r\n{upgrade}\r\n"),
            "X-XSS-protection",
        ),
        (
            "GET /tcp/last HTTP/1.1\r\nHost: x\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n"
                .to_owned(),
            "X-XSS-protection",
        ),
        ("GET /own HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), "X-OWN"),
        (
            "GET /none HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            "X-Request-ID",
        ),
        ("GET /none HTTP/1.1\r\n\r\n".to_owned(), "X-Request-ID"),
    ] {
        let head = proxy.send(&request).read_until(b"\r\n\r\n");
        has(&names(&head), &[answer]);
        if request.starts_with("GET /own") {
            has(&names(&head), &["X-Request-ID"]);
        }
    }
    for heads in [heads, handshakes, switches] {
        let head = heads.lock().unwrap()[0].clone();
        has(
            &names(&head),
            &["SOAPAction", "X-Plain", "X-API-Key", "X-Request-ID"],
        );
        let spelled = names(&head);
        let keys = spelled.iter().filter(|name| *name == "X-API-Key");
        assert!(keys.count() >= 2, "{spelled:?}");
    }
}

#[test]
fn a_request_id_of_the_configured_name_is_written_without_edits_too() {
    let (backend, heads) = noting(ANSWER);
    let proxy = Proxy::start(&format!(
        "[http]\nrequest_id = \"X-Request-ID\"\n[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\nto = \"{}\"\n",
        backend.address()
    ));
    proxy
        .send("GET /last HTTP/1.1\r\nHost: x\r\n\r\n")
        .read_response();
    has(&names(&heads.lock().unwrap()[0]), &["X-Request-ID"]);
}

#[test]
fn trailers_keep_the_names_of_their_fields() {
    let answered = "HTTP/1.1 200 OK\r\nTrailer: X-SUM, x-lower, X-Usual\r\n\
        Transfer-Encoding: chunked\r\n\r\n";
    let section = "0\r\nX-SUM: 7\r\nx-lower: a\r\nX-Usual: b\r\n\r\n";
    for size in [3, 30_000] {
        let body = "X-SUM: 1\r\n0\r\n\r\n".repeat(size / 3);
        let chunk = format!("{:x}\r\n{body}\r\n", body.len());
        let (seen, answer) = (
            Arc::new(Mutex::new(Vec::new())),
            format!("{answered}{chunk}"),
        );
        let ours = seen.clone();
        let backend = RawBackend::start(move |_, mut wire| {
            loop {
                let mut request = wire.read_until(b"\r\n\r\n");
                request.extend(wire.read_until(b"\r\n0\r\n"));
                request.extend(wire.read_until(b"\r\n\r\n"));
                let last = request.windows(6).any(|part| part == b" /last");
                ours.lock().unwrap().push(request);
                wire.send(&answer);
                // In the middle of a name.
                wire.send(&section[..6]);
                wire.send(&section[6..]);
                if last {
                    return;
                }
            }
        });
        let proxy = proxy(&backend);
        let mut wire = proxy.connect();
        let request = |path: &str, fields: &str| {
            format!(
                "POST {path} HTTP/1.1\r\nHost: x\r\nTE: trailers\r\nConnection: TE\r\n\
                 Trailer: any\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n{fields}\r\n"
            )
        };
        // Two at once, of which each has names of its own; and one in pieces.
        wire.send(request("/a", "X-ONE: 1\r\nx-two: 2\r\n") + &request("/b", "x-ONE: 1\r\n"));
        for _ in 0..2 {
            let head = wire.read_head();
            let answer = wire.read_body(head);
            assert!(answer.text() == body, "the body is changed");
            let names: Vec<_> = answer
                .trailers
                .iter()
                .map(|(name, _)| name.as_str())
                .collect();
            assert_eq!(names, ["X-SUM", "x-lower", "X-Usual"]);
        }
        for piece in request("/last", "X-tHree: 3\r\n").as_bytes().chunks(7) {
            wire.send(piece);
        }
        let head = wire.read_head();
        assert!(wire.read_body(head).text() == body, "the body is changed");
        let seen = seen.lock().unwrap();
        for (request, section) in seen.iter().zip([
            "\r\n0\r\nX-ONE: 1\r\nx-two: 2\r\n\r\n",
            "\r\n0\r\nx-ONE: 1\r\n\r\n",
            "\r\n0\r\nX-tHree: 3\r\n\r\n",
        ]) {
            let text = String::from_utf8_lossy(request);
            assert!(text.ends_with(section), "{text}");
        }
    }
}
