//! The real binary, started with a configuration on free ports.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};

use rustix::process::Signal;
use serde_json::Value;

use super::process::{Line, Process, Stream};
use super::{DEADLINE, Wire};

/// A running sluice.
pub struct Proxy {
    process: Process,
    addresses: Vec<SocketAddr>,
    // Removed with the proxy; a reload would read it again.
    _config: tempfile::NamedTempFile,
}

/// The binary under test; `SLUICE_BIN` puts another build in its place, such as the static one.
pub fn binary() -> PathBuf {
    std::env::var_os("SLUICE_BIN")
        .map_or_else(|| env!("CARGO_BIN_EXE_sluice").into(), PathBuf::from)
}

/// A field of a log line, wherever the JSON formatter put it.
pub fn field<'a>(json: &'a Value, name: &str) -> &'a Value {
    match &json[name] {
        Value::Null => &json["fields"][name],
        value => value,
    }
}

impl Proxy {
    /// Starts sluice with this configuration and waits until it is ready. Listeners have
    /// `address = "127.0.0.1:0"`.
    pub fn start(toml: &str) -> Proxy {
        let mut config = tempfile::Builder::new()
            .prefix("sluice-")
            .suffix(".toml")
            .tempfile()
            .expect("a temporary file");
        config.write_all(toml.as_bytes()).expect("the config file");
        let mut command = Command::new(binary());
        command
            .arg("run")
            .arg("--config")
            .arg(config.path())
            .env_remove("RUST_LOG");
        let process = Process::spawn("sluice", &mut command);
        process.wait_for_line("ready", |line| is_event(line, "ready"));
        let addresses = process
            .lines()
            .iter()
            .filter(|line| is_event(line, "listening"))
            .filter_map(|line| field(&line.json, "address").as_str()?.parse().ok())
            .collect();
        Proxy {
            process,
            addresses,
            _config: config,
        }
    }

    /// Starts sluice with the five-line configuration of the README.
    pub fn minimal(backend: SocketAddr) -> Proxy {
        Proxy::start(&format!(
            "[[listen]]\naddress = \"127.0.0.1:0\"\n\n[[route]]\nto = \"{backend}\"\n"
        ))
    }

    /// The minimal configuration with more TOML behind it; keys at its start belong to the
    /// route.
    pub fn with(backend: SocketAddr, more: &str) -> Proxy {
        Proxy::start(&format!(
            "[[listen]]\naddress = \"127.0.0.1:0\"\n\n[[route]]\nto = \"{backend}\"\n{more}\n"
        ))
    }

    /// The address of the first TCP listener.
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// The address of the n-th TCP listener.
    pub fn nth_address(&self, n: usize) -> SocketAddr {
        self.addresses[n]
    }

    /// The origin that a browser names on a page served through the proxy.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address())
    }

    /// A `ws:` URL through the proxy.
    pub fn ws_url(&self, path: &str) -> String {
        format!("ws://{}{path}", self.address())
    }

    /// A new raw connection.
    pub fn connect(&self) -> Wire {
        Wire::connect(self.address())
    }

    /// Sends these bytes on a new connection and gives it back.
    pub fn send(&self, bytes: impl AsRef<[u8]>) -> Wire {
        let mut wire = self.connect();
        wire.send(bytes);
        wire
    }

    /// Waits for an access record.
    pub fn wait_for_access(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.process
            .wait_for_line(what, |line| {
                line.stream == Stream::Stdout && wanted(&line.json)
            })
            .json
    }

    /// Waits for a tunnel's closing record.
    pub fn wait_for_tunnel_close(&self) -> Value {
        self.wait_for_access("a tunnel_close record", |json| {
            json["kind"] == "tunnel_close"
        })
    }

    /// Waits for a line of either stream; the text is compared too, so that a cause can be
    /// found wherever the formatter put it.
    pub fn wait_for_log(&self, what: &str, wanted: impl Fn(&Line) -> bool) -> Line {
        self.process.wait_for_line(what, wanted)
    }

    /// Every access record so far.
    pub fn access(&self) -> Vec<Value> {
        self.process
            .lines()
            .into_iter()
            .filter(|line| line.stream == Stream::Stdout && line.json.is_object())
            .map(|line| line.json)
            .collect()
    }

    /// Everything written so far, both streams.
    pub fn output(&self) -> String {
        let lines = self.process.lines();
        lines
            .iter()
            .flat_map(|line| [line.text.as_str(), "\n"])
            .collect()
    }

    /// Asks for a drain.
    pub fn terminate(&self) {
        self.process.signal(Signal::TERM);
    }

    /// Sends another signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits for the end of the process.
    pub fn wait_exit(&mut self) -> ExitStatus {
        self.process.wait_exit(DEADLINE)
    }

    /// Whether the process has ended.
    pub fn has_exited(&mut self) -> bool {
        self.process.has_exited()
    }

    /// How many descriptors it has open.
    pub fn open_files(&self) -> usize {
        let path = format!("/proc/{}/fd", self.process.id());
        let files = std::fs::read_dir(path).expect("our own child's descriptors");
        files.count()
    }

    /// For each of its reactors, by descriptor, how many descriptors that one watches.
    pub fn watched_by_each(&self) -> BTreeMap<String, usize> {
        let path = format!("/proc/{}/fdinfo", self.process.id());
        let files = std::fs::read_dir(path).expect("our own child's descriptors");
        let watched = files.filter_map(|file| {
            let path = file.ok()?.path();
            let name = path.file_name()?.to_string_lossy().into_owned();
            let text = std::fs::read_to_string(path).ok()?;
            let watched = text.lines().filter(|line| line.starts_with("tfd:"));
            Some((name, watched.count()))
        });
        watched.filter(|(_, watched)| *watched > 0).collect()
    }

    /// Forgets the highest resident size so far.
    pub fn reset_peak_memory(&self) {
        let path = format!("/proc/{}/clear_refs", self.process.id());
        std::fs::write(path, "5").expect("our own child's memory can be reset");
    }

    /// The highest resident size in bytes.
    pub fn peak_memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.process.id());
        let status = std::fs::read_to_string(path).expect("our own child's status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        kib.and_then(|kib| kib.parse::<u64>().ok())
            .expect("VmHWM in kB")
            * 1024
    }
}

fn is_event(line: &Line, message: &str) -> bool {
    field(&line.json, "message") == message
}
