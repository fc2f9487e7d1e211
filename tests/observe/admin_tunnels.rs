//! The live tunnels of real processes through the admin interface: lists, filters, pages,
//! one tunnel's figures, closes by command, and the commands for them.

use crate::support;

use serde_json::{Value, json};
use support::admin::{parsed, printed};
use support::websocket::{
    close_payload, expect_close_frame, handshake, masked_frame, open, read_frame, tunnel_backend,
};
use support::{Proxy, RawBackend, Wire};

fn get(proxy: &Proxy, path: &str) -> Value {
    let (code, body) = proxy.get_admin(path);
    assert_eq!(code, 200, "{path}: {body}");
    parsed(&body)
}

fn ids(list: &Value) -> Vec<u64> {
    let tunnels = list["tunnels"].as_array().expect("a list").iter();
    tunnels.map(|one| one["id"].as_u64().unwrap()).collect()
}

fn total(proxy: &Proxy) -> u64 {
    get(proxy, "/v1/tunnels")["total"].as_u64().unwrap()
}

/// Opens a tunnel and waits until it is known, so that numbers follow the order of opening.
fn opened(proxy: &Proxy, path: &str) -> Wire {
    let before = total(proxy);
    let wire = open(proxy, path);
    eventually!(total(proxy) > before);
    wire
}

/// A backend that stays silent, whatever comes.
fn quiet() -> RawBackend {
    tunnel_backend(|mut wire| {
        wire.read_until_close();
    })
}

/// Two workers, two routes to one backend.
fn two_routes(backend: &RawBackend) -> Proxy {
    let address = backend.address();
    Proxy::start(&format!(
        "workers = 2\n[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\nname = \"chat\"\npath_prefix = \"/chat\"\nupstream = \"app\"\n\
         websocket.close_timeout = \"500ms\"\n\
         [[route]]\nname = \"live\"\npath_prefix = \"/live\"\nupstream = \"app\"\n\
         websocket.close_timeout = \"500ms\"\n\
         [upstream.app]\nendpoints = [\"{address}\"]\n"
    ))
}

#[test]
fn a_list_is_filtered_sorted_and_paged_by_the_server() {
    let backend = quiet();
    let proxy = two_routes(&backend);
    let mut tunnels: Vec<Wire> = Vec::new();
    for n in 0..7 {
        tunnels.push(opened(&proxy, &format!("/chat/Room-{n}?token=hidden")));
    }
    for n in 0..3 {
        tunnels.push(opened(&proxy, &format!("/live/{n}")));
    }
    let all = get(&proxy, "/v1/tunnels?sort=id");
    assert_eq!((&all["total"], &all["matching"]), (&json!(10), &json!(10)));
    assert_eq!(all["next"], Value::Null);
    assert_eq!(ids(&all), (1..=10).collect::<Vec<_>>());
    assert!(!all.to_string().contains("hidden"), "{all}");

    let endpoint = backend.address();
    for (query, expected) in [
        ("route=chat".to_owned(), 7),
        ("route=live".to_owned(), 3),
        ("upstream=app".to_owned(), 10),
        (format!("endpoint={endpoint}"), 10),
        (format!("endpoint=app/{endpoint}&route=live"), 3),
        ("client=127.0.0.1".to_owned(), 10),
        ("client=127.0.0.2".to_owned(), 0),
        ("q=rOOM-3".to_owned(), 1),
        ("q=%2Fchat%2F".to_owned(), 7),
        ("q=".to_owned(), 10),
        ("min_age=1h".to_owned(), 0),
        ("min_idle=1h".to_owned(), 0),
        ("min_age=0s&min_idle=0s".to_owned(), 10),
    ] {
        let list = get(&proxy, &format!("/v1/tunnels?{query}"));
        assert_eq!(list["matching"], expected, "{query}");
        assert_eq!(ids(&list).len(), expected, "{query}");
        assert_eq!(list["total"], 10, "{query}");
    }

    // The first one has moved the most.
    tunnels[0].send(masked_frame(2, &[7; 500]));
    eventually!(ids(&get(&proxy, "/v1/tunnels?sort=bytes"))[0] == 1);
    for (sort, order, oldest_first) in [
        ("age", "desc", true),
        ("age", "asc", false),
        ("id", "asc", true),
        ("id", "desc", false),
        ("bytes", "desc", true),
    ] {
        let mut seen = Vec::new();
        let mut after = String::new();
        let pages = loop {
            let query = format!("sort={sort}&order={order}&limit=3&route=chat{after}");
            let list = get(&proxy, &format!("/v1/tunnels?{query}"));
            assert_eq!(list["matching"], 7);
            seen.push(ids(&list));
            match list["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => break seen.len(),
            }
        };
        assert_eq!(pages, 3, "{sort} {order}: {seen:?}");
        let seen = seen.concat();
        assert_eq!(seen[if oldest_first { 0 } else { 6 }], 1, "{sort} {order}");
        if sort != "bytes" {
            assert_eq!(seen.is_sorted(), oldest_first, "{sort} {order}: {seen:?}");
        }
        let mut once = seen.clone();
        once.sort_unstable();
        assert_eq!(once, [1, 2, 3, 4, 5, 6, 7], "{sort} {order}: {seen:?}");
    }

    for query in [
        "sort=size",
        "order=up",
        "limit=0",
        "limit=1001",
        "limit=x",
        "after=1",
        "min_age=soon",
        "client=somewhere",
        "endpoint=app/127.0.0.9:1",
        "rout=chat",
        "route=a&route=b",
        "q=%zz",
    ] {
        let (code, body) = proxy.get_admin(&format!("/v1/tunnels?{query}"));
        assert_eq!(code, 400, "{query}: {body}");
        assert!(parsed(&body)["error"].is_string(), "{query}: {body}");
    }
}

#[test]
fn one_tunnel_shows_whose_it_is_and_what_it_moved() {
    let backend = tunnel_backend(|mut wire| {
        while let (0x81, text) = read_frame(&mut wire) {
            wire.send(support::websocket::frame(1, &text));
        }
    });
    let proxy = two_routes(&backend);
    let more = "Origin: http://app.test\r\nX-Request-Id: r-1\r\n";
    let mut wire = proxy.send(handshake("app.test", "/chat/1?secret=2", more));
    assert_eq!(wire.read_head().status(), 101);
    for _ in 0..3 {
        wire.send(masked_frame(1, b"hello"));
        read_frame(&mut wire);
    }
    let one = || get(&proxy, "/v1/tunnels/1");
    eventually!(one()["from_upstream"]["messages"] == 3);
    let tunnel = one();
    assert_eq!(tunnel["id"], 1);
    assert_eq!(tunnel["route"], "chat");
    assert_eq!(tunnel["upstream"], "app");
    assert_eq!(tunnel["endpoint"], backend.address().to_string());
    assert_eq!(tunnel["host"], "app.test");
    assert_eq!(tunnel["path"], "/chat/1");
    assert_eq!(tunnel["origin"], "http://app.test");
    assert_eq!(tunnel["phase"], "open");
    assert_eq!(tunnel["from_client"]["text"], 3);
    assert_eq!(tunnel["from_client"]["bytes"], 3 * (2 + 4 + 5));
    assert_eq!(tunnel["from_upstream"]["bytes"], 3 * (2 + 5));
    assert!(tunnel["client"].as_str().unwrap().starts_with("127.0.0.1"));
    assert!(tunnel["age_ms"].as_u64() >= tunnel["idle_ms"].as_u64());
    // Silence grows, and ends with the next message.
    eventually!(one()["idle_ms"].as_u64() > Some(1500));
    let list = get(&proxy, "/v1/tunnels?min_idle=1s");
    assert_eq!(list["matching"], 1);
    wire.send(masked_frame(1, b"again"));
    read_frame(&mut wire);
    eventually!(one()["idle_ms"].as_u64() < Some(1500));

    for id in ["2", "0", "x", "-1", "18446744073709551616"] {
        let (code, _) = proxy.get_admin(&format!("/v1/tunnels/{id}"));
        assert_eq!(code, 404, "{id}");
    }
    wire.send(masked_frame(8, &[]));
    drop(wire);
    eventually!(total(&proxy) == 0);
    assert_eq!(proxy.get_admin("/v1/tunnels/1").0, 404);
}

#[test]
fn a_tunnel_is_named_where_nothing_is_logged() {
    let backend = quiet();
    let proxy = Proxy::with(backend.address(), "[log]\naccess = \"off\"\n");
    let _wire = opened(&proxy, "/room");
    let tunnel = get(&proxy, "/v1/tunnels/1");
    assert_eq!(tunnel["path"], "/room");
    assert_eq!(tunnel["host"], proxy.address().to_string());
}

/// DELETE, as a page or curl sends it.
fn delete(proxy: &Proxy, path: &str) -> (u16, String) {
    let answer = proxy.raw_admin(format!(
        "DELETE {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Connection: close\r\n\r\n"
    ));
    let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    (code.expect("a status"), body.to_owned())
}

/// Reads the Close with this payload, and answers it.
fn closes_with(wire: &mut Wire, code: u16, reason: &str) {
    let (first, payload) = read_frame(wire);
    assert_eq!((first, payload), (0x88, close_payload(code, reason)));
    wire.send(masked_frame(8, &code.to_be_bytes()));
}

#[test]
fn one_tunnel_is_closed_with_a_code_and_a_reason() {
    let backend = tunnel_backend(|mut wire| {
        expect_close_frame(&mut wire, 4001);
        wire.send(support::websocket::frame(8, &4001_u16.to_be_bytes()));
        wire.read_until_close();
    });
    let proxy = two_routes(&backend);
    let mut closed = opened(&proxy, "/chat/1");
    for query in [
        "code=1005",
        "code=1006",
        "code=1015",
        "code=999",
        "code=2000",
        "code=5000",
        "code=x",
        "cod=1001",
        &format!("reason={}", "x".repeat(124)),
    ] {
        let (code, body) = delete(&proxy, &format!("/v1/tunnels/1?{query}"));
        assert_eq!(code, 400, "{query}: {body}");
    }
    assert_eq!(delete(&proxy, "/v1/tunnels/2?code=4001").0, 404);
    let (code, body) = delete(&proxy, "/v1/tunnels/1?code=4001&reason=so%20long");
    assert_eq!((code, parsed(&body)), (202, json!({ "closed": 1 })));
    assert_eq!(delete(&proxy, "/v1/tunnels/1?code=4001").0, 409);
    closes_with(&mut closed, 4001, "so long");
    let record = proxy.wait_for_tunnel_close();
    assert_eq!(record["closed_by"], "command");
    assert_eq!(record["detail"], serde_json::Value::Null);
    assert_eq!(record["sent_client"], 4001);
    assert_eq!(record["sent_upstream"], 4001);
    eventually!(total(&proxy) == 0);
}

#[test]
fn a_selection_is_closed_and_nothing_else() {
    let backend = quiet();
    let proxy = two_routes(&backend);
    let mut chat: Vec<Wire> = (0..4).map(|_| opened(&proxy, "/chat")).collect();
    let mut live = opened(&proxy, "/live");
    let close = |order: Value| proxy.post_admin("/v1/tunnels/close", &order);
    for order in [
        json!({}),
        json!({ "filter": {} }),
        json!({ "all": false }),
        json!({ "all": true, "filter": { "route": "chat" } }),
        json!({ "filter": { "rout": "chat" } }),
        json!({ "filter": { "route": "chat" }, "code": 1006 }),
        json!({ "filter": { "route": "chat" }, "reason": "x".repeat(124) }),
        json!({ "filter": { "min_age": "soon" } }),
        json!({ "filter": [] }),
    ] {
        let (code, body) = close(order.clone());
        assert_eq!(code, 400, "{order}: {body}");
    }
    assert_eq!(total(&proxy), 5);
    let order = json!({ "filter": { "route": "chat" }, "reason": "bye" });
    let (code, body) = close(order.clone());
    assert_eq!((code, parsed(&body)), (200, json!({ "closed": 4 })));
    let (code, body) = close(order);
    assert_eq!((code, parsed(&body)), (200, json!({ "closed": 0 })));
    for wire in &mut chat {
        closes_with(wire, 1001, "bye");
    }
    eventually!(total(&proxy) == 1);
    assert_eq!(ids(&get(&proxy, "/v1/tunnels")), [5]);
    let (code, body) = close(json!({ "all": true, "code": 1012 }));
    assert_eq!((code, parsed(&body)), (200, json!({ "closed": 1 })));
    closes_with(&mut live, 1012, "");
    eventually!(total(&proxy) == 0);
}

#[test]
fn the_commands_list_and_close() {
    let backend = quiet();
    let proxy = two_routes(&backend);
    let _chat: Vec<Wire> = (0..3)
        .map(|n| opened(&proxy, &format!("/chat/{n}")))
        .collect();
    let _live = opened(&proxy, "/live");
    let run = |arguments: &[&str]| printed(&proxy.command(arguments));
    let (code, out, err) = run(&["tunnels"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("/chat/2") && out.contains("live"), "{out}");
    assert!(out.contains("4 open"), "{out}");
    let (_, out, _) = run(&["tunnels", "--route", "chat", "--limit", "2"]);
    assert!(!out.contains("/live"), "{out}");
    assert!(out.contains("2 of 3"), "{out}");
    let (_, out, _) = run(&["tunnels", "--route", "live", "--json"]);
    assert_eq!(parsed(&out)["tunnels"][0]["path"], "/live");
    let (code, _, err) = run(&["tunnels", "--min-age", "soon"]);
    assert_eq!(code, 2);
    assert!(err.contains("--min-age"), "{err}");

    let (code, _, err) = run(&["tunnels", "close"]);
    assert_eq!(code, 2, "{err}");
    let (code, _, err) = run(&["tunnels", "close", "99"]);
    assert_eq!(code, 1);
    assert!(err.contains("no tunnel 99"), "{err}");
    let (code, out, err) = run(&["tunnels", "close", "4", "--code", "1012", "--reason", "a&b"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let record = proxy.wait_for_tunnel_close();
    assert_eq!(
        (&record["tunnel"], &record["sent_client"]),
        (&json!(4), &json!(1012))
    );
    let (code, out, _) = run(&["tunnels", "close", "--route", "chat"]);
    assert_eq!(code, 0);
    assert!(out.contains("3 tunnels"), "{out}");
    eventually!(total(&proxy) == 0);
}

#[test]
fn a_filter_that_names_nothing_is_refused() {
    let backend = quiet();
    let proxy = two_routes(&backend);
    let _tunnel = opened(&proxy, "/chat");
    for (query, said) in [
        (
            "route=chatt",
            "there is no route `chatt`; did you mean `chat`?",
        ),
        (
            "upstream=ap",
            "there is no upstream `ap`; did you mean `app`?",
        ),
    ] {
        for path in ["/v1/tunnels", "/v1/tap"] {
            let (code, body) = proxy.get_admin(&format!("{path}?{query}"));
            assert_eq!(code, 400, "{path}?{query}: {body}");
            let error = parsed(&body)["error"].as_str().unwrap().to_owned();
            assert!(error.contains(said), "{error}");
        }
        let (name, value) = query.split_once('=').unwrap();
        let close = json!({ "filter": { name: value } });
        assert_eq!(
            proxy.post_admin("/v1/tunnels/close", &close).0,
            400,
            "{query}"
        );
        for command in [&["tunnels"][..], &["tunnels", "close"], &["tap"]] {
            let option = format!("--{name}");
            let output = proxy.command(&[command, &[&option, value]].concat());
            let (code, out, err) = printed(&output);
            assert_eq!((code, out.as_str()), (1, ""), "{command:?} {query}");
            assert!(err.contains(said), "{err}");
        }
    }
    // An address that is nearly one.
    let address = backend.address().to_string();
    let nearly = format!("{address}0");
    for (wanted, said) in [
        (
            "NOPE",
            format!("there is no endpoint `NOPE`; known: `app/{address}`"),
        ),
        (
            &format!("app/{nearly}"),
            format!("there is no endpoint `app/{nearly}`; did you mean `app/{address}`?"),
        ),
    ] {
        for path in ["/v1/tunnels", "/v1/tap"] {
            let (code, body) = proxy.get_admin(&format!("{path}?endpoint={wanted}"));
            assert_eq!(code, 400, "{path}: {body}");
        }
        for command in [&["tunnels"][..], &["tunnels", "close"], &["tap"]] {
            let output = proxy.command(&[command, &["--endpoint", wanted]].concat());
            let (code, out, err) = printed(&output);
            assert_eq!((code, out.as_str()), (1, ""), "{command:?} {wanted}");
            assert!(err.contains(&said), "{said}: {err}");
        }
        let whole = format!("app/{wanted}").replace("app/app", "app");
        let (code, _, err) = printed(&proxy.command(&["drain", "--endpoint", &whole]));
        assert_eq!(code, 1);
        assert!(err.contains("there is no endpoint `app/"), "{err}");
    }
    // What names nothing at all takes no tunnel by accident.
    for filter in [
        json!({ "q": "" }),
        json!({ "route": "" }),
        json!({ "client": "x" }),
    ] {
        let (code, body) = proxy.post_admin("/v1/tunnels/close", &json!({ "filter": filter }));
        assert_eq!(code, 400, "{filter}: {body}");
    }
    assert_eq!(total(&proxy), 1);
    // And a question that takes no parameters takes none.
    for path in [
        "/v1/status",
        "/v1/upstreams",
        "/v1/routes",
        "/v1/drains",
        "/v1/tunnels/1",
    ] {
        let (code, body) = proxy.get_admin(&format!("{path}?upstream=app"));
        assert_eq!(code, 400, "{path}: {body}");
        assert!(body.contains("upstream is not a parameter"), "{body}");
    }
    assert_eq!(proxy.get_admin("/healthz?x=1").0, 200);
    // One that has no tunnels is there all the same.
    assert_eq!(get(&proxy, "/v1/tunnels?route=live")["matching"], 0);
    let known = get(
        &proxy,
        &format!("/v1/tunnels?endpoint={}", backend.address()),
    );
    assert_eq!(known["matching"], 1);
}

#[test]
fn a_route_that_is_gone_is_known_while_it_has_tunnels() {
    let backend = quiet();
    let proxy = two_routes(&backend);
    let _tunnel = opened(&proxy, "/chat");
    let toml = std::fs::read_to_string(proxy.config()).unwrap();
    let next = toml.replace("name = \"chat\"", "name = \"talk\"").replace(
        "websocket.close_timeout = \"500ms\"",
        "websocket.on_removed = \"keep\"",
    );
    // What becomes of a tunnel is said by the configuration that it was opened with.
    proxy.reload(&toml.replace(
        "websocket.close_timeout = \"500ms\"",
        "websocket.on_removed = \"keep\"",
    ));
    proxy.reload(&next);
    assert_eq!(get(&proxy, "/v1/tunnels?route=chat")["matching"], 1);
    assert_eq!(get(&proxy, "/v1/tunnels?route=talk")["matching"], 0);
}

#[test]
fn one_tunnel_is_shown() {
    let backend = quiet();
    let proxy = two_routes(&backend);
    let _tunnel = opened(&proxy, "/chat/room");
    let id = ids(&get(&proxy, "/v1/tunnels"))[0].to_string();
    let (code, out, err) = printed(&proxy.command(&["tunnels", "show", &id]));
    assert_eq!((code, err.as_str()), (0, ""));
    let endpoint = format!("app/{}", backend.address());
    for (name, fact) in [
        ("tunnel", id.as_str()),
        ("phase", "open"),
        ("protocol", "WebSocket"),
        ("subprotocol", "none"),
        ("client ping", "not measured (ping_interval)"),
        ("route", "chat"),
        ("endpoint", &endpoint),
        ("origin", ""),
    ] {
        let line = out.lines().find(|line| line.starts_with(name));
        assert!(
            line.is_some_and(|line| line.ends_with(fact)),
            "{name}: {out}"
        );
    }
    assert!(out.contains("/chat/room"), "{out}");
    let (code, out, _) = printed(&proxy.command(&["tunnels", "show", &id, "--json"]));
    assert_eq!((code, parsed(&out)["id"].to_string()), (0, id));
    let (code, out, err) = printed(&proxy.command(&["tunnels", "show", "4711"]));
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("there is no tunnel 4711"), "{err}");
    assert_eq!(printed(&proxy.command(&["tunnels", "show"])).0, 2);
}

#[test]
fn a_tunnel_of_another_protocol_is_listed_and_shown_as_one() {
    let backend = RawBackend::start(|_, mut wire| {
        wire.read_head();
        wire.send("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nhello");
        wire.read_until_close();
    });
    let proxy = Proxy::with(backend.address(), "upgrade = [\"tcp\"]\n");
    let mut wire = proxy.send(
        "GET /exec HTTP/1.1\r\nHost: x\r\nOrigin: http://y\r\n\
         Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
    );
    assert_eq!(wire.read_head().status(), 101);
    assert_eq!(wire.read_exact(5), b"hello");
    eventually!(total(&proxy) == 1);
    eventually!(get(&proxy, "/v1/tunnels/1")["from_upstream"]["bytes"] == 5);
    let (code, list, _) = printed(&proxy.command(&["tunnels"]));
    let line = list.lines().nth(1).expect("a tunnel");
    assert_eq!(code, 0);
    assert!(line.ends_with("x/exec (tcp)"), "{list}");
    assert!(line.contains(" - "), "{list}");

    let (code, out, _) = printed(&proxy.command(&["tunnels", "show", "1"]));
    assert_eq!(code, 0);
    let lines: Vec<_> = out
        .lines()
        .filter_map(|line| line.split_once("  "))
        .collect();
    for (name, fact) in [
        ("protocol", "tcp"),
        ("from client", "0 bytes"),
        ("from upstream", "5 bytes"),
    ] {
        let found = lines.iter().find(|(first, _)| *first == name);
        assert_eq!(found.map(|(_, second)| second.trim()), Some(fact), "{out}");
    }
    for none in ["origin", "subprotocol", "ping", "messages", "frames"] {
        assert!(!out.contains(none), "{none}: {out}");
    }
}
