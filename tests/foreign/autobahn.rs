//! The Autobahn|Testsuite's fuzzing client, through sluice and directly, compared case by
//! case: a tunnel that changes, loses or reorders a byte of RFC 6455 traffic shows as a
//! difference. `SLUICE_AUTOBAHN=full` adds the compression cases 12.* and 13.*, for about half
//! an hour.

use crate::support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use support::process::Process;
use support::{Foreign, Proxy, foreign};

/// Case to (behaviour, behaviour at the close).
type Results = BTreeMap<String, (String, String)>;

#[test]
fn the_fuzzing_client_sees_the_same_through_the_proxy() {
    if !["autobahn", "node"].into_iter().all(foreign::require) {
        return;
    }
    let full = std::env::var("SLUICE_AUTOBAHN").is_ok_and(|value| value == "full");
    let backend = Foreign::server("node");
    let proxy = Proxy::minimal(backend.address());
    let folder = tempfile::tempdir().expect("a temporary folder");
    // Side by side: most of a run is the client waiting for what must not come.
    let mut direct = fuzz(folder.path(), "direct", backend.address(), full);
    let mut proxied = fuzz(folder.path(), "proxied", proxy.address(), full);
    let within = Duration::from_secs(if full { 3600 } else { 180 });
    for run in [&mut direct, &mut proxied] {
        assert!(run.wait_exit(within).success(), "wstest failed");
    }
    let direct = results(folder.path(), "direct");
    let proxied = results(folder.path(), "proxied");
    assert!(direct.len() > 240, "only {} cases ran", direct.len());
    let passed = direct.values().filter(|(behaviour, _)| behaviour == "OK");
    assert!(
        passed.count() > 200,
        "the echo server itself fails: {direct:?}"
    );
    let different: Vec<_> = direct
        .iter()
        .filter(|(case, result)| proxied.get(*case) != Some(result))
        .map(|(case, result)| format!("{case}: {result:?} became {:?}", proxied.get(case)))
        .collect();
    assert!(different.is_empty(), "{}", different.join("\n"));
    assert_eq!(direct.len(), proxied.len());
}

fn fuzz(folder: &Path, agent: &str, server: SocketAddr, full: bool) -> Process {
    let excluded: &[&str] = if full { &[] } else { &["12.*", "13.*"] };
    let specification = json!({
        "outdir": folder.join(agent),
        "servers": [{ "agent": agent, "url": format!("ws://{server}/ws") }],
        "cases": ["*"],
        "exclude-cases": excluded,
        "exclude-agent-cases": {},
    });
    let file = folder.join(format!("{agent}.json"));
    std::fs::write(&file, specification.to_string()).expect("a file");
    let mut command = Command::new(foreign::folder().join("autobahn/bin/python"));
    command
        .arg(foreign::folder().join("autobahn/bin/wstest"))
        .args(["-m", "fuzzingclient", "-s"])
        .arg(file)
        .current_dir(folder);
    Process::spawn(&format!("wstest {agent}"), &mut command)
}

fn results(folder: &Path, agent: &str) -> Results {
    let text = std::fs::read_to_string(folder.join(agent).join("index.json")).expect("a report");
    let report: Value = serde_json::from_str(&text).expect("a JSON report");
    let word = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let cases = report[agent].as_object().expect("the agent's cases").iter();
    cases
        .map(|(case, result)| {
            let outcome = (word(&result["behavior"]), word(&result["behaviorClose"]));
            (case.clone(), outcome)
        })
        .collect()
}
