//! Access records: one line an exchange, two a tunnel, with the fields that operators search
//! by, and without query strings unless they are asked for.

use crate::support;

use serde_json::Value;
use support::websocket::{self, close_payload, frame, handshake, masked_frame, open, read_frame};
use support::{EchoBackend, HttpBackend, Proxy};
use tokio_tungstenite::tungstenite::Message;

fn exchange(proxy: &Proxy) -> Value {
    proxy.wait_for_access("an exchange", |json| json["kind"] == "exchange")
}

#[track_caller]
fn numbers(record: &Value, names: &[&str]) {
    for name in names {
        assert!(record[*name].is_number(), "{name} in {record}");
    }
}

#[test]
fn an_exchange_has_all_its_fields() {
    let backend = HttpBackend::start();
    let proxy = Proxy::with(backend.address(), "name = \"app\"\n");
    let mut wire = proxy.send(
        "POST /sink?token=hunter2 HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello",
    );
    assert_eq!(wire.read_response().status(), 200);
    let record = exchange(&proxy);
    for (name, value) in [
        ("method", "POST"),
        ("host", "a.example"),
        ("path", "/sink"),
        ("route", "app"),
    ] {
        assert_eq!(record[name], value, "{record}");
    }
    assert_eq!(record["status"], 200);
    assert_eq!(record["endpoint"], backend.address().to_string());
    assert!(record["upstream"].is_string(), "{record}");
    assert!(record["client"].as_str().unwrap().starts_with("127.0.0.1"));
    assert!(record["time"].as_str().unwrap().ends_with('Z'));
    assert!(!record["request_id"].as_str().unwrap().is_empty());
    numbers(&record, &["duration_ms", "bytes_in", "bytes_out"]);
    assert_eq!(record["bytes_out"], 1);
    assert!(record.get("error").is_none(), "{record}");
}

#[test]
fn query_strings_stay_out_of_every_line() {
    let backend = HttpBackend::start();
    let proxy = Proxy::with(backend.address(), "[log]\nlevel = \"trace\"\n");
    let mut wire = proxy.send("GET /echo?token=hunter2 HTTP/1.1\r\nHost: x\r\n\r\n");
    // It reaches the backend, of course.
    assert_eq!(wire.read_response().json()["target"], "/echo?token=hunter2");
    let mut wire = proxy.send(handshake("x", "/ws?token=hunter2", ""));
    assert_eq!(wire.read_head().status(), 200);
    proxy.wait_for_access("both exchanges", |json| json["path"] == "/ws");
    assert!(!proxy.output().contains("hunter2"), "{}", proxy.output());
}

#[test]
fn query_strings_are_logged_where_they_are_asked_for() {
    let backend = HttpBackend::start();
    let proxy = Proxy::with(backend.address(), "[log]\nquery = true\n");
    let mut wire = proxy.send("GET /echo?page=2 HTTP/1.1\r\nHost: x\r\n\r\n");
    wire.read_response();
    assert_eq!(exchange(&proxy)["query"], "page=2");
}

#[test]
fn a_refused_request_has_a_record_too() {
    let backend = HttpBackend::start();
    let proxy = Proxy::minimal(backend.address());
    let refused = proxy.send("GET / HTTP/1.1\r\n\r\n").read_response();
    let record = exchange(&proxy);
    assert_eq!(record["status"], 400);
    assert_eq!(record["error"], "http_request_error");
    assert!(record["detail"].is_string(), "{record}");
    numbers(&record, &["duration_ms", "bytes_in", "bytes_out"]);
    assert_eq!(record["bytes_out"], refused.body.len(), "{record}");
}

#[test]
fn a_client_that_leaves_early_is_recorded() {
    let backend = HttpBackend::start();
    let proxy = Proxy::minimal(backend.address());
    let mut wire = proxy.send("GET /bytes/1000000000 HTTP/1.1\r\nHost: x\r\n\r\n");
    wire.read_head();
    drop(wire);
    let record = exchange(&proxy);
    assert_eq!(record["error"], "client_closed", "{record}");
    assert!(record["bytes_out"].as_u64().unwrap() < 1_000_000_000);
}

#[test]
fn a_tunnel_has_a_line_at_its_opening_and_one_at_its_end() {
    let backend = EchoBackend::start();
    let proxy = Proxy::with(backend.address(), "name = \"live\"\n");
    let (mut socket, _) =
        websocket::connect_with(&proxy, "/ws?token=hunter2", &proxy.origin(), &["chat"])
            .expect("a tunnel");
    let opened = proxy.wait_for_access("the opening", |json| json["kind"] == "tunnel_open");
    for n in 0..3 {
        websocket::exchange(&mut socket, Message::text(format!("message {n}")));
    }
    websocket::exchange(&mut socket, Message::binary(vec![0; 1000]));
    socket.close(None).expect("a Close");
    while socket.read().is_ok() {}
    let closed = proxy.wait_for_tunnel_close();
    for record in [&opened, &closed] {
        assert_eq!(record["route"], "live", "{record}");
        assert_eq!(record["path"], "/ws");
        assert_eq!(record["host"], proxy.address().to_string());
        assert_eq!(record["subprotocol"], "chat");
        assert_eq!(record["origin"], proxy.origin());
        assert_eq!(record["endpoint"], backend.address().to_string());
        assert!(!record.to_string().contains("hunter2"));
    }
    assert_eq!(opened["request_id"], closed["request_id"]);
    assert_eq!(closed["closed_by"], "client", "{closed}");
    assert_eq!(closed["messages_in"], 4);
    assert_eq!(closed["messages_out"], 4);
    assert_eq!(
        closed["client_close"]["code"], 1005,
        "a Close without a code"
    );
    numbers(&closed, &["duration_ms"]);
    for (name, payload) in [("bytes_in", 1027), ("bytes_out", 1027)] {
        assert!(
            closed[name].as_u64().unwrap() > payload,
            "{name} in {closed}"
        );
    }
    // The handshake itself is no exchange: its two lines are all.
    let lines = proxy.access();
    assert!(
        lines.iter().all(|line| line["kind"] != "exchange"),
        "{lines:?}"
    );
}

#[test]
fn a_tunnels_end_names_who_ended_it() {
    // The upstream says goodbye first.
    let backend = websocket::tunnel_backend(|mut wire| {
        wire.send(frame(8, &close_payload(1013, "try later")));
        read_frame(&mut wire);
    });
    let proxy = Proxy::minimal(backend.address());
    let mut wire = open(&proxy, "/ws");
    assert_eq!(read_frame(&mut wire).1, close_payload(1013, "try later"));
    wire.send(masked_frame(8, &close_payload(1013, "")));
    wire.read_until_close();
    let record = proxy.wait_for_tunnel_close();
    assert_eq!(record["closed_by"], "upstream", "{record}");
    assert_eq!(record["upstream_close"]["code"], 1013);
    assert_eq!(record["upstream_close"]["reason"], "try later");
    assert_eq!(record["client_close"]["code"], 1013);
}

#[test]
fn a_client_that_vanishes_is_named_and_has_no_code() {
    let backend = websocket::tunnel_backend(|mut wire| {
        wire.read_until_close();
    });
    let proxy = Proxy::minimal(backend.address());
    open(&proxy, "/ws").reset();
    let record = proxy.wait_for_tunnel_close();
    assert_eq!(record["closed_by"], "client", "{record}");
    assert!(record.get("client_close").is_none(), "{record}");
}

#[test]
fn values_from_outside_cannot_forge_a_line() {
    let backend = HttpBackend::start();
    let proxy = Proxy::minimal(backend.address());
    let mut wire = proxy.send(
        "GET /%0a%22kind%22 HTTP/1.1\r\nHost: x\r\nUser-Agent: \"}{\"kind\":\"forged\"}\r\n\r\n",
    );
    wire.read_response();
    exchange(&proxy);
    let forged = |json: &Value| json["kind"] == "forged";
    assert!(!proxy.access().iter().any(forged));
}

#[test]
fn behind_a_trusted_proxy_the_client_is_whom_it_vouches_for() {
    let backend = HttpBackend::start();
    let trusting = "[http]\ntrusted_proxies = [\"127.0.0.0/8\"]\n";
    let chain = "GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 1.1.1.1, 203.0.113.9\r\n\r\n";
    let proxy = Proxy::with(backend.address(), trusting);
    proxy.send(chain).read_response();
    assert_eq!(exchange(&proxy)["client"], "203.0.113.9");
    let proxy = Proxy::minimal(backend.address());
    proxy.send(chain).read_response();
    let record = exchange(&proxy);
    assert!(
        record["client"].as_str().unwrap().starts_with("127.0.0.1:"),
        "{record}"
    );
}
