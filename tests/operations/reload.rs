//! SIGHUP: a configuration is put in force as a whole or not at all, listeners are switched
//! without losing a queued connection, and live tunnels get exactly what the new
//! configuration means for them.

use crate::support;

mod memory;
mod requests;

use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::proxy::field;
use support::websocket::{
    connect, exchange, expect_close_frame, handshake, open, read_frame, switching, tunnel_backend,
};
use support::{EchoBackend, HttpBackend, Proxy, Wire};
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket};

const LISTEN: &str = "[[listen]]\naddress = \"127.0.0.1:0\"\n";

fn route(name: &str, path: &str, to: SocketAddr, more: &str) -> String {
    format!("[[route]]\nname = \"{name}\"\npath_prefix = \"{path}\"\nto = \"{to}\"\n{more}\n")
}

/// A text, or the texts of a list.
fn list(event: &Value, name: &str) -> String {
    match field(event, name) {
        Value::Array(all) => {
            let all: Vec<&str> = all.iter().filter_map(Value::as_str).collect();
            all.join(", ")
        }
        other => other.as_str().unwrap_or_default().to_owned(),
    }
}

fn number(event: &Value, name: &str) -> u64 {
    field(event, name)
        .as_u64()
        .unwrap_or_else(|| panic!("{name} in {event}"))
}

fn get(proxy: &Proxy, path: &str) -> u16 {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    proxy.send(request).read_response().status()
}

/// Reads until the other side's Close and gives its code and reason.
fn close_of(socket: &mut WebSocket<TcpStream>) -> (u16, String) {
    loop {
        match socket.read() {
            Ok(Message::Close(Some(close))) => {
                return (close.code.into(), close.reason.to_string());
            }
            Ok(_) => {}
            Err(error) => panic!("an end without a Close: {error}"),
        }
    }
}

#[test]
fn a_new_route_is_served_and_a_removed_one_is_not() {
    let backend = HttpBackend::start();
    let proxy = Proxy::start(&format!(
        "{LISTEN}{}",
        route("a", "/a", backend.address(), "")
    ));
    assert_eq!((get(&proxy, "/a"), get(&proxy, "/b")), (200, 404));
    let event = proxy.reload(&format!(
        "{LISTEN}{}",
        route("b", "/b", backend.address(), "")
    ));
    assert_eq!(number(&event, "generation"), 2);
    let changes = list(&event, "changes");
    for change in ["route a removed", "route b added", "upstream b added"] {
        assert!(changes.contains(change), "{changes}");
    }
    assert_eq!((get(&proxy, "/a"), get(&proxy, "/b")), (404, 200));
}

#[test]
fn one_error_and_everything_stays_as_it_was() {
    let backend = EchoBackend::start();
    let good = format!("{LISTEN}{}", route("a", "/", backend.address(), ""));
    let proxy = Proxy::start(&good);
    let mut tunnel = connect(&proxy, "/");
    let bad = format!(
        "{LISTEN}{}\n[drain]\novr = \"1s\"\nreason = 7\n",
        route("b", "/b", backend.address(), "")
    );
    let event = proxy.reload(&bad);
    assert_eq!(field(&event, "level"), "ERROR", "{event}");
    let details = list(&event, "details");
    assert!(
        details.contains("ovr") && details.contains("reason"),
        "every problem: {details}"
    );
    assert_eq!(number(&event, "generation"), 1, "the one in force");
    exchange(&mut tunnel, Message::text("still here"));
    exchange(&mut connect(&proxy, "/"), Message::text("new ones too"));
    assert_eq!(
        number(&proxy.reload(&good), "generation"),
        2,
        "and it can be fixed"
    );
}

#[test]
fn an_address_that_is_taken_keeps_the_old_configuration() {
    let backend = HttpBackend::start();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let all = route("a", "/", backend.address(), "");
    let proxy = Proxy::start(&format!("{LISTEN}{all}"));
    let address = taken.local_addr().unwrap();
    let event = proxy.reload(&format!(
        "{LISTEN}[[listen]]\naddress = \"{address}\"\n{}",
        route("b", "/b", backend.address(), "")
    ));
    assert!(
        list(&event, "error").contains(&address.to_string()),
        "{event}"
    );
    assert_eq!((get(&proxy, "/a"), number(&event, "generation")), (200, 1));
}

#[test]
fn listeners_come_and_go_while_their_connections_live() {
    let backend = EchoBackend::start();
    let all = route("a", "/", backend.address(), "");
    for workers in [1, 2] {
        let workers = format!("workers = {workers}\n");
        let free = || {
            let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            probe.local_addr().unwrap()
        };
        let (stays, goes, comes) = (free(), free(), free());
        let listen = |address: SocketAddr| format!("[[listen]]\naddress = \"{address}\"\n");
        let proxy = Proxy::start(&format!("{workers}{}{}{all}", listen(goes), listen(stays)));
        let mut tunnel = connect(&proxy, "/");
        let event = proxy.reload(&format!("{workers}{}{}{all}", listen(stays), listen(comes)));
        assert!(field(&event, "level") == "INFO", "{event}");
        let answers = |address| {
            let mut wire = Wire::connect(address);
            wire.send("OPTIONS * HTTP/1.1\r\nHost: x\r\nMax-Forwards: 0\r\n\r\n");
            wire.read_response().status()
        };
        assert_eq!((answers(stays), answers(comes)), (204, 204));
        eventually!(TcpStream::connect(goes).is_err());
        exchange(
            &mut tunnel,
            Message::text("through a listener that is gone"),
        );
    }
}

#[test]
fn a_connection_in_the_queue_of_a_kept_listener_is_served() {
    let backend = HttpBackend::start();
    let all = route("a", "/", backend.address(), "");
    let proxy = Proxy::start(&format!("{LISTEN}{all}"));
    let until = Instant::now() + Duration::from_secs(2);
    let address = proxy.address();
    let load = std::thread::spawn(move || {
        let mut served = 0;
        while Instant::now() < until {
            let mut wire = Wire::connect(address);
            wire.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
            assert_eq!(wire.read_response().status(), 200);
            served += 1;
        }
        served
    });
    let mut scheme = "https";
    while !load.is_finished() {
        let toml = format!("[[listen]]\naddress = \"127.0.0.1:0\"\nscheme = \"{scheme}\"\n{all}");
        assert_eq!(field(&proxy.reload(&toml), "level"), "INFO");
        scheme = if scheme == "http" { "https" } else { "http" };
    }
    assert!(load.join().expect("no connection was refused") > 10);
    assert!(proxy.reloads().len() > 5);
}

#[test]
fn a_tunnel_of_an_unchanged_route_notices_nothing() {
    let backend = EchoBackend::start();
    let stays = route("stays", "/stays", backend.address(), "");
    let proxy = Proxy::start(&format!("{LISTEN}{stays}"));
    let mut tunnel = connect(&proxy, "/stays");
    for n in 0..20 {
        let other = route("other", &format!("/{n}"), backend.address(), "max_body = 1");
        let event = proxy.reload(&format!("{LISTEN}{other}{stays}"));
        assert_eq!(number(&event, "tunnels_changed"), 0, "{event}");
        assert_eq!(number(&event, "tunnels_drained"), 0, "{event}");
        exchange(&mut tunnel, Message::text(format!("{n}")));
    }
}

#[test]
fn a_changed_time_out_applies_to_a_live_tunnel() {
    let backend = EchoBackend::start();
    let with = |settings: &str| {
        let table = format!("[route.websocket]\n{settings}\n");
        format!("{LISTEN}{}", route("a", "/", backend.address(), &table))
    };
    let proxy = Proxy::start(&with("idle_timeout = \"1h\""));
    let mut tunnel = connect(&proxy, "/");
    exchange(&mut tunnel, Message::text("hello"));
    let event = proxy.reload(&with("idle_timeout = \"1s\""));
    assert_eq!(number(&event, "tunnels_changed"), 1, "{event}");
    assert_eq!(close_of(&mut tunnel).0, 1001);
    assert_eq!(proxy.wait_for_tunnel_close()["closed_by"], "idle");
}

#[test]
fn keep_alive_can_be_switched_on_for_live_tunnels() {
    let backend = tunnel_backend(|mut wire| {
        wire.read_until_close();
    });
    let with = |settings: &str| {
        let table = format!("[route.websocket]\n{settings}\n");
        format!("{LISTEN}{}", route("a", "/", backend.address(), &table))
    };
    let proxy = Proxy::start(&with(""));
    let mut wire = open(&proxy, "/");
    proxy.reload(&with("ping_interval = \"1s\""));
    assert_eq!(read_frame(&mut wire).0, 0x89, "a Ping");
}

fn removed(setting: &str) -> (Proxy, WebSocket<TcpStream>, Value, EchoBackend) {
    let backend = EchoBackend::start();
    let table = format!("[route.websocket]\n{setting}\n");
    let drain = "[drain]\nover = \"1s\"\n";
    let (gone, stays) = (
        route("gone", "/gone", backend.address(), &table),
        route("stays", "/stays", backend.address(), ""),
    );
    let proxy = Proxy::start(&format!("{drain}{LISTEN}{stays}{gone}"));
    let mut other = connect(&proxy, "/stays");
    let tunnel = connect(&proxy, "/gone");
    let event = proxy.reload(&format!("{drain}{LISTEN}{stays}"));
    exchange(&mut other, Message::text("not concerned"));
    (proxy, tunnel, event, backend)
}

#[test]
fn tunnels_of_a_removed_route_are_drained_unless_told_otherwise() {
    let (proxy, mut tunnel, event, _backend) = removed("");
    assert_eq!(number(&event, "tunnels_drained"), 1, "{event}");
    assert_eq!(close_of(&mut tunnel), (1012, "service restart".into()));
    let record = proxy.wait_for_access("its end", |json| {
        json["kind"] == "tunnel_close" && json["route"] == "gone"
    });
    assert_eq!(record["closed_by"], "reload");
    assert_eq!(record["detail"], "its route was removed");
}

#[test]
fn a_tunnel_whose_handshake_outlasts_its_route_is_drained() {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let backend = support::RawBackend::start(move |_, mut wire| {
        wire.read_head();
        released.lock().unwrap().recv().expect("the test goes on");
        wire.send(switching(""));
        expect_close_frame(&mut wire, 1001);
    });
    let other = HttpBackend::start();
    let drain = "[drain]\nover = \"0s\"\n";
    let proxy = Proxy::start(&format!(
        "{drain}{LISTEN}{}",
        route("gone", "/", backend.address(), "")
    ));
    let mut wire = proxy.send(handshake(proxy.address(), "/", ""));
    eventually!(backend.accepted() == 1);
    proxy.reload(&format!(
        "{drain}{LISTEN}{}",
        route("b", "/", other.address(), "")
    ));
    release.send(()).unwrap();
    assert_eq!(wire.read_head().status(), 101);
    expect_close_frame(&mut wire, 1012);
}

#[test]
fn tunnels_of_a_removed_route_can_be_closed_at_once() {
    let (_proxy, mut tunnel, event, _backend) = removed("on_removed = \"close\"");
    assert_eq!(number(&event, "tunnels_closed"), 1, "{event}");
    assert_eq!(close_of(&mut tunnel).0, 1012);
}

#[test]
fn tunnels_of_a_removed_route_can_be_kept() {
    let (_proxy, mut tunnel, event, _backend) = removed("on_removed = \"keep\"");
    assert_eq!(number(&event, "tunnels_drained"), 0, "{event}");
    exchange(&mut tunnel, Message::text("kept"));
}

#[test]
fn tunnels_of_a_removed_endpoint_are_drained_and_others_stay() {
    let (one, other) = (EchoBackend::start(), EchoBackend::start());
    let with = |endpoints: &[SocketAddr]| {
        let endpoints: Vec<String> = endpoints.iter().map(|one| format!("\"{one}\"")).collect();
        format!(
            "[drain]\nover = \"0s\"\n{LISTEN}[upstream.app]\nbalance = \"round-robin\"\n\
             endpoints = [{}]\n[[route]]\nupstream = \"app\"\n",
            endpoints.join(", ")
        )
    };
    let proxy = Proxy::start(&with(&[one.address(), other.address()]));
    let mut tunnels = [connect(&proxy, "/"), connect(&proxy, "/")];
    assert_eq!((one.handshakes().len(), other.handshakes().len()), (1, 1));
    let event = proxy.reload(&with(&[one.address()]));
    assert_eq!(number(&event, "tunnels_drained"), 1, "{event}");
    let record = proxy.wait_for_tunnel_close();
    assert_eq!(record["endpoint"], other.address().to_string());
    assert_eq!(record["detail"], "its endpoint was removed");
    let mut alive = 0;
    for tunnel in &mut tunnels {
        let sent = tunnel.send(Message::text("hello"));
        alive += usize::from(sent.is_ok() && matches!(tunnel.read(), Ok(Message::Text(_))));
    }
    assert_eq!(alive, 1);
}

#[test]
fn a_stricter_origin_rule_ends_live_tunnels_where_that_is_asked_for() {
    for (setting, ends) in [("", false), ("on_policy_change = \"close\"\n", true)] {
        let backend = EchoBackend::start();
        let with = |origin: &str| {
            let table = format!("[route.websocket]\norigin = {origin}\n{setting}");
            format!("{LISTEN}{}", route("a", "/", backend.address(), &table))
        };
        let proxy = Proxy::start(&with("\"any\""));
        let mut tunnel = connect(&proxy, "/");
        proxy.reload(&with("[\"https://elsewhere.example\"]"));
        if ends {
            assert_eq!(close_of(&mut tunnel).0, 1012);
            let record = proxy.wait_for_tunnel_close();
            assert_eq!(record["detail"], "its origin is not allowed any more");
        } else {
            exchange(&mut tunnel, Message::text("opened under the old rule"));
        }
        assert!(matches!(
            support::websocket::connect_with(&proxy, "/", &proxy.origin(), &[]),
            Err(Error::Http(answer)) if answer.status() == 403
        ));
    }
}

#[test]
fn what_needs_a_restart_is_named() {
    let backend = HttpBackend::start();
    let all = route("a", "/", backend.address(), "");
    let proxy = Proxy::start(&format!("workers = 1\n{LISTEN}{all}"));
    let event = proxy.reload(&format!("workers = 2\n{LISTEN}{all}"));
    assert!(list(&event, "needs_restart").contains("workers"), "{event}");
    assert_eq!(get(&proxy, "/"), 200);
}

#[test]
fn a_kept_unix_listener_gets_its_new_permission_bits() {
    let backend = HttpBackend::start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.sock");
    let with = |mode: &str| {
        format!(
            "{LISTEN}[[listen]]\naddress = \"unix:{}\"\nmode = \"{mode}\"\n{}",
            path.display(),
            route("a", "/", backend.address(), "")
        )
    };
    let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    let proxy = Proxy::start(&with("0600"));
    assert_eq!(mode(), 0o600);
    for (text, bits) in [("0666", 0o666), ("0600", 0o600)] {
        let event = proxy.reload(&with(text));
        assert!(list(&event, "changes").contains("in.sock"), "{event}");
        assert_eq!(mode(), bits);
    }
}

#[test]
fn the_access_log_is_opened_anew() {
    let backend = HttpBackend::start();
    let folder = tempfile::tempdir().unwrap();
    let (log, rotated) = (folder.path().join("access"), folder.path().join("access.1"));
    let toml = format!(
        "[log]\naccess = \"{}\"\n{LISTEN}{}",
        log.display(),
        route("a", "/", backend.address(), "")
    );
    let proxy = Proxy::start(&toml);
    assert_eq!(get(&proxy, "/before"), 200);
    let lines = |path: &std::path::Path| std::fs::read_to_string(path).unwrap_or_default();
    eventually!(lines(&log).contains("/before"));
    std::fs::rename(&log, &rotated).unwrap();
    proxy.reload(&toml);
    assert_eq!(get(&proxy, "/after"), 200);
    eventually!(lines(&log).contains("/after"));
    assert!(!lines(&rotated).contains("/after"));
}

#[test]
fn a_watched_file_is_taken_up_by_itself() {
    let backend = HttpBackend::start();
    let folder = tempfile::tempdir().unwrap();
    // As Kubernetes mounts a ConfigMap: the file is a link into a link that is swapped.
    let with = |path: &str| {
        format!(
            "[reload]\nwatch = true\n{LISTEN}{}",
            route("a", path, backend.address(), "")
        )
    };
    for (version, path) in [("v1", "/one"), ("v2", "/two")] {
        let directory = folder.path().join(version);
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(directory.join("sluice.toml"), with(path)).unwrap();
    }
    let link = |from: &str, to: &str| {
        std::os::unix::fs::symlink(from, folder.path().join(to)).unwrap();
    };
    link("v1", "..data");
    link("..data/sluice.toml", "sluice.toml");
    let proxy = Proxy::start_file(&folder.path().join("sluice.toml"));
    assert_eq!((get(&proxy, "/one"), get(&proxy, "/two")), (200, 404));
    link("v2", "..new");
    std::fs::rename(folder.path().join("..new"), folder.path().join("..data")).unwrap();
    eventually!(!proxy.reloads().is_empty());
    assert_eq!((get(&proxy, "/one"), get(&proxy, "/two")), (404, 200));
    assert_eq!(proxy.reloads().len(), 1);
}

#[test]
fn clients_are_accepted_while_many_routes_are_put_in_force() {
    let mut toml = format!("workers = 2\n{LISTEN}");
    for n in 0..5000 {
        let route = format!(
            "[[route]]\nname = \"r{n}\"\npath_prefix = \"/p{n}\"\nto = \"127.0.0.1:{}\"\n",
            n + 1024
        );
        toml.push_str(&route);
    }
    toml.push_str("[[route]]\nname = \"here\"\npath = \"/\"\nrespond.status = 204\n");
    let proxy = Proxy::start(&toml);
    proxy.rewrite(&toml.replace("/p", "/q"));
    proxy.signal(rustix::process::Signal::HUP);
    let mut served = 0;
    while proxy.reloads().is_empty() {
        assert_eq!(get(&proxy, "/"), 204);
        served += 1;
    }
    assert!(served > 20, "only {served} clients came through");
    assert_eq!(proxy.reloads().len(), 1);
}

#[test]
fn without_a_file_there_is_nothing_to_reload() {
    let backend = tunnel_backend(|mut wire| expect_close_frame(&mut wire, 1001));
    let proxy = Proxy::start_without_file(&[
        "--listen",
        "127.0.0.1:0",
        "--to",
        &backend.address().to_string(),
    ]);
    proxy.signal(rustix::process::Signal::HUP);
    eventually!(!proxy.reloads().is_empty());
    assert!(list(&proxy.reloads()[0], "error").contains("without a configuration file"));
}
