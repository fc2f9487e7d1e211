//! What must not stop the process: readers of its logs that have stopped, FIFOs and devices in
//! the place of files, a disk that is full.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal};
use serde_json::Value;

use crate::support::{self, DEADLINE, HttpBackend, Proxy};
use support::disk::{SmallDisk, fifo};
use support::proxy::{binary, run};

/// A sluice whose standard error is a pipe that nobody reads.
struct Unread {
    child: Child,
    folder: tempfile::TempDir,
    /// Open, so that writing blocks instead of failing.
    _reader: std::io::PipeReader,
}

impl Unread {
    fn start(log: &str) -> Unread {
        let folder = tempfile::tempdir().expect("a folder");
        let at = folder.path().display().to_string();
        let config = format!(
            "[log]\n{log}\n[admin]\nlisten = \"unix:{at}/admin\"\n[drain]\nover = \"0s\"\n\
             [[listen]]\naddress = \"unix:{at}/clients\"\n\
             [[route]]\nrespond = {{ status = 200 }}\n"
        );
        std::fs::write(folder.path().join("sluice.toml"), config).expect("the configuration");
        let (reader, writer) = std::io::pipe().expect("a pipe");
        rustix::pipe::fcntl_setpipe_size(&writer, 4096).expect("a small pipe");
        let child = Command::new(binary())
            .args(["run", "--config"])
            .arg(folder.path().join("sluice.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(writer)
            .spawn()
            .expect("it starts");
        let unread = Unread {
            child,
            folder,
            _reader: reader,
        };
        eventually!(
            unread.clients().exists() && unread.admin("/readyz").starts_with("HTTP/1.1 200")
        );
        unread
    }

    fn clients(&self) -> PathBuf {
        self.folder.path().join("clients")
    }

    /// The whole answer to a request; empty where there is none.
    fn ask(&self, socket: &str, head: &str) -> String {
        let mut answer = String::new();
        if let Ok(mut stream) = UnixStream::connect(self.folder.path().join(socket)) {
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            // It may be refused before all of it is written.
            let _ = stream.write_all(head.as_bytes());
            stream
                .read_to_string(&mut answer)
                .expect("an answer in time");
        }
        answer
    }

    fn admin(&self, path: &str) -> String {
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        self.ask("admin", &head)
    }

    fn lost(&self, log: &str) -> f64 {
        let name = format!("sluice_{log}_log_dropped_lines_total ");
        let page = self.admin("/metrics");
        let line = page.lines().find_map(|line| line.strip_prefix(&name));
        line.expect("the family").trim().parse().expect("a number")
    }

    fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.child), signal).expect("our child");
    }

    fn wait_exit(&mut self) -> Option<i32> {
        let mut ended = || self.child.try_wait().expect("our child");
        eventually!(ended().is_some(), "SIGTERM is ignored");
        ended().and_then(|status| status.code())
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A handshake without a key.
fn refused(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\n\r\n"
    )
}

#[test]
fn a_reader_of_stderr_that_has_stopped_stops_nothing() {
    let mut sluice = Unread::start("access = \"stderr\"");
    // More than the queue holds.
    let path = format!("/{}", "x".repeat(8000));
    for _ in 0..1500 {
        assert!(
            sluice
                .ask("clients", &refused(&path))
                .starts_with("HTTP/1.1 400")
        );
    }
    for _ in 0..600 {
        sluice.signal(Signal::HUP);
    }
    eventually!(sluice.lost("access") > 0.0);
    assert!(sluice.admin("/v1/status").starts_with("HTTP/1.1 200"));
    // Every error of the file is one line, longer than the room that is left.
    let bad: String = (0..2000).map(|n| format!("wrong_{n} = 1\n")).collect();
    std::fs::write(sluice.folder.path().join("sluice.toml"), bad).unwrap();
    sluice.signal(Signal::HUP);
    eventually!(sluice.lost("event") > 0.0);
    sluice.signal(Signal::TERM);
    assert_eq!(sluice.wait_exit(), Some(0));
}

#[test]
fn events_that_clients_cause_stop_nothing_either() {
    let mut sluice = Unread::start("access = \"off\"");
    for _ in 0..1000 {
        assert!(
            sluice
                .ask("clients", &refused("/ws"))
                .starts_with("HTTP/1.1 400")
        );
    }
    sluice.signal(Signal::TERM);
    assert_eq!(sluice.wait_exit(), Some(0));
}

#[test]
fn lines_that_a_client_causes_are_limited_and_counted() {
    let backend = HttpBackend::start();
    let proxy = Proxy::with(backend.address(), "[log]\naccess = \"off\"\n");
    for _ in 0..200 {
        proxy.send(refused("/ws")).read_response();
    }
    // Those at the end of the flood are told without another line of their kind.
    let left_out = |json: &Value| match json["message"].as_str() {
        Some("a WebSocket handshake was refused") => json["left_out"].as_u64().map_or(1, |n| n + 1),
        Some("lines were left out: too many of one kind") => json["lines"].as_u64().unwrap(),
        _ => 0,
    };
    let told = || {
        proxy
            .lines()
            .iter()
            .map(|line| left_out(&line.json))
            .sum::<u64>()
    };
    eventually!(told() == 200, "{} of 200", told());
    let lines = proxy.lines();
    let refusals = lines
        .iter()
        .filter(|line| line.json["cause"] == "client-key-missing");
    assert!(refusals.count() < 150, "{}", proxy.output());
}

fn config(folder: &Path, more: &str) -> PathBuf {
    let path = folder.join("sluice.toml");
    let at = folder.display();
    let text = format!(
        "{more}\n[admin]\nlisten = \"unix:{at}/admin\"\n[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\nrespond = {{ status = 200 }}\n"
    );
    std::fs::write(&path, text).expect("the configuration");
    path
}

#[test]
fn an_access_log_may_be_a_fifo_without_a_reader() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    fifo(&log);
    let config = config(
        folder.path(),
        &format!("[log]\naccess = \"{}\"", log.display()),
    );
    let mut proxy = Proxy::start_file(&config);
    for n in 1..4 {
        assert_eq!(proxy.ask("GET", "/early", ""), 200);
        proxy.signal(Signal::HUP);
        eventually!(proxy.reloads().len() == n);
        assert_eq!(proxy.reloads()[n - 1]["message"], "reloaded");
    }
    // A reader that comes later gets what is written from then on, at the latest.
    let mut lines = BufReader::new(OpenOptions::new().read(true).open(&log).unwrap()).lines();
    assert_eq!(proxy.ask("GET", "/late", ""), 200);
    assert!(lines.any(|line| line.unwrap().contains("\"/late\"")));
    proxy.terminate();
    assert_eq!(proxy.wait_exit().code(), Some(0));
}

#[test]
fn what_is_no_file_is_no_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let path = config(folder.path(), "[reload]\nwatch = true");
    let good = std::fs::read(&path).unwrap();
    let mut proxy = Proxy::start_file(&path);
    proxy.reset_peak_memory();
    let mut refused = 0;
    let mut refusal = |wanted: &str| {
        refused += 1;
        eventually!(proxy.reloads().len() >= refused);
        let event = proxy.reloads().swap_remove(refused - 1);
        let error = event["error"].as_str().unwrap_or_default().to_owned();
        assert!(error.contains(wanted), "{event}");
        assert_eq!(proxy.ask("GET", "/", ""), 200);
    };
    std::fs::remove_file(&path).unwrap();
    fifo(&path);
    refusal("it is a FIFO, not a regular file");
    std::fs::remove_file(&path).unwrap();
    symlink("/dev/zero", &path).unwrap();
    refusal("it is a character device, not a regular file");
    assert!(proxy.peak_memory() < 200 << 20, "{}", proxy.peak_memory());
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, good).unwrap();
    eventually!(
        proxy
            .reloads()
            .iter()
            .any(|event| event["message"] == "reloaded")
    );
    proxy.terminate();
    assert_eq!(proxy.wait_exit().code(), Some(0));
}

#[test]
fn other_files_of_the_configuration_are_judged_alike() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    fifo(&pipe);
    let said = |toml: &str| {
        let path = folder.path().join("bad.toml");
        let rest = "[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\nrespond = { status = 200 }\n";
        std::fs::write(&path, format!("{toml}\n{rest}")).unwrap();
        let output = run(&["run", "--config", path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1), "{toml}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let at = pipe.display();
    let token = said(&format!(
        "[admin]\nlisten = \"127.0.0.1:0\"\ntoken_file = \"{at}\""
    ));
    assert!(
        token.contains("it is a FIFO, not a regular file"),
        "{token}"
    );
    let log = said(&format!("[log]\naccess = \"{}/\"", folder.path().display()));
    assert!(log.contains("is not where a log can go"), "{log}");
    let socket = folder.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let log = said(&format!("[log]\naccess = \"{}\"", socket.display()));
    assert!(log.contains("it is a socket"), "{log}");
    let pid_file = said(&format!("pid_file = \"{at}\""));
    assert!(pid_file.contains("it is a special file"), "{pid_file}");
    assert!(pipe.exists());
    std::fs::remove_file(&pipe).unwrap();
    let path = config(folder.path(), &format!("pid_file = \"{at}\""));
    let mut proxy = Proxy::start_file(&path);
    assert_eq!(
        std::fs::read_to_string(&pipe).unwrap(),
        format!("{}\n", proxy.id())
    );
    // It is left alone once it is something else.
    std::fs::remove_file(&pipe).unwrap();
    fifo(&pipe);
    proxy.terminate();
    assert_eq!(proxy.wait_exit().code(), Some(0));
    assert!(pipe.exists());
}

#[test]
fn lines_lost_to_a_full_disk_are_counted_and_it_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    symlink("/dev/full", &log).unwrap();
    let path = config(
        folder.path(),
        &format!("[log]\naccess = \"{}\"", log.display()),
    );
    let proxy = Proxy::start_file(&path);
    for _ in 0..5 {
        assert_eq!(proxy.ask("GET", "/lost", ""), 200);
    }
    let lost = || proxy.get_admin("/metrics").1;
    eventually!(lost().contains("sluice_access_log_dropped_lines_total 5"));
    let said = proxy.wait_for_log("the failure", |line| {
        line.json["message"] == "the log cannot be written"
    });
    assert!(said.text.contains("No space left"), "{}", said.text);
    std::fs::remove_file(&log).unwrap();
    proxy.signal(Signal::HUP);
    eventually!(!proxy.reloads().is_empty());
    assert_eq!(proxy.ask("GET", "/kept", ""), 200);
    eventually!(std::fs::read_to_string(&log).is_ok_and(|text| text.contains("\"/kept\"")));
    assert!(lost().contains("sluice_access_log_dropped_lines_total 5"));
}

/// Mounting takes root; where there is none, [`lines_lost_to_a_full_disk_are_counted_and_it_recovers`]
/// and the tests of the writer say most of it.
#[test]
fn a_disk_that_has_room_again_is_written_to_again() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("disk");
    let Some(disk) = SmallDisk::mount(&at) else {
        return;
    };
    let log = at.join("log");
    let path = config(
        folder.path(),
        &format!("[log]\naccess = \"{}\"", log.display()),
    );
    let proxy = Proxy::start_file(&path);
    let ballast = disk.fill();
    for _ in 0..50 {
        assert_eq!(proxy.ask("GET", "/full", ""), 200);
    }
    let lost = || -> f64 {
        let page = proxy.get_admin("/metrics").1;
        let name = "sluice_access_log_dropped_lines_total ";
        let line = page
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap();
        line.parse().unwrap()
    };
    eventually!(lost() > 0.0);
    let written = || {
        std::fs::read_to_string(&log)
            .unwrap()
            .matches("\"/full\"")
            .count()
    };
    std::fs::remove_file(&ballast).unwrap();
    let again = || {
        proxy.ask("GET", "/again", "");
        let text = std::fs::read_to_string(&log).unwrap();
        text.contains("\"path\":\"/again\"")
    };
    eventually!(again(), "it is written again");
    proxy.wait_for_log("the recovery", |line| {
        line.json["message"] == "the log can be written again"
    });
    // What was torn ends its line, and every other line is whole.
    let text = std::fs::read_to_string(&log).unwrap();
    let torn = text
        .lines()
        .filter(|line| serde_json::from_str::<Value>(line).is_err());
    assert!(torn.count() <= 1, "{text}");
    assert!(written() < 50 || lost() < 50.0);
}

#[test]
fn check_reads_what_it_was_given_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = config(folder.path(), "");
    let pipe = folder.path().join("pipe");
    fifo(&pipe);
    let named = run(&["check", pipe.to_str().unwrap()]);
    assert_eq!(named.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&named.stderr).contains("it is a FIFO"));
    let shell = |script: &str| {
        let mut command = Command::new("bash");
        command
            .args(["-c", script, "bash"])
            .arg(binary())
            .arg(&path);
        command.output().expect("bash runs")
    };
    for script in [
        "\"$1\" check <(cat \"$2\")",
        "cat \"$2\" | \"$1\" check /dev/stdin",
        "\"$1\" check /dev/stdin < \"$2\"",
        "\"$1\" check /dev/fd/7 7< <(sleep 0.1; cat \"$2\")",
    ] {
        let output = shell(script);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{script}: {error}");
    }
    let endless = shell("cat /dev/zero | \"$1\" check /dev/stdin");
    assert_eq!(endless.status.code(), Some(1));
    let error = String::from_utf8_lossy(&endless.stderr);
    assert!(error.contains("it is larger than 16 MiB"), "{error}");
}
