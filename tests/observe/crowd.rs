//! Many who want the admin interface for themselves: short questions and commands are answered
//! all the same.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;

use crate::support::admin::{printed, status};
use crate::support::proxy::run;
use crate::support::{DEADLINE, HttpBackend, Proxy};

const MANY: usize = 200;

fn proxy(backend: &HttpBackend, admin: &str) -> Proxy {
    Proxy::with(backend.address(), admin)
}

/// Connects to the unix socket so often and sends this each time.
fn crowd(proxy: &Proxy, bytes: &str) -> Vec<UnixStream> {
    let one = |_| {
        let mut stream = UnixStream::connect(proxy.admin_socket()).expect("it accepts");
        let _ = stream.write_all(bytes.as_bytes());
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    };
    (0..MANY).map(one).collect()
}

fn everything_is_answered(proxy: &Proxy) {
    for path in ["/readyz", "/healthz", "/metrics", "/v1/tunnels"] {
        assert_eq!(proxy.get_admin(path).0, 200, "{path}");
    }
    let before = status(proxy)["generation"].as_u64().unwrap();
    for command in [&["status"][..], &["reload"], &["tunnels"]] {
        let (code, _, err) = printed(&proxy.command(command));
        assert_eq!(code, 0, "{command:?}: {err}");
    }
    assert_eq!(status(proxy)["generation"], before + 1);
}

#[test]
fn who_is_slow_makes_room() {
    let backend = HttpBackend::start();
    let proxy = proxy(&backend, "");
    let post = "POST /v1/reload HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                Content-Length: 9\r\n\r\n{";
    let mut slow = Vec::new();
    for begun in ["", "GET /readyz HTTP/1.1\r\nHo", post] {
        slow.extend(crowd(&proxy, begun));
        everything_is_answered(&proxy);
    }
    let mut first = slow.remove(0);
    assert_eq!(first.read(&mut [0]).expect("it is closed"), 0);
    proxy.wait_for_log("that they were cut", |line| {
        line.text
            .contains("slow connections of the admin interface")
    });
}

#[test]
fn followers_have_a_limit_of_their_own() {
    let backend = HttpBackend::start();
    let proxy = proxy(&backend, "");
    let follow = "GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let followers = crowd(&proxy, follow);
    let (mut accepted, mut refused) = (0, 0);
    for mut one in followers.iter() {
        let mut head = [0; 12];
        one.read_exact(&mut head).expect("an answer");
        match &head {
            b"HTTP/1.1 200" => accepted += 1,
            b"HTTP/1.1 503" => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((accepted, refused), (32, MANY - 32));
    everything_is_answered(&proxy);
    // They still follow.
    let mut text = String::new();
    let mut first = &followers[0];
    while !text.contains("event: reload") {
        let mut some = [0; 4096];
        let n = first.read(&mut some).expect("what happens");
        assert!(n > 0, "the stream goes on: {text}");
        text.push_str(&String::from_utf8_lossy(&some[..n]));
    }
}

#[test]
fn strangers_go_before_who_has_brought_the_token() {
    let backend = HttpBackend::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "correct-horse-battery\n").unwrap();
    let proxy = proxy(
        &backend,
        &format!(
            "[admin]\nlisten = \"127.0.0.1:0\"\ntoken_file = \"{}\"\n",
            file.display()
        ),
    );
    let address: SocketAddr = proxy.admin().parse().unwrap();
    let connect = || {
        let stream = TcpStream::connect(address).expect("it accepts");
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    };
    let mut known = connect();
    let ask = |known: &mut TcpStream| {
        let request = "GET /v1/drains HTTP/1.1\r\nHost: localhost\r\n\
                       Authorization: Bearer correct-horse-battery\r\n\r\n";
        known.write_all(request.as_bytes()).expect("it reads");
        let mut answer = Vec::new();
        while !answer.ends_with(b"[]") {
            let mut byte = [0];
            known.read_exact(&mut byte).expect("an answer");
            answer.extend(byte);
        }
    };
    ask(&mut known);
    let strangers: Vec<TcpStream> = (0..MANY)
        .map(|_| {
            let mut stranger = connect();
            let _ = stranger.write_all(b"GET /readyz HTTP/1.1\r\nHost: 127");
            stranger
        })
        .collect();
    ask(&mut known);
    for path in ["/readyz", "/healthz"] {
        assert_eq!(proxy.get_admin(path).0, 200, "{path}");
    }
    let token = file.to_str().unwrap();
    let output = run(&["status", "--admin", proxy.admin(), "--token-file", token]);
    let (code, _, err) = printed(&output);
    assert_eq!(code, 0, "{err}");
    drop(strangers);
}
