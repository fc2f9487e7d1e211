//! The admin interface of real processes: what it answers, whom it does not, and the commands
//! that use it.

use crate::support;

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};
use support::admin::{parsed, printed, rewrite, status};
use support::websocket::{open, tunnel_backend};
use support::{HttpBackend, Proxy};

#[test]
fn status_says_what_is_served() {
    let backend = tunnel_backend(|mut wire| {
        wire.read_until_close();
    });
    let address = backend.address();
    let proxy = Proxy::start(&format!(
        "workers = 2\n[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\nname = \"chat\"\npath_prefix = \"/ws\"\nupstream = \"app\"\n\
         websocket.on_removed = \"keep\"\n\
         [[route]]\nname = \"hello\"\npath = \"/hello\"\nrespond.status = 204\n\
         [upstream.app]\nendpoints = [\"{address}\", \"127.0.0.1:9\"]\nbalance = \"round-robin\"\n"
    ));
    let before = status(&proxy);
    assert_eq!(before["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(before["pid"], proxy.id());
    assert_eq!(before["generation"], 1);
    assert_eq!(before["phase"], "ready");
    assert_eq!(before["ready"], true);
    assert_eq!(before["workers"].as_array().unwrap().len(), 2);
    assert_eq!(before["connections"], 0);
    assert_eq!(before["config"]["file"], proxy.config().to_str().unwrap());
    assert_eq!(before["config"]["last_reload"], Value::Null);
    assert_eq!(before["config"]["config_last_reload_successful"], true);
    let no_tunnels = json!([{ "name": "chat", "tunnels": 0, "configured": true }]);
    assert_eq!(before["tunnels"]["routes"], no_tunnels);
    assert_eq!(before["drains"], json!([]));

    let tunnels = [
        open(&proxy, "/ws/1"),
        open(&proxy, "/ws/2"),
        open(&proxy, "/ws/3"),
    ];
    let now = status(&proxy);
    assert_eq!(now["connections"], 3);
    assert_eq!(now["tunnels"]["total"], 3);
    assert_eq!(now["tunnels"]["routes"][0]["tunnels"], 3);
    let mut endpoints = now["tunnels"]["upstreams"][0]["endpoints"].clone();
    // Whether the other one was tried is chance.
    for endpoint in endpoints.as_array_mut().unwrap() {
        let endpoint = endpoint.as_object_mut().unwrap();
        assert!(endpoint.remove("failure").is_some() && endpoint.remove("failing_since").is_some());
        let state = endpoint.remove("state").expect("it has one");
        assert!(state == "up" || state == "avoided", "{state}");
    }
    let with = |count: u64, address: &str| json!({ "address": address, "tunnels": count, "configured": true });
    let mut expected = [with(3, &address.to_string()), with(0, "127.0.0.1:9")];
    expected.sort_by_key(|endpoint| endpoint["address"].to_string());
    assert_eq!(endpoints, json!(expected));
    let by_worker = now["workers"].as_array().unwrap().iter();
    let by_worker: Vec<u64> = by_worker
        .map(|worker| worker["tunnels"].as_u64().unwrap())
        .collect();
    assert_eq!(by_worker.iter().sum::<u64>(), 3);
    assert!(by_worker.iter().all(|&count| count > 0), "{by_worker:?}");

    // A route that a reload has removed is still there as long as its tunnels are.
    rewrite(&proxy, |old| old.replace("\"chat\"", "\"talk\""));
    let (code, body) = proxy.post_admin("/v1/reload", &json!({}));
    assert_eq!(code, 200, "{body}");
    let both = json!([
        { "name": "chat", "tunnels": 3, "configured": false },
        { "name": "talk", "tunnels": 0, "configured": true },
    ]);
    assert_eq!(status(&proxy)["tunnels"]["routes"], both);
    drop(tunnels);
    eventually!(status(&proxy)["tunnels"]["total"] == 0);
    let routes = status(&proxy)["tunnels"]["routes"].clone();
    assert_eq!(
        routes,
        json!([{ "name": "talk", "tunnels": 0, "configured": true }])
    );

    let (code, table, _) = printed(&proxy.command(&["status"]));
    assert_eq!(code, 0);
    for said in ["generation 2", "ready", "talk", "app/127.0.0.1:9"] {
        assert!(table.contains(said), "{said}: {table}");
    }
    let (code, printed_json, _) = printed(&proxy.command(&["status", "--json"]));
    assert_eq!(code, 0);
    assert_eq!(parsed(&printed_json)["generation"], 2);
}

#[test]
fn readiness_is_given_up_before_anything_is_refused() {
    let backend = HttpBackend::start();
    let mut proxy = Proxy::with(
        backend.address(),
        "[drain]\ndelay = \"30s\"\nover = \"0s\"\n",
    );
    assert_eq!(proxy.get_admin("/readyz"), (200, "ready\n".into()));
    assert_eq!(proxy.get_admin("/healthz"), (200, "ok\n".into()));
    proxy.terminate();
    eventually!(proxy.get_admin("/readyz").0 == 503);
    assert_eq!(proxy.get_admin("/readyz").1, "draining\n");
    assert_eq!(proxy.get_admin("/healthz").0, 200);
    let mut wire = proxy.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(wire.read_response().status(), 200);
    assert_eq!(status(&proxy)["phase"], "draining");

    // An order that comes too late is refused at once instead of left hanging.
    let (code, body) = proxy.post_admin("/v1/reload", &json!({}));
    assert_eq!(code, 409, "{body}");
    assert!(body.contains("shutting down"), "{body}");
    drop(wire);
    proxy.terminate();
    assert!(proxy.wait_exit().success());
}

/// A request without a body, as a browser could send it.
fn asked(proxy: &Proxy, method: &str, path: &str, fields: &str) -> String {
    let answer = proxy.raw_admin(format!(
        "{method} {path} HTTP/1.1\r\n{fields}Connection: close\r\n\r\n"
    ));
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

#[test]
fn web_pages_are_not_answered() {
    let proxy = Proxy::start(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\nrespond.status = 204\n\
         [admin]\nlisten = \"127.0.0.1:0\"\n",
    );
    let own = proxy.admin().to_owned();
    let port = own.rsplit(':').next().unwrap();
    let host = format!("Host: {own}\r\n");
    assert_eq!(asked(&proxy, "GET", "/readyz", &host), "200");
    assert_eq!(
        asked(
            &proxy,
            "GET",
            "/readyz",
            &format!("Host: localhost:{port}\r\n")
        ),
        "200"
    );
    let own_origin = format!("{host}Origin: http://{own}\r\n");
    assert_eq!(asked(&proxy, "GET", "/readyz", &own_origin), "200");
    let json = "Content-Type: application/json\r\nContent-Length: 0\r\n";
    for (method, path, fields, expected) in [
        (
            "GET",
            "/v1/status",
            format!("Host: rebound.test:{port}\r\n"),
            "403",
        ),
        ("GET", "/v1/status", "Host: 127.0.0.1\r\n".into(), "403"),
        ("GET", "/v1/status", String::new(), "403"),
        (
            "GET",
            "/v1/status",
            format!("{host}Origin: http://evil.test\r\n"),
            "403",
        ),
        (
            "GET",
            "/v1/status",
            format!("{host}Origin: null\r\n"),
            "403",
        ),
        (
            "POST",
            "/v1/reload",
            format!("{host}Content-Length: 0\r\n"),
            "415",
        ),
        (
            "POST",
            "/v1/reload",
            format!("{host}Content-Type: text/plain\r\nContent-Length: 0\r\n"),
            "415",
        ),
        (
            "POST",
            "/v1/reload",
            format!("{host}{json}Origin: http://evil.test\r\n"),
            "403",
        ),
        (
            "POST",
            "/v1/reload",
            format!("Host: rebound.test:{port}\r\n{json}"),
            "403",
        ),
        ("OPTIONS", "/v1/reload", host.clone(), "415"),
    ] {
        assert_eq!(
            asked(&proxy, method, path, &fields),
            expected,
            "{method} {fields}"
        );
    }
    assert_eq!(status(&proxy)["generation"], 1, "nothing was reloaded");
    assert_eq!(
        asked(&proxy, "POST", "/v1/reload", &format!("{host}{json}")),
        "200"
    );
    let (code, out, err) = printed(&proxy.command(&["reload"]));
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("generation 3"), "{out}");
}

#[test]
fn whatever_is_sent_is_answered() {
    let backend = HttpBackend::start();
    let proxy = Proxy::minimal(backend.address());
    let long = "x".repeat(20_000);
    let body = format!("{{\"target\": \"{}\"}}", "x".repeat(70_000));
    let post = |path: &str, body: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    };
    for (request, expected) in [
        ("nonsense\r\n\r\n".to_owned(), "400"),
        ("GET /healthz HTTP/1.1\r\nHost : x\r\n\r\n".into(), "400"),
        (
            format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: {long}\r\n\r\n"),
            "431",
        ),
        (
            "GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".into(),
            "404",
        ),
        (
            "GET /v1/reload HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".into(),
            "405",
        ),
        (post("/v1/drain", "not JSON"), "400"),
        (post("/v1/drain", ""), "400"),
        (
            post("/v1/drain", "{\"target\": \"all\", \"ovr_ms\": 1}"),
            "400",
        ),
        (post("/v1/drain", "{\"target\": \"some\"}"), "400"),
        (
            post(
                "/v1/drain",
                "{\"target\": \"all\", \"over_ms\": 18446744073709551615}",
            ),
            "400",
        ),
        (
            post(
                "/v1/drain",
                "{\"target\": \"all\", \"over_ms\": 2, \"deadline_ms\": 1}",
            ),
            "400",
        ),
        (post("/v1/undrain", "{\"targets\": []}"), "400"),
        (post("/v1/upgrade", "{\"binary\": 1}"), "400"),
        (post("/v1/reload", "[]"), "400"),
        (post("/v1/undrain", &body), "413"),
    ] {
        let answer = proxy.raw_admin(&request);
        let start = &request[..request.len().min(60)];
        assert_eq!(
            answer.split(' ').nth(1),
            Some(expected),
            "{start:?}: {answer}"
        );
    }
    let refused =
        proxy.raw_admin("GET /v1/reload HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert!(
        refused.to_lowercase().contains("allow: post\r\n"),
        "{refused}"
    );
    let (_, body) = proxy.post_admin("/v1/drain", &json!({ "target": "some" }));
    assert!(
        parsed(&body)["error"].as_str().unwrap().contains("some"),
        "{body}"
    );
    assert_eq!(proxy.get_admin("/healthz").0, 200);
    assert_eq!(status(&proxy)["generation"], 1);
}

#[test]
fn the_socket_is_for_its_user_and_goes_with_the_process() {
    let backend = HttpBackend::start();
    let mut proxy = Proxy::minimal(backend.address());
    let socket = proxy.admin_socket().to_owned();
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // Somebody who asks nothing does not hold up the end.
    let _idle = UnixStream::connect(&socket).unwrap();
    proxy.terminate();
    assert!(proxy.wait_exit().success());
    assert!(!socket.exists());
    let (code, _, err) = printed(&proxy.command(&["status"]));
    assert_eq!(code, 1);
    assert!(
        err.contains("no sluice answers at unix:/") && err.contains("--admin"),
        "{err}"
    );
}

/// `ssh -L 80:/run/sluice/admin.sock` makes a port of it that every page may lead its name to.
#[test]
fn the_unix_socket_answers_to_no_name_that_a_page_can_have() {
    let proxy = Proxy::start(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\nrespond = { status = 200 }\n",
    );
    let ask = |host: &str| {
        let request =
            format!("GET /v1/config HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        proxy.raw_admin(request)[9..12].to_owned()
    };
    for host in [
        "localhost",
        "LocalHost:80",
        "127.0.0.1",
        "[::1]",
        "[::1]:9180",
        "sluice",
    ] {
        assert_eq!(ask(host), "200", "{host}");
    }
    for host in [
        "admin",
        "sluice:80",
        "intranet",
        "x",
        "admin:80",
        "admin.",
        "rebound.example",
    ] {
        assert_eq!(ask(host), "403", "{host}");
    }
}
