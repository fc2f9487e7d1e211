//! The README and `docs/` against the program: the tables of defaults against `Config` and the
//! schema, TOML against the parser, commands against the command line, causes against the sources
//! that name them, requests, events and closes against the code. `links` follows their links.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::Parser;
use serde_json::Value as Json;
use sluice::cli::Arguments;
use sluice::config::{
    Config, DrainConfig, HttpConfig, ListenAddress, LogConfig, ReloadConfig, ResolverConfig,
    RouteTimeouts, Scheme, TraceConfig, UpgradeConfig, UpstreamConfig, WebSocketConfig,
};
use sluice::config_file;
use sluice::vocabulary::ClosedBy;

const README: &str = include_str!("../../README.md");
const CONFIGURATION: &str = include_str!("../../docs/configuration.md");
const TLS: &str = include_str!("../../docs/tls.md");
const OBSERVABILITY: &str = include_str!("../../docs/observability.md");

/// The README and all of `docs/`: name and text.
pub fn documents() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = std::fs::read_dir(root.join("docs")).expect("the folder");
    let docs = docs.map(|entry| entry.expect("an entry").path());
    let markdown = docs.filter(|path| path.extension().is_some_and(|name| name == "md"));
    let mut paths: Vec<_> = [root.join("README.md")]
        .into_iter()
        .chain(markdown)
        .collect();
    paths[1..].sort();
    assert!(paths.len() > 6, "{paths:?}");
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("a text");
        let name = path.strip_prefix(root).expect("below the root");
        (name.display().to_string(), text)
    };
    paths.into_iter().map(read).collect()
}

fn parse(source: &str) -> Config {
    config_file::parse(source, "README.md")
        .unwrap_or_else(|problems| panic!("{source}\n{problems}"))
}

/// The contents of the fenced blocks in this language, those of the README first.
fn blocks(language: &str) -> Vec<String> {
    let texts = documents().into_iter();
    texts
        .flat_map(|(_, text)| blocks_of(&text, language))
        .collect()
}

fn blocks_of(text: &str, language: &str) -> Vec<String> {
    let opening = format!("```{language}");
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while lines.any(|line| line == opening) {
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        blocks.push(block.join("\n") + "\n");
    }
    blocks
}

/// The text between the first pair of backticks.
fn code(cell: &str) -> Option<&str> {
    cell.split('`').nth(1)
}

/// The cells of each body row of the table under the line `marker`.
fn rows(text: &'static str, marker: &str) -> Vec<Vec<&'static str>> {
    let (_, after) = text.split_once(marker).unwrap_or_else(|| {
        panic!("there is no {marker}");
    });
    let table = after
        .lines()
        .skip(1)
        .take_while(|line| line.starts_with('|'));
    table
        .skip(2)
        .map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect()
}

/// Key and default of every row of every table of defaults, `None` where it shows "–".
fn documented() -> BTreeMap<String, Option<&'static str>> {
    let is_marker = |line: &&str| line.starts_with("<!-- defaults: ");
    let markers = [CONFIGURATION, TLS].into_iter();
    let markers = markers.flat_map(|text| text.lines().filter(is_marker).map(move |at| (text, at)));
    let mut documented = BTreeMap::from([
        ("pid_file".to_owned(), Some("\"off\"")),
        ("workers".to_owned(), Some("\"auto\"")),
    ]);
    for (text, marker) in markers {
        let sections = marker
            .trim_start_matches("<!-- defaults: ")
            .trim_end_matches(" -->");
        for row in rows(text, marker) {
            let key = code(row[0]).unwrap_or_else(|| panic!("{row:?}"));
            let default = (row[1] != "–").then(|| code(row[1]).unwrap());
            for section in sections.split(' ') {
                let earlier = documented.insert(format!("{section}.{key}"), default);
                assert_eq!(earlier, None, "{section}.{key} is there twice");
            }
        }
    }
    documented
}

/// Every key that the schema declares, but for tables that only hold such keys.
fn schema_keys() -> BTreeMap<String, Option<Json>> {
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
        visit_if_object(&schema["items"], at, root, keys);
        visit_if_object(
            &schema["additionalProperties"],
            &format!("{at}.*"),
            root,
            keys,
        );
    }
    fn visit_if_object(
        schema: &Json,
        at: &str,
        root: &Json,
        keys: &mut BTreeMap<String, Option<Json>>,
    ) {
        if schema.is_object() {
            visit(schema, at, root, keys);
        }
    }
    const TABLES: [&str; 15] = [
        "admin",
        "drain",
        "http",
        "listen",
        "listen.tls",
        "log",
        "reload",
        "resolver",
        "route",
        "route.request_headers",
        "route.response_headers",
        "route.timeouts",
        "trace",
        "upgrade",
        "upstream",
    ];
    let schema = config_file::schema();
    let mut keys = BTreeMap::new();
    visit(&schema, "", &schema, &mut keys);
    for table in TABLES {
        assert_eq!(keys.remove(table), Some(None), "{table}");
    }
    keys
}

#[test]
fn the_tables_have_every_key_with_its_default() {
    assert!(CONFIGURATION.contains("`workers` (default `\"auto\"`"));
    assert!(CONFIGURATION.contains("`pid_file` (default `\"off\"`"));
    let documented = documented();
    let schema = schema_keys();
    let names = |keys: BTreeSet<&String>| keys.into_iter().cloned().collect::<Vec<_>>();
    assert_eq!(
        names(documented.keys().collect()),
        names(schema.keys().collect())
    );
    let mut compared = 0;
    for (key, shown) in documented {
        let value = shown.map(|text| {
            let document: Json = toml::from_str(&format!("value = {text}")).unwrap();
            document["value"].clone()
        });
        assert_eq!(value, schema[&key], "{key}");
        compared += usize::from(value.is_some());
    }
    assert!(compared > 45, "{compared}");
}

/// The defaults of one table, written as TOML.
fn written(section: &str) -> String {
    let prefix = format!("{section}.");
    let keys = documented().into_iter().filter_map(|(key, default)| {
        let key = key.strip_prefix(&prefix)?.to_owned();
        Some(format!("{key} = {}\n", default?))
    });
    let text: String = keys.collect();
    assert!(!text.is_empty(), "{section}");
    text
}

#[test]
fn the_tables_written_as_toml_change_nothing() {
    // What belongs to an action or to another kind of listener is left to the schema.
    let inapplicable = |line: &&str| {
        [
            "respond.",
            "redirect.",
            "websocket.",
            "request_",
            "response_h",
        ]
        .iter()
        .all(|prefix| !line.starts_with(prefix))
    };
    let route = written("route");
    let route: Vec<&str> = route.lines().filter(inapplicable).collect();
    let mut source = "workers = \"auto\"\n".to_owned();
    for section in [
        "log", "http", "drain", "resolver", "reload", "upgrade", "trace",
    ] {
        source.push_str(&format!("[{section}]\n{}", written(section)));
    }
    let listen = written("listen");
    let own = |line: &&str| !line.starts_with("tls.");
    let listen: Vec<&str> = listen.lines().filter(own).collect();
    let scheme = listen
        .iter()
        .find(|line| line.starts_with("scheme"))
        .unwrap();
    source.push_str(&format!(
        "[[listen]]\naddress = \":1\"\n{scheme}\n[[listen]]\naddress = \"unix:/x\"\n{}\n\
         [upstream.app]\nendpoints = \"x:1\"\n{}\
         [[route]]\nname = \"r\"\npath_prefix = \"/a\"\nupstream = \"app\"\n{}\n\
         [route.request_headers]\n{}[route.response_headers]\n{}[route.websocket]\n{}",
        listen.join("\n"),
        written("upstream.*"),
        route.join("\n"),
        written("route.request_headers"),
        written("route.response_headers"),
        written("route.websocket"),
    ));
    let full = parse(&source);
    let bare = parse(
        "listen = [{ address = ':1' }]\n\
         route = [{ name = 'r', path_prefix = '/a', upstream = 'app' }]\n\
         upstream.app.endpoints = 'x:1'",
    );
    assert_eq!(full.workers, bare.workers);
    assert_eq!(full.http, HttpConfig::default());
    assert_eq!(full.log, LogConfig::default());
    assert_eq!(full.drain, DrainConfig::default());
    assert_eq!(full.resolver, ResolverConfig::default());
    assert_eq!(full.reload, ReloadConfig::default());
    assert_eq!(full.upgrade, UpgradeConfig::default());
    assert_eq!(full.trace, TraceConfig::default());
    assert_eq!(full.listeners[0].scheme, Scheme::default());
    let unix = ListenAddress::Unix {
        path: "/x".into(),
        mode: 0o660,
    };
    assert_eq!(full.listeners[1].address, unix);
    let app = &full.upstreams["app"];
    let default = UpstreamConfig::new("app".into(), app.endpoints.clone());
    assert_eq!(**app, default);
    let (full, bare) = (&full.routes[0], &bare.routes[0]);
    assert_eq!(full.timeouts, RouteTimeouts::default());
    assert_eq!(*full.websocket, WebSocketConfig::default());
    assert_eq!(full.rewrite, bare.rewrite);
    assert_eq!(full.max_body, bare.max_body);
    assert_eq!(full.request_headers, bare.request_headers);
    assert_eq!(full.response_headers, bare.response_headers);
}

#[test]
fn every_toml_block_is_a_configuration() {
    let blocks = blocks("toml");
    assert!(blocks.len() >= 3, "{blocks:?}");
    // Blocks that show a part leave out listeners and upstreams; they are given some.
    for block in &blocks {
        let mut source = String::new();
        if !block.contains("[[listen]]") {
            source.push_str("listen = [{ address = ':1' }]\n");
        }
        if block.contains("upstream = \"app\"") && !block.contains("[upstream.app]") {
            source.push_str("upstream.app.endpoints = 'x:1'\n");
        }
        source.push_str(block);
        parse(&source);
    }
    // The first one is that of the README.
    assert_eq!(blocks_of(README, "toml")[0], blocks[0]);
    assert_eq!(blocks[0], include_str!("../../config/minimal.toml"));
}

#[test]
fn every_command_is_understood() {
    let mut understood = 0;
    for line in blocks("sh").iter().flat_map(|block| block.lines()) {
        let line = line.split(" # ").next().unwrap().trim();
        let line = line.replacen("cargo run --release --", "sluice", 1);
        if !line.starts_with("sluice ") {
            continue;
        }
        if let Err(error) = Arguments::try_parse_from(line.split_whitespace()) {
            panic!("{line}: {error}");
        }
        understood += 1;
    }
    assert!(understood >= 25, "{understood}");
}

/// The string literals after each occurrence of `before` in a source.
fn literals_after<'a>(source: &'a str, before: &str) -> Vec<&'a str> {
    let pieces = source.split(before).skip(1);
    pieces
        .filter_map(|piece| piece.trim_start().strip_prefix('"')?.split('"').next())
        .collect()
}

#[test]
fn the_causes_table_has_every_cause() {
    let mut causes = BTreeSet::new();
    for source in [
        include_str!("../../src/fault/diagnosis.rs"),
        include_str!("../../src/fault/diagnosis/proxied.rs"),
        include_str!("../../src/fault/diagnosis/said.rs"),
        include_str!("../../src/fault/diagnosis/status.rs"),
    ] {
        causes.extend(literals_after(source, "Diagnosis::new("));
    }
    for (source, prefix) in [
        (
            include_str!("../../src/websocket/handshake/client.rs"),
            "client-",
        ),
        (
            include_str!("../../src/websocket/handshake/verify.rs"),
            "upstream-101-",
        ),
    ] {
        let names = literals_after(source, "=>");
        causes.extend(names.into_iter().filter(|name| name.starts_with(prefix)));
    }
    causes.extend(sluice::fault::cause::CAUSES.map(|(cause, _)| cause));
    let mut told = BTreeSet::new();
    for row in rows(OBSERVABILITY, "<!-- causes -->") {
        told.extend(row[0].split('`').skip(1).step_by(2));
    }
    assert!(causes.len() > 40, "{causes:?}");
    assert_eq!(told, causes);
}

/// What stands between backticks in the first cells of a table.
fn first_cells(marker: &str) -> BTreeSet<&'static str> {
    let rows = rows(OBSERVABILITY, marker).into_iter();
    rows.flat_map(|row| row[0].split('`').skip(1).step_by(2))
        .collect()
}

#[test]
fn observability_has_every_request_event_and_cause_of_a_close() {
    let described: Json =
        serde_json::from_str(include_str!("../../src/admin/openapi.json")).unwrap();
    let paths = described["paths"].as_object().unwrap().keys();
    // Those that sections of their own are about.
    let elsewhere = ["/", "/metrics", "/openapi.json"];
    let paths = paths.filter(|path| !elsewhere.contains(&path.as_str()));
    let paths: BTreeSet<String> = paths.map(|path| path.replace("{id}", "ID")).collect();
    let told = first_cells("<!-- api -->").into_iter();
    let told = told.filter_map(|cell| cell.split(' ').next_back());
    let told: BTreeSet<String> = told
        .filter(|path| path.starts_with('/'))
        .map(str::to_owned)
        .collect();
    assert_eq!(told, paths);

    let kinds = literals_after(include_str!("../../src/events/event.rs"), "(_) =>");
    assert_eq!(first_cells("<!-- events -->"), kinds.into_iter().collect());
    let causes = ClosedBy::ALL.map(ClosedBy::as_str);
    assert_eq!(first_cells("<!-- closed_by -->"), causes.into());
}

#[test]
fn the_readme_quotes_the_benchmarks() {
    fn cells(row: &str) -> Vec<&str> {
        row.trim_matches('|').split('|').map(str::trim).collect()
    }
    let measured = include_str!("../../docs/benchmarks.md").lines();
    let measured: Vec<_> = measured.map(cells).filter(|row| row.len() == 8).collect();
    let quoted = rows(README, "<!-- summary of docs/benchmarks.md -->");
    assert!(quoted.len() >= 5, "{quoted:?}");
    for row in quoted {
        let whole = measured.iter().find(|whole| whole[0] == row[0]);
        // All columns but the floor's.
        let mut whole = whole.unwrap_or_else(|| panic!("{row:?}")).clone();
        whole.remove(2);
        assert_eq!(row, whole);
    }
}
