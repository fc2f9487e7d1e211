//! The commands that speak to a running sluice: what they print, and how they end.

use crate::support;

use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};
use support::admin::{parsed, printed, rewrite, status};
use support::process::Process;
use support::proxy::binary;
use support::{DEADLINE, Proxy, RawBackend, Wire};

#[test]
fn a_reload_is_in_force_when_the_command_returns() {
    let proxy = Proxy::start(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\nname = \"r\"\nrespond = { status = 200, body = \"old\" }\n",
    );
    let body = || {
        let request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        proxy.send(request).read_response().text()
    };
    assert_eq!(body(), "old");
    rewrite(&proxy, |old| old.replace("\"old\"", "\"new\""));
    let (code, out, err) = printed(&proxy.command(&["reload"]));
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("generation 2"), "{out}");
    assert!(out.contains("route r changed"), "{out}");
    assert_eq!(body(), "new");

    rewrite(&proxy, |old| format!("workers = 3\n{old}"));
    let (code, out, _) = printed(&proxy.command(&["reload"]));
    assert_eq!(code, 0);
    assert!(out.contains("workers") && out.contains("restart"), "{out}");

    let (code, body) = proxy.post_admin("/v1/reload", &json!({}));
    assert_eq!((code, parsed(&body)["generation"].clone()), (200, json!(4)));
    let last = status(&proxy)["config"]["last_reload"].clone();
    assert_eq!((&last["ok"], &last["error"]), (&json!(true), &Value::Null));
    let at = last["at"].as_str().unwrap();
    assert!(at.len() == 24 && at.ends_with('Z'), "{at}");
}

#[test]
fn a_bad_file_changes_nothing_and_all_of_it_is_told() {
    let proxy = Proxy::start(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\nrespond = { status = 200, body = \"old\" }\n",
    );
    rewrite(&proxy, |old| {
        old.replace("\"old\"", "\"new\"") + "\n[drain]\novr = \"1s\"\ndelay = \"soon\"\n"
    });
    let (code, out, err) = printed(&proxy.command(&["reload"]));
    assert_eq!((code, out.as_str()), (1, ""));
    for said in ["2 errors", "`ovr`", "`soon` is not a duration"] {
        assert!(err.contains(said), "{said}: {err}");
    }
    let (code, body) = proxy.post_admin("/v1/reload", &json!({}));
    assert_eq!(code, 422);
    assert!(
        parsed(&body)["details"].as_str().unwrap().contains("`ovr`"),
        "{body}"
    );

    let request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert_eq!(proxy.send(request).read_response().text(), "old");
    let config = status(&proxy)["config"].clone();
    assert_eq!(config["config_last_reload_successful"], false);
    assert_eq!(config["last_reload"]["ok"], false);
    assert!(
        config["last_reload"]["error"]
            .as_str()
            .unwrap()
            .contains("`ovr`")
    );
    assert_eq!(status(&proxy)["generation"], 1);

    // The file leads the command to the process although it has errors.
    let file = proxy.config().to_str().unwrap();
    let found = support::proxy::run(&["status", "--config", file]);
    let (code, out, err) = printed(&found);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("`ovr`"), "{out}");
}

#[test]
fn a_configured_address_has_to_be_free() {
    let first = Proxy::start(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\nrespond.status = 204\n\
         [admin]\nlisten = \"127.0.0.1:0\"\n",
    );
    let file = tempfile::NamedTempFile::new().unwrap();
    let toml = format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\nrespond.status = 204\n\
         [admin]\nlisten = \"{}\"\n",
        first.admin()
    );
    std::fs::write(&file, toml).unwrap();
    let path = file.path().to_str().unwrap();
    let (code, _, err) = printed(&support::proxy::run(&["run", "--config", path]));
    assert_eq!(code, 1);
    let said = format!("cannot listen on {}", first.admin());
    assert!(err.contains(&said), "{err}");
}

#[test]
fn commands_that_were_not_understood_end_with_2() {
    for arguments in [
        &["drain"][..],
        &["drain", "--all", "--route", "r"],
        &["drain", "--all", "--over", "2"],
        &["drain", "--endpoint", "app"],
        &["undrain", "--all", "--route", "r"],
        &["drain", "--all", "--over", "10s", "--deadline", "1s"],
        &["tunnels", "--client", "somewhere"],
        &["tunnels", "--route", ""],
        &["tunnels", "--search", ""],
        &["tunnels", "--sort", "size"],
        &["tunnels", "--limit", "0"],
        &["tunnels", "--limit", "1001"],
        &["tunnels", "--min-age", "soon"],
        &["tunnels", "--min-idle", "soon"],
        &["tunnels", "close", "7", "--code", "1005"],
        &["tunnels", "close", "7", "--reason", &"é".repeat(62)],
        &["tap", "--payload", "--bytes", "65537"],
        &["status", "--admin", "example.com:80"],
        &["reload", "--admin", "unix:/x", "--config", "y"],
    ] {
        let (code, out, err) = printed(&support::proxy::run(arguments));
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}");
        assert!(err.contains("error: "), "{arguments:?}: {err}");
        let named = arguments
            .iter()
            .any(|one| one.starts_with("--") && err.contains(one));
        assert!(named || arguments.len() == 1, "{arguments:?}: {err}");
    }
}

/// A peer that answers the admin interface's requests so: any number of tunnels cannot be
/// brought to a given state by a real one.
fn draining(left: impl Fn(usize) -> u64 + Send + Sync + 'static) -> RawBackend {
    RawBackend::start(move |n, mut wire: Wire| {
        let head = wire.read_head();
        let length = head
            .field("content-length")
            .map(|length| length.parse().unwrap());
        let body = wire.read_exact(length.unwrap_or(0));
        let view = json!({
            "id": 7, "target": { "route": "chat" }, "elapsed_ms": 1000 * n, "over_ms": 120_000,
            "deadline_ms": 180_000, "total": 2, "left": left(n), "closed": 2 - left(n), "cut": 0,
            "spared": 0, "undone": false,
        });
        let answer = if n == 0 {
            let order =
                json!({ "target": { "route": "chat" }, "over_ms": 120_000, "deadline_ms": null });
            assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), order);
            view
        } else {
            json!([view])
        };
        let answer = answer.to_string();
        wire.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{answer}",
            answer.len()
        ));
    })
}

fn drain(peer: &RawBackend, more: &[&str]) -> Process {
    let mut command = Command::new(binary());
    command
        .args(["drain", "--route", "chat", "--over", "2m"])
        .args(more);
    command.arg("--admin").arg(peer.address().to_string());
    Process::spawn("sluice drain", &mut command)
}

fn said(process: &Process) -> String {
    let lines = process.lines();
    lines.iter().flat_map(|line| [&line.text, "\n"]).collect()
}

#[test]
fn a_drain_is_watched_until_nothing_is_left() {
    let peer = draining(|n| 2 - n.min(2) as u64);
    let mut watching = drain(&peer, &[]);
    assert!(watching.wait_exit(DEADLINE).success());
    watching.wait_for_line("the end", |line| line.text == "done: 2 closed, 0 cut");
    let expected = "draining route chat: 2 tunnels over 2m, cut after 3m\n\
                    2 left, 0 closed, 0 cut, 0s of 2m\n\
                    1 left, 1 closed, 0 cut, 1s of 2m\n\
                    0 left, 2 closed, 0 cut, 2s of 2m\n\
                    done: 2 closed, 0 cut\n";
    assert_eq!(said(&watching), expected);
}

#[test]
fn ctrl_c_leaves_the_drain_alone_and_says_how_to_take_it_back() {
    let peer = draining(|_| 2);
    let mut watching = drain(&peer, &[]);
    watching.wait_for_line("progress", |line| line.text.contains("1s of 2m"));
    watching.signal(Signal::INT);
    assert!(watching.wait_exit(DEADLINE).success());
    let undo = format!("sluice undrain --route chat --admin {}", peer.address());
    watching.wait_for_line("the way back", |line| {
        line.text.contains("the drain goes on") && line.text.ends_with(&undo)
    });

    let peer = draining(|_| 2);
    let mut detached = drain(&peer, &["--detach"]);
    assert!(detached.wait_exit(DEADLINE).success());
    detached.wait_for_line("the way back", |line| line.text.contains("sluice undrain"));
    assert_eq!(peer.accepted(), 1);
}

#[test]
fn a_command_without_the_token_is_told_how_to_bring_it() {
    let folder = tempfile::tempdir().unwrap();
    let token = |name: &str, text: &str| {
        let path = folder.path().join(name).display().to_string();
        std::fs::write(&path, text).unwrap();
        path
    };
    let right = token("right", "0123456789abcdef\n");
    let wrong = token("wrong", "fedcba9876543210\n");
    let proxy = Proxy::start(&format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\nrespond.status = 204\n\
         [admin]\nlisten = \"127.0.0.1:0\"\ntoken_file = \"{right}\"\n"
    ));
    for command in [
        &["status"][..],
        &["log", "--json"],
        &["tunnels"],
        &["reload"],
        &["undrain"],
        &["upgrade"],
    ] {
        let bringing = |more: &[&str]| {
            let all = [command, &["--admin", proxy.admin()], more].concat();
            printed(&support::proxy::run(&all))
        };
        let (code, _, err) = bringing(&[]);
        assert_eq!(code, 1, "{command:?}");
        assert!(
            err.contains("wants a token: --token-file FILE"),
            "{command:?}: {err}"
        );
        let (code, _, err) = bringing(&["--token-file", &wrong]);
        assert_eq!(code, 1, "{command:?}");
        assert!(
            err.contains("does not take this token"),
            "{command:?}: {err}"
        );
    }
    let brought = ["status", "--admin", proxy.admin(), "--token-file", &right];
    assert_eq!(printed(&support::proxy::run(&brought)).0, 0);
}
