//! Programs on other people's WebSocket libraries; what each does stands in
//! `tests/interop/README.md`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::process::{Process, Stream};
use super::{DEADLINE, Tool, skip};

/// The libraries with a server and a client.
pub const LIBRARIES: [&str; 3] = ["go", "node", "python"];

/// A running foreign server.
pub struct Foreign {
    process: Process,
    address: SocketAddr,
}

/// Where `install.sh` puts things.
pub fn folder() -> PathBuf {
    std::env::var_os("SLUICE_INTEROP_DIR").map_or_else(
        || PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("interop"),
        PathBuf::from,
    )
}

/// The folder of the foreign programs' sources.
pub fn sources() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/interop")
}

/// Makes sure that a component of `install.sh` is there.
pub fn require(component: &str) -> bool {
    let tool = match component {
        "go" => "go",
        "node" => "npm",
        _ => "python3",
    };
    if !Tool::require(tool) {
        return false;
    }
    let output = Command::new(sources().join("install.sh"))
        .arg(component)
        .env("SLUICE_INTEROP_DIR", folder())
        .output()
        .expect("bash runs");
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        skip(&format!("cannot install `{component}`: {why}"));
    }
    output.status.success()
}

impl Foreign {
    /// Starts the echo server of a library.
    pub fn server(library: &str) -> Foreign {
        let mut command = program(library, "server");
        if library != "python" {
            command.arg(sources().join("page.html"));
        }
        let process = Process::spawn(&format!("{library} server"), &mut command);
        let line = process.wait_for_line("listening", |line| line.json["event"] == "listening");
        let port = line.json["port"].as_u64().expect("a port") as u16;
        Foreign {
            process,
            address: ([127, 0, 0, 1], port).into(),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for a line with this event.
    pub fn wait_for(&self, event: &str) -> Value {
        let line = self
            .process
            .wait_for_line(event, |line| line.json["event"] == event);
        line.json
    }

    /// All lines with this event so far.
    pub fn events(&self, event: &str) -> Vec<Value> {
        let lines = self.process.lines().into_iter().map(|line| line.json);
        lines.filter(|json| json["event"] == event).collect()
    }
}

/// Runs the client exercise of a library; `Ok` is what it negotiated, `Err` its exit code and
/// words.
pub fn client(library: &str, url: &str, origin: &str) -> Result<Value, (Option<i32>, String)> {
    client_with(library, url, origin, |_| {})
}

/// The same, and the command can be changed before it is started.
pub fn client_with(
    library: &str,
    url: &str,
    origin: &str,
    change: impl FnOnce(&mut Command),
) -> Result<Value, (Option<i32>, String)> {
    let mut command = program(library, "client");
    change(&mut command);
    let mut process = Process::spawn(&format!("{library} client"), command.args([url, origin]));
    let status = process.wait_exit(DEADLINE * 3);
    if status.success() {
        let report = |line: &super::process::Line| line.stream == Stream::Stdout;
        return Ok(process.wait_for_line("a report", report).json);
    }
    let words = process.lines().into_iter().map(|line| line.text + "\n");
    Err((status.code(), words.collect()))
}

fn program(library: &str, role: &str) -> Command {
    let installed = folder();
    match library {
        "go" => Command::new(installed.join(format!("go/go-{role}"))),
        "node" => {
            let mut command = Command::new("node");
            command
                .env("NODE_PATH", installed.join("node/node_modules"))
                .arg(sources().join(format!("node/{role}.js")));
            command
        }
        "python" => {
            let mut command = Command::new(installed.join("python/bin/python"));
            command.arg(sources().join(format!("python/{role}.py")));
            command
        }
        other => panic!("unknown library: {other}"),
    }
}
