//! `/metrics` of the real process: what it says of reloads, drains, endpoints and limits.

use crate::support;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixListener;

use support::websocket::{connect, exchange};
use support::{EchoBackend, HttpBackend, Proxy, Scrape, Succession};
use tokio_tungstenite::tungstenite::Message;

const LISTEN: &str = "[[listen]]\naddress = \"127.0.0.1:0\"\n";

fn route(name: &str, path: &str, to: SocketAddr) -> String {
    format!("[[route]]\nname = \"{name}\"\npath_prefix = \"{path}\"\nto = \"{to}\"\n")
}

#[test]
fn counts_survive_a_reload_and_their_route() {
    let backend = HttpBackend::start();
    let good = |routes: &[&str]| {
        let routes = routes
            .iter()
            .map(|name| route(name, &format!("/{name}"), backend.address()));
        format!("{LISTEN}{}", routes.collect::<String>())
    };
    let proxy = Proxy::start(&good(&["a", "b"]));
    for path in ["/a", "/b", "/b"] {
        proxy.ask("GET", path, "");
    }
    eventually!(proxy.scrape().requests(&[]) == 3.0);
    let state = |scrape: &Scrape| {
        let now = |name| scrape.sum(name, &[]);
        (
            now("sluice_config_last_reload_successful"),
            now("sluice_config_generation"),
        )
    };
    assert_eq!(state(&proxy.scrape()), (1.0, 1.0));
    let since = |scrape: &Scrape| {
        let name = "sluice_config_last_reload_success_timestamp_seconds";
        scrape.sum(name, &[])
    };
    let started = since(&proxy.scrape());
    proxy.reload("nothing = 1");
    eventually!(state(&proxy.scrape()) == (0.0, 1.0));
    assert_eq!(since(&proxy.scrape()), started);

    proxy.reload(&good(&["c", "b"]));
    eventually!(state(&proxy.scrape()) == (1.0, 2.0));
    assert!(since(&proxy.scrape()) > started);
    proxy.ask("GET", "/b", "");
    eventually!(proxy.scrape().requests(&[("route", "b")]) == 3.0);
    // What is gone stays countable for some minutes, and nobody else gets its place.
    proxy.reload(&good(&["c", "b", "d"]));
    eventually!(state(&proxy.scrape()) == (1.0, 3.0));
    let scrape = proxy.scrape();
    assert_eq!(scrape.requests(&[("route", "a")]), 1.0);
    assert_eq!(scrape.values("upstream"), ["a", "b", "c", "d"].into());
    for name in ["c", "d"] {
        assert_eq!(proxy.scrape().requests(&[("route", name)]), 0.0, "{name}");
    }
    proxy.ask("GET", "/c", "");
    eventually!(proxy.scrape().requests(&[("route", "c")]) == 1.0);
    // A route that returns goes on.
    proxy.reload(&good(&["a"]));
    eventually!(state(&proxy.scrape()) == (1.0, 4.0));
    proxy.ask("GET", "/a", "");
    eventually!(proxy.scrape().requests(&[("route", "a")]) == 2.0);
    // The totals at the end know all of it.
    proxy.terminate();
    let end = proxy.wait_for_log("the totals", |line| line.json["totals"].is_object());
    let exchanges = &end.json["totals"]["exchanges"];
    assert_eq!(*exchanges, serde_json::json!({ "2xx": 6 }), "{}", end.text);
}

/// Blue and green: what the old side still has is seen until the last of it has ended, and what
/// ended stays countable.
#[test]
fn endpoints_that_a_reload_removed_are_seen_leaving() {
    let (blue, green) = (EchoBackend::start(), EchoBackend::start());
    let to = |upstream: &str, backend: &EchoBackend| {
        let address = backend.address();
        format!(
            "{LISTEN}[[route]]\nname = \"{upstream}\"\nupstream = \"{upstream}\"\n\
             [upstream.{upstream}]\nendpoints = \"{address}\"\n"
        )
    };
    for (old, new) in [("app", "app"), ("blue", "green")] {
        let proxy = Proxy::start(&to(old, &blue));
        let mut tunnels = [0; 3].map(|_| connect(&proxy, "/"));
        let addresses = [&blue, &green].map(|backend| backend.address().to_string());
        let of =
            |name: &str, endpoint: &String| proxy.scrape().sum(name, &[("endpoint", endpoint)]);
        let [was, is] = &addresses;
        assert_eq!(of("sluice_upstream_endpoint_leaving", was), 0.0);
        proxy.reload(&to(new, &green));
        eventually!(of("sluice_upstream_endpoint_leaving", was) == 1.0);
        exchange(&mut connect(&proxy, "/"), Message::text("to the new one"));
        assert_eq!(of("sluice_upstream_tunnels_open", was), 3.0);
        assert_eq!(of("sluice_upstream_endpoint_leaving", is), 0.0);
        let seen = || -> Vec<(String, String, String, u64)> {
            let (_, text) = proxy.get_admin("/v1/upstreams");
            let all: serde_json::Value = serde_json::from_str(&text).unwrap();
            let of = |upstream: &serde_json::Value| {
                let name = upstream["name"].as_str().unwrap().to_owned();
                let endpoints = upstream["endpoints"].as_array().unwrap().clone();
                endpoints.into_iter().map(move |one| {
                    let [address, state] =
                        ["address", "state"].map(|key| one[key].as_str().unwrap().to_owned());
                    (
                        name.clone(),
                        address,
                        state,
                        one["tunnels"].as_u64().unwrap(),
                    )
                })
            };
            all.as_array().unwrap().iter().flat_map(of).collect()
        };
        let leaving = (old.to_owned(), was.clone(), "leaving".to_owned(), 3);
        assert!(seen().contains(&leaving), "{:?}", seen());
        let status = proxy.command(&["status"]);
        let status = String::from_utf8_lossy(&status.stdout).into_owned();
        assert!(status.contains("leaving"), "{status}");
        // It still works, and ends in its own time.
        exchange(&mut tunnels[0], Message::text("to the old one"));
        drop(tunnels);
        eventually!(seen().iter().all(|(_, _, state, _)| state == "up"));
        let scrape = proxy.scrape();
        let leaving = scrape.sum("sluice_upstream_endpoint_leaving", &[]);
        assert_eq!(leaving, 0.0);
        let closed = |route| {
            let labels = [("route", route), ("closed_by", "client")];
            proxy.scrape().sum("sluice_tunnels_closed_total", &labels)
        };
        let ended = if old == new { 4.0 } else { 3.0 };
        eventually!(closed(old) == ended);
        let connects = [("endpoint", &**was), ("result", "ok")];
        let connects = proxy
            .scrape()
            .sum("sluice_upstream_connects_total", &connects);
        assert_eq!(connects, 3.0);
    }
}

#[test]
fn a_drain_is_seen() {
    let backend = EchoBackend::start();
    let proxy = Proxy::start(&format!(
        "{LISTEN}{}[drain]\nover = \"0s\"\ndeadline = \"60s\"\n",
        route("a", "/", backend.address())
    ));
    let mut tunnel = connect(&proxy, "/");
    exchange(&mut tunnel, Message::text("x"));
    assert_eq!(proxy.scrape().sum("sluice_ready", &[]), 1.0);
    let order = serde_json::json!({"target": {"route": "a"}, "over_ms": 3_600_000});
    assert_eq!(proxy.post_admin("/v1/drain", &order).0, 200);
    let drained = |state| {
        let labels = [("target", "route"), ("state", state)];
        proxy.scrape().sum("sluice_drain_tunnels", &labels)
    };
    assert_eq!((drained("left"), drained("closed")), (1.0, 0.0));
    drop(tunnel);
    eventually!((drained("left"), drained("closed")) == (0.0, 1.0));
    let phase = |phase| proxy.scrape().sum("sluice_phase", &[("phase", phase)]);
    assert_eq!((phase("ready"), phase("draining")), (1.0, 0.0));
    let overdue = proxy.scrape().sum("sluice_drain_overdue_tunnels", &[]);
    assert_eq!(overdue, 0.0);
}

#[test]
fn a_failed_endpoint_costs_a_retry_and_a_full_house_refuses() {
    let backend = HttpBackend::start();
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = gone.local_addr().unwrap();
    drop(gone);
    let proxy = Proxy::start(&format!(
        "{LISTEN}[[route]]\nname = \"a\"\nupstream = \"app\"\n\
         [upstream.app]\nendpoints = [\"{nobody}\", \"{}\"]\nbalance = \"round-robin\"\n\
         [http]\nmax_connections = 1\n",
        backend.address()
    ));
    for _ in 0..2 {
        assert_eq!(proxy.ask("GET", "/", ""), 200);
        eventually!(proxy.scrape().sum("sluice_connections_open", &[]) == 0.0);
    }
    let (down, up) = (nobody.to_string(), backend.address().to_string());
    let scrape = proxy.scrape();
    let count = |name, endpoint: &str| scrape.sum(name, &[("endpoint", endpoint)]);
    assert_eq!(count("sluice_upstream_retries_total", &down), 1.0);
    assert_eq!(count("sluice_upstream_retries_total", &up), 0.0);
    assert_eq!(count("sluice_upstream_endpoint_up", &down), 0.0);
    assert_eq!(count("sluice_upstream_endpoint_up", &up), 1.0);
    assert_eq!(count("sluice_upstream_connects_total", &up), 1.0);
    assert_eq!(count("sluice_upstream_connections_reused_total", &up), 1.0);
    assert_eq!(scrape.sum("sluice_connections_accepted_total", &[]), 2.0);
    let mut first = proxy.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(first.read_response().status(), 200);
    proxy.connect().expect_close();
    assert_eq!(
        proxy
            .scrape()
            .sum("sluice_connections_over_limit_total", &[]),
        1.0
    );
}

#[test]
fn a_failed_endpoint_is_down_until_a_connect_succeeds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let proxy = Proxy::start(&format!(
        "{LISTEN}[[route]]\nname = \"a\"\nupstream = \"app\"\n\
         [upstream.app]\nendpoints = \"unix:{}\"\nretry_after = \"1ms\"\n",
        path.display()
    ));
    let up = || proxy.scrape().sum("sluice_upstream_endpoint_up", &[]);
    assert_eq!(up(), 1.0);
    assert_eq!(proxy.ask("GET", "/", ""), 502);
    let since = proxy.get_admin("/v1/status").1;
    eventually!(proxy.get_admin("/v1/status").1 != since);
    // A trial is due by now, which says nothing about the endpoint yet.
    assert_eq!(up(), 0.0);
    let (_, upstreams) = proxy.get_admin("/v1/upstreams");
    assert!(upstreams.contains("avoided"), "{upstreams}");

    let listener = UnixListener::bind(&path).unwrap();
    let backend = std::thread::spawn(move || {
        let (mut wire, _) = listener.accept().unwrap();
        let answer = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
        wire.write_all(answer).unwrap();
        // Until the other side is done.
        let _ = wire.read_to_end(&mut Vec::new());
    });
    assert_eq!(proxy.ask("GET", "/", ""), 204);
    assert_eq!(up(), 1.0);
    backend.join().unwrap();
}

/// Each process counts what a tunnel moves in it, and neither forgets nor repeats any.
#[test]
fn a_tunnel_that_is_handed_over_is_counted_anew() {
    let backend = EchoBackend::start();
    let mut succession =
        Succession::start(|_| format!("{LISTEN}{}", route("a", "/", backend.address())));
    let texts = |scrape: &Scrape| {
        let labels = [("direction", "from_client"), ("opcode", "text")];
        scrape.sum("sluice_tunnel_messages_total", &labels)
    };
    let mut tunnel = connect(&succession.proxy, "/");
    for _ in 0..3 {
        exchange(&mut tunnel, Message::text("before"));
    }
    assert_eq!(texts(&succession.proxy.scrape()), 3.0);
    succession.upgrade();
    assert!(succession.proxy.wait_exit().success());
    let scrape = succession.proxy.scrape();
    let open = scrape.sum("sluice_tunnels_open", &[("route", "a")]);
    assert_eq!((open, texts(&scrape)), (1.0, 0.0), "{}", scrape.text);
    for _ in 0..2 {
        exchange(&mut tunnel, Message::text("behind"));
    }
    assert_eq!(texts(&succession.proxy.scrape()), 2.0);
    tunnel.close(None).unwrap();
    while tunnel.read().is_ok() {}
    let closed = |scrape: &Scrape| scrape.sum("sluice_tunnels_closed_total", &[("route", "a")]);
    eventually!(closed(&succession.proxy.scrape()) == 1.0);
    let scrape = succession.proxy.scrape();
    assert_eq!(texts(&scrape), 2.0);
    let bytes = [("direction", "from_client")];
    // Two texts of 6 bytes and an empty Close, each with 6 bytes of header.
    let bytes = scrape.sum("sluice_tunnel_bytes_total", &bytes);
    assert_eq!(bytes, 2.0 * 12.0 + 6.0);
}
