//! What the container image ships, run as the image runs it: `config/sidecar.toml`, user 65532,
//! no variables that name a place, nothing that could be written to.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::support::admin::{parsed, printed};
use crate::support::proxy::binary;
use crate::support::websocket::open;
use crate::support::{EchoBackend, Proxy};

const USER: u32 = 65532;

fn shipped() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/sidecar.toml");
    std::fs::read_to_string(path).expect("it is shipped")
}

/// The binary and the shipped configuration on free ports, for everybody to read.
fn image(to: &str) -> (tempfile::TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (program, config) = (
        folder.path().join("sluice"),
        folder.path().join("sluice.toml"),
    );
    let toml = shipped();
    let mut free = toml.clone();
    for (port, text) in [("\":8080\"", "\"127.0.0.1:0\""), (":9180\"", ":0\"")] {
        assert!(free.contains(port), "{port}");
        free = free.replace(port, text);
    }
    free = free.replace("unix:/run/app/app.sock", to);
    std::fs::write(&config, free).expect("the configuration");
    std::fs::copy(binary(), &program).expect("the binary");
    for (path, mode) in [
        (folder.path(), 0o555),
        (&*program, 0o555),
        (&*config, 0o444),
    ] {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("they are ours");
    }
    (folder, program, config)
}

/// As the image does it; without root as the user that we are.
fn as_user(command: &mut Command) {
    command.env_clear().current_dir("/");
    if rustix::process::geteuid().is_root() {
        command.uid(USER).gid(USER);
    }
}

#[test]
fn the_image_as_shipped_has_an_admin_interface_and_gives_balancers_time() {
    let backend = EchoBackend::start();
    let (_folder, program, config) = image(&backend.address().to_string());
    let mut proxy = Proxy::start_binary(&program, &config, as_user);
    for (path, expected) in [("/readyz", "ready"), ("/metrics", "sluice_ready 1")] {
        let (code, body) = proxy.get_admin(path);
        assert_eq!(code, 200, "{path}");
        assert!(body.contains(expected), "{path}: {body}");
    }
    let (code, out, err) = printed(&proxy.command(&["status"]));
    assert_eq!(code, 0, "{err}");
    assert!(out.contains(config.to_str().unwrap()), "{out}");
    let _tunnel = open(&proxy, "/ws");
    let (code, body) = proxy.post_admin("/v1/drain", &json!({ "target": "all", "over_ms": 0 }));
    assert_eq!((code, &parsed(&body)["total"]), (200, &json!(1)), "{body}");
    let (code, _) = proxy.get_admin("/readyz");
    assert_eq!(code, 503);

    // Not ready any more, and accepting still: that is what `delay` is for.
    proxy.terminate();
    eventually!(proxy.get_admin("/readyz").1 == "draining\n");
    assert_eq!(proxy.ask("GET", "/-/alive", ""), 200);
    assert!(proxy.wait_exit().success());
}

#[test]
fn health_asks_for_readiness_too() {
    let proxy = Proxy::start(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\nrespond.status = 204\n\
         [drain]\ndelay = \"30s\"\n",
    );
    let file = proxy.config().to_str().unwrap();
    let ready = || {
        let output = crate::support::proxy::run(&["health", "--ready", "--config", file]);
        let (code, out, err) = printed(&output);
        assert_eq!(err, "");
        (code, out)
    };
    assert_eq!(ready(), (0, "ready\n".to_owned()));
    proxy.terminate();
    eventually!(ready() == (1, "draining\n".to_owned()));
}

#[test]
fn a_drain_as_shipped_ends_before_the_pod_is_killed() {
    let config = sluice::config_file::parse(&shipped(), "sidecar.toml").expect("it is valid");
    let drain = &config.drain;
    assert!(!drain.delay.is_zero());
    // What Kubernetes waits by default, less what sluice's own end may take.
    let grace = std::time::Duration::from_secs(30 - 3);
    assert!(drain.delay + drain.deadline <= grace, "{drain:?}");
}
