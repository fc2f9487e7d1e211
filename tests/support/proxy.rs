//! The real binary, started with a configuration on free ports.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};
use std::sync::LazyLock;

use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use serde_json::Value;

use super::process::{Line, Process, Stream};
use super::tls::{Authority, Bridge, Files};
use super::{DEADLINE, Wire};

/// A running sluice.
pub struct Proxy {
    process: Process,
    addresses: Vec<SocketAddr>,
    admin: Option<String>,
    // Removed with the proxy; a reload reads it again.
    config: tempfile::NamedTempFile,
    directory: tempfile::TempDir,
    /// Where clients really connect, where every test goes over TLS.
    bridges: Vec<Bridge>,
}

/// The binary under test; `SLUICE_BIN` puts another build in its place, such as the static one.
pub fn binary() -> PathBuf {
    std::env::var_os("SLUICE_BIN")
        .map_or_else(|| env!("CARGO_BIN_EXE_sluice").into(), PathBuf::from)
}

/// The table for an admin socket in this folder, unless the configuration has one. It goes to
/// the end: top-level keys must stand before any table.
fn admin_table(toml: &str, folder: &Path) -> String {
    match toml.lines().any(|line| line.trim() == "[admin]") {
        true => String::new(),
        false => format!(
            "\n[admin]\nlisten = \"unix:{}\"\n",
            folder.join("admin.sock").display()
        ),
    }
}

/// With `SLUICE_OVER_TLS` in its environment a test speaks TLS to every listener, through a
/// bridge, so that what holds for plain connections is looked at over TLS too.
fn over_tls() -> Option<&'static (Authority, Files)> {
    static AUTHORITY: LazyLock<(Authority, Files)> = LazyLock::new(|| {
        let authority = Authority::new();
        let files = authority.pair(&["localhost"]);
        (authority, files)
    });
    std::env::var_os("SLUICE_OVER_TLS").map(|_| &*AUTHORITY)
}

fn secured(toml: &str, files: &Files) -> String {
    if toml.contains("tls]") {
        return toml.to_owned();
    }
    let (cert, key) = (files.cert.display(), files.key.display());
    let tls = format!("tls = {{ cert = \"{cert}\", key = \"{key}\" }}\n");
    let address = "address = \"127.0.0.1:0\"\n";
    toml.replace(address, &format!("{address}{tls}"))
}

fn run_command() -> Command {
    let mut command = Command::new(binary());
    command.arg("run").env_remove("RUST_LOG");
    command
}

/// Raises this process's own limit of open files: both ends of every connection are here.
pub fn raise_file_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let limit = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, limit).expect("within the maximum");
}

/// Has the command run with these limits of open files.
pub fn limited(command: &mut Command, soft: u64, hard: u64) {
    let mut shell = Command::new("sh");
    let script = format!("ulimit -Sn {soft}; ulimit -Hn {hard}; exec \"$0\" \"$@\"");
    shell.args(["-c", &script]).arg(command.get_program());
    shell.args(command.get_args()).env_remove("RUST_LOG");
    *command = shell;
}

/// Runs a command that ends by itself.
pub fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.args(arguments).output().expect("the command runs")
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
    /// `address = "127.0.0.1:0"`. Without an `[admin]` table the admin interface gets a socket
    /// in a folder of its own.
    pub fn start(toml: &str) -> Proxy {
        Proxy::start_with(toml, |_| {})
    }

    /// The same, and the command can be changed before it is started.
    pub fn start_with(toml: &str, change: impl FnOnce(&mut Command)) -> Proxy {
        let directory = tempfile::tempdir().expect("a temporary folder");
        let mut config = tempfile::Builder::new()
            .prefix("sluice-")
            .suffix(".toml")
            .tempfile()
            .expect("a temporary file");
        let over_tls = over_tls();
        let secured = over_tls.map(|(_, files)| secured(toml, files));
        let toml = secured.as_deref().unwrap_or(toml);
        config.write_all(toml.as_bytes()).expect("the config file");
        let admin = admin_table(toml, directory.path());
        config.write_all(admin.as_bytes()).expect("the config file");
        let mut command = run_command();
        command.arg("--config").arg(config.path());
        change(&mut command);
        let mut proxy = Proxy::spawn(command, config, directory);
        if let Some((authority, _)) = over_tls.filter(|_| !toml.contains("tls]")) {
            let start = |to| Bridge::start(to, "localhost", authority.client());
            proxy.bridges = proxy.addresses.iter().copied().map(start).collect();
            proxy.addresses = proxy.bridges.iter().map(Bridge::address).collect();
        }
        proxy
    }

    /// Starts sluice with a file of the test's own.
    pub fn start_file(path: &Path) -> Proxy {
        let mut command = run_command();
        command.arg("--config").arg(path);
        Proxy::spawn_plain(command)
    }

    /// Starts sluice without a file.
    pub fn start_without_file(arguments: &[&str]) -> Proxy {
        Proxy::start_without_file_with(arguments, |_| {})
    }

    /// The same, and the command can be changed before it is started.
    pub fn start_without_file_with(arguments: &[&str], change: impl FnOnce(&mut Command)) -> Proxy {
        let mut command = run_command();
        command.args(arguments);
        change(&mut command);
        Proxy::spawn_plain(command)
    }

    /// Starts the binary at this path with a file of the test's own.
    pub fn start_binary(binary: &Path, config: &Path, change: impl FnOnce(&mut Command)) -> Proxy {
        let mut command = Command::new(binary);
        command.arg("run").env_remove("RUST_LOG");
        command.arg("--config").arg(config);
        change(&mut command);
        Proxy::spawn_plain(command)
    }

    fn spawn_plain(command: Command) -> Proxy {
        let unused = tempfile::NamedTempFile::new().expect("a temporary file");
        let directory = tempfile::tempdir().expect("a temporary folder");
        Proxy::spawn(command, unused, directory)
    }

    fn spawn(
        mut command: Command,
        config: tempfile::NamedTempFile,
        directory: tempfile::TempDir,
    ) -> Proxy {
        let process = Process::spawn("sluice", &mut command);
        process.wait_for_line("ready", |line| is_event(line, "ready"));
        let addresses = process
            .lines()
            .iter()
            .filter(|line| is_event(line, "listening"))
            .filter_map(|line| field(&line.json, "address").as_str()?.parse().ok())
            .collect();
        let lines = process.lines();
        let admin = lines
            .iter()
            .find(|line| is_event(line, "admin interface listening"))
            .and_then(|line| Some(field(&line.json, "address").as_str()?.to_owned()));
        Proxy {
            process,
            addresses,
            admin,
            config,
            directory,
            bridges: Vec::new(),
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

    /// Whether it has an admin interface.
    pub fn has_admin(&self) -> bool {
        self.admin.is_some()
    }

    /// The address of the admin interface: `unix:/path`, or a TCP address.
    pub fn admin(&self) -> &str {
        self.admin.as_deref().expect("it has an admin interface")
    }

    /// The path of the admin interface's socket.
    pub fn admin_socket(&self) -> &Path {
        let path = self.admin().strip_prefix("unix:");
        Path::new(path.expect("it listens on a unix socket"))
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The configuration file.
    pub fn config(&self) -> &Path {
        self.config.path()
    }

    /// Sends these bytes to the admin interface and reads all that comes back.
    pub fn raw_admin(&self, bytes: impl AsRef<[u8]>) -> String {
        fn talk(mut stream: impl Read + Write, bytes: &[u8]) -> String {
            stream.write_all(bytes).expect("the admin interface reads");
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).expect("an answer in time");
            String::from_utf8_lossy(&answer).into_owned()
        }
        if self.admin().starts_with("unix:") {
            let stream = UnixStream::connect(self.admin_socket()).expect("it accepts");
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            talk(stream, bytes.as_ref())
        } else {
            let stream = TcpStream::connect(self.admin()).expect("it accepts");
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            talk(stream, bytes.as_ref())
        }
    }

    /// Asks the admin interface; status and body.
    pub fn get_admin(&self, path: &str) -> (u16, String) {
        self.ask_admin("GET", path, "")
    }

    /// Gives the admin interface an order; status and body.
    pub fn post_admin(&self, path: &str, json: &Value) -> (u16, String) {
        let body = json.to_string();
        let kind = "Content-Type: application/json";
        let rest = format!("{kind}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        self.ask_admin("POST", path, &rest)
    }

    fn ask_admin(&self, method: &str, path: &str, rest: &str) -> (u16, String) {
        let host = self.admin_host();
        let rest = if rest.is_empty() { "\r\n" } else { rest };
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
        let answer = self.raw_admin(head + rest);
        let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        (status.expect("a status"), body.to_owned())
    }

    /// What requests to the admin interface name as their Host.
    pub fn admin_host(&self) -> &str {
        match self.admin().starts_with("unix:") {
            true => "localhost",
            false => self.admin(),
        }
    }

    /// Runs a command of the command line against its admin interface.
    pub fn command(&self, arguments: &[&str]) -> Output {
        run(&[arguments, &["--admin", self.admin()]].concat())
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

    /// Sends a request on a connection of its own, waits for its end and gives the status;
    /// `more` are further lines and a body.
    pub fn ask(&self, method: &str, path: &str, more: &str) -> u16 {
        let mut wire = self.send(format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{more}\r\n"
        ));
        let status = wire.read_head().status();
        wire.read_until_close();
        status
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

    /// The file that it was started with.
    pub fn config_path(&self) -> &Path {
        self.config.path()
    }

    /// Puts another configuration into its file, as an editor does: whole, by a rename.
    pub fn rewrite(&self, toml: &str) {
        let path = self.config.path();
        let new = path.with_extension("new");
        let admin = admin_table(toml, self.directory.path());
        std::fs::write(&new, format!("{toml}{admin}")).expect("the config file");
        std::fs::rename(&new, path).expect("the config file");
    }

    /// Asks for a reload of this configuration by SIGHUP, and gives the event that says how
    /// it went.
    pub fn reload(&self, toml: &str) -> Value {
        self.rewrite(toml);
        let before = self.reloads().len();
        self.signal(Signal::HUP);
        crate::eventually!(self.reloads().len() > before);
        self.reloads().swap_remove(before)
    }

    /// What was said of every reload so far.
    pub fn reloads(&self) -> Vec<Value> {
        let lines = self.process.lines().into_iter();
        let reloads = lines.filter(|line| {
            field(&line.json, "message")
                .as_str()
                .is_some_and(|message| message.starts_with("reload"))
        });
        reloads.map(|line| line.json).collect()
    }

    /// Waits for the end of the process.
    pub fn wait_exit(&mut self) -> ExitStatus {
        self.process.wait_exit(DEADLINE)
    }

    /// Whether the process has ended.
    pub fn has_exited(&mut self) -> bool {
        self.process.has_exited()
    }

    /// Reads nothing more of its output, whose pipes stay open.
    pub fn stop_reading(&self) {
        self.process.stop_reading();
    }

    /// Everything written so far.
    pub fn lines(&self) -> Vec<Line> {
        self.process.lines()
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

    /// Memory that is the process's alone and that no file backs, in bytes.
    pub fn private_memory(&self) -> u64 {
        let path = format!("/proc/{}/smaps_rollup", self.process.id());
        let rollup = std::fs::read_to_string(path).expect("our own child's memory");
        let kib = rollup.lines().filter_map(|line| {
            let (name, size) = line.split_once(':')?;
            let is_private = matches!(name, "Private_Dirty" | "Swap");
            let size = size.trim().strip_suffix(" kB").filter(|_| is_private)?;
            size.parse::<u64>().ok()
        });
        kib.sum::<u64>() * 1024
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
