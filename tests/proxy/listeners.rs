//! What holds for one listener and not for another: routes that name it, a redirect to https, and
//! what its answers say about coming by https only.

use crate::support;

use std::net::SocketAddr;

use support::tls::{Authority, Bridge};
use support::websocket::handshake;
use support::{HttpBackend, Proxy, Wire};

fn get(address: SocketAddr, host: &str, target: &str) -> support::Head {
    let mut wire = Wire::connect(address);
    wire.send(format!(
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    ));
    wire.read_head()
}

#[test]
fn a_route_serves_the_listeners_that_it_names() {
    let toml = |more: &str| {
        format!(
            "[[listen]]\naddress = \"127.0.0.1:0\"\nname = \"public\"\n\
             [[listen]]\naddress = \"127.0.0.1:0\"\nname = \"internal\"\n\
             [[listen]]\naddress = \"127.0.0.1:0\"\n\
             [[route]]\nrespond = {{ status = 200 }}\n\
             [[route]]\nlisten = \"internal\"\nrespond = {{ status = 201 }}\n\
             [[route]]\npath = \"/both\"\nlisten = [\"public\", \"internal\"]\n\
             respond = {{ status = 202 }}\n{more}"
        )
    };
    let proxy = Proxy::start(&toml(""));
    let status = |n: usize, path: &str| get(proxy.nth_address(n), "x", path).status();
    let all = |path: &str| [status(0, path), status(1, path), status(2, path)];
    assert_eq!(
        all("/"),
        [200, 201, 200],
        "the one that names it is more specific"
    );
    assert_eq!(all("/both"), [202, 202, 200]);
    // A connection that is kept finds the routes of its listener after a reload, too.
    let mut kept = Wire::connect(proxy.nth_address(1));
    kept.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(kept.read_response().status(), 201);
    let more = "[[route]]\npath = \"/new\"\nlisten = \"internal\"\nrespond = { status = 203 }\n";
    proxy.reload(&toml(more));
    kept.send("GET /new HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(kept.read_response().status(), 203);
    assert_eq!(all("/new"), [200, 203, 200]);
}

#[test]
fn a_listener_sends_its_clients_to_https() {
    let backend = HttpBackend::start();
    let to = backend.address();
    let listen = |more: &str| format!("[[listen]]\naddress = \"127.0.0.1:0\"\n{more}\n");
    let proxy = Proxy::start(&format!(
        "{}{}{}[http]\ntrusted_proxies = [\"127.0.0.1\"]\n[[route]]\nhost = \"a.test\"\nto = \"{to}\"\n",
        listen("redirect_to_https = true"),
        listen("redirect_to_https = 8443"),
        listen(""),
    ));
    let [usual, other, plain] = [0, 1, 2].map(|n| proxy.nth_address(n));
    let location = |address, host: &str, target: &str| {
        let head = get(address, host, target);
        assert_eq!(head.status(), 308, "{head:?}");
        head.field("location").unwrap()
    };
    for (host, target, to) in [
        ("a.test", "/", "https://a.test/"),
        (
            "a.test:8080",
            "/a//b%2Fc?q=%20&r",
            "https://a.test/a//b%2Fc?q=%20&r",
        ),
        ("b.test", "//c.test/", "https://b.test//c.test/"),
        ("[::1]:80", "/x", "https://[::1]/x"),
    ] {
        assert_eq!(location(usual, host, target), to);
    }
    assert_eq!(
        location(other, "a.test:8080", "/x?y"),
        "https://a.test:8443/x?y"
    );
    assert_eq!(get(plain, "a.test", "/").status(), 200);
    // A client of WebSocket is sent to wss.
    let mut wire = Wire::connect(other);
    wire.send(handshake("a.test", "/ws", ""));
    let head = wire.read_head();
    assert_eq!(
        head.field("location").as_deref(),
        Some("wss://a.test:8443/ws")
    );
    // Through a proxy that has taken the request by https there is no circle.
    let mut wire = Wire::connect(usual);
    wire.send("GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\n\r\n");
    assert_eq!(wire.read_head().status(), 200);
    let mut wire = Wire::connect(usual);
    wire.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(wire.read_head().status(), 400);
    // And sluice itself can be asked how it is.
    let mut wire = Wire::connect(usual);
    wire.send("OPTIONS * HTTP/1.1\r\nHost: x\r\nMax-Forwards: 0\r\n\r\n");
    assert_eq!(wire.read_head().status(), 204);
}

#[test]
fn answers_by_tls_say_that_browsers_are_to_come_by_it_only() {
    let (authority, backend) = (Authority::new(), HttpBackend::start());
    let files = authority.pair(&["a.test"]);
    let proxy = Proxy::start(&format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[listen.tls]\n{}hsts = \"365d\"\n\
         hsts_include_subdomains = true\n[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\nto = \"{}\"\n[[route]]\npath = \"/none\"\nrespond = {{ status = 404 }}\n\
         [[route]]\npath = \"/own\"\nrespond = {{ status = 200 }}\n\
         response_headers = {{ set = {{ strict-transport-security = \"max-age=1\" }} }}\n",
        files.toml(),
        backend.address()
    ));
    let bridge = Bridge::start(proxy.nth_address(0), "a.test", authority.client());
    let hsts =
        |address, path: &str| get(address, "a.test", path).field("strict-transport-security");
    let year = Some("max-age=31536000; includeSubDomains".to_owned());
    assert_eq!(hsts(bridge.address(), "/"), year);
    assert_eq!(hsts(bridge.address(), "/none"), year);
    assert_eq!(hsts(bridge.address(), "/own").as_deref(), Some("max-age=1"));
    assert_eq!(
        hsts(bridge.address(), "/a\u{1}b"),
        year,
        "an error of sluice's own"
    );
    assert_eq!(
        hsts(proxy.nth_address(1), "/"),
        None,
        "RFC 6797 section 7.2"
    );
    assert_eq!(
        hsts(proxy.nth_address(0), "/"),
        None,
        "plain HTTP on the port of TLS"
    );
}
