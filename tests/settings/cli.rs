//! The commands that start nothing: what they print and the exit codes they end with.

use crate::support;

use std::process::{Command, Output};

use serde_json::Value as Json;
use sluice::config_file;
use support::{HttpBackend, Proxy};

fn sluice(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sluice"))
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn check_says_ok_or_everything_that_is_wrong() {
    let right = sluice(&["check", "config/minimal.toml"]);
    assert_eq!(right.status.code(), Some(0));
    assert!(
        String::from_utf8_lossy(&right.stdout).contains("ok (1 listener, 1 route, 1 upstream)")
    );

    let wrong = sluice(&["check", "tests/config_bad/many.toml"]);
    assert_eq!(wrong.status.code(), Some(1));
    let text = String::from_utf8_lossy(&wrong.stderr);
    assert!(wrong.stdout.is_empty());
    assert!(text.contains("many.toml: 13 errors"), "{text}");
    assert_eq!(text.matches("error: ").count(), 13, "{text}");
    for said in [
        "upstream `ap` is not defined",
        "unknown key `orgins`",
        "did you mean `max_head`?",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }

    let absent = sluice(&["check", "no/such/file.toml"]);
    assert_eq!(absent.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&absent.stderr).contains("can't read no/such/file.toml"));
}

#[test]
fn run_refuses_a_bad_configuration_with_the_same_words() {
    let file = "tests/config_bad/many.toml";
    let run = sluice(&["run", "--config", file]);
    assert_eq!(run.status.code(), Some(1));
    assert_eq!(run.stderr, sluice(&["check", file]).stderr);

    let run = sluice(&["run", "--listen", "nowhere", "--to", "http://app:1"]);
    assert_eq!(run.status.code(), Some(1));
    let text = String::from_utf8_lossy(&run.stderr);
    assert!(text.contains("`nowhere` is not an address"), "{text}");
    assert!(text.contains("`http://app:1` is not an endpoint"), "{text}");
}

#[test]
fn the_command_line_rejects_half_of_a_pair() {
    for arguments in [
        &["run", "--listen", ":1"][..],
        &["run", "--to", "a:1"],
        &["chekc"],
    ] {
        assert_eq!(sluice(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn config_schema_prints_json() {
    let output = sluice(&["config", "schema"]);
    assert!(output.status.success());
    let printed: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(printed, config_file::schema());
}

#[test]
fn health_says_what_it_needs_and_takes_only_sluice() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    let absent = command.arg("health").current_dir(folder.path());
    let absent = absent.output().unwrap();
    assert_eq!(absent.status.code(), Some(1));
    let text = String::from_utf8_lossy(&absent.stderr);
    for said in [
        "./sluice.toml",
        "--config FILE",
        "sluice health --url http://",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }

    let backend = HttpBackend::start();
    let asked = |address: std::net::SocketAddr| sluice(&["health", "--url", &address.to_string()]);
    let foreign = asked(backend.address());
    assert_eq!(foreign.status.code(), Some(1));
    let text = String::from_utf8_lossy(&foreign.stdout);
    assert!(text.contains("another program answered"), "{text}");

    let proxy = Proxy::minimal(backend.address());
    let own = asked(proxy.address());
    assert_eq!(own.status.code(), Some(0));
    let text = String::from_utf8_lossy(&own.stdout);
    assert!(text.contains("answered 204"), "{text}");
    assert_eq!(backend.requests().len(), 1, "only what was sent to it");
}
