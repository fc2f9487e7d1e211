//! `/metrics` of the real process: what is counted is exact behind known traffic, in both
//! forms, and no client can make it grow.

use crate::support;

use std::net::SocketAddr;

use support::websocket::{connect, exchange, handshake, masked_frame, read_frame, tunnel_backend};
use support::{EchoBackend, HttpBackend, Proxy, RawBackend, Scrape};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

const LISTEN: &str = "[[listen]]\naddress = \"127.0.0.1:0\"\n";

fn route(name: &str, path: &str, to: SocketAddr) -> String {
    format!("[[route]]\nname = \"{name}\"\npath_prefix = \"{path}\"\nto = \"{to}\"\n")
}

#[test]
fn requests_are_counted_by_route_method_and_status() {
    let backend = HttpBackend::start();
    for workers in [1, 3] {
        let proxy = Proxy::start(&format!(
            "workers = {workers}\n{LISTEN}{}{}",
            route("a", "/a", backend.address()),
            route("status", "/status", backend.address()),
        ));
        for _ in 0..5 {
            assert_eq!(proxy.ask("GET", "/a", ""), 200);
        }
        assert_eq!(proxy.ask("POST", "/a", "Content-Length: 0\r\n"), 200);
        assert_eq!(proxy.ask("BREW", "/a", ""), 200);
        for status in [503, 404, 299] {
            assert_eq!(proxy.ask("GET", &format!("/status/{status}"), ""), status);
        }
        assert_eq!(proxy.ask("GET", "/nowhere", ""), 404);
        // A head that is refused is no exchange.
        let refused = proxy.send("GET / HTTP/1.1\r\nHost : x\r\n\r\n").read_head();
        assert_eq!(refused.status(), 400);
        eventually!(proxy.scrape().requests(&[]) == 12.0);
        let scrape = proxy.scrape();
        for (labels, n) in [
            ([("route", "a"), ("method", "GET"), ("status", "200")], 5.0),
            ([("route", "a"), ("method", "POST"), ("status", "200")], 1.0),
            (
                [("route", "a"), ("method", "other"), ("status", "200")],
                1.0,
            ),
            (
                [("route", "status"), ("method", "GET"), ("status", "503")],
                1.0,
            ),
            (
                [("route", "status"), ("method", "GET"), ("status", "404")],
                1.0,
            ),
            (
                [("route", "status"), ("method", "GET"), ("status", "2xx")],
                1.0,
            ),
            ([("route", ""), ("method", "GET"), ("status", "404")], 1.0),
            ([("route", ""), ("method", "none"), ("status", "400")], 1.0),
        ] {
            assert_eq!(scrape.requests(&labels), n, "{labels:?}\n{}", scrape.text);
        }
        for (name, n) in [
            ("sluice_request_duration_seconds_count", 7.0),
            ("sluice_request_first_byte_seconds_count", 7.0),
            ("sluice_handshake_duration_seconds_count", 0.0),
        ] {
            assert_eq!(scrape.sum(name, &[("route", "a")]), n, "{name}");
        }
        let errors = |error| scrape.sum("sluice_request_errors_total", &[("error", error)]);
        assert_eq!(errors("destination_unavailable"), 1.0);
        assert_eq!(errors("http_request_error"), 1.0);
        let connects = scrape.sum("sluice_upstream_connects_total", &[("result", "ok")]);
        let reused = scrape.sum("sluice_upstream_connections_reused_total", &[]);
        assert_eq!(connects + reused, 10.0, "{}", scrape.text);
        if workers == 1 {
            assert_eq!(connects, 2.0, "one an upstream, then reused");
        }
        assert_eq!(scrape.sum("sluice_upstream_endpoint_up", &[]), 2.0);
        let workers_seen = scrape.values("worker").len();
        assert_eq!(workers_seen, workers);
    }
}

#[test]
fn a_tunnel_is_counted_while_it_lives_and_once_when_it_has_ended() {
    let backend = EchoBackend::start();
    let proxy = Proxy::start(&format!("{LISTEN}{}", route("a", "/", backend.address())));
    let count = |name: &str, labels: &[(&str, &str)]| proxy.scrape().sum(name, labels);
    let mut tunnel = connect(&proxy, "/");
    exchange(&mut tunnel, Message::text("four"));
    exchange(&mut tunnel, Message::text("more"));
    exchange(&mut tunnel, Message::binary(vec![0; 1000]));
    tunnel.send(Message::Ping("hello".into())).unwrap();
    assert!(tunnel.read().unwrap().is_pong());
    let moved = |scrape: &Scrape| {
        for direction in ["from_client", "from_upstream"] {
            let sum = |name, opcode| {
                scrape.sum(
                    name,
                    &[("route", "a"), ("direction", direction), ("opcode", opcode)],
                )
            };
            assert_eq!(sum("sluice_tunnel_messages_total", "text"), 2.0);
            assert_eq!(sum("sluice_tunnel_messages_total", "binary"), 1.0);
            assert_eq!(sum("sluice_tunnel_payload_bytes_total", "text"), 8.0);
            assert_eq!(sum("sluice_tunnel_payload_bytes_total", "binary"), 1000.0);
        }
        let messages = |direction, opcode| {
            let labels = [("direction", direction), ("opcode", opcode)];
            scrape.sum("sluice_tunnel_messages_total", &labels)
        };
        assert_eq!(messages("from_client", "ping"), 1.0);
        assert_eq!(messages("from_upstream", "pong"), 1.0);
        let rtt = |side| scrape.sum("sluice_tunnel_ping_rtt_seconds_count", &[("side", side)]);
        assert_eq!((rtt("upstream"), rtt("client")), (1.0, 0.0));
    };
    let scrape = proxy.scrape();
    moved(&scrape);
    // Two texts of 4 bytes, a ping of 5, each with 6 bytes of header; 1000 bytes with 8.
    let bytes = |scrape: &Scrape, direction| {
        scrape.sum("sluice_tunnel_bytes_total", &[("direction", direction)])
    };
    assert_eq!(bytes(&scrape, "from_client"), 2.0 * 10.0 + 1008.0 + 11.0);
    assert_eq!(scrape.sum("sluice_tunnels_open", &[("route", "a")]), 1.0);
    assert_eq!(scrape.sum("sluice_tunnels_opened_total", &[]), 1.0);
    assert_eq!(scrape.sum("sluice_tunnels_closed_total", &[]), 0.0);
    assert_eq!(scrape.sum("sluice_upstream_tunnels_open", &[]), 1.0);
    assert_eq!(scrape.sum("sluice_worker_tunnels", &[]), 1.0);
    let upgraded = [("route", "a"), ("method", "GET"), ("status", "101")];
    assert_eq!(scrape.requests(&upgraded), 1.0);
    let handshakes = [("route", "a"), ("outcome", "opened")];
    let waits = |scrape: &Scrape| {
        let name = "sluice_handshake_duration_seconds_count";
        assert_eq!(scrape.sum(name, &handshakes), 1.0);
        for name in ["first_byte", "duration"] {
            let name = format!("sluice_request_{name}_seconds_count");
            assert_eq!(
                scrape.sum(&name, &[]),
                0.0,
                "{name}: a tunnel is no request"
            );
        }
    };
    waits(&scrape);

    let close = CloseFrame {
        code: 4321.into(),
        reason: "done".into(),
    };
    tunnel.close(Some(close)).unwrap();
    while tunnel.read().is_ok() {}
    eventually!(count("sluice_tunnels_closed_total", &[]) == 1.0);
    let scrape = proxy.scrape();
    moved(&scrape);
    waits(&scrape);
    assert_eq!(
        bytes(&scrape, "from_client"),
        1039.0 + 12.0,
        "and the Close"
    );
    let by = [("route", "a"), ("closed_by", "client")];
    assert_eq!(scrape.sum("sluice_tunnels_closed_total", &by), 1.0);
    for side in ["client", "upstream"] {
        let code = [("route", "a"), ("side", side), ("code", "4000-4999")];
        assert_eq!(scrape.sum("sluice_tunnel_close_codes_total", &code), 1.0);
        let closes = [("direction", &*format!("from_{side}")), ("opcode", "close")];
        assert_eq!(scrape.sum("sluice_tunnel_messages_total", &closes), 1.0);
    }
    assert_eq!(scrape.sum("sluice_tunnels_open", &[("route", "a")]), 0.0);
    assert_eq!(scrape.sum("sluice_tunnel_lifetime_seconds_count", &[]), 1.0);
}

/// Tunnels end while scrapes come: no message is ever missing or counted twice.
#[test]
fn messages_never_shrink_and_never_count_twice() {
    const TUNNELS: usize = 40;
    let backend = tunnel_backend(|mut wire| {
        wire.read_exact(masked_frame(1, b"x").len());
        wire.read_until_close();
    });
    let proxy = Proxy::start(&format!(
        "workers = 2\n{LISTEN}{}",
        route("a", "/", backend.address())
    ));
    let sent = |proxy: &Proxy| {
        let labels = [("direction", "from_client"), ("opcode", "text")];
        let scrape = proxy.scrape();
        scrape.sum("sluice_tunnel_messages_total", &labels)
    };
    let mut tunnels: Vec<_> = (0..TUNNELS)
        .map(|_| support::websocket::open(&proxy, "/"))
        .collect();
    for tunnel in &mut tunnels {
        tunnel.send(masked_frame(1, b"x"));
    }
    eventually!(sent(&proxy) == TUNNELS as f64);
    for tunnel in tunnels {
        tunnel.reset();
        assert_eq!(sent(&proxy), TUNNELS as f64);
    }
    eventually!(proxy.scrape().sum("sluice_tunnels_closed_total", &[]) == TUNNELS as f64);
    assert_eq!(sent(&proxy), TUNNELS as f64);
    let none = [("side", "client"), ("code", "none")];
    let codes = proxy.scrape().sum("sluice_tunnel_close_codes_total", &none);
    assert_eq!(codes, TUNNELS as f64, "they were reset");
}

#[test]
fn a_refused_handshake_has_a_route_a_reason_and_a_cause() {
    let refusing = RawBackend::start(|_, mut wire| {
        wire.read_head();
        wire.send("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    });
    let mute = RawBackend::start(|_, mut wire| {
        wire.read_head();
    });
    // An address that was free a moment ago refuses connections.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = gone.local_addr().unwrap();
    drop(gone);
    let proxy = Proxy::start(&format!(
        "{LISTEN}{}{}{}",
        route("no", "/no", refusing.address()),
        route("mute", "/mute", mute.address()),
        route("down", "/down", nobody),
    ));
    let host = proxy.address();
    for (path, more, status) in [
        ("/no", "", 404),
        ("/no", "Origin: http://evil.test\r\n", 403),
        ("/mute", "", 502),
        ("/down", "", 502),
        ("/nowhere", "", 404),
    ] {
        let mut wire = proxy.send(handshake(host, path, more));
        assert_eq!(wire.read_response().status(), status, "{path}");
    }
    let keyless = handshake(host, "/no", "").replace("Sec-WebSocket-Key", "X-Key");
    assert_eq!(proxy.send(keyless).read_head().status(), 400);
    let refused = |labels: &[(&str, &str)]| {
        proxy
            .scrape()
            .sum("sluice_handshakes_refused_total", labels)
    };
    eventually!(refused(&[]) == 6.0);
    for (route, reason, cause) in [
        ("no", "upstream", "path-not-found"),
        ("no", "origin", "origin-not-allowed"),
        ("no", "bad_header", "client-key-missing"),
        ("mute", "bad_answer", "closed-without-answer"),
        ("down", "unreachable", "connection-refused"),
        ("", "no_route", "no-route"),
    ] {
        let labels = [("route", route), ("reason", reason), ("cause", cause)];
        assert_eq!(refused(&labels), 1.0, "{labels:?} {}", proxy.scrape().text);
    }
    eventually!(proxy.scrape().requests(&[]) == 6.0);
    let scrape = proxy.scrape();
    let took = scrape.sum(
        "sluice_handshake_duration_seconds_count",
        &[("outcome", "refused")],
    );
    assert_eq!(took, 6.0);
    let down = nobody.to_string();
    let endpoint = [("upstream", "down"), ("endpoint", &*down)];
    let failed = [endpoint[0], endpoint[1], ("result", "refused")];
    assert_eq!(scrape.sum("sluice_upstream_connects_total", &failed), 1.0);
    assert_eq!(scrape.sum("sluice_upstream_endpoint_up", &endpoint), 0.0);
    assert_eq!(scrape.sum("sluice_tunnels_opened_total", &[]), 0.0);
}

#[test]
fn what_clients_send_makes_no_label() {
    let backend = HttpBackend::start();
    let echo = EchoBackend::start();
    let proxy = Proxy::start(&format!(
        "{LISTEN}{}{}",
        route("a", "/", backend.address()),
        route("ws", "/ws", echo.address()),
    ));
    let round = |salt: &str| {
        for n in 0..150 {
            let (method, status) = (format!("M{salt}{n}"), 200 + (n * 7) % 800);
            let more = format!(
                "X-{salt}: {salt}\r\nOrigin: http://{salt}{n}.test\r\nUser-Agent: {salt}{n}\r\n"
            );
            proxy.ask(&method, &format!("/status/{status}?{salt}"), "");
            proxy.ask("GET", &format!("/{salt}{n}"), &more);
            let host = format!("{salt}{n}.test");
            let mut wire = proxy.send(handshake(&host, &format!("/ws/{salt}{n}"), &more));
            wire.read_head();
            if n < 20 {
                let code = 900 + n * 250;
                let mut tunnel = proxy.send(handshake(&host, "/ws", ""));
                assert_eq!(tunnel.read_head().status(), 101);
                tunnel.send(masked_frame(8, &(code as u16).to_be_bytes()));
                read_frame(&mut tunnel);
            }
        }
        let ended = |scrape: &Scrape| {
            scrape.requests(&[]) % 470.0 == 0.0 && scrape.sum("sluice_tunnels_open", &[]) == 0.0
        };
        eventually!(ended(&proxy.scrape()));
        proxy.scrape()
    };
    let (first, second) = (round("zebra"), round("yak"));
    let series = |scrape: &Scrape| scrape.samples.keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        series(&first),
        series(&second),
        "the second round adds none"
    );
    for word in ["zebra", "yak"] {
        assert!(!second.text.contains(word));
    }
    assert_eq!(second.values("route"), ["a", "ws"].into());
    let methods = ["GET", "other"];
    assert_eq!(second.values("method"), methods.into());
    let exact: Vec<u16> = second
        .values("status")
        .iter()
        .filter_map(|status| status.parse().ok())
        .collect();
    assert!(exact.contains(&200) && exact.len() < 62, "{exact:?}");
    assert!(second.values("status").contains("other"));
    for code in ["3000-3999", "4000-4999", "other"] {
        assert!(second.values("code").contains(code), "{code}");
    }
}
