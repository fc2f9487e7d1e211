//! The two forms of `/metrics`, and what stands on them: the dashboard and the alert rules
//! under `config/` name only what a scrape has, and promtool finds nothing wrong.

use crate::support;

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use support::tls::Authority;
use support::websocket::{connect, exchange, handshake};
use support::{EchoBackend, HttpBackend, Proxy, Scrape, Tool};
use tokio_tungstenite::tungstenite::Message;

/// A proxy that everything has happened to, so that every family has a sample.
struct Busy {
    proxy: Proxy,
    _http: HttpBackend,
    _echo: EchoBackend,
}

fn busy() -> Busy {
    let (http, echo) = (HttpBackend::start(), EchoBackend::start());
    let authority = Authority::new();
    let proxy = Proxy::start(&format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n\n\
         [[listen]]\naddress = \"127.0.0.1:0\"\n[listen.tls]\n{}\n\
         [[route]]\nname = \"a{{b}}=c,#d\"\npath_prefix = \"/ws\"\nto = \"{}\"\n\n\
         [[route]]\nname = \"b\"\nto = \"{}\"\n",
        authority.pair(&["a.test"]).toml(),
        echo.address(),
        http.address()
    ));
    let request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_eq!(proxy.send(request).read_response().status(), 200);
    let evil = "Origin: http://evil.test\r\n";
    let mut refused = proxy.send(handshake(proxy.address(), "/ws", evil));
    assert_eq!(refused.read_head().status(), 403);
    for _ in 0..2 {
        let mut tunnel = connect(&proxy, "/ws");
        exchange(&mut tunnel, Message::text("x"));
    }
    eventually!(proxy.scrape().sum("sluice_tunnels_closed_total", &[]) == 2.0);
    Busy {
        proxy,
        _http: http,
        _echo: echo,
    }
}

#[test]
fn both_forms_parse_and_say_the_same() {
    let busy = busy();
    let proxy = &busy.proxy;
    let (kind, open) = proxy.metrics("application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1");
    assert_eq!(
        kind,
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    let (kind, plain) = proxy.metrics("*/*");
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    let (open, plain) = (Scrape::openmetrics(&open), Scrape::plain(&plain));
    let series = |scrape: &Scrape| scrape.samples.keys().cloned().collect::<Vec<_>>();
    assert_eq!(series(&open), series(&plain));
    assert!(open.values("route").contains("a{b}=c,#d"));
    for name in [
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
        "process_open_fds",
        "process_max_fds",
        "process_start_time_seconds",
        "sluice_build_info",
    ] {
        assert!(plain.sum(name, &[]) > 0.0, "{name}");
    }
    for (name, _) in open.samples.keys() {
        assert!(
            name.starts_with("sluice_") || name.starts_with("process_"),
            "{name}"
        );
    }
    for family in open.types.keys() {
        let told = open
            .names()
            .into_iter()
            .any(|name| name.starts_with(family.as_str()));
        assert!(told, "{family} has no sample");
    }
    assert_eq!(proxy.get_admin("/metrics/").0, 404);
    assert_eq!(proxy.post_admin("/metrics", &Value::Null).0, 405);
}

#[test]
fn promtool_finds_nothing_wrong() {
    if !Tool::require("promtool") {
        return;
    }
    let busy = busy();
    let mut check = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool starts");
    let mut input = check.stdin.take().expect("a pipe");
    let text = busy.proxy.metrics("text/plain").1;
    input.write_all(text.as_bytes()).expect("it reads");
    drop(input);
    let output = check.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.is_empty(), "{said}");

    let said = promtool(&["check", "rules", "config/alerts.yml"]);
    assert!(said.contains("rules found"), "{said}");
}

/// Runs it, sees that it is content, and gives what it says.
fn promtool(arguments: &[&str]) -> String {
    let output = Command::new("promtool").args(arguments).output();
    let output = output.expect("promtool runs");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

#[test]
fn the_alerts_fire_when_they_should_and_not_before() {
    if !Tool::require("promtool") {
        return;
    }
    promtool(&["test", "rules", "tests/alerts.yml"]);
}

/// Every query of the dashboard, with something in the place of its variables.
fn queries(panel: &Value, found: &mut Vec<String>) {
    if let Some(query) = panel["expr"].as_str() {
        let query = query
            .replace("$__rate_interval", "5m")
            .replace("$__range", "1h");
        found.push(query);
    }
    let inside = panel.as_object().into_iter().flat_map(|map| map.values());
    let inside = inside.chain(panel.as_array().into_iter().flatten());
    inside.for_each(|inside| queries(inside, found));
}

#[test]
fn the_dashboards_queries_are_valid() {
    if !Tool::require("promtool") {
        return;
    }
    let text = std::fs::read_to_string("config/grafana.json").expect("the dashboard");
    let mut found = Vec::new();
    queries(&serde_json::from_str(&text).expect("JSON"), &mut found);
    assert!(found.len() > 50, "{found:?}");
    // JSON is YAML.
    let rule = |(n, query)| json!({ "record": format!("query_{n}"), "expr": query });
    let rules: Vec<Value> = found.into_iter().enumerate().map(rule).collect();
    let rules = json!({ "groups": [{ "name": "dashboard", "rules": rules }] });
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rules.yml");
    std::fs::write(&file, rules.to_string()).expect("it is written");
    promtool(&["check", "rules", file.to_str().expect("a path")]);
}

/// The families of the table in `docs/observability.md`, as the older form names them.
fn documented() -> Vec<&'static str> {
    let text = include_str!("../../docs/observability.md");
    let (_, table) = text.split_once("<!-- metrics -->\n").expect("the table");
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    let names = rows.skip(2).flat_map(|row| {
        let cell = row.split('|').nth(1).unwrap_or_default();
        cell.split('`').skip(1).step_by(2)
    });
    names.collect()
}

#[test]
fn the_documentation_has_every_family() {
    let busy = busy();
    let scrape = Scrape::plain(&busy.proxy.metrics("text/plain").1);
    let told: BTreeSet<&str> = scrape.types.keys().map(String::as_str).collect();
    let documented = documented();
    assert_eq!(documented.into_iter().collect::<BTreeSet<_>>(), told);
}

#[test]
fn the_dashboard_and_the_alerts_name_what_there_is() {
    let busy = busy();
    let scrape = Scrape::plain(&busy.proxy.metrics("text/plain").1);
    let names = scrape.names();
    let dashboard = std::fs::read_to_string("config/grafana.json").expect("the dashboard");
    let alerts = std::fs::read_to_string("config/alerts.yml").expect("the rules");
    for (file, text, least) in [("grafana", &dashboard, 35), ("alerts", &alerts, 12)] {
        let used = metrics_in(text);
        assert!(used.len() >= least, "{file}: {used:?}");
        for name in used {
            assert!(names.contains(name.as_str()), "{file} uses {name}");
        }
    }
    // What a dashboard does not show nobody looks at: all of it is on one of the two.
    let shown = [metrics_in(&dashboard), metrics_in(&alerts)].concat();
    let unseen: Vec<_> = scrape
        .types
        .keys()
        .filter(|family| !shown.iter().any(|name| name.starts_with(family.as_str())))
        .map(String::as_str)
        .collect();
    let not_shown = [
        "process_start_time_seconds",
        "process_threads",
        "process_virtual_memory_bytes",
        "sluice_certificate_end_timestamp_seconds",
        "sluice_connections_accepted_total",
        "sluice_predecessor_connections",
        "sluice_predecessor_tunnels",
        "sluice_predecessors",
        "sluice_tls_handshake_errors_total",
        "sluice_tls_handshakes_total",
        "sluice_upstream_endpoint_leaving",
        "sluice_worker_ticks_total",
    ];
    assert_eq!(unseen, not_shown);
}

#[test]
fn the_dashboard_can_be_imported_as_it_is() {
    let text = std::fs::read_to_string("config/grafana.json").expect("the dashboard");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let variables = dashboard["templating"]["list"]
        .as_array()
        .expect("variables");
    assert_eq!(variables[0]["type"], "datasource");
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<u64> = panels.iter().filter_map(|p| p["id"].as_u64()).collect();
    assert!(ids.len() == panels.len() && panels.len() > 30);
    let mut targets = 0;
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{panel}");
        for target in panel["targets"].as_array().expect("targets") {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{target}");
            targets += 1;
        }
    }
    assert!(targets > 40, "{targets}");
    if !Tool::require("promtool") {
        return;
    }
    // Every expression is one, once Grafana has put its variables in.
    let mut rules = tempfile::NamedTempFile::with_suffix(".yml").unwrap();
    writeln!(rules, "groups:\n- name: dashboard\n  rules:").unwrap();
    let targets = panels
        .iter()
        .filter_map(|panel| panel["targets"].as_array());
    for (n, target) in targets.flatten().enumerate() {
        let expression = target["expr"].as_str().expect("an expression");
        let expression = expression
            .replace("$__rate_interval", "5m")
            .replace("$__range", "1h");
        let expression = Value::from(expression);
        writeln!(rules, "  - record: r:{n}\n    expr: {expression}").unwrap();
    }
    let check = Command::new("promtool")
        .args(["check", "rules"])
        .arg(rules.path())
        .output()
        .expect("promtool runs");
    let said = String::from_utf8_lossy(&check.stderr).into_owned();
    assert!(check.status.success(), "{said}");
}

/// Every name of a metric in expressions.
fn metrics_in(text: &str) -> Vec<String> {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words: BTreeSet<&str> = text
        .split(|c| !part(c))
        .filter(|word| word.starts_with("sluice_") || word.starts_with("process_"))
        .collect();
    words.into_iter().map(str::to_owned).collect()
}
