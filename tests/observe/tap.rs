//! `sluice tap`: what it shows of real tunnels, what the configuration keeps from it, and that
//! the tunnels lose nothing by it.

use crate::support;

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::Command;

use flate2::{Compress, Compression, FlushCompress};
use serde_json::{Value, json};
use support::process::{Line, Process, Stream};
use support::proxy::binary;
use support::websocket::{
    close_payload, frame, handshake, masked_frame, open, read_frame, switching, tunnel_backend,
};
use support::{DEADLINE, EchoBackend, Proxy, RawBackend, Wire};

/// A proxy with two routes to the backend, `/chat` and everything, and this `admin.tap`.
fn proxy(backend: SocketAddr, level: &str) -> Proxy {
    Proxy::start(&config(backend, level))
}

fn config(to: SocketAddr, level: &str) -> String {
    format!(
        "workers = 2\n[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\nname = \"chat\"\npath_prefix = \"/chat\"\nto = \"{to}\"\n\
         [[route]]\nname = \"rest\"\nto = \"{to}\"\n\
         [admin]\nlisten = \"127.0.0.1:0\"\ntap = \"{level}\"\n"
    )
}

/// Sends a frame and waits for its echo.
fn exchange(wire: &mut Wire, first: u8, payload: &[u8]) {
    wire.send(masked_frame(first & 0x7F, payload));
    assert_eq!(read_frame(wire), (first, payload.to_vec()));
}

/// A running `sluice tap` that has begun.
fn tap(proxy: &Proxy, arguments: &[&str]) -> Process {
    let mut command = Command::new(binary());
    command.arg("tap").args(["--admin", proxy.admin()]);
    let process = Process::spawn("sluice tap", command.args(arguments));
    process.wait_for_line("the beginning", |line| line.text.contains(" tapped"));
    process
}

/// What it has printed of frames.
fn printed(process: &Process) -> Vec<Line> {
    let lines = process.lines().into_iter();
    lines.filter(|line| line.stream == Stream::Stdout).collect()
}

/// Runs it to its end; JSON lines.
fn end(mut process: Process, count: usize) -> Vec<Value> {
    assert!(process.wait_exit(DEADLINE).success());
    eventually!(printed(&process).len() >= count);
    let lines = printed(&process);
    assert_eq!(lines.len(), count, "{lines:?}");
    lines.into_iter().map(|line| line.json).collect()
}

fn taps(proxy: &Proxy) -> u64 {
    let status: Value = serde_json::from_str(&proxy.get_admin("/v1/status").1).expect("JSON");
    status["taps"].as_u64().expect("a count")
}

#[test]
fn frames_of_both_sides_are_printed_in_their_order() {
    let backend = EchoBackend::start();
    let proxy = proxy(backend.address(), "payload");
    let mut chat = open(&proxy, "/chat");
    let mut rest = open(&proxy, "/else");
    let mut tap = tap(&proxy, &["--route", "chat", "--payload", "--count", "6"]);
    exchange(&mut rest, 0x81, b"of another route");
    exchange(&mut chat, 0x81, "hé\u{1b}[2J".as_bytes());
    exchange(&mut chat, 0x82, &[0xFE; 3]);
    exchange(&mut chat, 0x88, &close_payload(4000, "bye"));
    assert!(tap.wait_exit(DEADLINE).success());
    eventually!(printed(&tap).len() == 6);
    let said = [
        "client -> upstream  text               7  \"hé\\u{1b}[2J\"",
        "upstream -> client    text               7  \"hé\\u{1b}[2J\"",
        "client -> upstream  binary             3  fefefe",
        "upstream -> client    binary             3  fefefe",
        "client -> upstream  close              5  4000 \"bye\"",
        "upstream -> client    close              5  4000 \"bye\"",
    ];
    for (line, said) in printed(&tap).iter().zip(said) {
        assert!(line.text.ends_with(said), "{said}: {}", line.text);
        assert!(line.text.contains(" #"), "{}", line.text);
    }
}

#[test]
fn payloads_are_shown_only_where_they_are_allowed() {
    let backend = EchoBackend::start();
    let proxy = proxy(backend.address(), "headers");
    let mut wire = open(&proxy, "/chat");
    let refused = proxy.command(&["tap", "--payload"]);
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    for part in ["admin.tap is \"headers\"", "only where it is \"payload\""] {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(proxy.get_admin("/v1/tap?payload=true").0, 403);

    let tap = tap(&proxy, &["--json", "--count", "2"]);
    exchange(&mut wire, 0x81, b"password");
    let frames = end(tap, 2);
    for (shown, from) in frames.iter().zip(["client", "upstream"]) {
        assert_eq!(
            (&shown["from"], &shown["opcode"]),
            (&json!(from), &json!("text"))
        );
        assert_eq!(
            (&shown["length"], &shown["captured"]),
            (&json!(8), &json!(0))
        );
        assert_eq!(
            (&shown["route"], &shown["number"]),
            (&json!("chat"), &json!(1))
        );
        assert!(
            shown["time_us"].as_u64() > Some(1_600_000_000_000_000),
            "{shown}"
        );
        assert!(!shown.to_string().contains("password"), "{shown}");
    }
}

#[test]
fn a_tap_can_be_forbidden_and_a_reload_forbids_one_at_work() {
    let backend = EchoBackend::start();
    let proxy = proxy(backend.address(), "payload");
    let mut wire = open(&proxy, "/chat");
    let mut tap = tap(&proxy, &["--payload"]);
    let event = proxy.reload(&config(backend.address(), "off"));
    assert_eq!(event["needs_restart"], json!([]), "{event}");
    exchange(&mut wire, 0x81, b"secret");
    assert!(!tap.wait_exit(DEADLINE).success());
    tap.wait_for_line("why", |line| line.text.contains("admin.tap is \"off\""));
    assert!(printed(&tap).is_empty(), "{:?}", printed(&tap));
    eventually!(taps(&proxy) == 0);
    let (status, body) = proxy.get_admin("/v1/tap");
    assert_eq!(status, 403);
    assert!(body.contains("admin.tap is \\\"off\\\""), "{body}");
}

#[test]
fn what_cannot_be_tapped_is_refused_with_a_word() {
    let backend = EchoBackend::start();
    let proxy = proxy(backend.address(), "payload");
    let _wire = open(&proxy, "/chat");
    for (query, status, said) in [
        ("tunnel=x", 400, "a tunnel's number"),
        ("tunnel=999999", 404, "no tunnel 999999"),
        ("payload=1", 400, "true or false"),
        ("bytes=5", 400, "payload=true"),
        ("payload=true&bytes=65537", 400, "65536"),
        ("payload=true&bytes=0", 400, "65536"),
        ("colour=red", 400, "colour"),
    ] {
        let (code, body) = proxy.get_admin(&format!("/v1/tap?{query}"));
        assert_eq!(code, status, "{query}: {body}");
        assert!(body.contains(said), "{query}: {body}");
    }
    eventually!(taps(&proxy) == 0);
    let held: Vec<Process> = (0..4).map(|_| tap(&proxy, &[])).collect();
    assert_eq!(taps(&proxy), 4);
    let (code, body) = proxy.get_admin("/v1/tap");
    assert_eq!(code, 503, "{body}");
    assert!(body.contains("4 taps"), "{body}");
    // Readers that go leave nothing behind, on silent tunnels too.
    drop(held);
    eventually!(taps(&proxy) == 0);
}

#[test]
fn tunnels_that_open_come_to_it_and_a_file_is_lines_of_json() {
    let backend = EchoBackend::start();
    let proxy = proxy(backend.address(), "payload");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("frames.jsonl");
    let file = path.to_str().expect("UTF-8");
    let mut tap = tap(
        &proxy,
        &["--payload", "--bytes", "4", "--write", file, "--count", "4"],
    );
    let mut wire = open(&proxy, "/chat");
    exchange(&mut wire, 0x81, b"hello");
    exchange(&mut wire, 0x82, b"\0\x01\x02\x03\x04");
    assert!(tap.wait_exit(DEADLINE).success());
    assert!(printed(&tap).is_empty());
    let text = std::fs::read_to_string(&path).expect("the file");
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 4);
    assert_eq!(
        (&lines[0]["text"], &lines[0]["length"]),
        (&json!("hell"), &json!(5))
    );
    assert_eq!(
        (&lines[3]["base64"], &lines[3]["captured"]),
        (&json!("AAECAw=="), &json!(4))
    );
    assert_eq!(lines[0]["event"], "frame");
    let mode = std::fs::metadata(&path)
        .expect("the file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600, "what users send is not for everybody");
}

/// A sender with permessage-deflate, which keeps its context.
struct Deflate(Compress);

impl Deflate {
    fn message(&mut self, text: &[u8]) -> Vec<u8> {
        let mut payload = Vec::with_capacity(text.len() + 1024);
        let flush = FlushCompress::Sync;
        self.0
            .compress_vec(text, &mut payload, flush)
            .expect("there is room");
        payload.truncate(payload.len() - 4);
        payload
    }
}

#[test]
fn compressed_messages_are_inflated_where_they_can_be() {
    const AGREED: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let backend = RawBackend::start(|_, mut wire| {
        wire.read_head();
        wire.send(switching(AGREED));
        wire.read_until_close();
    });
    let proxy = proxy(backend.address(), "payload");
    let mut wire = proxy.send(handshake(proxy.address(), "/chat", AGREED));
    assert_eq!(wire.read_head().status(), 101);
    let mut sender = Deflate(Compress::new(Compression::default(), false));
    let text = b"{\"kind\":\"greeting\",\"text\":\"hello, hello\"}";
    let send = |wire: &mut Wire, first: u8, part: &[u8]| {
        let mut frame = masked_frame(0, part);
        frame[0] = first;
        wire.send(frame);
    };
    send(&mut wire, 0xC1, &sender.message(text));
    let tunnels = || {
        let (_, body) = proxy.get_admin("/v1/tunnels");
        serde_json::from_str::<Value>(&body).expect("JSON")
    };
    eventually!(tunnels()["tunnels"][0]["from_client"]["messages"] == 1);

    let tap = tap(&proxy, &["--payload", "--json", "--count", "5"]);
    send(&mut wire, 0xC1, &sender.message(text));
    // A fresh start, in two fragments with a Ping between them.
    sender.0.reset();
    let fresh = sender.message(text);
    let (first, second) = fresh.split_at(fresh.len() / 2);
    send(&mut wire, 0x41, first);
    send(&mut wire, 0x89, b"?");
    send(&mut wire, 0x80, second);
    send(&mut wire, 0xC1, &sender.message(text));
    let frames = end(tap, 5);
    assert_eq!(
        frames[0]["not_inflated"],
        "compressed, its context began before the tap"
    );
    assert_eq!(
        (&frames[0]["rsv1"], &frames[0]["compressed"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(
        (&frames[2]["opcode"], &frames[2]["text"]),
        (&json!("ping"), &json!("?"))
    );
    let part = |index: usize| frames[index]["inflated_text"].as_str().unwrap_or_default();
    assert_eq!([part(1), part(3)].concat().as_bytes(), text);
    assert_eq!(part(4).as_bytes(), text, "it refers to the one before");
    assert!(frames[4]["length"].as_u64() < Some(12), "{}", frames[4]);
}

#[test]
fn what_is_too_much_is_counted_and_the_tunnel_loses_nothing() {
    const FRAMES: u64 = 20_000;
    let backend = tunnel_backend(|mut wire| {
        for _ in 0..FRAMES {
            read_frame(&mut wire);
        }
        wire.send(frame(2, b"all"));
        wire.read_until_close();
    });
    let proxy = proxy(backend.address(), "headers");
    let mut wire = open(&proxy, "/chat");
    let tap = tap(&proxy, &["--json"]);
    wire.send(masked_frame(1, b"x").repeat(FRAMES as usize));
    assert_eq!(read_frame(&mut wire), (0x82, b"all".to_vec()));
    let count = |process: &Process| {
        let lines = printed(process);
        let from_client = lines.iter().filter(|line| line.json["from"] == "client");
        let lost = lines.iter().filter_map(|line| line.json["frames"].as_u64());
        (from_client.count() as u64, lost.sum::<u64>())
    };
    let sent = || {
        let (shown, lost) = count(&tap);
        shown + lost
    };
    eventually!(sent() >= FRAMES);
    let (shown, lost) = count(&tap);
    // The backend's own frame may be among those that are lost.
    assert!(shown + lost <= FRAMES + 1, "{shown} {lost}");
    assert!(shown >= 1000 && lost > 0, "{shown} {lost}");
}

#[test]
fn a_reader_that_reads_nothing_holds_nobody_up() {
    let backend = EchoBackend::start();
    let proxy = Proxy::start(&format!(
        "workers = 1\n[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\nto = \"{}\"\n",
        backend.address()
    ));
    let mut silent = UnixStream::connect(proxy.admin_socket()).expect("it accepts");
    silent
        .write_all(b"GET /v1/tap HTTP/1.0\r\nHost: localhost\r\n\r\n")
        .expect("a request");
    let mut reader = BufReader::new(silent.try_clone().expect("a descriptor"));
    let mut line = String::new();
    while !line.starts_with("event: begun") {
        line.clear();
        assert!(reader.read_line(&mut line).expect("an answer") > 0);
    }
    let mut wire = open(&proxy, "/");
    let many = masked_frame(1, b"x").repeat(500);
    for _ in 0..20 {
        wire.send(&many);
        for _ in 0..500 {
            assert_eq!(read_frame(&mut wire), (0x81, b"x".to_vec()));
        }
    }
    assert_eq!(taps(&proxy), 1);
    drop((silent, reader));
    eventually!(taps(&proxy) == 0);
}
