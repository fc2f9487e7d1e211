//! Origins that no list of names can express, and the port that a proxy in front names.

use crate::support;

use support::{EchoBackend, Proxy};

fn handshake(proxy: &Proxy, lines: &str) -> u16 {
    let mut wire = proxy.send(format!(
        "GET /ws HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{lines}\r\n"
    ));
    wire.read_head().status()
}

#[test]
fn a_list_takes_schemes_and_ports_as_a_whole() {
    let backend = EchoBackend::start();
    let proxy = Proxy::with(
        backend.address(),
        "[route.websocket]\norigin = [\"file://\", \"moz-extension://*\", \"http://localhost:*\"]\n",
    );
    for (origin, expected) in [
        ("file://", 101),
        ("moz-extension://0f3c-77", 101),
        ("http://localhost:5173", 101),
        ("http://localhost", 101),
        ("https://localhost:5173", 403),
        ("chrome-extension://0f3c", 403),
        ("null", 403),
    ] {
        assert_eq!(
            handshake(&proxy, &format!("Origin: {origin}\r\n")),
            expected,
            "{origin}"
        );
    }
}

#[test]
fn a_refusal_advises_what_the_configuration_takes() {
    let backend = EchoBackend::start();
    let proxy = Proxy::minimal(backend.address());
    for (origin, advice) in [
        ("file://", "origin = [\"same-origin\", \"file://\"]"),
        (
            "vscode-webview://1h2",
            "origin = [\"same-origin\", \"vscode-webview://*\"]",
        ),
    ] {
        assert_eq!(handshake(&proxy, &format!("Origin: {origin}\r\n")), 403);
        proxy.wait_for_access("the refusal", |json| {
            json.to_string().contains(&advice.replace('"', "\\\""))
        });
        let taken = Proxy::with(backend.address(), &format!("[route.websocket]\n{advice}\n"));
        assert_eq!(handshake(&taken, &format!("Origin: {origin}\r\n")), 101);
    }
}

#[test]
fn the_port_that_a_trusted_proxy_names_counts_for_same_origin() {
    let backend = EchoBackend::start();
    let stranger = Proxy::minimal(backend.address());
    let trusting = Proxy::with(
        backend.address(),
        "[http]\ntrusted_proxies = [\"127.0.0.0/8\"]\n",
    );
    for lines in [
        "X-Forwarded-Port: 8443\r\n",
        "X-Forwarded-Port: 8443\r\nX-Forwarded-Proto: https\r\n",
        "X-Forwarded-Port: 8443, 80\r\n",
        "X-Forwarded-Host: a.test:8443\r\n",
        "X-Forwarded-Host: a.test:8443\r\nX-Forwarded-Port: 80\r\n",
        "Forwarded: for=1.2.3.4;Host=\"a.test:8443\";proto=https, for=127.0.0.1\r\n",
    ] {
        let lines = format!("Origin: https://a.test:8443\r\n{lines}");
        assert_eq!(handshake(&trusting, &lines), 101, "{lines}");
        assert_eq!(handshake(&stranger, &lines), 403, "{lines}");
    }
    for lines in [
        "Origin: https://a.test:8444\r\nX-Forwarded-Port: 8443\r\n",
        "Origin: https://b.test:8443\r\nX-Forwarded-Port: 8443\r\n",
        "Origin: https://a.test:8443\r\nX-Forwarded-Port: none\r\n",
    ] {
        assert_eq!(handshake(&trusting, lines), 403, "{lines}");
    }
}
