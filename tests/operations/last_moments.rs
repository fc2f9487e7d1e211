//! The end of a process whose logs and collector take nothing: all its last waits have one
//! deadline together.

use std::fs::OpenOptions;
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::disk::fifo;
use crate::support::proxy::binary;
use crate::support::{HttpBackend, Wire, held};

/// With `drain.deadline` of two seconds the last connection is cut then, and two more are for all
/// the rest. Access log, collector and events used to have two each, one after the other. The
/// bound is what is tested, with half as much again for a machine that is busy.
const SUM_OF_WAITS: Duration = Duration::from_millis(6000);

/// Processes whose standard error is a small pipe that is full.
struct Blocked {
    child: Child,
    admin: std::path::PathBuf,
    _reader: std::io::PipeReader,
}

impl Drop for Blocked {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Blocked {
    fn ask(&self, method: &str, path: &str) -> Option<Value> {
        use std::io::{Read, Write};
        let mut stream = std::os::unix::net::UnixStream::connect(&self.admin).ok()?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\
             Content-Type: application/json\r\nConnection: close\r\n\r\n{{}}"
        );
        stream.write_all(head.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
    }

    fn pid(&self) -> Option<i32> {
        self.ask("GET", "/v1/status")?["pid"]
            .as_i64()?
            .try_into()
            .ok()
    }
}

fn runs(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(") ").next().unwrap_or_default();
    !state.is_empty() && !state.starts_with(['Z', 'X'])
}

#[test]
fn all_last_waits_together_have_one_deadline_in_both_processes() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path().display().to_string();
    let log = folder.path().join("access");
    fifo(&log);
    let full = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32)
        .open(&log)
        .expect("the FIFO");
    rustix::pipe::fcntl_setpipe_size(&full, 4096).expect("a small pipe");
    // Accepts and answers nothing.
    let collector = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let (slow, gate) = held();
    let backend = HttpBackend::start();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    drop(listener);
    let config = format!(
        "[log]\naccess = \"{at}/access\"\n[admin]\nlisten = \"unix:{at}/admin\"\n\
         [drain]\nover = \"0s\"\ndeadline = \"2s\"\n\
         [trace]\nendpoint = \"http://{}\"\nsample = 1.0\n\
         [[listen]]\naddress = \"{address}\"\n\
         [[route]]\nto = \"{}\"\n[[route]]\npath_prefix = \"/slow\"\nto = \"{}\"\n",
        collector.local_addr().expect("it is bound"),
        backend.address(),
        slow.address()
    );
    let file = folder.path().join("sluice.toml");
    std::fs::write(&file, config).expect("the configuration");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    rustix::pipe::fcntl_setpipe_size(&writer, 4096).expect("a small pipe");
    let child = Command::new(binary())
        .args(["run", "--config"])
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(writer)
        .spawn()
        .expect("it starts");
    let mut blocked = Blocked {
        child,
        admin: folder.path().join("admin"),
        _reader: reader,
    };
    eventually!(blocked.pid().is_some());
    let mut slow = Wire::connect(address);
    slow.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
    gate.reached();
    // Both pipes hold a few lines; the rest waits, and so will the end.
    let path = "x".repeat(500);
    let talk = || {
        let mut wire = Wire::connect(address);
        for _ in 0..20 {
            wire.send(format!("GET /{path} HTTP/1.1\r\nHost: x\r\n\r\n"));
            assert_eq!(wire.read_response().status(), 200);
            let reloaded = blocked.ask("POST", "/v1/reload").expect("it answers");
            assert!(reloaded["generation"].is_u64(), "{reloaded}");
        }
    };
    talk();
    let old = blocked.pid().expect("it answers");
    let upgraded = blocked.ask("POST", "/v1/upgrade").expect("it answers");
    assert!(upgraded["pid"].is_u64(), "{upgraded}");
    let new = || blocked.pid().filter(|pid| *pid != old);
    eventually!(new().is_some());
    talk();
    let new = new().expect("it answers");
    let began = Instant::now();
    kill_process(Pid::from_raw(new).expect("a pid"), Signal::TERM).expect("it runs");
    let mut both_end = || !runs(new) && matches!(blocked.child.try_wait(), Ok(Some(_)));
    eventually!(both_end());
    assert!(began.elapsed() < SUM_OF_WAITS, "{:?}", began.elapsed());
    gate.open();
}
