//! Answers as backends really write them: their reasons, repeated lengths, odd lines, many
//! fields, and what stands on a connection behind them.

use crate::support;

use std::net::{SocketAddr, TcpListener};
use std::sync::Mutex;
use std::sync::mpsc;

use support::{Proxy, RawBackend, Wire};

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// One worker, so that "the pool" is one, with these lines in the upstream's table.
fn single(backend: SocketAddr, upstream: &str) -> Proxy {
    Proxy::start(&format!(
        "workers = 1\n[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\nupstream = \"app\"\n\
         [upstream.app]\nendpoints = \"{backend}\"\n{upstream}\n"
    ))
}

/// The head of the answer to a GET, to the byte.
fn raw_head(proxy: &Proxy) -> Vec<u8> {
    proxy.send(GET).read_until(b"\r\n\r\n")
}

#[test]
fn reason_phrases_pass_as_the_upstream_sent_them() {
    for line in [
        &b"529 Site is overloaded"[..],
        b"419 Page Expired",
        b"400 Name is required",
        b"200 Fine",
        b"200 ",
        b"529 ",
        b"404 Pas trouv\xe9 \xe2\x82\xac",
        b"503 back  off\tplease",
    ] {
        let head = [b"HTTP/1.1 ", line, b"\r\nContent-Length: 0\r\n\r\n"].concat();
        let backend = RawBackend::answering(head);
        let proxy = single(backend.address(), "");
        let wanted = [b"HTTP/1.1 ", line, b"\r\n"].concat();
        let got = raw_head(&proxy);
        assert!(got.starts_with(&wanted), "{}", got.escape_ascii());
    }
}

#[test]
fn a_missing_reason_is_written_as_an_empty_one() {
    let backend = RawBackend::answering("HTTP/1.1 599\r\nContent-Length: 0\r\n\r\n");
    let proxy = single(backend.address(), "");
    assert!(raw_head(&proxy).starts_with(b"HTTP/1.1 599 \r\n"));
}

#[test]
fn reasons_of_interim_answers_pass_too() {
    let backend = RawBackend::answering(format!("HTTP/1.1 103 Soon\r\nLink: </a>\r\n\r\n{OK}"));
    let proxy = single(backend.address(), "");
    let mut wire = proxy.send(GET);
    assert_eq!(wire.read_head().first, "HTTP/1.1 103 Soon");
    assert_eq!(wire.read_response().head.first, "HTTP/1.1 200 OK");
}

#[test]
fn an_answer_of_our_own_with_an_unknown_status_has_an_empty_reason() {
    let proxy = Proxy::start(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\nrespond = { status = 529 }\n",
    );
    assert!(raw_head(&proxy).starts_with(b"HTTP/1.1 529 \r\n"));
}

#[test]
fn copies_of_one_length_are_one() {
    for fields in [
        "Content-Length: 2\r\nContent-Length: 2\r\n",
        "Content-Length: 2, 2\r\n",
        "Content-Length : 2\r\n",
    ] {
        let backend = RawBackend::answering(format!("HTTP/1.1 200 OK\r\n{fields}\r\nok"));
        let proxy = single(backend.address(), "");
        let mut wire = proxy.connect();
        for _ in 0..2 {
            wire.send(GET);
            let answer = wire.read_response();
            assert_eq!(answer.head.all("content-length"), ["2"], "{fields}");
            assert_eq!(answer.text(), "ok", "{fields}");
        }
        assert_eq!(backend.accepted(), 1, "{fields}");
    }
    let backend = RawBackend::answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
    );
    let proxy = single(backend.address(), "");
    assert_eq!(proxy.send(GET).read_response().status(), 502);
}

#[test]
fn answers_without_content_keep_the_length_that_they_name() {
    let answer = "HTTP/1.1 304 Not Modified\r\nContent-Length: 1234\r\nETag: \"a\"\r\n\r\n";
    let backend = RawBackend::answering(answer);
    let proxy = single(backend.address(), "");
    let mut wire = proxy.connect();
    for method in ["GET", "HEAD", "GET"] {
        wire.send(format!("{method} / HTTP/1.1\r\nHost: x\r\n\r\n"));
        let head = wire.read_head();
        assert_eq!(head.status(), 304);
        assert_eq!(
            head.field("content-length").as_deref(),
            Some("1234"),
            "{method}"
        );
    }
    assert_eq!(backend.accepted(), 1);

    let backend = RawBackend::answering("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n");
    let proxy = single(backend.address(), "");
    let head = proxy.send("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n").read_head();
    assert_eq!(head.field("content-length").as_deref(), Some("1234"));
}

#[test]
fn many_cookies_pass_both_ways() {
    let cookies: String = (0..300)
        .map(|n| format!("Set-Cookie: c{n}=1\r\n"))
        .collect();
    let backend = RawBackend::start(move |_, mut wire| {
        let head = wire.read_head();
        assert_eq!(head.all("x-many").len(), 130);
        wire.send(format!(
            "HTTP/1.1 200 OK\r\n{cookies}Content-Length: 0\r\n\r\n"
        ));
    });
    let proxy = single(backend.address(), "");
    let lines = "X-Many: 1\r\n".repeat(130);
    let mut wire = proxy.send(format!("GET / HTTP/1.1\r\nHost: x\r\n{lines}\r\n"));
    assert_eq!(wire.read_response().head.all("set-cookie").len(), 300);
}

#[test]
fn the_number_of_lines_in_an_answer_is_a_setting() {
    let lines = "A: b\r\n".repeat(9);
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{lines}\r\n");
    let backend = RawBackend::answering(answer);
    let proxy = single(backend.address(), "max_header_lines = 10");
    assert_eq!(proxy.send(GET).read_response().status(), 200);
    let proxy = single(backend.address(), "max_header_lines = 9");
    let refused = proxy.send(GET).read_response();
    assert_eq!(refused.status(), 502);
    assert!(
        refused.text().contains("max_header_lines"),
        "{}",
        refused.text()
    );
}

#[test]
fn lenient_takes_what_devices_write_and_the_refusal_names_it() {
    for answer in [
        "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\n\r\nok",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1  200 OK\r\nContent-Length: 2\r\n\r\nok",
    ] {
        let backend = RawBackend::answering(answer);
        let strict = single(backend.address(), "");
        let refused = strict.send(GET).read_response();
        assert_eq!(refused.status(), 502, "{answer:?}");
        assert!(
            refused.text().contains("lenient = true"),
            "{}",
            refused.text()
        );
        let lenient = single(backend.address(), "lenient = true");
        let mut wire = lenient.connect();
        for _ in 0..2 {
            wire.send(GET);
            assert_eq!(wire.read_response().text(), "ok", "{answer:?}");
        }
    }
    let unclear = "HTTP/1.1 200 OK\nContent-Length: 2\nContent-Length: 3\n\nok!";
    let backend = RawBackend::answering(unclear);
    let lenient = single(backend.address(), "lenient = true");
    assert_eq!(lenient.send(GET).read_response().status(), 502);
    let folded = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n \r\n\r\nok";
    let backend = RawBackend::answering(folded);
    for more in ["", "lenient = true"] {
        let refused = single(backend.address(), more).send(GET).read_response();
        assert_eq!(refused.status(), 502);
        assert!(refused.text().contains("no setting takes"), "{more}");
        assert!(!refused.text().contains("lenient"), "{more}");
    }
}

/// Everything that the client is told: the head and the body.
fn told(request: &str, proxy: &Proxy) -> (u16, String) {
    let answer = proxy.send(request).read_response();
    (
        answer.status(),
        format!("{:?} {}", answer.head, answer.text()),
    )
}

#[test]
fn errors_tell_the_public_no_name_and_no_address() {
    const HANDSHAKE: &str = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    const JSON: &str = "Accept: application/json\r\n\r\n";
    let closed = {
        let unused = TcpListener::bind("127.0.0.1:0").unwrap();
        unused.local_addr().unwrap()
    };
    let mute = RawBackend::start(|_, mut wire| drop(wire.read_head()));
    let garbage = RawBackend::answering("SSH-2.0-internal\r\n");
    let halfway = RawBackend::start(|_, mut wire| {
        wire.read_head();
        wire.send("HTTP/1.1 200 OK\r\nX: y");
    });
    let switching = RawBackend::answering("HTTP/1.1 101 X\r\nUpgrade: internal\r\n\r\n");
    let slow = RawBackend::start(|_, mut wire| {
        wire.read_head();
        wire.read_until_close();
    });
    for (endpoint, status) in [
        (closed.to_string(), 502),
        ("unix:/run/internal.sock".to_owned(), 502),
        ("internal.invalid:80".to_owned(), 502),
        (mute.address().to_string(), 502),
        (garbage.address().to_string(), 502),
        (halfway.address().to_string(), 502),
        (switching.address().to_string(), 502),
        (slow.address().to_string(), 504),
    ] {
        let (_, port) = endpoint.rsplit_once(':').unwrap();
        let port = if port.len() > 2 { port } else { "internal" };
        let limit = if status == 504 { "1ms" } else { "30s" };
        for detail in ["public", "full"] {
            let proxy = Proxy::start(&format!(
                "[[listen]]\naddress = \"127.0.0.1:0\"\n[http]\nerror_detail = \"{detail}\"\n\
                 [[route]]\nupstream = \"internal\"\n\
                 timeouts = {{ response_head = \"{limit}\" }}\n\
                 websocket = {{ handshake_timeout = \"{limit}\" }}\n\
                 [upstream.internal]\nendpoints = \"{endpoint}\"\n\
                 [resolver]\ntimeout = \"100ms\"\n"
            ));
            let mut named = 0;
            for request in [
                GET.to_owned(),
                GET.replace("\r\n\r\n", &format!("\r\n{JSON}")),
                format!("{HANDSHAKE}\r\n"),
                format!("{HANDSHAKE}{JSON}"),
            ] {
                let (got, text) = told(&request, &proxy);
                assert_eq!(got, status, "{endpoint}: {text}");
                assert!(text.to_lowercase().contains("x-request-id"), "{text}");
                named += usize::from(text.contains(port) || text.contains("internal"));
            }
            match detail {
                "public" => assert_eq!(named, 0, "{endpoint}"),
                _ => assert!(named > 0, "{endpoint}"),
            }
            let logged = proxy.wait_for_access("the refusal", |json| json["error"].is_string());
            assert_eq!(logged["upstream"], "internal", "{logged}");
        }
    }
}

/// What the connection that is not to be used again would bring.
const STRAY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray";

/// Connections of the upstream after one answer with something wrong behind it and one GET of
/// another client, who must get his own answer.
fn connections_after(request: &str, first: &'static str) -> usize {
    let backend = RawBackend::start(move |n, mut wire: Wire| {
        wire.read_head();
        if n == 0 {
            wire.send(first);
            if wire.try_read_head().is_none() {
                return;
            }
        }
        wire.send(OK);
    });
    let proxy = single(backend.address(), "");
    let mut one = proxy.send(request);
    one.read_head();
    let other = proxy.send(GET).read_response();
    assert_eq!(other.text(), "ok", "after {first:?}");
    backend.accepted()
}

#[test]
fn a_connection_with_bytes_to_spare_is_not_used_again() {
    const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n";
    for (request, first) in [
        (
            GET,
            "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nstray",
        ),
        // The content may come later: nothing is to be seen of it yet.
        (GET, "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"),
        (
            GET,
            "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        (GET, "HTTP/1.1 204 No Content\r\n\r\nx"),
        (
            GET,
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nstray",
        ),
        (HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray"),
        (GET, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\r\n"),
        (GET, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nx"),
        (
            GET,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nx",
        ),
    ] {
        assert_eq!(connections_after(request, first), 2, "{first:?}");
    }
    let sound = "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(connections_after(GET, sound), 1);
}

#[test]
fn an_answer_that_no_request_asked_for_reaches_no_client() {
    let (send, sent) = mpsc::channel::<()>();
    let (done, was_done) = mpsc::channel::<()>();
    let (sent, done) = (Mutex::new(sent), Mutex::new(done));
    let backend = RawBackend::start(move |n, mut wire| {
        wire.read_head();
        wire.send(OK);
        if n % 2 == 0 {
            sent.lock().unwrap().recv().expect("the test goes on");
            wire.send(STRAY);
            done.lock().unwrap().send(()).expect("the test goes on");
        }
        while wire.try_read_head().is_some() {
            wire.send(OK);
        }
    });
    for _ in 0..20 {
        let proxy = single(backend.address(), "");
        let mut one = proxy.send(GET);
        assert_eq!(one.read_response().text(), "ok");
        let mut other = proxy.connect();
        // The stray answer and the next request come as close together as can be.
        send.send(()).unwrap();
        was_done.recv().unwrap();
        other.send(GET);
        assert_eq!(other.read_response().text(), "ok");
    }
    assert_eq!(backend.accepted(), 40);
}
