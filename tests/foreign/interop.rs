//! WebSocket libraries that we did not write, each with each, through the minimal
//! configuration: what PEERS and vendors call "just works" (RFC 6455, RFC 7692 end to end).
//! Every client sends a browser-like Origin with a port, which is what breaks behind proxies
//! that lose the Host.

use crate::support;

use serde_json::Value;
use support::foreign::{self, LIBRARIES};
use support::{Browser, EchoBackend, Foreign, HttpBackend, Proxy, websocket};
use tokio_tungstenite::tungstenite::{Error, Message, protocol::CloseFrame};

#[test]
fn clients_and_servers_of_go_node_and_python_understand_each_other() {
    if !LIBRARIES.into_iter().all(foreign::require) {
        return;
    }
    for server in LIBRARIES {
        let backend = Foreign::server(server);
        let proxy = Proxy::minimal(backend.address());
        for client in LIBRARIES {
            let report = foreign::client(client, &proxy.ws_url("/ws"), &proxy.origin());
            let report = report.unwrap_or_else(|why| panic!("{client} to {server}: {why:?}"));
            assert_eq!(report["subprotocol"], "chat", "{client} to {server}");
            assert_eq!(report["close_code"], 4001, "{client} to {server}");
            let extensions = report["extensions"].as_str().unwrap_or_default();
            assert!(
                extensions.starts_with("permessage-deflate"),
                "{client} to {server} agreed on {extensions:?}"
            );
        }
        // The server saw the client's Host and Origin, and the client's own close code.
        for handshake in backend.events("handshake") {
            assert_eq!(handshake["host"], proxy.address().to_string());
            assert_eq!(handshake["origin"], proxy.origin());
        }
        expect_closed(&backend);
    }
}

fn expect_closed(backend: &Foreign) {
    eventually!(backend.events("closed").len() == LIBRARIES.len());
    for closed in backend.events("closed") {
        assert_eq!(closed["code"], 4001);
    }
}

#[test]
fn foreign_clients_reach_a_tungstenite_server() {
    if !LIBRARIES.into_iter().all(foreign::require) {
        return;
    }
    let backend = EchoBackend::start();
    let proxy = Proxy::minimal(backend.address());
    for client in LIBRARIES {
        let report = foreign::client(client, &proxy.ws_url("/ws"), &proxy.origin());
        let report = report.unwrap_or_else(|why| panic!("{client}: {why:?}"));
        assert_eq!(report["subprotocol"], "chat", "{client}");
        assert_eq!(report["extensions"].as_str(), Some(""), "{client}");
    }
}

#[test]
fn a_tungstenite_client_reaches_foreign_servers() {
    if !LIBRARIES.into_iter().all(foreign::require) {
        return;
    }
    for server in LIBRARIES {
        let backend = Foreign::server(server);
        let proxy = Proxy::minimal(backend.address());
        exercise(&proxy);
        assert_eq!(backend.wait_for("closed")["code"], 4001, "{server}");
    }
}

#[test]
fn a_tungstenite_client_reaches_a_tungstenite_server() {
    let backend = EchoBackend::start();
    let proxy = Proxy::minimal(backend.address());
    exercise(&proxy);
    let fields = &backend.handshakes()[0];
    let host = fields.iter().find(|(name, _)| name == "host");
    assert_eq!(host.unwrap().1, proxy.address().to_string());
}

fn exercise(proxy: &Proxy) {
    let protocols = ["v2.unknown", "chat"];
    let (mut socket, answer) =
        websocket::connect_with(proxy, "/ws", &proxy.origin(), &protocols).expect("a tunnel");
    assert_eq!(answer.headers()["sec-websocket-protocol"], "chat");
    let every: Vec<u8> = (0..=255).collect();
    let random: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..))
        .take(1 << 20)
        .collect();
    websocket::exchange(&mut socket, Message::text("hello"));
    websocket::exchange(&mut socket, Message::text(""));
    websocket::exchange(&mut socket, Message::text("compressible ".repeat(80_660)));
    websocket::exchange(&mut socket, Message::binary(every));
    websocket::exchange(&mut socket, Message::binary(random));
    socket.send(Message::Ping("are you there".into())).unwrap();
    assert_eq!(
        socket.read().unwrap(),
        Message::Pong("are you there".into())
    );
    let goodbye = CloseFrame {
        code: 4001.into(),
        reason: "done".into(),
    };
    socket.close(Some(goodbye.clone())).unwrap();
    match socket.read().unwrap() {
        Message::Close(Some(answer)) => assert_eq!(answer.code, goodbye.code),
        other => panic!("instead of the Close came {other:?}"),
    }
    assert!(matches!(socket.read(), Err(Error::ConnectionClosed)));
}

#[test]
fn a_page_in_chromium_talks_through_the_port_it_came_from() {
    if !["go", "node"].into_iter().all(foreign::require) {
        return;
    }
    let Some(browser) = Browser::start() else {
        return;
    };
    for server in ["go", "node"] {
        let backend = Foreign::server(server);
        let proxy = Proxy::minimal(backend.address());
        let _page = browser.open(&format!("{}/", proxy.origin()));
        let report = &backend.wait_for("report")["body"];
        assert_eq!(report["outcome"], "ok", "{server}: {report}");
        assert_eq!(report["subprotocol"], "chat", "{server}");
        assert_eq!(report["close_code"], 4001, "{server}");
        let extensions = report["extensions"].as_str().unwrap_or_default();
        assert!(extensions.starts_with("permessage-deflate"), "{report}");
    }
}

#[test]
fn a_page_of_another_origin_in_chromium_is_refused() {
    if !foreign::require("go") {
        return;
    }
    let Some(browser) = Browser::start() else {
        return;
    };
    // The page comes straight from one server and wants the tunnel of another.
    let page = Foreign::server("go");
    let backend = HttpBackend::start();
    let proxy = Proxy::minimal(backend.address());
    let url = format!("http://{}/?ws={}", page.address(), proxy.ws_url("/ws"));
    let _page = browser.open(&url);
    let report = &page.wait_for("report")["body"];
    assert_eq!(report["opened"], false, "{report}");
    assert_eq!(report["close_code"], 1006, "{report}");
    assert_eq!(backend.requests(), Vec::<Value>::new());
    let refused = proxy.wait_for_access("the refusal", |json| json["status"] == 403);
    assert_eq!(refused["kind"], "exchange");
}
