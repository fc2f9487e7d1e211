//! Requests that come back: a route to its own listener, instances in a circle, and chains
//! that are none.

use crate::support;

use std::net::{SocketAddr, TcpListener};

use serde_json::Value;
use support::websocket::handshake;
use support::{HttpBackend, Proxy};

const GET: &str = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";

/// A port that is free now; a circle must know its addresses before it is closed.
fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound address")
}

fn at(address: SocketAddr, to: SocketAddr, more: &str) -> Proxy {
    Proxy::start(&format!(
        "[[listen]]\naddress = \"{address}\"\n[[route]]\nto = \"{to}\"\n{more}\n"
    ))
}

fn exchanges(proxy: &Proxy) -> Vec<Value> {
    let records = proxy.access().into_iter();
    records
        .filter(|record| record["kind"] == "exchange")
        .collect()
}

/// One request is answered by 508 after as many hops as the circle has places, and named.
#[track_caller]
fn goes_in_a_circle(proxies: &[Proxy]) {
    let first = &proxies[0];
    let mut wire = first.send(GET);
    let response = wire.read_response();
    assert_eq!(response.status(), 508, "{}", response.text());
    let named = response.head.field("proxy-status").expect("Proxy-Status");
    assert!(named.contains("error=proxy_loop_detected"), "{named}");
    let record = first.wait_for_access("the loop", |json| json["error"] == "proxy_loop_detected");
    assert_eq!(record["status"], 508, "{record}");
    eventually!(exchanges(first).len() == 2, "{:?}", exchanges(first));
    for proxy in &proxies[1..] {
        eventually!(exchanges(proxy).len() == 1, "{:?}", exchanges(proxy));
    }

    let mut wire = first.send(handshake(first.address(), "/ws", ""));
    assert_eq!(wire.read_response().status(), 508);
    let is_handshake = |json: &Value| json["path"] == "/ws" && json["cause"] == "loop-detected";
    first.wait_for_access("the handshake", is_handshake);
    let (_, metrics) = first.get_admin("/metrics");
    assert!(metrics.contains("cause=\"loop-detected\""), "{metrics}");
}

#[test]
fn a_route_to_its_own_listener() {
    let address = free();
    goes_in_a_circle(&[at(address, address, "")]);
}

#[test]
fn two_and_three_instances_in_a_circle_without_via() {
    let (a, b, c) = (free(), free(), free());
    goes_in_a_circle(&[at(a, b, ""), at(b, a, "")]);
    let removes = "[route.request_headers]\nremove = [\"sluice-hops\"]";
    let said = "[http]\nvia = \"edge\"";
    goes_in_a_circle(&[at(a, b, ""), at(b, c, removes), at(c, a, said)]);
}

#[test]
fn a_chain_of_different_instances_passes() {
    let backend = HttpBackend::start();
    let last = Proxy::minimal(backend.address());
    let middle = Proxy::minimal(last.address());
    let first = Proxy::minimal(middle.address());
    assert_eq!(first.send(GET).read_response().status(), 200);
    let seen = backend.requests().remove(0);
    let fields = seen["headers"].as_array().expect("fields");
    let marks: Vec<&str> = fields
        .iter()
        .filter(|field| field[0] == "sluice-hops")
        .filter_map(|field| field[1].as_str())
        .collect();
    assert_eq!(marks.len(), 1, "{marks:?}");
    assert_eq!(marks[0].split(", ").count(), 3, "{marks:?}");
    // Nothing of it comes back to the client.
    let response = first.send(GET).read_response();
    assert!(response.head.field("sluice-hops").is_none());
}

#[test]
fn one_route_may_lead_to_another_of_the_same_instance() {
    let backend = HttpBackend::start();
    let address = free();
    let proxy = Proxy::start(&format!(
        "[[listen]]\naddress = \"{address}\"\n\
         [[route]]\npath_prefix = \"/old\"\nreplace_prefix = \"/new\"\nto = \"{address}\"\n\
         [[route]]\npath_prefix = \"/new\"\nto = \"{}\"\n",
        backend.address()
    ));
    let response = proxy
        .send("GET /old/x HTTP/1.1\r\nHost: x\r\n\r\n")
        .read_response();
    assert_eq!(response.status(), 200, "{}", response.text());
    assert_eq!(response.json()["target"], "/new/x");
}

#[test]
fn made_up_marks_harm_only_their_own_request() {
    let backend = HttpBackend::start();
    let proxy = Proxy::minimal(backend.address());
    let with = |value: &str| proxy.ask("GET", "/", &format!("Sluice-Hops: {value}\r\n"));
    assert_eq!(with("0123456789abcdef"), 200);
    assert_eq!(with("junk, , \u{e9}"), 200);
    assert_eq!(with(&vec!["0123456789abcdef"; 40].join(", ")), 508);
    assert_eq!(proxy.ask("GET", "/", ""), 200);
}

#[test]
fn a_reload_keeps_the_mark() {
    let address = free();
    let config = |name: &str| {
        format!(
            "[[listen]]\naddress = \"{address}\"\n[[route]]\nname = \"all\"\nto = \"{address}\"\n\
             [http]\nvia = \"{name}\"\n"
        )
    };
    let proxy = Proxy::start(&config("one"));
    proxy.reload(&config("other"));
    assert_eq!(proxy.send(GET).read_response().status(), 508);
    eventually!(exchanges(&proxy).len() == 2);
}
