//! The configuration file from outside: the examples are right, the reference names every
//! key with its real default, and bad files give exactly the diagnostics beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use sluice::config::{
    AdminConfig, Config, DrainConfig, EndpointAddress, HttpConfig, ListenAddress, LogConfig,
    ReloadConfig, ResolverConfig, RouteTimeouts, Scheme, TlsConfig, TraceConfig, UpgradeConfig,
    UpstreamConfig, WebSocketConfig,
};
use sluice::config_file;

const REFERENCE: &str = include_str!("../../config/reference.toml");

fn toml_files(directory: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let mut files: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    files.sort();
    files
}

fn parse(source: &str) -> Config {
    config_file::parse(source, "test.toml").unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn every_example_is_right() {
    let files = toml_files("config");
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        config_file::load(&file).unwrap_or_else(|problems| panic!("{problems}"));
    }
}

#[test]
fn the_minimal_example_has_five_lines() {
    let minimal = include_str!("../../config/minimal.toml");
    assert_eq!(minimal.lines().count(), 5);
    assert_eq!(parse(minimal).listeners.len(), 1);
}

#[test]
fn the_reference_names_the_real_defaults() {
    let reference = parse(REFERENCE);
    let cpus = std::thread::available_parallelism().unwrap();
    assert_eq!(reference.workers, cpus);
    assert_eq!(reference.http, HttpConfig::default());
    assert_eq!(reference.log, LogConfig::default());
    assert_eq!(reference.drain, DrainConfig::default());
    assert_eq!(reference.resolver, ResolverConfig::default());
    assert_eq!(reference.admin, AdminConfig::default());
    assert_eq!(reference.reload, ReloadConfig::default());
    assert_eq!(reference.upgrade, UpgradeConfig::default());
    assert_eq!(reference.trace, TraceConfig::default());
    assert_eq!(reference.pid_file, None);
    assert_eq!(reference.listeners[0].scheme, Scheme::default());
    let ListenAddress::Unix { mode, .. } = reference.listeners[1].address else {
        panic!("the second listener is a unix socket");
    };
    assert_eq!(mode, 0o660);
    let tls = reference.listeners[2].tls.as_deref().unwrap();
    let default = TlsConfig {
        certificates: tls.certificates.clone(),
        ..TlsConfig::default()
    };
    assert_eq!(*tls, default);

    let app = &reference.upstreams["app"];
    assert_eq!(
        **app,
        UpstreamConfig::new("app".into(), app.endpoints.clone())
    );

    // The first route differs from one that says nothing only in its name.
    let bare = parse(
        "listen = [{ address = ':1' }]\nroute = [{ upstream = 'app' }]\n\
         upstream.app.endpoints = 'x:1'",
    );
    let (full, bare) = (&reference.routes[0], &bare.routes[0]);
    assert_eq!(full.matches, bare.matches);
    assert_eq!(full.action, bare.action);
    assert_eq!(full.rewrite, bare.rewrite);
    assert_eq!(full.host, bare.host);
    assert_eq!(full.request_headers, bare.request_headers);
    assert_eq!(full.response_headers, bare.response_headers);
    assert_eq!(full.max_body, bare.max_body);
    assert_eq!(full.timeouts, RouteTimeouts::default());
    assert_eq!(*full.websocket, WebSocketConfig::default());
    assert_eq!(bare.timeouts, RouteTimeouts::default());
    assert_eq!(*bare.websocket, WebSocketConfig::default());
    assert_eq!(bare.name, "/*");
}

/// Every key that the schema declares, with its default, as `route.timeouts.response_head`.
/// Names chosen by the user are `*`; what holds only such names has no key of its own.
pub(super) fn schema_keys() -> BTreeMap<String, Option<Json>> {
    fn visit(schema: &Json, at: &str, root: &Json, keys: &mut BTreeMap<String, Option<Json>>) {
        if let Some(reference) = schema["$ref"].as_str() {
            let definition = reference.trim_start_matches('#');
            return visit(root.pointer(definition).unwrap(), at, root, keys);
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let at = format!("{at}.{name}").trim_start_matches('.').to_owned();
            keys.insert(at.clone(), property.get("default").cloned());
            visit(property, &at, root, keys);
        }
        for alternative in schema["anyOf"].as_array().into_iter().flatten() {
            visit(alternative, at, root, keys);
        }
        if schema["items"].is_object() {
            visit(&schema["items"], at, root, keys);
        }
        if schema["additionalProperties"].is_object() {
            let at = format!("{at}.*");
            visit(&schema["additionalProperties"], &at, root, keys);
        }
    }
    let schema = config_file::schema();
    let mut keys = BTreeMap::new();
    visit(&schema, "", &schema, &mut keys);
    keys
}

/// Every key that the reference file uses, with all its values.
fn reference_keys() -> BTreeMap<String, Vec<Json>> {
    // Tables whose names the user chooses.
    const NAMED: [&str; 6] = [
        "upstream",
        "route.headers",
        "route.request_headers.set",
        "route.request_headers.add",
        "route.response_headers.set",
        "route.response_headers.add",
    ];
    fn visit(value: &Json, at: &str, keys: &mut BTreeMap<String, Vec<Json>>) {
        match value {
            Json::Array(array) => array.iter().for_each(|value| visit(value, at, keys)),
            Json::Object(object) => {
                for (name, value) in object {
                    if NAMED.contains(&at) {
                        visit(value, &format!("{at}.*"), keys);
                        continue;
                    }
                    let at = format!("{at}.{name}").trim_start_matches('.').to_owned();
                    keys.entry(at.clone()).or_default().push(value.clone());
                    visit(value, &at, keys);
                }
            }
            _ => {}
        }
    }
    let document: Json = toml::from_str(REFERENCE).unwrap();
    let mut keys = BTreeMap::new();
    visit(&document, "", &mut keys);
    keys
}

#[test]
fn schema_and_reference_have_the_same_keys() {
    let schema: BTreeSet<String> = schema_keys().into_keys().collect();
    let reference: BTreeSet<String> = reference_keys().into_keys().collect();
    assert!(schema.len() > 70, "{schema:?}");
    assert_eq!(schema, reference);
}

/// A document that gives just this key, a value of a type that no key has.
fn document(parts: &[&str], top: bool) -> String {
    match parts {
        [] => String::new(),
        [last] => format!("{last} = 2000-01-01"),
        [first, rest @ ..] => {
            let inner = document(rest, false);
            match *first {
                "listen" | "route" if top => format!("{first} = [{{ {inner} }}]"),
                "certificate" => format!("{first} = [{{ {inner} }}]"),
                "*" => format!("name = {{ {inner} }}"),
                first => format!("{first} = {{ {inner} }}"),
            }
        }
    }
}

#[test]
fn the_parser_accepts_the_keys_of_the_schema_and_no_others() {
    let unknown = |source: &str| {
        let problems = config_file::parse(source, "test.toml").unwrap_err();
        let problems = problems.list().iter();
        problems
            .filter(|p| p.message.contains("unknown key"))
            .count()
    };
    for key in schema_keys().into_keys() {
        let parts: Vec<&str> = key.split('.').collect();
        let right = document(&parts, true);
        assert_eq!(unknown(&right), 0, "{right}");
        let wrong = document(&[&parts[..parts.len() - 1], &["zzzzzz"]].concat(), true);
        assert_eq!(unknown(&wrong), 1, "{wrong}");
    }
}

#[test]
fn the_reference_shows_every_default_of_the_schema() {
    // Shown by an example instead.
    const EXAMPLES: [&str; 2] = ["route.strip_prefix", "route.respond.body"];
    let reference = reference_keys();
    let mut shown = 0;
    for (key, default) in schema_keys() {
        let Some(default) = default else { continue };
        if !EXAMPLES.contains(&key.as_str()) {
            assert!(reference[&key].contains(&default), "{key} = {default}");
            shown += 1;
        }
    }
    assert!(shown > 45, "{shown}");
}

#[test]
fn the_schema_describes_every_key() {
    fn visit(schema: &Json, seen: &mut usize) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let description = property["description"].as_str().unwrap_or_default();
            assert!(description.len() > 10, "{name}: {description:?}");
            *seen += 1;
        }
        let nested = schema.as_object().into_iter().flat_map(|map| map.values());
        nested.for_each(|schema| visit(schema, seen));
    }
    let mut seen = 0;
    visit(&config_file::schema(), &mut seen);
    assert!(seen > 60, "{seen}");
}

/// Compares the diagnostics of each bad file with those beside it. With `SLUICE_BLESS=1` in
/// the environment they are written instead, to be read before they are committed.
#[test]
fn bad_files_give_the_diagnostics_beside_them() {
    let files = toml_files("tests/config_bad");
    assert!(files.len() >= 20, "{files:?}");
    let bless = std::env::var_os("SLUICE_BLESS").is_some();
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let source = fs::read_to_string(&file).unwrap();
        let Err(problems) = config_file::parse(&source, name) else {
            panic!("{name} has nothing wrong");
        };
        let expected = file.with_extension("expected");
        if bless {
            fs::write(&expected, problems.to_string()).unwrap();
        }
        let expected = fs::read_to_string(&expected).unwrap_or_default();
        assert_eq!(problems.to_string(), expected, "{name}");
    }
}

#[test]
fn problems_know_their_place_and_key() {
    let source = "[[listen]]\naddress = ':1'\n[[route]]\nto = 'a:1'\n\
                  websocket.max_age = 'ü9'\n";
    let problems = config_file::parse(source, "test.toml").unwrap_err();
    let [problem] = problems.list() else {
        panic!("{problems}");
    };
    assert_eq!((problem.line, problem.column), (5, 21));
    assert_eq!(problem.key, "route[0].websocket.max_age");
    assert_eq!(&source[problem.span.clone()], "'ü9'");
    assert!(problems.render(true).contains("\u{1b}["));
    assert!(!problems.render(false).contains('\u{1b}'));
}

#[test]
fn two_addresses_make_a_configuration() {
    let config = Config::from_listen_to("127.0.0.1:8080", "app:9000").unwrap();
    let written = parse(
        "[[listen]]\naddress = '127.0.0.1:8080'\n[[route]]\nname = 'default'\nto = 'app:9000'",
    );
    assert_eq!(config.listeners, written.listeners);
    assert_eq!(config.upstreams, written.upstreams);
    assert_eq!(config.routes[0].action, written.routes[0].action);
    assert_eq!(config.http, written.http);

    let problems = Config::from_listen_to("", "").unwrap_err();
    assert_eq!(problems.list().len(), 2);
}

/// Gives each duration, size and number a value of its own and looks for it in the field of
/// the same name.
#[test]
fn every_setting_lands_in_its_own_field() {
    // A condition of the socket, a status, shares: `what_is_written_is_what_is_meant`.
    // A version is no time.
    const OTHERS: [&str; 5] = ["mode", "status", "max_age_jitter", "sample", "min_version"];
    const TIMES: [&str; 2] = ["max_age", "ping_interval"];
    const NUMBERS: [&str; 4] = ["max_connections", "max_body", "max_head", "max_target"];

    let mut source = "upstream.app.endpoints = 'x:1'\n".to_owned();
    let mut listen = "address = ':1', tls.cert = '/a', tls.key = '/a'".to_owned();
    let mut route = "upstream = 'app'".to_owned();
    let mut expected = Vec::new();
    for (index, (key, default)) in schema_keys().into_iter().enumerate() {
        let name = key.rsplit('.').next().unwrap();
        let digit = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
        let number = NUMBERS.contains(&name) || matches!(default, Some(Json::Number(_)));
        let time = TIMES.contains(&name) || default.iter().any(|d| d.as_str().is_some_and(digit));
        if OTHERS.contains(&name) || !(number || time) {
            continue;
        }
        // Descending, so that `max_target` is less than `max_head`, and `over` than `deadline`.
        let value = if name.ends_with("_code") {
            4900 - index
        } else {
            9900 - index
        };
        let (written, read) = match number {
            true => (value.to_string(), value.to_string()),
            false => (format!("'{value}s'"), format!("{value}s")),
        };
        match (key.strip_prefix("route."), key.strip_prefix("listen.")) {
            (Some(key), _) => route.push_str(&format!(", {key} = {written}")),
            (_, Some(key)) => listen.push_str(&format!(", {key} = {written}")),
            (None, None) => source.push_str(&format!("{} = {written}\n", key.replace('*', "app"))),
        }
        expected.push((name.to_owned(), read));
    }
    source.push_str(&format!(
        "listen = [{{ {listen} }}]\nroute = [{{ {route} }}]\n"
    ));
    assert!(expected.len() > 30, "{expected:?}");
    let config = format!("{:?}", parse(&source));
    for (name, value) in expected {
        let plain = format!("{name}: {value}");
        let optional = format!("{name}: Some({value})");
        assert!(
            config.contains(&plain) || config.contains(&optional),
            "{plain} in {config}"
        );
    }
}

#[test]
fn what_is_written_is_what_is_meant() {
    use http::StatusCode;
    use sluice::config::{
        AccessLog, Action, HostPattern, MissingOrigin, OriginPattern, OriginRule, ParentRule,
        PathPattern, PathRewrite,
    };
    use std::time::Duration;
    let config = parse(
        r#"
        workers = 3
        [log]
        access = "./access.log"
        [http]
        max_head = "1MiB"
        min_rate = "off"
        request_id = "off"
        via = "edge"
        max_connections = 10
        trusted_proxies = ["10.0.0.0/8", "::1"]
        [resolver]
        nameservers = ["192.0.2.53"]
        [[listen]]
        address = "unix:/run/s.sock"
        mode = "0600"
        [[route]]
        host = ["EXAMPLE.com", "*.Example.com"]
        path_prefix = "/api/"
        method = "GET"
        headers = { X-Tenant = "a", x-flag = true }
        to = ["Host:80", "[0:0::1]:80", "unix:/a.sock"]
        replace_prefix = "/v2/"
        max_body = "10MB"
        request_headers.add = { vary = ["a", "b"] }
        websocket = { match = true, origin = ["null", "same-origin"], missing_origin = "deny", idle_timeout = "off", max_age = "1h30m", ping_interval = "30s" }
        [[route]]
        redirect = "https://{host}{path}{query}"
        [trace]
        endpoint = "http://collector:4318/otlp"
        sample = 0.25
        parent = "trusted"
        service_name = "edge"
        "#,
    );
    assert_eq!(config.workers.get(), 3);
    assert_eq!(config.log.access, AccessLog::File("./access.log".into()));
    assert_eq!(config.http.max_head, 1 << 20);
    assert_eq!(config.http.min_rate, 0);
    assert_eq!(config.http.request_id, None);
    assert_eq!(config.http.via.as_deref(), Some("edge"));
    assert_eq!(config.http.max_connections, Some(10));
    assert_eq!(config.http.trusted_proxies.len(), 2);
    assert_eq!(
        config.resolver.nameservers,
        ["192.0.2.53:53".parse().unwrap()]
    );

    let trace = TraceConfig {
        endpoint: Some("http://collector:4318/otlp".into()),
        sample: 0.25,
        parent: ParentRule::Trusted,
        service_name: "edge".into(),
    };
    assert_eq!(config.trace, trace);

    let route = &config.routes[0];
    assert_eq!(
        route.matches.hosts,
        [
            HostPattern::Exact("example.com".into()),
            HostPattern::Suffix("example.com".into())
        ]
    );
    assert_eq!(route.matches.path, PathPattern::Prefix("/api".into()));
    assert_eq!(route.matches.websocket, Some(true));
    assert_eq!(route.matches.headers.len(), 2);
    assert_eq!(route.matches.headers[1].value, None);
    assert_eq!(
        route.name,
        "GET:example.com,*.example.com/api/*+websocket+x-tenant+x-flag"
    );
    assert_eq!(route.rewrite, PathRewrite::ReplacePrefix("/v2".into()));
    assert_eq!(route.max_body, Some(10_000_000));
    assert_eq!(route.request_headers.add.len(), 2);
    let upstream = &config.upstreams[&route.name];
    assert_eq!(
        upstream.endpoints[..2],
        [("host", 80), ("::1", 80)].map(|(host, port)| EndpointAddress::Host {
            host: host.into(),
            port
        })
    );
    let websocket = &route.websocket;
    assert_eq!(
        websocket.origin,
        OriginRule::List(vec![OriginPattern::Null, OriginPattern::SameOrigin])
    );
    assert_eq!(websocket.missing_origin, MissingOrigin::Deny);
    assert_eq!(websocket.idle_timeout, None);
    assert_eq!(websocket.max_age, Some(Duration::from_secs(5400)));
    assert_eq!(websocket.ping_interval, Some(Duration::from_secs(30)));
    assert_eq!(
        config.routes[1].action,
        Action::Redirect {
            status: StatusCode::PERMANENT_REDIRECT,
            to: "https://{host}{path}{query}".into()
        }
    );
}
