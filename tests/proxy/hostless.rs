//! Requests of HTTP/1.0 without Host: the upstream is told the endpoint's address, because a
//! request of HTTP/1.1 without a Host is refused.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use serde_json::Value;

use crate::support::{HttpBackend, Proxy};

const GET: &str = "GET /echo HTTP/1.0\r\n\r\n";

/// The values that the backend saw of a field.
fn values(seen: &Value, name: &str) -> Vec<String> {
    let lines = seen["headers"].as_array().expect("lines").iter();
    let own = lines.filter(|line| line[0] == name);
    own.map(|line| line[1].as_str().expect("text").to_owned())
        .collect()
}

#[test]
fn a_request_without_host_names_the_endpoint_that_answers() {
    let sound = HttpBackend::start();
    let dead = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let gone = dead.local_addr().expect("it is bound");
    drop(dead);
    for more in [
        "",
        "[http]\ntrusted_proxies = [\"127.0.0.0/8\"]\nforwarded = true\n",
    ] {
        let proxy = Proxy::start(&format!(
            "{more}[[listen]]\naddress = \"127.0.0.1:0\"\n\
             [upstream.app]\nbalance = \"round-robin\"\nretry_after = \"0s\"\n\
             endpoints = [\"{gone}\", \"{}\"]\n[[route]]\nupstream = \"app\"\n",
            sound.address()
        ));
        for _ in 0..4 {
            let seen = proxy.send(GET).read_response().json();
            assert_eq!(values(&seen, "host"), [sound.address().to_string()]);
            assert!(values(&seen, "x-forwarded-host").is_empty(), "{seen}");
        }
    }
}

#[test]
fn set_host_and_a_second_sluice_are_content() {
    let backend = HttpBackend::start();
    let inner = Proxy::minimal(backend.address());
    let proxy = Proxy::with(inner.address(), "");
    let seen = proxy.send(GET).read_response().json();
    assert_eq!(values(&seen, "host"), [inner.address().to_string()]);
    let proxy = Proxy::with(backend.address(), "set_host = \"app.test\"\n");
    let seen = proxy.send(GET).read_response().json();
    assert_eq!(values(&seen, "host"), ["app.test"]);
    assert!(values(&seen, "x-forwarded-host").is_empty(), "{seen}");
}

#[test]
fn a_socket_of_the_machine_is_localhost() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("app.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    let backend = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).expect("a head") > 0 {
            head.push(byte[0]);
        }
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        stream.write_all(answer).expect("an answer");
        String::from_utf8(head).expect("text")
    });
    let proxy = Proxy::start(&format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\nto = \"unix:{}\"\n",
        path.display()
    ));
    assert_eq!(proxy.send(GET).read_head().status(), 200);
    let head = backend.join().expect("the backend ends");
    assert!(head.contains("\r\nHost: localhost\r\n"), "{head}");
}
