//! SIGUSR2: another process takes over listeners, tunnels and idle connections, and nobody
//! notices; whatever goes wrong before it has taken over, the old one goes on.

use crate::support;

mod crowd;
mod ended;
mod impostor;
mod killed;
mod late;
mod managed;
mod midway;
mod predecessor;
mod refused;
mod secure;
mod stopped;

use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use serde_json::Value;
use support::proxy::{binary, field};
use support::websocket::{
    close_payload, connect, exchange, frame, handshake, masked_frame, open, read_frame, switching,
    tunnel_backend,
};
use support::{EchoBackend, HttpBackend, RawBackend, Succession, Wire, gate, held};
use tokio_tungstenite::tungstenite::{Message, WebSocket};

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

/// The settings of a proxy with one listener and one route.
fn settings(to: SocketAddr, more: &str) -> String {
    format!(
        "workers = 2\n[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\nto = \"{to}\"\n\
         [route.websocket]\nclose_timeout = \"2s\"\n[drain]\nover = \"0s\"\n{more}"
    )
}

fn start(to: SocketAddr) -> Succession {
    Succession::start(|_| settings(to, ""))
}

fn number(event: &Value, name: &str) -> u64 {
    field(event, name)
        .as_u64()
        .unwrap_or_else(|| panic!("{name} in {event}"))
}

fn text<'a>(event: &'a Value, name: &str) -> &'a str {
    field(event, name).as_str().unwrap_or_default()
}

fn serves(succession: &Succession) {
    let response = succession.proxy.send(GET).read_response();
    assert_eq!(response.status(), 200);
}

fn say(socket: &mut WebSocket<TcpStream>, n: usize) {
    exchange(socket, Message::text(format!("message {n}")));
}

#[test]
fn no_client_is_refused_while_the_process_changes() {
    let backend = HttpBackend::start();
    let mut succession = start(backend.address());
    let address = succession.proxy.address();
    let (done, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let client = || {
            while !done.load(Relaxed) || served.load(Relaxed) < 500 {
                let mut wire = Wire::connect(address);
                wire.send(GET);
                assert_eq!(wire.read_response().status(), 200);
                served.fetch_add(1, Relaxed);
            }
        };
        let clients = [scope.spawn(client), scope.spawn(client)];
        eventually!(served.load(Relaxed) > 50);
        succession.upgrade();
        done.store(true, Relaxed);
        for client in clients {
            client.join().expect("every client is served");
        }
    });
    assert!(succession.proxy.wait_exit().success());
    serves(&succession);
    succession.end();
    assert!(TcpStream::connect(address).is_err(), "nobody is left");
}

#[test]
fn tunnels_go_on_message_by_message() {
    let backend = EchoBackend::start();
    let mut succession = start(backend.address());
    let sockets: Vec<_> = (0..30).map(|_| connect(&succession.proxy, "/ws")).collect();
    let done = AtomicBool::new(false);
    let counts: Vec<usize> = std::thread::scope(|scope| {
        let talk = |mut socket: WebSocket<TcpStream>| {
            let done = &done;
            scope.spawn(move || {
                let mut n = 0;
                while !done.load(Relaxed) || n < 20 {
                    say(&mut socket, n);
                    n += 1;
                }
                socket.close(None).expect("the tunnel is open");
                while socket.read().is_ok() {}
                n
            })
        };
        let talks: Vec<_> = sockets.into_iter().map(talk).collect();
        let event = succession.upgrade();
        assert_eq!(number(&event, "tunnels"), 30, "{event}");
        assert!(succession.proxy.wait_exit().success(), "by itself");
        done.store(true, Relaxed);
        let counts = talks.into_iter().map(|talk| talk.join().expect("no loss"));
        counts.collect()
    });
    let closed = || {
        let mut access = succession.proxy.access();
        access.retain(|record| record["kind"] == "tunnel_close");
        access
    };
    eventually!(closed().len() == 30);
    let mut counted: Vec<_> = closed()
        .iter()
        .map(|record| {
            assert_eq!(record["closed_by"], "client", "{record}");
            record["messages_in"].as_u64().expect("a count") as usize
        })
        .collect();
    let mut counts = counts;
    counts.sort_unstable();
    counted.sort_unstable();
    assert_eq!(counted, counts, "both processes' messages are counted");
}

#[test]
fn one_upgrade_follows_another() {
    let backend = EchoBackend::start();
    let mut succession = start(backend.address());
    let mut first = connect(&succession.proxy, "/ws");
    say(&mut first, 0);
    let mut pids = succession.pids();
    for n in 1..=3 {
        succession.upgrade();
        say(&mut first, n);
        let mut another = connect(&succession.proxy, "/ws");
        say(&mut another, n);
        pids = succession.pids();
        let gone = pids[pids.len() - 2];
        match n {
            1 => assert!(succession.proxy.wait_exit().success()),
            _ => eventually!(!succession.runs(gone), "{gone} ends"),
        }
    }
    assert_eq!(pids.len(), 4);
    say(&mut first, 4);
    let ids = |kind: &str| {
        let access = succession.proxy.access();
        let ids = access.iter().filter(|record| record["kind"] == kind);
        ids.filter_map(|record| record["tunnel"].as_u64())
            .collect::<Vec<_>>()
    };
    first.close(None).expect("the tunnel is open");
    while first.read().is_ok() {}
    eventually!(ids("tunnel_close").len() == 4);
    let mut closed = ids("tunnel_close");
    closed.sort_unstable();
    closed.dedup();
    assert_eq!(closed.len(), 4, "each tunnel has a number of its own");
    assert_eq!(closed[0], 1, "and keeps it");
}

#[test]
fn a_unix_listeners_file_stays_until_the_last_process_ends() {
    let backend = HttpBackend::start();
    let mut succession = Succession::start(|folder| {
        let path = folder.join("in.sock");
        let listen = format!("[[listen]]\naddress = \"unix:{}\"\n", path.display());
        settings(backend.address(), &listen)
    });
    let path = succession.file("in.sock");
    let mode = || std::fs::metadata(&path).map(|file| file.permissions().mode() & 0o777);
    assert_eq!(mode().expect("the file"), 0o660);
    let listen = format!(
        "[[listen]]\naddress = \"unix:{}\"\nmode = \"0600\"\n",
        path.display()
    );
    succession.configure(&settings(backend.address(), &listen));
    succession.upgrade();
    assert!(succession.proxy.wait_exit().success());
    assert_eq!(mode().expect("the file"), 0o600, "as the new one has it");
    drop(UnixStream::connect(&path).expect("it is listened to"));
    succession.end();
    assert!(!path.exists(), "the last one removes it");
}

#[test]
fn listeners_follow_the_new_configuration() {
    let backend = HttpBackend::start();
    let mut succession = Succession::start(|folder| {
        let path = folder.join("in.sock");
        let listen = format!("[[listen]]\naddress = \"unix:{}\"\n", path.display());
        settings(backend.address(), &listen)
    });
    let path = succession.file("in.sock");
    let more = "[[listen]]\naddress = \"127.0.0.1:0\"\n";
    succession.configure(&settings(backend.address(), more));
    succession.upgrade();
    assert!(succession.proxy.wait_exit().success());
    serves(&succession);
    eventually!(!path.exists(), "nobody listens there any more");
    let event = succession.event("listening", 3);
    let added: SocketAddr = text(&event, "address").parse().expect("an address");
    assert_ne!(added, succession.proxy.address());
    drop(TcpStream::connect(added).expect("the new one is bound"));
}

#[test]
fn tunnels_whose_route_is_gone_are_drained_by_the_new_process() {
    let backend = EchoBackend::start();
    let succession = Succession::start(|_| {
        settings(backend.address(), "").replace("[[route]]", "[[route]]\nname = \"a\"")
    });
    let mut socket = connect(&succession.proxy, "/ws");
    say(&mut socket, 0);
    let other = settings(backend.address(), "").replace("[[route]]", "[[route]]\nname = \"b\"");
    succession.configure(&other);
    let event = succession.upgrade();
    assert_eq!(number(&event, "tunnels"), 1, "{event}");
    match socket.read().expect("a Close") {
        Message::Close(Some(close)) => assert_eq!(u16::from(close.code), 1012),
        other => panic!("{other:?}"),
    }
    while socket.read().is_ok() {}
    assert_eq!(
        succession.proxy.wait_for_tunnel_close()["closed_by"],
        "reload"
    );
}

#[test]
fn a_drain_goes_on_in_the_new_process() {
    let backend = EchoBackend::start();
    let succession = Succession::start(|_| {
        settings(backend.address(), "").replace("[[route]]", "[[route]]\nname = \"a\"")
    });
    let admin = succession.admin();
    let _tunnel = connect(&succession.proxy, "/ws");
    let drain = ["drain", "--route", "a", "--over", "10m", "--admin", &admin];
    let mut watcher = Command::new(binary());
    watcher.args(drain).stdout(Stdio::piped());
    let watcher = watcher.spawn().expect("it starts");
    let refused = |succession: &Succession| {
        let request = handshake("x", "/ws", "");
        succession.proxy.send(request).read_head().status()
    };
    eventually!(succession.proxy.get_admin("/v1/drains").1 != "[]");
    assert_eq!(refused(&succession), 503);
    succession.upgrade();
    assert_eq!(refused(&succession), 503);
    let output = support::proxy::run(&["undrain", "--route", "a", "--admin", &admin]);
    assert!(output.status.success(), "{output:?}");
    say(&mut connect(&succession.proxy, "/ws"), 1);
    let output = watcher.wait_with_output().expect("it ends with the drain");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("taken back: 1 tunnel lives on"), "{said}");
}

#[test]
fn the_command_says_who_has_taken_over() {
    let backend = EchoBackend::start();
    let mut succession = start(backend.address());
    let mut socket = connect(&succession.proxy, "/ws");
    for n in 0..2 {
        let output = support::proxy::run(&["upgrade", "--admin", &succession.admin()]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{output:?}");
        let event = succession.event("handed over", n);
        assert!(said.contains(&number(&event, "pid").to_string()), "{said}");
        say(&mut socket, n);
    }
    assert!(succession.proxy.wait_exit().success());
}
