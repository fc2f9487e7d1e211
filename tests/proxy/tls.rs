//! TLS on a listener, with clients that are not ours: what is agreed on, which certificate a name
//! gets, what is refused and how it is told. Tunnels over TLS are in `tls_tunnel`.

use crate::support;

use std::net::TcpStream;
use std::process::Command;

use serde_json::Value;
use support::proxy::field;
use support::tls::{Authority, Files, text};
use support::{Foreign, HttpBackend, Proxy, Tool, Wire, foreign};

/// A proxy with TLS in front of the backend; `more` are further keys of `[listen.tls]`.
fn secure(backend: std::net::SocketAddr, files: &Files, more: &str) -> Proxy {
    Proxy::start(&format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[listen.tls]\n{}{more}\n\
         [[route]]\nto = \"{backend}\"\n",
        files.toml()
    ))
}

fn certificate(files: &Files) -> String {
    format!("[[listen.tls.certificate]]\n{}", files.toml())
}

/// The event of a failed handshake of this kind.
fn failed(proxy: &Proxy, kind: &str) -> Value {
    let line = proxy.wait_for_log(kind, |line| {
        *field(&line.json, "message") == "a TLS handshake failed"
            && *field(&line.json, "reason") == kind
    });
    line.json
}

fn errors(proxy: &Proxy, kind: &str) -> f64 {
    let scrape = proxy.scrape();
    scrape.sum("sluice_tls_handshake_errors_total", &[("reason", kind)])
}

#[test]
fn curl_keeps_a_connection_alive_and_the_upstream_learns_of_https() {
    if !Tool::require("curl") {
        return;
    }
    let (authority, backend) = (Authority::new(), HttpBackend::start());
    let files = authority.pair(&["a.test"]);
    let proxy = secure(backend.address(), &files, "");
    let urls = ["https://a.test/one", "https://a.test/two"];
    let arguments = [
        urls[0],
        urls[1],
        "--write-out",
        "%{num_connects} %{ssl_verify_result}\\n",
    ];
    let output = authority.curl("a.test", proxy.address(), &arguments);
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("1 0\n") && said.contains("0 0\n"), "{said}");
    let seen = backend.requests();
    assert_eq!(seen.len(), 2);
    for request in &seen {
        let port = "443".to_owned();
        for (name, value) in [("x-forwarded-proto", "https"), ("x-forwarded-port", &port)] {
            let fields = request["headers"].as_array().unwrap();
            assert!(
                fields.contains(&serde_json::json!([name, value])),
                "{request}"
            );
        }
    }
    let record = proxy.wait_for_access("the request", |json| json["path"] == "/two");
    assert_eq!(record["tls_version"], "TLSv1.3");
    assert_eq!(record["tls_server_name"], "a.test");
    assert!(
        record["tls_cipher"]
            .as_str()
            .unwrap()
            .starts_with("TLS_AES_"),
        "{record}"
    );
}

#[test]
fn openssl_gets_the_versions_that_are_spoken_and_no_other() {
    if !Tool::require("openssl") {
        return;
    }
    let (authority, backend) = (Authority::new(), HttpBackend::start());
    let files = authority.pair(&["a.test"]);
    let both = secure(backend.address(), &files, "");
    let current = secure(backend.address(), &files, "min_version = \"1.3\"");
    let ask = |proxy: &Proxy, version: &str| {
        let arguments = [
            version,
            "-servername",
            "a.test",
            "-verify_hostname",
            "a.test",
            "-brief",
        ];
        text(&authority.s_client(proxy.address(), &arguments, ""))
    };
    for (proxy, version, agreed) in [
        (&both, "-tls1_2", "Protocol version: TLSv1.2"),
        (&both, "-tls1_3", "Protocol version: TLSv1.3"),
        (&current, "-tls1_3", "Protocol version: TLSv1.3"),
    ] {
        let said = ask(proxy, version);
        assert!(
            said.contains(agreed) && said.contains("Verification: OK"),
            "{said}"
        );
    }
    let said = ask(&current, "-tls1_2");
    assert!(said.contains("alert protocol version"), "{said}");
    let event = failed(&current, "version");
    assert!(
        field(&event, "fix")
            .as_str()
            .unwrap()
            .contains("min_version"),
        "{event}"
    );
}

#[test]
fn a_name_gets_its_certificate_and_a_client_the_key_that_it_understands() {
    if !Tool::require("openssl") {
        return;
    }
    let (authority, backend) = (Authority::new(), HttpBackend::start());
    let first = authority.pair(&["a.test"]);
    let more = [
        authority.rsa_pair(&["a.test"]),
        authority.pair(&["*.b.test"]),
        authority.pair(&["x.b.test"]),
    ];
    let blocks: String = more.iter().map(certificate).collect();
    let proxy = secure(backend.address(), &first, &blocks);
    let subject = |arguments: &[&str]| {
        let said = text(&authority.s_client(proxy.address(), arguments, ""));
        let found = said
            .lines()
            .find_map(|line| line.trim().strip_prefix("subject="));
        let key = said
            .lines()
            .find(|line| line.contains("Peer signature type"));
        let key = key.map_or("", |line| line.rsplit(": ").next().unwrap_or(""));
        format!("{} {key}", found.unwrap_or(&said).replace(' ', ""))
    };
    for (arguments, wanted) in [
        (&["-servername", "a.test"][..], "CN=a.test ECDSA"),
        (&["-servername", "A.Test"], "CN=a.test ECDSA"),
        (&["-servername", "x.b.test"], "CN=x.b.test ECDSA"),
        (&["-servername", "y.b.test"], "CN=*.b.test ECDSA"),
        (&["-servername", "z.y.b.test"], "CN=a.test ECDSA"),
        (&["-servername", "unknown.test"], "CN=a.test ECDSA"),
        (&["-noservername"], "CN=a.test ECDSA"),
        (
            &["-servername", "a.test", "-sigalgs", "RSA-PSS+SHA256"],
            "CN=a.test RSA-PSS",
        ),
        (
            &["-servername", "a.test", "-tls1_2", "-cipher", "aRSA"],
            "CN=a.test RSA-PSS",
        ),
    ] {
        assert_eq!(subject(arguments), wanted, "{arguments:?}");
    }
    text(&authority.s_client(
        proxy.address(),
        &["-servername", "x.b.test", "-sigalgs", "RSA-PSS+SHA256"],
        "",
    ));
    failed(&proxy, "no_certificate");
}

#[test]
fn an_unknown_name_is_refused_where_that_is_wanted() {
    if !Tool::require("openssl") {
        return;
    }
    let (authority, backend) = (Authority::new(), HttpBackend::start());
    let files = authority.pair(&["a.test"]);
    let proxy = secure(backend.address(), &files, "unknown_name = \"refuse\"");
    for arguments in [&["-servername", "b.test"][..], &["-noservername"]] {
        let said = text(&authority.s_client(proxy.address(), arguments, ""));
        assert!(said.contains("unrecognized name"), "{said}");
    }
    let event = failed(&proxy, "unknown_name");
    assert_eq!(*field(&event, "server_name"), "b.test");
    let said = text(&authority.s_client(proxy.address(), &["-servername", "a.test", "-brief"], ""));
    assert!(said.contains("CONNECTION ESTABLISHED"), "{said}");
}

#[test]
fn a_session_is_resumed_by_its_ticket() {
    if !Tool::require("openssl") {
        return;
    }
    let (authority, backend) = (Authority::new(), HttpBackend::start());
    let files = authority.pair(&["a.test"]);
    for (more, version, resumed) in [
        ("", "-tls1_3", true),
        ("", "-tls1_2", true),
        ("session_tickets = false", "-tls1_3", false),
        ("session_tickets = false", "-tls1_2", false),
    ] {
        let proxy = secure(backend.address(), &files, more);
        let session = authority.path("session");
        let session = session.to_str().unwrap();
        let request = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
        let ask = |option: &str| {
            let arguments = [
                version,
                "-servername",
                "a.test",
                "-ign_eof",
                option,
                session,
            ];
            text(&authority.s_client(proxy.address(), &arguments, request))
        };
        let said = ask("-sess_out");
        assert!(
            said.contains("New, TLS") && said.contains("200 OK"),
            "{said}"
        );
        let said = ask("-sess_in");
        assert_eq!(
            said.contains("Reused, TLS"),
            resumed,
            "{more} {version}: {said}"
        );
        let _ = std::fs::remove_file(session);
    }
}

#[test]
fn the_key_exchange_is_post_quantum_first_and_x25519_is_taken() {
    let (authority, backend) = (Authority::new(), HttpBackend::start());
    let files = authority.pair(&["a.test"]);
    let proxy = secure(backend.address(), &files, "");
    let group = |config: rustls::ClientConfig| {
        let name = "a.test".try_into().unwrap();
        let mut client = rustls::ClientConnection::new(config.into(), name).unwrap();
        let mut socket = TcpStream::connect(proxy.address()).unwrap();
        socket.set_read_timeout(Some(support::DEADLINE)).unwrap();
        while client.is_handshaking() {
            client.complete_io(&mut socket).unwrap();
        }
        client.negotiated_key_exchange_group().unwrap().name()
    };
    assert_eq!(
        group(authority.client()),
        rustls::NamedGroup::X25519MLKEM768
    );
    if Tool::require("openssl") {
        let arguments = ["-servername", "a.test", "-groups", "X25519", "-brief"];
        let said = text(&authority.s_client(proxy.address(), &arguments, ""));
        assert!(said.contains("Server Temp Key: X25519"), "{said}");
    }
}

#[test]
fn what_is_not_tls_is_told_so() {
    let (authority, backend) = (Authority::new(), HttpBackend::start());
    let files = authority.pair(&["a.test"]);
    let proxy = secure(backend.address(), &files, "");
    let mut wire =
        proxy.send("GET /plain?x HTTP/1.1\r\nHost: a.test\r\nAccept: text/plain\r\n\r\n");
    let head = wire.read_head();
    assert_eq!(head.status(), 400);
    let said = String::from_utf8(wire.read_until_close()).unwrap();
    assert!(
        said.contains("this port speaks TLS") && said.contains("https://"),
        "{said}"
    );
    let status = head.field("proxy-status").unwrap();
    assert!(status.contains("http_request_error"), "{status}");
    let record = proxy.wait_for_access("the request", |json| json["path"] == "/plain");
    assert_eq!(
        (record["status"].as_u64(), &record["host"]),
        (Some(400), &"a.test".into())
    );

    for bytes in [
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
        "SSH-2.0-x\r\n",
        "\0\0\0\0",
    ] {
        proxy.send(bytes).expect_close();
    }
    let detail = |json: &Value| field(json, "detail").as_str().unwrap_or("").to_owned();
    proxy.wait_for_log("the PROXY protocol", |line| {
        detail(&line.json).contains("PROXY")
    });
    assert!(backend.requests().is_empty());
    // Not worth a line each: what connects and leaves.
    drop(proxy.connect());
    eventually!(errors(&proxy, "closed") >= 1.0);
    let counted = ["plain_http", "not_tls"].map(|kind| errors(&proxy, kind));
    assert_eq!(counted, [1.0, 3.0]);
}

#[test]
fn a_hello_comes_byte_by_byte_or_is_given_up() {
    let (authority, backend) = (Authority::new(), HttpBackend::start());
    let files = authority.pair(&["a.test"]);
    let proxy = secure(backend.address(), &files, "handshake_timeout = \"600ms\"");
    let name = "a.test".try_into().unwrap();
    let mut client = rustls::ClientConnection::new(authority.client().into(), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    let mut wire = proxy.connect();
    for byte in &hello {
        wire.send([*byte]);
    }
    let answer = wire.read_exact(5);
    assert_eq!(answer[..2], [0x16, 3], "a ServerHello");
    // It says nothing more, as the others never did.
    let mut half = proxy.send(&hello[..hello.len() / 2]);
    let mut silent = proxy.connect();
    wire.read_until_close();
    half.expect_close();
    silent.expect_close();
    eventually!(errors(&proxy, "timeout") == 3.0);
}

#[test]
fn handshakes_beyond_the_limit_wait_for_their_turn() {
    let (authority, backend) = (Authority::new(), HttpBackend::start());
    let files = authority.pair(&["a.test"]);
    let more = "max_handshakes = 2\nhandshake_timeout = \"2s\"";
    let proxy = secure(backend.address(), &files, more);
    let hello = || {
        let name = "a.test".try_into().unwrap();
        let mut client = rustls::ClientConnection::new(authority.client().into(), name).unwrap();
        let mut hello = Vec::new();
        client.write_tls(&mut hello).unwrap();
        hello
    };
    // Two that stop in the middle hold both places; those that have said nothing hold none.
    let _silent: Vec<Wire> = (0..4).map(|_| proxy.connect()).collect();
    let mut stopped: Vec<Wire> = (0..2).map(|_| proxy.send(hello())).collect();
    for wire in &mut stopped {
        assert_eq!(wire.read_exact(2), [0x16, 3]);
    }
    let mut third = proxy.send(hello());
    drop(stopped);
    assert_eq!(third.read_exact(2), [0x16, 3], "a place was free again");
}

#[test]
fn libraries_of_python_and_node_reach_a_server_over_wss() {
    if !["python", "node"].into_iter().all(foreign::require) {
        return;
    }
    let authority = Authority::new();
    let files = authority.pair(&["localhost"]);
    for server in ["python", "node"] {
        let backend = Foreign::server(server);
        let proxy = secure(backend.address(), &files, "");
        let port = proxy.address().port();
        for client in ["python", "node"] {
            let (url, origin) = (
                format!("wss://localhost:{port}/ws"),
                format!("https://localhost:{port}"),
            );
            let report = foreign::client_with(client, &url, &origin, |command: &mut Command| {
                command.env("SSL_CERT_FILE", authority.file());
                command.env("NODE_EXTRA_CA_CERTS", authority.file());
            });
            let report = report.unwrap_or_else(|why| panic!("{client} to {server}: {why:?}"));
            assert_eq!(report["close_code"], 4001, "{client} to {server}");
            let record = proxy.wait_for_access("an opening", |json| json["kind"] == "tunnel_open");
            assert_eq!(record["tls_server_name"], "localhost");
        }
    }
}

#[test]
fn an_origin_of_http_is_another_one_on_a_listener_with_tls() {
    let (authority, backend) = (Authority::new(), HttpBackend::start());
    let files = authority.pair(&["a.test"]);
    let proxy = secure(backend.address(), &files, "");
    let status = |origin: &str| {
        let more = format!("Origin: {origin}\r\n");
        let handshake = support::websocket::handshake("a.test", "/", &more);
        let bridge = support::tls::Bridge::start(proxy.address(), "a.test", authority.client());
        let mut wire = Wire::connect(bridge.address());
        wire.send(handshake);
        wire.read_head().status()
    };
    assert_eq!(status("http://a.test"), 403);
    assert_ne!(status("https://a.test"), 403);
}

#[test]
fn a_slow_client_does_not_hold_up_others() {
    if !Tool::require("curl") {
        return;
    }
    let (authority, backend) = (Authority::new(), HttpBackend::start());
    let files = authority.pair(&["a.test"]);
    let proxy = secure(backend.address(), &files, "handshake_timeout = \"1m\"");
    let _slow: Vec<Wire> = (0..64).map(|_| proxy.send(b"\x16\x03\x01")).collect();
    let output = authority.curl("a.test", proxy.address(), &["https://a.test/"]);
    assert!(output.status.success(), "{}", text(&output));
}
