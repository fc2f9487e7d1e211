//! `Config` → TOML → `Config`: a configuration that is written reads back to the same. The
//! configurations are made from the schema, so that a key that is declared is tried too.

mod maker;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use serde_json::Value as Json;
use sluice::config::Config;
use sluice::config_file;

use crate::config::schema_keys;
use maker::Maker;

fn parse(source: &str) -> Config {
    config_file::parse(source, "test.toml")
        .unwrap_or_else(|problems| panic!("{source}\n{problems}"))
}

/// Writes, reads and compares; the text that was written.
fn comes_back(source: &str) -> String {
    let config = parse(source);
    let written = config.to_toml();
    let again = parse(&written);
    assert_eq!(again, config, "{source}\nwritten as\n{written}");
    assert_eq!(again.to_toml(), written, "it is written in the same way");
    written
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_is_written_reads_back_to_the_same(seed in any::<u64>()) {
        comes_back(&Maker::new(seed).file());
    }
}

#[test]
fn every_key_is_tried() {
    let mut used = BTreeSet::new();
    for seed in 0..200 {
        let mut maker = Maker::new(seed);
        maker.file();
        used.append(&mut maker.used);
    }
    let keys = schema_keys();
    let missing: Vec<&String> = keys.keys().filter(|key| !used.contains(*key)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_examples_read_back_to_the_same() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut seen = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            comes_back(&fs::read_to_string(&path).unwrap());
            seen += 1;
        }
    }
    assert!(seen >= 3, "{seen}");
}

/// An importer's text is read by people.
#[test]
fn only_what_differs_from_the_defaults_is_written() {
    let minimal = comes_back(include_str!("../../config/minimal.toml"));
    assert!(minimal.lines().count() <= 8, "{minimal}");
    let written = comes_back(
        "listen = [{ address = ':80', scheme = 'https' }, { address = 'unix:/a', mode = '0660' }]\n\
         [drain]\nover = '15s'\ndeadline = '1m'\n[http]\n[admin]\nmode = '0600'\n\
         [[route]]\npath = '/a'\nwebsocket = true\nto = 'App:1'\nmax_body = 'off'\n\
         request_headers = { add = { Vary = 'a', x = 'c', vary = ['b'] }, set = {} }\n",
    );
    assert_eq!(
        written,
        r#"[drain]
deadline = "1m"

[[listen]]
address = "[::]:80"
scheme = "https"

[[listen]]
address = "unix:/a"

[[route]]
name = "/a+websocket"
path = "/a"
to = ["app:1"]

[route.request_headers.add]
Vary = ["a", "b"]
x = "c"

[route.websocket]
match = true
"#
    );
}

/// What `/v1/config` shows has every setting, and no words that a file has not.
#[test]
fn the_json_has_every_key_that_has_a_default() {
    let config = parse(
        "listen = [{ address = 'unix:/a' }, { address = ':1', tls = { cert = '/a', key = '/a' } }]\n[upstream.app]\nendpoints = 'app:1'\n\
         [[route]]\nupstream = 'app'\n[[route]]\npath = '/b'\nrespond = { status = 200 }\n\
         [[route]]\npath = '/c'\nredirect = '/d'\n",
    );
    let json = config.to_json();
    // What is written as one of two keys: the other one.
    const OTHERWISE: [&str; 1] = ["route.strip_prefix"];
    let mut shown = BTreeSet::new();
    fn visit(value: &Json, at: &str, shown: &mut BTreeSet<String>) {
        match value {
            Json::Array(list) => list.iter().for_each(|one| visit(one, at, shown)),
            Json::Object(table) => {
                for (name, value) in table {
                    let name = if at == "upstream" { "*" } else { name };
                    let at = format!("{at}.{name}").trim_start_matches('.').to_owned();
                    visit(value, &at, shown);
                    shown.insert(at);
                }
            }
            _ => {}
        }
    }
    visit(&json, "", &mut shown);
    let declared = schema_keys().into_iter();
    let declared: Vec<String> = declared
        .filter_map(|(key, default)| default.map(|_| key))
        .collect();
    assert!(declared.len() > 60, "{declared:?}");
    for key in declared {
        assert!(shown.contains(&key) || OTHERWISE.contains(&&*key), "{key}");
    }
}
