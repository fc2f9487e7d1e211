//! The service manager's side: inherited sockets, what the manager is told, the watchdog, the
//! PID file, and the unit files that we ship.

use crate::support;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use support::manager::{Manager, unmanaged, value};
use support::process::{Process, Stream};
use support::proxy::{binary, field};
use support::{DEADLINE, HttpBackend, Tool, Wire};

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

/// Opens sockets and becomes sluice.
const ACTIVATE: &str = include_str!("../support/activate.py");

/// A folder with a configuration, and a backend behind it.
struct Scene {
    folder: tempfile::TempDir,
    backend: HttpBackend,
}

impl Scene {
    /// `toml` stands before the one route.
    fn new(toml: &str) -> Scene {
        let scene = Scene {
            folder: tempfile::tempdir().expect("a temporary folder"),
            backend: HttpBackend::start(),
        };
        scene.configure(toml);
        scene
    }

    fn configure(&self, toml: &str) {
        let route = format!("[[route]]\nto = \"{}\"\n", self.backend.address());
        std::fs::write(self.config(), format!("{toml}\n{route}")).expect("the configuration");
    }

    fn config(&self) -> PathBuf {
        self.path("sluice.toml")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(binary());
        command.arg("run").arg("--config").arg(self.config());
        unmanaged(&mut command);
        command
    }

    fn start(&self, variables: &[(&str, &str)]) -> Process {
        let mut command = self.command();
        command.envs(variables.iter().copied());
        Process::spawn("sluice", &mut command)
    }

    /// Starts sluice with these sockets; `pid` is what `LISTEN_PID` says.
    fn activate(&self, pid: &str, sockets: &[&str]) -> Process {
        let mut command = Command::new("python3");
        command.args(["-c", ACTIVATE]);
        command.arg(binary()).arg(self.config()).arg(pid);
        command.args(sockets);
        unmanaged(&mut command);
        Process::spawn("sluice", &mut command)
    }
}

fn wait_ready(process: &Process) {
    process.wait_for_line("ready", |line| field(&line.json, "message") == "ready");
}

/// The `listening` events up to readiness: address and whether it was inherited.
fn listening(process: &Process) -> Vec<(String, bool)> {
    wait_ready(process);
    let lines = process.lines();
    let events = lines
        .iter()
        .filter(|line| field(&line.json, "message") == "listening");
    events
        .map(|line| {
            let address = field(&line.json, "address").as_str().expect("an address");
            (
                address.to_owned(),
                field(&line.json, "activated").as_bool() == Some(true),
            )
        })
        .collect()
}

/// The address of the n-th socket of `Scene::activate`.
fn bound(process: &Process, n: usize) -> String {
    let prefix = format!("bound {n} ");
    let line = process.wait_for_line(&prefix, |line| line.text.starts_with(&prefix));
    line.text[prefix.len()..].to_owned()
}

/// Waits until sluice refuses to start, and gives back why.
fn refusal(mut process: Process) -> String {
    assert!(!process.wait_exit(DEADLINE).success());
    let error = process.wait_for_line("why", |line| {
        line.stream == Stream::Stderr && line.text.contains("sluice:")
    });
    error.text
}

fn get(address: &str) -> u16 {
    let address: SocketAddr = address.parse().expect("a TCP address");
    let mut wire = Wire::connect(address);
    wire.send(GET);
    wire.read_response().status()
}

const LISTEN: &str = "[[listen]]\naddress = \"127.0.0.1:0\"\n[drain]\nover = \"0s\"\n";

#[test]
fn the_manager_is_told_of_readiness_reloads_and_the_end() {
    let scene = Scene::new(&format!("{LISTEN}delay = \"100ms\"\ndeadline = \"70s\"\n"));
    let socket = scene.path("notify");
    let manager = Manager::at(&socket);
    let mut process = scene.start(&[("NOTIFY_SOCKET", socket.to_str().unwrap())]);

    let ready = manager.expect("READY=1");
    assert!(!value(&ready, "STATUS").is_empty());

    process.signal(Signal::HUP);
    let reloading = manager.expect("RELOADING=1");
    let micros: u64 = value(&reloading, "MONOTONIC_USEC").parse().unwrap();
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let now = now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1000;
    assert!(micros <= now && now - micros < 60_000_000, "{micros} {now}");
    let reloaded = manager.expect("READY=1");
    assert!(!value(&reloaded, "STATUS").contains("refused"));

    std::fs::write(scene.config(), "nonsense = 1\n").unwrap();
    process.signal(Signal::HUP);
    manager.expect("RELOADING=1");
    let refused = manager.expect("READY=1");
    assert!(value(&refused, "STATUS").contains("refused"), "{refused:?}");

    process.signal(Signal::TERM);
    let stopping = manager.expect("STOPPING=1");
    let extended: u64 = value(&stopping, "EXTEND_TIMEOUT_USEC").parse().unwrap();
    assert!(extended > 70_100_000, "{extended}");
    assert!(process.wait_exit(DEADLINE).success());
    assert_eq!(manager.rest(), Vec::<Vec<String>>::new());
}

#[test]
fn the_managers_socket_may_be_abstract() {
    let scene = Scene::new(LISTEN);
    let name = format!("sluice-test-notify-{}", std::process::id());
    let manager = Manager::named(&name);
    let _process = scene.start(&[("NOTIFY_SOCKET", &format!("@{name}"))]);
    manager.expect("READY=1");
}

#[test]
fn a_manager_that_is_gone_is_no_reason_not_to_serve() {
    let scene = Scene::new(LISTEN);
    let gone = scene.path("gone");
    let process = scene.start(&[("NOTIFY_SOCKET", gone.to_str().unwrap())]);
    let (address, _) = listening(&process).remove(0);
    assert_eq!(get(&address), 200);
    process.wait_for_line("a warning", |line| {
        line.text.contains("the service manager cannot be told")
    });
}

#[test]
fn without_a_manager_nothing_is_said_about_one() {
    let scene = Scene::new(LISTEN);
    let mut process = scene.start(&[]);
    wait_ready(&process);
    process.signal(Signal::TERM);
    assert!(process.wait_exit(DEADLINE).success());
    for line in process.lines() {
        for word in ["manager", "activated", "watchdog"] {
            assert!(!line.text.contains(word), "{}", line.text);
        }
    }
}

/// Starts sluice with a watchdog of two seconds; `pid` is a shell word for `WATCHDOG_PID`.
fn watched(scene: &Scene, socket: &Path, pid: &str) -> Process {
    let mut command = Command::new("sh");
    let script = format!("WATCHDOG_PID={pid} exec \"$0\" run --config \"$1\"");
    command.arg("-c").arg(script);
    command.arg(binary()).arg(scene.config());
    unmanaged(&mut command);
    command
        .env("NOTIFY_SOCKET", socket)
        .env("WATCHDOG_USEC", "2000000");
    Process::spawn("sluice", &mut command)
}

#[test]
fn the_watchdog_is_fed_again_and_again() {
    let scene = Scene::new(LISTEN);
    let socket = scene.path("notify");
    let manager = Manager::at(&socket);
    let _process = watched(&scene, &socket, "$$");
    manager.expect("READY=1");
    for _ in 0..3 {
        manager.expect("WATCHDOG=1");
    }
}

#[test]
fn another_process_s_watchdog_is_not_fed() {
    let scene = Scene::new(LISTEN);
    let socket = scene.path("notify");
    let manager = Manager::at(&socket);
    let mut process = watched(&scene, &socket, "1");
    manager.expect("READY=1");
    // A reload behind it: the control thread has had its turn at everything else.
    process.signal(Signal::HUP);
    manager.expect("RELOADING=1");
    manager.expect("READY=1");
    process.signal(Signal::TERM);
    manager.expect("STOPPING=1");
    assert!(process.wait_exit(DEADLINE).success());
    assert!(manager.rest().is_empty());
}

#[test]
fn inherited_sockets_are_used_and_left_as_they_were() {
    if !Tool::require("python3") {
        return;
    }
    let scene = Scene::new(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[[listen]]\naddress = \"{1}\"\n\
         [[listen]]\naddress = \"{0}\"\n",
    );
    let path = scene.path("web.sock");
    let unix = format!("unix:{}", path.display());
    let mut process = scene.activate("own", &["tcp", &unix]);
    let tcp = bound(&process, 0);
    // A client that comes before sluice is there waits.
    let mut early = Wire::connect(tcp.parse().unwrap());
    early.send(GET);
    let mut events = listening(&process);
    assert!(!events.remove(0).1, "bound by ourselves");
    assert_eq!(events, [(unix, true), (tcp.clone(), true)]);
    assert_eq!(early.read_response().status(), 200);
    assert_eq!(get(&tcp), 200);
    let mut local = UnixStream::connect(&path).unwrap();
    local.set_read_timeout(Some(DEADLINE)).unwrap();
    local.write_all(GET.as_bytes()).unwrap();
    let mut status = [0; 12];
    local.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
    drop((local, early));
    process.signal(Signal::TERM);
    assert!(process.wait_exit(DEADLINE).success());
    assert!(path.exists(), "the file is the manager's");
}

#[test]
fn a_socket_that_no_listener_wants_is_named_with_what_would_be_right() {
    if !Tool::require("python3") {
        return;
    }
    let scene = Scene::new("[[listen]]\naddress = \"{0}\"\n");
    let path = scene.path("web.sock");
    let process = scene.activate("own", &["tcp", &format!("unix:{}", path.display())]);
    let wanted = bound(&process, 0);
    let error = refusal(process);
    for part in [
        "socket 4 (name-1)",
        &format!("address = \"unix:{}\"", path.display()),
        &wanted,
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

/// What becomes of a client of a socket that sluice does not serve, and of one that it does.
#[derive(Debug, PartialEq)]
enum Met {
    TurnedAway,
    Served,
}

fn meet(address: &str) -> Met {
    let address: SocketAddr = address.parse().expect("a TCP address");
    let mut stream = std::net::TcpStream::connect(address).expect("the manager listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("an option");
    let _ = stream.write_all(GET.as_bytes());
    match stream.read(&mut [0; 12]) {
        Ok(12) => Met::Served,
        Ok(0) => Met::TurnedAway,
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Met::TurnedAway,
        other => panic!("neither served nor turned away: {other:?}"),
    }
}

#[test]
fn a_removed_listener_of_the_managers_turns_clients_away_and_can_come_back() {
    if !Tool::require("python3") {
        return;
    }
    let scene = Scene::new("[[listen]]\naddress = \"{0}\"\n[[listen]]\naddress = \"{1}\"\n");
    let process = scene.activate("own", &["tcp", "tcp"]);
    let (stays, goes) = (bound(&process, 0), bound(&process, 1));
    wait_ready(&process);
    let count = |message: &str| {
        let lines = process.lines();
        let said = lines.iter();
        said.filter(|line| field(&line.json, "message") == message)
            .count()
    };
    let reload = |addresses: &[&str], pid: u32| {
        let listen = addresses.iter();
        let listen = listen.map(|address| format!("[[listen]]\naddress = \"{address}\"\n"));
        scene.configure(&listen.collect::<String>());
        let before = count("reloaded");
        let pid = rustix::process::Pid::from_raw(pid as i32).unwrap();
        rustix::process::kill_process(pid, Signal::HUP).unwrap();
        eventually!(count("reloaded") > before);
    };
    for _ in 0..2 {
        reload(&[&stays], process.id());
        assert_eq!((meet(&stays), meet(&goes)), (Met::Served, Met::TurnedAway));
        reload(&[&stays, &goes], process.id());
        assert_eq!((meet(&stays), meet(&goes)), (Met::Served, Met::Served));
    }
    // The next process keeps it too.
    reload(&[&stays], process.id());
    process.signal(Signal::USR2);
    eventually!(count("taken over") == 1);
    let line = process.wait_for_line("who", |line| field(&line.json, "message") == "taken over");
    let next = field(&line.json, "pid").as_u64().expect("a number") as u32;
    assert_eq!((meet(&stays), meet(&goes)), (Met::Served, Met::TurnedAway));
    reload(&[&stays, &goes], next);
    assert_eq!(meet(&goes), Met::Served);
    let next = rustix::process::Pid::from_raw(next as i32).unwrap();
    rustix::process::kill_process(next, Signal::KILL).unwrap();
}

#[test]
fn an_inherited_socket_may_be_abstract() {
    if !Tool::require("python3") {
        return;
    }
    let name = format!("sluice-test-{}", std::process::id());
    let scene = Scene::new("[[listen]]\naddress = \"{0}\"\n");
    let process = scene.activate("own", &[&format!("abstract:{name}")]);
    assert_eq!(listening(&process), [(format!("unix:@{name}"), true)]);
}

#[test]
fn sockets_that_cannot_be_accepted_from_are_named_with_what_would_be_right() {
    if !Tool::require("python3") {
        return;
    }
    for (socket, right) in [
        ("udp", "ListenStream= instead of ListenDatagram="),
        ("idle", "Accept=yes"),
    ] {
        let scene = Scene::new("[[listen]]\naddress = \"{0}\"\n");
        let error = refusal(scene.activate("own", &["tcp", socket]));
        for part in ["socket 4 (name-1)", right] {
            assert!(error.contains(part), "{socket}: {error}");
        }
    }
}

#[test]
fn sockets_for_another_process_are_left_alone() {
    if !Tool::require("python3") {
        return;
    }
    let scene = Scene::new("[[listen]]\naddress = \"127.0.0.1:0\"\n");
    for other in ["1", ""] {
        let process = scene.activate(other, &["tcp"]);
        let events = listening(&process);
        assert_eq!(events.len(), 1, "{other:?}");
        assert!(!events[0].1, "{other:?}");
    }
}

#[test]
fn the_pid_file_lives_as_long_as_the_process() {
    let scene = Scene::new("");
    let path = scene.path("sluice.pid");
    scene.configure(&format!("pid_file = {path:?}\n{LISTEN}"));
    for replaced in [false, true] {
        let mut process = scene.start(&[]);
        wait_ready(&process);
        let content = std::fs::read_to_string(&path).unwrap();
        assert_eq!(content, format!("{}\n", process.id()));
        if replaced {
            std::fs::write(&path, "1\n").unwrap();
        }
        process.signal(Signal::TERM);
        assert!(process.wait_exit(DEADLINE).success());
        assert_eq!(path.exists(), replaced, "removed only while it is ours");
    }
}

#[test]
fn a_pid_file_that_cannot_be_written_is_named() {
    let scene = Scene::new("");
    let folder = scene.path("folder");
    std::fs::create_dir(&folder).unwrap();
    for path in [scene.path("none").join("x.pid"), folder] {
        // Whether the usual place of the admin socket is free is not asked here.
        let admin = "[admin]\nlisten = \"off\"\n";
        scene.configure(&format!("pid_file = {path:?}\n{LISTEN}{admin}"));
        let error = refusal(scene.start(&[]));
        assert!(error.contains(path.to_str().unwrap()), "{error}");
    }
}

#[test]
fn the_units_are_valid() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for (name, text) in [
        (
            "sluice.service",
            include_str!("../../config/sluice.service"),
        ),
        ("sluice.socket", include_str!("../../config/sluice.socket")),
    ] {
        // Programs have to exist.
        let own = binary().display().to_string();
        let text = text.replace("/usr/local/bin/sluice", &own);
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        files.push(path);
    }
    if !Tool::require("systemd-analyze") {
        return;
    }
    let mut command = Command::new("systemd-analyze");
    let output = command.args(["verify", "--man=no"]).args(&files).output();
    let output = output.expect("it is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    // A directive that is unknown or wrong is only a warning there.
    let wrong: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("sluice."))
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn the_unit_waits_longer_than_a_drain() {
    let unit = include_str!("../../config/sluice.service");
    let seconds = unit.lines().find_map(|line| {
        let value = line.strip_prefix("TimeoutStopSec=")?;
        value.strip_suffix('s')?.parse().ok()
    });
    let drain = sluice::config::DrainConfig::default();
    let waits = Duration::from_secs(seconds.expect("TimeoutStopSec in seconds"));
    assert!(waits > drain.delay + drain.deadline + Duration::from_secs(5));
}
