//! The ways in and out other than TCP over IPv4, and the forms a request target may have.

use crate::support;

use std::os::unix::net::UnixStream;

use support::websocket::{handshake, open, switching};
use support::{EchoBackend, HttpBackend, Proxy, RawBackend, Wire};

/// A proxy in front of itself: in by one unix socket, out by another one.
#[test]
fn unix_sockets_carry_http_and_websocket_both_ways() {
    let http = HttpBackend::start();
    let echo = EchoBackend::start();
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("sluice.sock");
    let inner = Proxy::start(&format!(
        "[[listen]]\naddress = \"unix:{}\"\nmode = \"600\"\n\
         [[route]]\nto = \"{}\"\n\
         [[route]]\nto = \"{}\"\n[route.websocket]\nmatch = true\n",
        path.display(),
        http.address(),
        echo.address(),
    ));
    let mut inner = inner;
    let outer = Proxy::start(&format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\nto = \"unix:{}\"\n",
        path.display()
    ));
    let mut wire = outer.send("GET /x HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(wire.read_response().json()["target"], "/x");
    let mut socket = support::websocket::connect(&outer, "/ws");
    support::websocket::exchange(&mut socket, "through two sockets".into());

    let mut direct = UnixStream::connect(&path).expect("the unix listener accepts");
    use std::io::{Read, Write};
    direct
        .write_all(b"GET /y HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    direct.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("\"/y\""), "{answer}");

    drop(socket);
    drop(wire);
    drop(outer);
    inner.terminate();
    assert!(inner.wait_exit().success());
    assert!(!path.exists(), "the socket's file is removed");
}

#[test]
fn ipv6_on_both_sides() {
    let listener = std::net::TcpListener::bind("[::1]:0").expect("IPv6 on the loopback");
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut wire = Wire::over(stream);
            let head = wire.read_head();
            if head.field("upgrade").is_some() {
                wire.send(switching(""));
                wire.send("hello");
            } else {
                let host = head.field("host").unwrap_or_default();
                wire.send(format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{host}",
                    host.len()
                ));
            }
        }
    });
    let proxy = Proxy::start(&format!(
        "[[listen]]\naddress = \"[::1]:0\"\n[[route]]\nto = \"{address}\"\n"
    ));
    let own = proxy.address();
    assert!(own.is_ipv6());
    let mut wire = proxy.send(format!("GET / HTTP/1.1\r\nHost: {own}\r\n\r\n"));
    assert_eq!(wire.read_response().text(), own.to_string());
    let origin = format!("Origin: http://{own}\r\n");
    let mut wire = proxy.send(handshake(own, "/", &origin));
    assert_eq!(wire.read_head().status(), 101);
    assert_eq!(wire.read_exact(5), b"hello");
    drop(wire);
    let _ = open(&proxy, "/");
}

#[test]
fn targets_in_every_form() {
    let backend = HttpBackend::start();
    let proxy = Proxy::minimal(backend.address());
    let host = |json: &serde_json::Value| -> Vec<String> {
        let fields = json["headers"].as_array().expect("pairs");
        let hosts = fields.iter().filter(|pair| pair[0] == "host");
        hosts
            .map(|pair| pair[1].as_str().unwrap().to_owned())
            .collect()
    };
    let endpoint = backend.address().to_string();
    for (request, target, wanted) in [
        (
            "GET http://a.test/p?q HTTP/1.1\r\nHost: other\r\n\r\n",
            "/p?q",
            "a.test",
        ),
        (
            "GET http://a.test:81 HTTP/1.1\r\nHost: a.test:81\r\n\r\n",
            "/",
            "a.test:81",
        ),
        ("OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n", "*", "a.test"),
        ("GET /old HTTP/1.0\r\n\r\n", "/old", &*endpoint),
        ("GET /a/../b//c HTTP/1.1\r\nHost: x\r\n\r\n", "/b//c", "x"),
    ] {
        let response = proxy.send(request).read_response();
        assert_eq!(response.status(), 200, "{request}");
        let seen = response.json();
        assert_eq!(seen["target"], target, "{request}");
        assert_eq!(host(&seen), [wanted], "{request}");
    }
}

#[test]
fn a_refused_handshake_is_logged_with_cause_and_remedy_and_without_its_query() {
    let backend =
        RawBackend::answering("HTTP/1.1 403 Forbidden\r\nContent-Length: 10\r\n\r\nForbidden\n");
    let proxy = Proxy::with(backend.address(), "set_host = \"app.internal\"");
    let own = proxy.address();
    let origin = format!("Origin: http://{own}\r\n");
    let mut wire = proxy.send(handshake(own, "/ws?token=secret", &origin));
    assert_eq!(wire.read_response().status(), 403);
    let record = proxy.wait_for_access("the exchange", |json| json["kind"] == "exchange");
    for name in [
        "cause",
        "likely",
        "fix",
        "upstream_said",
        "endpoint",
        "route",
    ] {
        assert!(
            record[name].as_str().is_some_and(|text| !text.is_empty()),
            "{name}: {record}"
        );
    }
    assert_eq!(record["upstream_said"], "Forbidden");
    assert!(
        record["likely"].as_str().unwrap().contains("Host"),
        "{record}"
    );
    assert!(!proxy.output().contains("secret"), "{}", proxy.output());
}
