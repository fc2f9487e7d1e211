//! Requests that are under way when a reload takes away what they came by.

use super::*;
use crate::support::{RawBackend, gate};

#[test]
fn a_request_outlives_its_route_its_endpoint_and_its_listener() {
    let (gate, door) = gate();
    let backend = RawBackend::start(move |_, mut wire| {
        wire.read_head();
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst");
        door.wait();
        wire.send(" last");
    });
    let other = HttpBackend::start();
    let to = |name: &str, address| route(name, &format!("/{name}"), address, "");
    let proxy = Proxy::start(&format!(
        "{LISTEN}[[listen]]\naddress = \"127.0.0.2:0\"\n{}{}",
        to("gone", backend.address()),
        to("stays", other.address())
    ));
    let leaving = proxy.nth_address(1);
    let mut wire = Wire::connect(leaving);
    wire.send("GET /gone HTTP/1.1\r\nHost: x\r\n\r\n");
    gate.reached();
    let event = proxy.reload(&format!("{LISTEN}{}", to("stays", other.address())));
    assert!(
        list(&event, "changes").contains("route gone removed"),
        "{event}"
    );
    assert!(TcpStream::connect(leaving).is_err(), "nobody listens there");
    gate.open();
    let response = wire.read_response();
    assert_eq!(
        (response.status(), response.text()),
        (200, "first last".into())
    );
    // The connection lives on, with the routes that there are now.
    wire.send("GET /stays HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(wire.read_response().status(), 200);
}
