//! Tracing: what upstreams are told, what a collector is sent, and that neither a collector
//! that is down nor one that is slow is felt by anybody else.

use crate::support;

use crate::collector;

use std::net::SocketAddr;
use std::process::Command;

use collector::{Collector, Span};
use serde_json::Value;
use support::process::{Line, Process};
use support::proxy::{binary, field};
use support::websocket::{self, handshake};
use support::{EchoBackend, HttpBackend, Proxy, RawBackend, Succession, Wire};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

const SERVER: i32 = 2;
const CLIENT: i32 = 3;
const ERROR: i32 = 2;

/// A `traceparent` of the client, with these flags.
fn traceparent(flags: &str) -> String {
    format!("traceparent: 00-{TRACE}-{PARENT}-{flags}\r\n")
}

/// `[trace]` with this collector and more keys.
fn traced(collector: SocketAddr, more: &str) -> String {
    format!("[trace]\nendpoint = \"http://{collector}\"\n{more}\n")
}

fn get(proxy: &Proxy, path: &str, more: &str) -> u16 {
    let request = format!("GET {path} HTTP/1.1\r\nHost: a.example:81\r\n{more}\r\n");
    proxy.send(request).read_response().status()
}

/// The lines of a field in the last request that the backend saw.
fn seen(backend: &HttpBackend, name: &str) -> Vec<String> {
    let requests = backend.requests();
    let headers = requests.last().expect("a request")["headers"].clone();
    let pairs = headers.as_array().expect("a list of pairs").clone();
    let lines = pairs.iter().filter(|pair| pair[0] == name);
    lines
        .map(|pair| pair[1].as_str().expect("text").to_owned())
        .collect()
}

/// The only `traceparent` of the last request: trace, span and flags.
fn parent_seen(backend: &HttpBackend) -> (String, String, String) {
    let lines = seen(backend, "traceparent");
    let [only] = &lines[..] else {
        panic!("not one traceparent: {lines:?}");
    };
    let parts: Vec<&str> = only.split('-').collect();
    assert_eq!((parts.len(), parts[0]), (4, "00"), "{only}");
    (parts[1].into(), parts[2].into(), parts[3].into())
}

/// Ends the proxy and gives everything that was exported until then.
fn all_spans(proxy: &mut Proxy, collector: &Collector) -> Vec<Span> {
    proxy.terminate();
    assert_eq!(proxy.wait_exit().code(), Some(0));
    collector.spans()
}

fn of_kind(spans: &[Span], kind: i32) -> &Span {
    let mut found = spans.iter().filter(|span| span.kind == kind);
    let only = found.next().expect("a span of this kind");
    assert!(found.next().is_none(), "only one: {spans:#?}");
    only
}

fn exchange(proxy: &Proxy) -> Value {
    proxy.wait_for_access("an exchange", |json| json["kind"] == "exchange")
}

#[test]
fn off_the_fields_pass_untouched() {
    let backend = HttpBackend::start();
    let proxy = Proxy::minimal(backend.address());
    let own = "traceparent: 00-nonsense\r\ntraceparent: more\r\ntracestate: A=,,\r\n";
    assert_eq!(get(&proxy, "/status/200", own), 200);
    assert_eq!(seen(&backend, "traceparent"), ["00-nonsense", "more"]);
    assert_eq!(seen(&backend, "tracestate"), ["A=,,"]);
    assert_eq!(get(&proxy, "/status/200", ""), 200);
    assert!(seen(&backend, "traceparent").is_empty());
    assert!(exchange(&proxy).get("trace_id").is_none());
}

#[test]
fn an_exchange_has_a_server_span_and_a_client_span_below_it() {
    let (backend, collector) = (HttpBackend::start(), Collector::start());
    let trace = traced(collector.address(), "sample = 1.0");
    let mut proxy = Proxy::with(backend.address(), &format!("name = \"app\"\n{trace}"));
    let request = "POST /sink?token=hunter2 HTTP/1.1\r\nHost: a.example:81\r\n\
                   User-Agent: tester\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(proxy.send(request).read_response().status(), 200);
    let (trace_id, span_id, flags) = parent_seen(&backend);
    let record = exchange(&proxy);
    let spans = all_spans(&mut proxy, &collector);
    assert_eq!(spans.len(), 2, "{spans:#?}");
    let (server, client) = (of_kind(&spans, SERVER), of_kind(&spans, CLIENT));

    assert_eq!(flags, "03");
    assert_eq!(server.trace_id, trace_id);
    assert_eq!(client.trace_id, trace_id);
    assert_eq!(record["trace_id"], trace_id, "{record}");
    assert_eq!(client.span_id, span_id);
    assert_eq!(client.parent, server.span_id);
    assert_eq!(server.parent, "");
    assert_eq!(server.name, "POST /*");
    assert_eq!(client.name, "POST");
    assert_eq!((server.status, client.status), (0, 0));
    assert!(server.times.0 <= client.times.0 && client.times.1 <= server.times.1);

    let endpoint = backend.address().to_string();
    for (name, value) in [
        ("http.request.method", "POST"),
        ("http.route", "/*"),
        ("http.response.status_code", "200"),
        ("url.path", "/sink"),
        ("url.query", ""),
        ("url.scheme", "http"),
        ("server.address", "a.example"),
        ("server.port", "81"),
        ("client.address", "127.0.0.1"),
        ("network.peer.address", "127.0.0.1"),
        ("user_agent.original", "tester"),
        ("http.request.body.size", "5"),
        ("http.response.body.size", "1"),
        ("sluice.route", "app"),
        ("sluice.upstream", "app"),
        ("sluice.endpoint", &endpoint),
        ("sluice.request_id", record["request_id"].as_str().unwrap()),
        ("error.type", ""),
    ] {
        assert_eq!(server.get(name), value, "{name}");
    }
    for (name, value) in [
        ("http.request.method", "POST"),
        ("http.response.status_code", "200"),
        ("server.address", "127.0.0.1"),
        ("server.port", &backend.address().port().to_string()),
        ("url.full", &format!("http://{endpoint}/sink")),
        ("error.type", ""),
    ] {
        assert_eq!(client.get(name), value, "{name}");
    }
    assert_eq!(server.resource["service.name"], "sluice");
    assert!(!format!("{spans:?}").contains("hunter2"));
}

#[test]
fn a_trace_is_continued_and_sampled_as_its_parent_says() {
    let (backend, collector) = (HttpBackend::start(), Collector::start());
    let trace = traced(collector.address(), "sample = 0.0");
    let mut proxy = Proxy::with(backend.address(), &trace);
    let state = "tracestate: rojo=1,congo=2\r\ntracestate: b=3\r\n";

    assert_eq!(get(&proxy, "/a", &(traceparent("01") + state)), 200);
    let (trace_id, upstream, flags) = parent_seen(&backend);
    assert_eq!((trace_id.as_str(), flags.as_str()), (TRACE, "01"));
    assert_ne!(upstream, PARENT);
    assert_eq!(seen(&backend, "tracestate"), ["rojo=1,congo=2", "b=3"]);

    // Not sampled by the parent, and not by the share: both are told, neither is exported.
    assert_eq!(get(&proxy, "/b", &traceparent("02")), 200);
    let (trace_id, span_id, flags) = parent_seen(&backend);
    assert_eq!((trace_id.as_str(), flags.as_str()), (TRACE, "02"));
    assert_ne!(span_id, PARENT);
    assert_eq!(get(&proxy, "/c", ""), 200);
    let (trace_id, _, flags) = parent_seen(&backend);
    assert_eq!(flags, "02");
    let record = proxy.wait_for_access("the last exchange", |json| json["path"] == "/c");
    assert_eq!(record["trace_id"], trace_id);

    let spans = all_spans(&mut proxy, &collector);
    assert_eq!(spans.len(), 2, "{spans:#?}");
    let (server, client) = (of_kind(&spans, SERVER), of_kind(&spans, CLIENT));
    assert_eq!(
        (server.trace_id.as_str(), server.parent.as_str()),
        (TRACE, PARENT)
    );
    assert_eq!(client.span_id, upstream);
    assert_eq!(server.get("url.path"), "/a");
    assert!(server.links.is_empty());
}

#[test]
fn what_is_not_valid_begins_a_trace_of_its_own() {
    let (backend, collector) = (HttpBackend::start(), Collector::start());
    let proxy = Proxy::with(backend.address(), &traced(collector.address(), ""));
    let twice = traceparent("01") + &traceparent("01");
    for parent in ["", "traceparent: 00-nonsense\r\n", &twice] {
        let more = format!("{parent}tracestate: a=1\r\n");
        assert_eq!(get(&proxy, "/x", &more), 200);
        let (trace_id, _, _) = parent_seen(&backend);
        assert_ne!(trace_id, TRACE, "{parent:?}");
        assert!(seen(&backend, "tracestate").is_empty(), "{parent:?}");
    }
    // A good parent with a bad state keeps what is good.
    let more = traceparent("00") + "tracestate: a=1,a=2\r\n";
    assert_eq!(get(&proxy, "/x", &more), 200);
    assert_eq!(parent_seen(&backend).0, TRACE);
    assert!(seen(&backend, "tracestate").is_empty());
}

#[test]
fn whose_parent_is_continued_is_configured() {
    let (backend, collector) = (HttpBackend::start(), Collector::start());
    let trusted = "[http]\ntrusted_proxies = [\"127.0.0.0/8\"]\n";
    for (rule, http, continued, linked) in [
        ("continue", "", true, false),
        ("trusted", "", false, true),
        ("trusted", trusted, true, false),
        ("ignore", trusted, false, false),
    ] {
        let before = collector.spans().len();
        let more = format!("sample = 1.0\nparent = \"{rule}\"\n{http}");
        let mut proxy = Proxy::with(backend.address(), &traced(collector.address(), &more));
        assert_eq!(get(&proxy, "/x", &traceparent("01")), 200);
        let (trace_id, span_id, _) = parent_seen(&backend);
        assert_eq!(trace_id == TRACE, continued, "{rule} {http}");
        let spans = all_spans(&mut proxy, &collector).split_off(before);
        let (server, client) = (of_kind(&spans, SERVER), of_kind(&spans, CLIENT));
        assert_eq!(client.span_id, span_id);
        assert_eq!(server.parent == PARENT, continued, "{rule} {http}");
        let link = (TRACE.to_owned(), PARENT.to_owned());
        assert_eq!(server.links == [link], linked, "{rule} {http}");
    }
}

#[test]
fn a_route_may_take_the_field_away() {
    let (backend, collector) = (HttpBackend::start(), Collector::start());
    let edits = "[route.request_headers]\nremove = [\"traceparent\"]\n";
    let trace = traced(collector.address(), "");
    let proxy = Proxy::with(backend.address(), &format!("{edits}{trace}"));
    assert_eq!(get(&proxy, "/x", &traceparent("01")), 200);
    assert!(seen(&backend, "traceparent").is_empty());
}

#[test]
fn errors_are_told_on_the_span_that_they_belong_to() {
    let collector = Collector::start();
    let refusing = RawBackend::answering("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let nobody = gone.local_addr().expect("an address");
    drop(gone);
    let mut proxy = Proxy::start(&format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\npath_prefix = \"/no\"\nto = \"{}\"\n\
         [[route]]\npath = \"/gone\"\nto = \"{nobody}\"\n\
         [[route]]\npath = \"/here\"\nrespond = {{ status = 200 }}\n{}",
        refusing.address(),
        traced(collector.address(), "sample = 1.0")
    ));
    assert_eq!(get(&proxy, "/no/1", ""), 403);
    assert_eq!(get(&proxy, "/gone", ""), 502);
    assert_eq!(get(&proxy, "/here", ""), 200);
    assert_eq!(get(&proxy, "/nowhere", ""), 404);
    let mut wire = proxy.send(handshake("x", "/no/2", ""));
    assert_eq!(wire.read_response().status(), 403);

    let spans = all_spans(&mut proxy, &collector);
    let find = |path: &str| {
        let server = spans.iter().find(|span| span.get("url.path") == path);
        let server = server.unwrap_or_else(|| panic!("{path} in {spans:#?}"));
        let client = spans.iter().find(|span| span.parent == server.span_id);
        (server, client)
    };
    // (server: status, error.type), (client: status, error.type, http status)
    let told = |path: &str| {
        let (server, client) = find(path);
        (
            (server.status, server.get("error.type")),
            client.map(|client| {
                (
                    client.status,
                    client.get("error.type"),
                    client.get("http.response.status_code"),
                )
            }),
        )
    };
    assert_eq!(told("/no/1"), ((0, ""), Some((ERROR, "403", "403"))));
    let refused = "connection_refused";
    assert_eq!(
        told("/gone"),
        ((ERROR, refused), Some((ERROR, refused, "")))
    );
    assert_eq!(told("/here"), ((0, ""), None));
    assert_eq!(told("/nowhere"), ((0, "destination_unavailable"), None));
    let handshake = ((0, "http_upgrade_failed"), Some((ERROR, "403", "403")));
    assert_eq!(told("/no/2"), handshake);
    let nowhere = find("/nowhere").0;
    assert_eq!(
        (nowhere.name.as_str(), nowhere.get("http.route")),
        ("GET", "")
    );
    assert_eq!(find("/gone").0.name, "GET /gone");
}

#[test]
fn a_tunnel_has_a_span_of_its_life() {
    let (backend, collector) = (EchoBackend::start(), Collector::start());
    let trace = traced(collector.address(), "sample = 1.0");
    let proxy = Proxy::with(backend.address(), &format!("name = \"live\"\n{trace}"));
    let mut socket = websocket::connect(&proxy, "/ws?token=hunter2");
    let handshake = collector.wait_for("the handshake", |span| span.kind == SERVER);
    assert_eq!(handshake.get("http.response.status_code"), "101");
    assert_eq!(handshake.get("error.type"), "");
    assert!(collector.spans().iter().all(|span| span.kind != 1));
    for n in 0..3 {
        websocket::exchange(&mut socket, Message::text(format!("message {n}")));
    }
    let bye = CloseFrame {
        code: 4001.into(),
        reason: "so long".into(),
    };
    socket.close(Some(bye)).expect("a Close");
    while socket.read().is_ok() {}
    let record = proxy.wait_for_tunnel_close();
    let tunnel = collector.wait_for("the tunnel", |span| span.kind == 1);

    assert_eq!(tunnel.name, "websocket tunnel");
    assert_eq!(tunnel.trace_id, handshake.trace_id);
    assert_eq!(tunnel.parent, handshake.span_id);
    let link = (handshake.trace_id.clone(), handshake.span_id.clone());
    assert_eq!(tunnel.links, [link]);
    assert_eq!(record["trace_id"], tunnel.trace_id);
    let opened = proxy.wait_for_access("its opening", |json| json["kind"] == "tunnel_open");
    assert_eq!(opened["trace_id"], tunnel.trace_id);
    assert!(handshake.times.0 <= tunnel.times.0 && tunnel.times.0 < tunnel.times.1);
    for (name, value) in [
        ("sluice.route", "live"),
        ("sluice.endpoint", &backend.address().to_string()),
        ("sluice.tunnel.closed_by", "client"),
        ("sluice.tunnel.client_close.code", "4001"),
        ("sluice.tunnel.client_close.reason", "so long"),
        ("sluice.tunnel.upstream_close.code", "4001"),
        ("sluice.tunnel.messages_in", "3"),
        ("sluice.tunnel.messages_out", "3"),
        ("sluice.tunnel.bytes_in", &record["bytes_in"].to_string()),
        ("sluice.tunnel.bytes_out", &record["bytes_out"].to_string()),
        ("sluice.request_id", record["request_id"].as_str().unwrap()),
        ("url.path", "/ws"),
        ("client.address", "127.0.0.1"),
        ("error.type", ""),
    ] {
        assert_eq!(tunnel.get(name), value, "{name}");
    }
    let client = collector.wait_for("the handshake's way", |span| span.kind == CLIENT);
    let told = backend.handshakes()[0].clone();
    let told = told.iter().find(|(name, _)| name == "traceparent");
    let expected = format!("00-{}-{}-03", client.trace_id, client.span_id);
    assert_eq!(told.expect("a traceparent").1, expected);
    assert!(!format!("{:?}", collector.spans()).contains("hunter2"));
}

#[test]
fn a_tunnels_span_spans_an_upgrade() {
    let (backend, collector) = (EchoBackend::start(), Collector::start());
    let trace = traced(collector.address(), "sample = 1.0");
    let succession = Succession::start(|_| {
        let to = backend.address();
        format!("[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\nto = \"{to}\"\n{trace}")
    });
    let mut socket = websocket::connect(&succession.proxy, "/ws");
    websocket::exchange(&mut socket, Message::text("before"));
    succession.upgrade();
    websocket::exchange(&mut socket, Message::text("behind"));
    socket.close(None).expect("a Close");
    while socket.read().is_ok() {}
    let handshake = collector.wait_for("the handshake", |span| span.kind == SERVER);
    let tunnel = collector.wait_for("the tunnel", |span| span.kind == 1);
    assert_eq!(tunnel.parent, handshake.span_id);
    assert_eq!(tunnel.trace_id, handshake.trace_id);
    assert_eq!(tunnel.get("sluice.tunnel.messages_in"), "2");
}

#[test]
fn a_tunnel_that_is_not_sampled_leaves_only_its_trace_id() {
    let (backend, collector) = (EchoBackend::start(), Collector::start());
    let trace = traced(collector.address(), "sample = 0.0");
    let mut proxy = Proxy::with(backend.address(), &trace);
    let mut socket = websocket::connect(&proxy, "/ws");
    socket.close(None).expect("a Close");
    while socket.read().is_ok() {}
    let record = proxy.wait_for_tunnel_close();
    let told = backend.handshakes()[0].clone();
    let told = told.iter().find(|(name, _)| name == "traceparent");
    let parent = &told.expect("a traceparent").1;
    assert!(parent.ends_with("-02"), "{parent}");
    assert_eq!(record["trace_id"], parent[3..35]);
    assert!(all_spans(&mut proxy, &collector).is_empty());
}

#[test]
fn a_collector_that_is_down_or_silent_is_felt_by_nobody() {
    let backend = HttpBackend::start();
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let nobody = gone.local_addr().expect("an address");
    drop(gone);
    // Accepts and says nothing until the other side gives up.
    let silent = RawBackend::start(|_, mut wire| drop(wire.read_until_close()));
    for address in [nobody, silent.address()] {
        let trace = traced(address, "sample = 1.0");
        let here = "[[route]]\npath = \"/here\"\nrespond = { status = 204 }\n";
        let mut proxy = Proxy::with(backend.address(), &format!("{here}{trace}"));
        assert_eq!(get(&proxy, "/x", ""), 200);
        if address == silent.address() {
            eventually!(silent.accepted() > 0);
            // The exporter waits for an answer now; more than the queue holds comes meanwhile.
            // A queue that blocks would lose nothing, and hold up the burst past its deadline.
            burst(&mut proxy.connect(), 10_000);
            let lost = || proxy.scrape().sum("sluice_traces_lost_total", &[]);
            eventually!(lost() > 0.0, "spans are dropped while the exporter waits");
        }
        assert_eq!(get(&proxy, "/y", ""), 200);
        if address == silent.address() {
            proxy.terminate();
            assert_eq!(proxy.wait_exit().code(), Some(0));
        }
        let says = |text: &'static str| {
            move |line: &Line| {
                let message = field(&line.json, "message").as_str();
                message.is_some_and(|message| message.starts_with(text))
            }
        };
        if address == silent.address() {
            let line = proxy.wait_for_log("the flush", says("the collector did not take"));
            let lost = field(&line.json, "lost").as_u64().expect("a count");
            assert!(lost > 500, "{lost}");
        } else {
            let line = proxy.wait_for_log("the loss", says("traces were lost"));
            assert!(
                field(&line.json, "not_taken").as_u64() >= Some(1),
                "{}",
                line.text
            );
            assert!(line.text.contains("refused"), "{}", line.text);
            let lost = || proxy.scrape().sum("sluice_traces_lost_total", &[]) as u64;
            eventually!(lost() >= 2);
        }
    }
}

/// So many requests on one connection, each answered.
fn burst(wire: &mut Wire, count: usize) {
    const AT_ONCE: usize = 100;
    for _ in 0..count / AT_ONCE {
        wire.send("GET /here HTTP/1.1\r\nHost: x\r\n\r\n".repeat(AT_ONCE));
        for _ in 0..AT_ONCE {
            assert_eq!(wire.read_head().status(), 204);
        }
    }
}

#[test]
fn a_reload_switches_it_on_and_off() {
    let (backend, collector) = (HttpBackend::start(), Collector::start());
    let config = |trace: &str| {
        let to = backend.address();
        format!("[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\nto = \"{to}\"\n{trace}")
    };
    let on = config(&traced(collector.address(), "sample = 1.0"));
    let proxy = Proxy::start(&config(""));
    assert_eq!(get(&proxy, "/before", ""), 200);
    assert!(seen(&backend, "traceparent").is_empty());
    let event = proxy.reload(&on);
    assert!(event.to_string().contains("[trace] changed"), "{event}");
    assert_eq!(get(&proxy, "/on", ""), 200);
    proxy.reload(&config(""));
    assert_eq!(get(&proxy, "/after", ""), 200);
    assert!(seen(&backend, "traceparent").is_empty());
    // What the old exporter still had is sent before it ends.
    collector.wait_for("the exchange in between", |span| span.kind == SERVER);
    let spans = collector.spans();
    let server = of_kind(&spans, SERVER);
    assert_eq!(server.get("url.path"), "/on");
}

#[test]
fn the_environment_adds_to_the_resource() {
    let collector = Collector::start();
    let mut config = tempfile::NamedTempFile::new().expect("a temporary file");
    let toml = format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\nrespond = {{ status = 200 }}\n{}",
        traced(collector.address(), "sample = 1.0\nservice_name = \"edge\"")
    );
    std::io::Write::write_all(&mut config, toml.as_bytes()).expect("the config file");
    let mut command = Command::new(binary());
    command.args(["run", "--config"]).arg(config.path());
    command.env(
        "OTEL_RESOURCE_ATTRIBUTES",
        "deployment.environment.name=lab,service.name=x",
    );
    let process = Process::spawn("sluice", &mut command);
    let line = process.wait_for_line("listening", |line| {
        field(&line.json, "message") == "listening"
    });
    let address = field(&line.json, "address").as_str().expect("an address");
    let mut wire = Wire::connect(address.parse().expect("an address"));
    wire.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(wire.read_response().status(), 200);
    let span = collector.wait_for("the exchange", |span| span.kind == SERVER);
    assert_eq!(span.resource["service.name"], "edge");
    assert_eq!(span.resource["deployment.environment.name"], "lab");
    assert!(!span.resource["service.version"].is_empty());
}
