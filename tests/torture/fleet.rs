//! The proxy through its reloads and upgrades: one process after the other, each started by
//! the one before. Orphans come to this process, so that how each ended is known, and all
//! are killed by their ids when the test ends.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use crate::support::DEADLINE;
use crate::support::process::{Line, Process, Stream};
use crate::support::proxy::{binary, field};

/// How long an unanswered order stands before the process that took over is asked.
const ORDER: Duration = Duration::from_secs(2);
/// How long each step of an upgrade may take.
const UPGRADE: Duration = Duration::from_secs(30);

/// See the module.
pub struct Fleet {
    process: Process,
    pub folder: tempfile::TempDir,
    pub address: SocketAddr,
    /// All that were started and are not known to have ended.
    pids: Mutex<Vec<Pid>>,
    /// The one in charge.
    current: Mutex<Pid>,
}

/// What a process holds.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Resident memory that no file backs, in KiB.
    pub resident: u64,
    /// Open descriptors.
    pub files: usize,
}

impl Fleet {
    pub fn start(folder: tempfile::TempDir, config: &str) -> Fleet {
        let this = Pid::from_raw(1);
        rustix::process::set_child_subreaper(this).expect("Linux 3.4");
        let file = folder.path().join("sluice.toml");
        std::fs::write(&file, config).expect("the configuration");
        let mut command = Command::new(binary());
        command.arg("run").arg("--config").arg(&file);
        let process = Process::spawn("sluice", command.env_remove("RUST_LOG"));
        process.wait_for_line("ready", |line| says(line, "ready"));
        let listening = process.wait_for_line("listening", |line| says(line, "listening"));
        let address = field(&listening.json, "address").as_str();
        let address = address.and_then(|address| address.parse().ok());
        let pid = Pid::from_raw(process.id().cast_signed()).expect("a child's id");
        Fleet {
            process,
            folder,
            address: address.expect("a TCP address"),
            pids: Mutex::new(vec![pid]),
            current: Mutex::new(pid),
        }
    }

    /// The process in charge.
    pub fn current(&self) -> Pid {
        *self.current.lock().unwrap()
    }

    pub fn file(&self) -> PathBuf {
        self.folder.path().join("sluice.toml")
    }

    pub fn lines(&self) -> Vec<Line> {
        self.process.lines()
    }

    /// The access records of all processes.
    pub fn access(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("access.log")).unwrap_or_default()
    }

    /// Puts a configuration in force and waits until it is.
    pub fn reload(&self, config: &str) -> Line {
        replace(&self.file(), config);
        let begun = Instant::now();
        loop {
            let count = self.process.line_count();
            signal(self.current(), Signal::HUP);
            let answer = self.process.line_behind(count, ORDER, |line| {
                says(line, "reloaded") || says(line, "reload refused")
            });
            if let Some(line) = answer {
                assert!(says(&line, "reloaded"), "{}", line.text);
                return line;
            }
            assert!(begun.elapsed() < DEADLINE, "no answer to a reload");
        }
    }

    /// Replaces the process in charge, and waits until the new one has all that it gets.
    pub fn upgrade(&self) {
        let old = self.current();
        let count = self.process.line_count();
        let event = |message: &str| {
            let line = self.process.line_behind(count, UPGRADE, |line| {
                says(line, message) || says(line, "upgrade refused")
            });
            let line = line.unwrap_or_else(|| panic!("{old:?} never said: {message}"));
            assert!(says(&line, message), "{}", line.text);
            line
        };
        signal(old, Signal::USR2);
        let started = event("a new process was started");
        let pid = field(&started.json, "pid").as_i64();
        let pid = pid.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        self.pids.lock().unwrap().push(pid.expect("a process id"));
        event("handed over");
        event("taken over");
        *self.current.lock().unwrap() = pid.expect("a process id");
    }

    /// What the process in charge holds.
    pub fn usage(&self) -> Usage {
        let process = format!("/proc/{}", self.current().as_raw_nonzero());
        let files = std::fs::read_dir(format!("{process}/fd")).expect("it runs");
        let status = std::fs::read_to_string(format!("{process}/status")).expect("it runs");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        Usage {
            resident: kib.and_then(|kib| kib.parse().ok()).expect("RssAnon in kB"),
            files: files.count(),
        }
    }

    /// Waits for a child or an adopted one; its exit code, where it had one.
    fn wait(&self, pid: Pid, within: Duration) -> Option<i32> {
        let give_up = Instant::now() + within;
        // The first one is left for its owner to reap: until then its id is not used again.
        let options = match pid.as_raw_nonzero().get().cast_unsigned() == self.process.id() {
            true => WaitIdOptions::NOWAIT,
            false => WaitIdOptions::empty(),
        };
        let options = options | WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        while Instant::now() < give_up {
            match rustix::process::waitid(WaitId::Pid(pid), options) {
                Ok(Some(status)) => return status.exit_status(),
                // Its parent lives, and hands it to us when it ends.
                Ok(None) | Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
        None
    }

    /// Waits until every process but the one in charge has ended by itself and well.
    pub fn wait_for_old(&self) {
        let current = self.current();
        let mut pids = self.pids.lock().unwrap();
        for pid in pids.extract_if(.., |pid| *pid != current) {
            assert_eq!(self.wait(pid, 2 * DEADLINE), Some(0), "how {pid:?} ended");
        }
    }

    /// Ends the process in charge and waits for it.
    pub fn stop(&self) {
        let pid = self.current();
        signal(pid, Signal::TERM);
        assert_eq!(self.wait(pid, 2 * DEADLINE), Some(0), "how {pid:?} ended");
        self.pids.lock().unwrap().retain(|one| *one != pid);
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let mut left = std::mem::take(&mut *self.pids.lock().unwrap());
        // One that was started and never came to power is a child of another.
        let children: Vec<Pid> = left.iter().flat_map(|pid| children(*pid)).collect();
        left.extend(children);
        for pid in left {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
            self.wait(pid, Duration::from_secs(2));
        }
    }
}

/// Whether a line is an event that begins with this message.
pub fn says(line: &Line, message: &str) -> bool {
    let text = field(&line.json, "message").as_str();
    line.stream == Stream::Stderr && text.is_some_and(|text| text.starts_with(message))
}

fn signal(pid: Pid, signal: Signal) {
    // One that has just ended is not there any more.
    let _ = rustix::process::kill_process(pid, signal);
}

fn children(pid: Pid) -> Vec<Pid> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero()));
    let tasks = tasks.into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| {
            let ids = list
                .split_whitespace()
                .filter_map(|id| Pid::from_raw(id.parse().ok()?));
            ids.collect::<Vec<_>>()
        })
        .collect()
}

/// In one step, so that nobody reads half of it.
fn replace(file: &Path, text: &str) {
    let new = file.with_extension("new");
    std::fs::write(&new, text).expect("the configuration");
    std::fs::rename(new, file).expect("the configuration");
}
