//! Requests that are under way when a reload takes away what they came by.

use std::sync::{Mutex, mpsc};

use super::*;
use crate::support::{DEADLINE, RawBackend};

#[test]
fn a_request_outlives_its_route_its_endpoint_and_its_listener() {
    let (arrived, seen) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let both = Mutex::new((arrived, released));
    let backend = RawBackend::start(move |_, mut wire| {
        wire.read_head();
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst");
        let both = both.lock().unwrap();
        both.0.send(()).expect("the test goes on");
        both.1.recv().expect("the test goes on");
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
    seen.recv_timeout(DEADLINE).expect("the request arrives");
    let event = proxy.reload(&format!("{LISTEN}{}", to("stays", other.address())));
    assert!(
        list(&event, "changes").contains("route gone removed"),
        "{event}"
    );
    assert!(TcpStream::connect(leaving).is_err(), "nobody listens there");
    release.send(()).expect("the backend waits");
    let response = wire.read_response();
    assert_eq!(
        (response.status(), response.text()),
        (200, "first last".into())
    );
    // The connection lives on, with the routes that there are now.
    wire.send("GET /stays HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(wire.read_response().status(), 200);
}
