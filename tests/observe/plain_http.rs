//! Plain HTTP and failed endpoints as operators see them: `sluice status`, `top`, the admin
//! interface, the log.

use crate::support;

use std::net::TcpListener;

use serde_json::Value;
use support::admin::{printed, status};
use support::proxy::field;
use support::{HttpBackend, Proxy, RawBackend};

/// An address that refuses connections.
fn refusing() -> std::net::SocketAddr {
    let bound = TcpListener::bind("127.0.0.1:0").expect("a port");
    bound.local_addr().expect("an address")
}

fn ask(proxy: &Proxy, path: &str) -> u16 {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    proxy.send(request).read_response().status()
}

fn route(proxy: &Proxy, name: &str) -> Value {
    let status = status(proxy);
    let all = status["http"].as_array().expect("a list");
    let own = all.iter().find(|view| view["route"] == name);
    own.cloned().unwrap_or_default()
}

#[test]
fn classes_of_status_and_waits_are_told_by_route() {
    let ok = HttpBackend::start();
    let sick = RawBackend::answering("HTTP/1.1 503 Sick\r\nContent-Length: 0\r\n\r\n");
    let proxy = Proxy::start(&format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\nname = \"web\"\npath_prefix = \"/web\"\nto = \"{}\"\n\
         [[route]]\nname = \"sick\"\npath_prefix = \"/sick\"\nto = \"{}\"\n\
         [[route]]\nname = \"moved\"\npath_prefix = \"/moved\"\nredirect = \"/web\"\n",
        ok.address(),
        sick.address()
    ));
    for _ in 0..3 {
        assert_eq!(ask(&proxy, "/web/echo"), 200);
        assert_eq!(ask(&proxy, "/sick"), 503);
    }
    assert_eq!(ask(&proxy, "/moved"), 308);
    assert_eq!(ask(&proxy, "/nowhere"), 404);
    eventually!(route(&proxy, "sick")["requests"]["5xx"] == 3);
    eventually!(route(&proxy, "")["requests"]["4xx"] == 1);
    eventually!(route(&proxy, "moved")["requests"]["3xx"] == 1);
    let web = route(&proxy, "web");
    assert_eq!(web["requests"]["2xx"], 3, "{web}");
    // What came before the first look is not of late.
    assert_eq!(ask(&proxy, "/web/echo"), 200);
    eventually!(route(&proxy, "web")["recent"]["2xx"].as_u64() >= Some(1));
    eventually!(route(&proxy, "web")["requests"]["2xx"] == 4);
    let web = route(&proxy, "web");
    let wait = |name: &str| {
        web[name]
            .as_u64()
            .unwrap_or_else(|| panic!("{name}: {web}"))
    };
    assert!(wait("first_byte_p50_us") > 0);
    assert!(wait("first_byte_p99_us") >= wait("first_byte_p50_us"));

    let (_, out, _) = printed(&proxy.command(&["status"]));
    let line = |name: &str| {
        let mut lines = out
            .lines()
            .skip_while(|line| !line.starts_with("requests "));
        let line = lines.find(|line| line.split_whitespace().next() == Some(name));
        let line = line.unwrap_or_else(|| panic!("{name}: {out}"));
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        line("requests")[1..],
        ["2xx", "3xx", "4xx", "5xx", "none", "p50", "p99"]
    );
    assert_eq!(line("web")[1..6], ["4", "0", "0", "0", "0"], "{out}");
    assert_eq!(line("sick")[1..6], ["0", "0", "0", "3", "0"], "{out}");
    assert!(
        line("web")[6].ends_with("ms") && line("web")[7].ends_with("ms"),
        "{out}"
    );
    assert!(out.contains("(no route)"), "{out}");

    let (_, top, _) = printed(&proxy.command(&["top", "--once"]));
    let sick = top.lines().find(|line| line.starts_with("sick"));
    let sick = sick.unwrap_or_else(|| panic!("{top}"));
    assert!(sick.contains("100%") && sick.contains("ms"), "{top}");
    for said in ["req/s", "5xx", "p99"] {
        assert!(top.contains(said), "{said}: {top}");
    }

    // The history has a point a second.
    let sum = |name: &str| {
        let (_, stats) = proxy.get_admin("/v1/stats");
        let stats: Value = serde_json::from_str(&stats).expect("JSON");
        let history = stats["history"].as_array().expect("points");
        let points = history.iter().filter_map(|point| point[name].as_u64());
        points.sum::<u64>()
    };
    eventually!((sum("server_errors"), sum("client_errors")) == (3, 1));
    assert!(sum("first_byte_p99_us") > 0);
}

#[test]
fn a_failed_endpoint_says_why_and_since_when_until_it_is_back() {
    let refusing = refusing();
    let proxy = Proxy::start(&format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [upstream.app]\nendpoints = \"{refusing}\"\nretry_after = \"0s\"\n\
         [upstream.gone]\nendpoints = \"unix:/no/such/app.sock\"\n\
         [[route]]\nupstream = \"app\"\n\
         [[route]]\npath_prefix = \"/gone\"\nupstream = \"gone\"\n"
    ));
    assert_eq!(ask(&proxy, "/"), 502);
    assert_eq!(ask(&proxy, "/gone"), 502);
    let event = proxy.wait_for_log("the failure", |line| {
        line.text.contains("endpoint failed") && line.text.contains(&refusing.to_string())
    });
    let event = event.json;
    assert_eq!(field(&event, "why"), "refused", "{event}");
    assert!(
        field(&event, "since")
            .as_str()
            .is_some_and(|since| since.ends_with('Z')),
        "{event}"
    );

    let endpoint =
        |upstream: usize| status(&proxy)["tunnels"]["upstreams"][upstream]["endpoints"][0].clone();
    let since = endpoint(0)["failing_since"].clone();
    assert_eq!(
        (&endpoint(0)["failure"], &endpoint(1)["failure"]),
        (&"refused".into(), &"refused".into())
    );
    let (_, out, _) = printed(&proxy.command(&["status"]));
    let said = format!("failed since {}: refused", since.as_str().expect("a time"));
    assert!(out.contains(&said), "{out}");
    let (_, upstreams) = proxy.get_admin("/v1/upstreams");
    let upstreams: Value = serde_json::from_str(&upstreams).expect("JSON");
    assert_eq!(upstreams[0]["endpoints"][0]["failing_since"], since);

    // A further failure does not move its beginning.
    assert_eq!(ask(&proxy, "/"), 502);
    assert_eq!(endpoint(0)["failing_since"], since);

    let _back = HttpBackend::start_at(refusing);
    assert_eq!(ask(&proxy, "/echo"), 200);
    assert_eq!(endpoint(0)["failure"], Value::Null);
    let back = proxy.wait_for_log("the return", |line| line.text.contains("endpoint is back"));
    assert!(field(&back.json, "after_ms").is_u64());
    let (_, out, _) = printed(&proxy.command(&["status"]));
    assert!(out.contains("  up\n"), "{out}");
}
