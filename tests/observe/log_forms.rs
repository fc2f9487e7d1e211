//! What lines of logs look like: for programs, for people, for tools that read Apache's format;
//! and that every line says what was asked, by whom, and why it was refused.

use std::net::TcpListener;
use std::process::Command;

use serde_json::Value;

use crate::support;
use support::proxy::binary;
use support::websocket::{self, close_payload, frame, handshake, masked_frame, open, read_frame};
use support::{EchoBackend, HttpBackend, Proxy};

const ASKING: &str = "GET /app HTTP/1.1\r\nHost: a.example\r\nUser-Agent: curl/8 \"q\"\r\n\
    Referer: https://ref.example/\r\nX-Tenant: blue\r\nX-Tenant: green, red\r\nAuthorization: Bearer hunter2\r\n\
    X-Api-Key: hunter2\r\n\r\n";

fn exchange(proxy: &Proxy) -> Value {
    proxy.wait_for_access("an exchange", |json| json["kind"] == "exchange")
}

#[test]
fn a_record_says_with_what_was_asked() {
    let backend = HttpBackend::start();
    let headers = "headers = [\"X-Tenant\", \"authorization\", \"x-api-key\", \"x-absent\"]";
    let proxy = Proxy::with(backend.address(), &format!("[log]\n{headers}\n"));
    proxy.send(ASKING).read_response();
    let record = exchange(&proxy);
    assert_eq!(record["user_agent"], "curl/8 \"q\"");
    assert_eq!(record["referer"], "https://ref.example/");
    assert_eq!(record["protocol"], "HTTP/1.1");
    let chosen = serde_json::json!({
        "x-tenant": "blue, green, red", "authorization": "redacted", "x-api-key": "redacted",
    });
    assert_eq!(record["headers"], chosen);
    assert_eq!(record["message"], "GET /app 200");
    assert!(!proxy.output().contains("hunter2"), "{}", proxy.output());
}

#[test]
fn events_and_records_begin_alike() {
    let proxy = Proxy::minimal(EchoBackend::start().address());
    let mut wire = open(&proxy, "/ws");
    wire.send(masked_frame(8, &close_payload(1000, "")));
    proxy.wait_for_tunnel_close();
    proxy.send("BAD\r\n\r\n").read_response();
    exchange(&proxy);
    for kind in ["event", "tunnel_open", "tunnel_close", "exchange"] {
        let line = proxy.wait_for_log(kind, |line| line.json["kind"] == kind);
        let (json, mut at) = (&line.json, 0);
        for name in ["time", "level", "kind", "message"] {
            let expected = format!("\"{name}\":{}", json[name]);
            assert_eq!(
                line.text[at + 1..].find(&expected),
                Some(0),
                "{}",
                line.text
            );
            at += 1 + expected.len();
        }
    }
}

/// Whatever is wrong with a request, and wherever it breaks off.
#[test]
fn what_was_read_of_a_refused_request_is_recorded() {
    let fields = "User-Agent: curl/8\r\nReferer: https://ref.example/\r\nX-Tenant: blue\r\n\
                  X-Api-Key: hunter2\r\n";
    let proxy = Proxy::with(
        HttpBackend::start().address(),
        "[log]\nheaders = [\"x-tenant\", \"x-api-key\"]\n[http]\nhead_timeout = \"1s\"\n\
         trusted_proxies = [\"127.0.0.1\"]\n",
    );
    for (path, request, protocol) in [
        ("/1", format!("GET /1 HTTP/1.1\r\n{fields}\r\n"), "HTTP/1.1"),
        (
            "/2",
            format!("GET /2 HTTP/1.0\r\nHost: x\r\n{fields}bad line\r\n\r\n"),
            "HTTP/1.0",
        ),
        (
            "/3",
            format!("GET /3 HTTP/3.7\r\nHost: x\r\n{fields}\r\n"),
            "HTTP/3.7",
        ),
        (
            "/4",
            format!("TRACE /4 HTTP/1.1\r\nHost: x\r\n{fields}\r\n"),
            "HTTP/1.1",
        ),
        // The rest of the head never comes.
        (
            "/5",
            format!("GET /5 HTTP/1.1\r\nHost: x\r\n{fields}X-Half: a"),
            "HTTP/1.1",
        ),
        (
            "/6",
            format!("GET /6 HTTP/1.1\r\n{fields}X-Forwarded-For: 192.0.2.7\r\n\r\n"),
            "HTTP/1.1",
        ),
    ] {
        let mut wire = proxy.send(request);
        assert!(wire.read_head().status() >= 400);
        let record = proxy.wait_for_access(path, |json| json["path"] == path);
        assert_eq!(record["protocol"], protocol, "{record}");
        if path == "/3" {
            // Nothing after a version that is not known is read as HTTP/1.1.
            continue;
        }
        assert_eq!(record["user_agent"], "curl/8", "{record}");
        assert_eq!(record["referer"], "https://ref.example/", "{record}");
        let chosen = serde_json::json!({ "x-tenant": "blue", "x-api-key": "redacted" });
        assert_eq!(record["headers"], chosen, "{record}");
        let client = record["client"].as_str().unwrap_or_default();
        match path {
            "/6" => assert_eq!(client, "192.0.2.7"),
            _ => assert!(client.starts_with("127.0.0.1:"), "{record}"),
        }
    }
    assert!(!proxy.output().contains("hunter2"), "{}", proxy.output());
}

#[test]
fn a_tunnel_is_numbered_from_its_opening() {
    let backend = EchoBackend::start();
    let proxy = Proxy::with(backend.address(), "[log]\nheaders = [\"x-tenant\"]\n");
    let own = proxy.address();
    let fields = "User-Agent: Test/1\r\nX-Tenant: blue\r\n";
    let mut wire = proxy.send(handshake(own, "/ws", fields));
    assert_eq!(wire.read_head().status(), 101);
    let opened = proxy.wait_for_access("the opening", |json| json["kind"] == "tunnel_open");
    wire.send(masked_frame(8, &close_payload(1000, "")));
    let closed = proxy.wait_for_tunnel_close();
    assert!(opened["tunnel"].is_u64(), "{opened}");
    assert_eq!(opened["tunnel"], closed["tunnel"]);
    assert_eq!(opened["user_agent"], "Test/1");
    assert_eq!(opened["headers"]["x-tenant"], "blue");
    assert_eq!(closed["message"], "tunnel closed by client: /ws");
}

#[test]
fn the_combined_format_is_what_tools_read() {
    let backend = EchoBackend::start();
    let web = HttpBackend::start();
    let proxy = Proxy::start(&format!(
        "[log]\nformat = \"combined\"\nquery = true\n[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\npath = \"/ws\"\nto = \"{}\"\n[[route]]\npath_prefix = \"/\"\nto = \"{}\"\n",
        backend.address(),
        web.address()
    ));
    proxy
        .send(ASKING.replace("/app", "/app?a=1"))
        .read_response();
    let plain = proxy.wait_for_log("a line", |line| line.text.contains("/app?a=1"));
    let (start, rest) = plain.text.split_once(" - - [").expect("the user");
    assert_eq!(start, "127.0.0.1");
    let (time, rest) = rest.split_once("] ").expect("the time");
    assert_eq!(time.len(), "28/Nov/2026:01:02:03 +0000".len(), "{time}");
    assert!(time.ends_with(" +0000"), "{time}");
    let (request, rest) = rest.split_once("\" ").expect("the request");
    assert_eq!(request, "\"GET /app?a=1 HTTP/1.1");
    let end = " \"https://ref.example/\" \"curl/8 \\\"q\\\"\"";
    assert!(rest.starts_with("200 ") && rest.ends_with(end), "{rest}");
    // Events are what they were.
    proxy.wait_for_log("an event", |line| line.json["message"] == "ready");
    let mut wire = open(&proxy, "/ws");
    proxy.wait_for_log("a tunnel", |line| {
        line.text.contains("\"GET /ws HTTP/1.1\" 101 - ")
    });
    wire.send(masked_frame(8, &close_payload(1000, "")));
    wire.read_until_close();
}

#[test]
fn a_person_reads_one_line_that_can_be_copied_from() {
    let backend = HttpBackend::start();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("sluice.toml");
    let text = format!(
        "[log]\nformat = \"human\"\n[admin]\nlisten = \"off\"\n[[listen]]\n\
         address = \"unix:{}\"\n[[route]]\nto = \"{}\"\n",
        folder.path().join("clients").display(),
        backend.address()
    );
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(binary());
    command
        .env_remove("RUST_LOG")
        .args(["run", "--config"])
        .arg(&config);
    let sluice = support::process::Process::spawn("sluice", &mut command);
    let ready = sluice.wait_for_line("ready", |line| line.text.contains(" INFO ready "));
    let mut client =
        std::os::unix::net::UnixStream::connect(folder.path().join("clients")).unwrap();
    std::io::Write::write_all(&mut client, ASKING.as_bytes()).unwrap();
    let line = sluice.wait_for_line("a line", |line| line.text.contains(" 200 GET "));
    assert!(line.text.contains("a.example/app"), "{}", line.text);
    assert!(
        line.text.contains("user_agent=curl/8 \"q\""),
        "{}",
        line.text
    );
    assert!(!line.text.contains('\x1b'), "a pipe has no colours");
    let version = format!("version={}", env!("CARGO_PKG_VERSION"));
    assert!(ready.text.contains(&version), "{}", ready.text);
}

#[test]
fn colours_are_for_terminals_without_no_color() {
    let shown = |no_colour: &str| {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("sluice.toml");
        let text = "[admin]\nlisten = \"off\"\n[[listen]]\naddress = \"127.0.0.1:0\"\n\
                    [[route]]\nrespond = { status = 200 }\n";
        std::fs::write(&config, text).unwrap();
        let (master, slave) = terminal();
        let mut child = Command::new(binary())
            .args(["run", "--config"])
            .arg(&config)
            .env("NO_COLOR", no_colour)
            .stderr(slave)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let mut text = String::new();
        for line in std::io::BufRead::lines(std::io::BufReader::new(master)) {
            let line = line.unwrap();
            text.push_str(&line);
            if line.contains("ready") {
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        text
    };
    let coloured = shown("");
    assert!(coloured.contains("\x1b[32m INFO\x1b[0m"), "{coloured:?}");
    let plain = shown("1");
    assert!(
        plain.contains(" INFO ready") && !plain.contains('\x1b'),
        "{plain:?}"
    );
}

/// A pseudo-terminal: this side, and that of the program.
fn terminal() -> (std::fs::File, std::fs::File) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&master).expect("a terminal");
    unlockpt(&master).expect("a terminal");
    let name = ptsname(&master, Vec::new()).expect("its name");
    let name = name.into_string().expect("its name");
    let slave = std::fs::File::options().read(true).write(true).open(name);
    (master.into(), slave.expect("its other side"))
}

#[test]
fn every_refusal_of_our_own_says_why_and_what_helps() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let proxy = Proxy::start(&format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\npath = \"/refused\"\nto = \"{closed}\"\n\
         [[route]]\npath = \"/unknown\"\nto = \"sluice-test.invalid:80\"\n\
         [[route]]\npath = \"/small\"\nmax_body = \"1B\"\nrespond = {{ status = 200 }}\n\
         [resolver]\nnameservers = [\"127.0.0.1:1\"]\ntimeout = \"100ms\"\n"
    ));
    let own = proxy.address();
    let plain = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let foreign = handshake(
        "app.example",
        "/refused",
        "Origin: https://other.example\r\n",
    );
    for (request, cause) in [
        (plain("/none"), "no-route"),
        (plain("/refused"), "connection-refused"),
        (plain("/unknown"), "dns-error"),
        (handshake(own, "/unknown", ""), "dns-error"),
        (foreign, "origin-not-allowed"),
        (
            "POST /small HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab".to_owned(),
            "request-too-large",
        ),
        ("GET /\r\n\r\n".to_owned(), "request-invalid"),
    ] {
        let before = proxy.access().len();
        proxy.send(&request).read_response();
        eventually!(proxy.access().len() > before);
        let record = proxy.access().swap_remove(before);
        assert_eq!(record["cause"], cause, "{record}");
        for name in ["likely", "fix", "detail", "error"] {
            let text = record[name].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "{name}: {record}");
        }
    }
}

#[test]
fn what_is_not_what_it_seems_is_spelled_everywhere() {
    let reason = "a\u{202e}b\u{9b}c\u{2028}d\u{200b}e";
    let backend = websocket::tunnel_backend(move |mut wire| {
        wire.send(frame(8, &close_payload(4000, reason)));
        read_frame(&mut wire);
    });
    let proxy = Proxy::minimal(backend.address());
    let mut wire = open(&proxy, "/ws");
    read_frame(&mut wire);
    wire.send(masked_frame(8, &close_payload(4000, "")));
    wire.read_until_close();
    let record = proxy.wait_for_tunnel_close();
    assert_eq!(record["upstream_close"]["reason"], reason);
    let line = proxy.wait_for_log("the line", |line| line.text.contains("tunnel_close"));
    let spelled = "a\\u202eb\\u009bc\\u2028d\\u200be";
    assert!(line.text.contains(spelled), "{}", line.text);
    let mut log = Command::new(binary());
    log.args(["log", "--past", "--admin", proxy.admin()]);
    let mut log = log.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(log.stdout.take().unwrap()));
    let closed = lines
        .map(Result::unwrap)
        .find(|line| line.contains(" closed "));
    log.kill().unwrap();
    log.wait().unwrap();
    let spelled = "a\\u{202e}b\\u{9b}c\\u{2028}d\\u{200b}e";
    assert!(
        closed.as_ref().is_some_and(|line| line.contains(spelled)),
        "{closed:?}"
    );
}

#[test]
fn the_first_event_says_which_sluice_and_which_file() {
    let backend = HttpBackend::start();
    let proxy = Proxy::minimal(backend.address());
    let ready = proxy.wait_for_log("ready", |line| line.json["message"] == "ready");
    assert_eq!(ready.json["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(ready.json["config"], proxy.config().to_str().unwrap());
    assert_eq!(ready.json["kind"], "event");
}

#[test]
fn spans_are_milliseconds_for_programs() {
    let backend = HttpBackend::start();
    let mut proxy = Proxy::with(
        backend.address(),
        "[drain]\ndelay = \"10ms\"\nover = \"1500ms\"\n",
    );
    proxy.terminate();
    assert_eq!(proxy.wait_exit().code(), Some(0));
    let event = |message: &str| {
        let message = message.to_owned();
        let line = proxy.wait_for_log("the event", move |line| {
            let said = line.json["message"].as_str();
            said.is_some_and(|said| said.starts_with(&message))
        });
        line.json
    };
    assert_eq!(event("not ready any more")["delay_ms"], 10);
    assert_eq!(event("draining;")["over_ms"], 1500);
    assert!(event("stopped")["totals"]["tunnels_opened"].is_u64());
}
