//! A child process: started on a core, ended by its pid when dropped. Owns
//! only the processes it started itself, and their children (nginx's worker).

use crate::sys;
use rustix::process::Signal;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a process may take to end after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(3);

/// A running process that ends with its owner.
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts `command` on `cores`; what it prints is appended to `log`.
    pub fn start(mut command: Command, cores: &[usize], log: &Path) -> io::Result<Self> {
        let log = File::options().create(true).append(true).open(log)?;
        command
            .stdin(Stdio::null())
            .stderr(log.try_clone()?)
            .stdout(log);
        sys::bind_child(&mut command, cores);
        let child = command.spawn()?;
        Ok(Self { child })
    }

    /// Starts `command` on `cores` and returns its standard output too.
    pub fn piped(
        mut command: Command,
        cores: &[usize],
    ) -> io::Result<(Self, std::process::ChildStdout)> {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        sys::bind_child(&mut command, cores);
        let mut child = command.spawn()?;
        let output = child.stdout.take();
        let process = Self { child };
        let output = output.ok_or_else(|| io::Error::other("a child without output"))?;
        Ok((process, output))
    }

    /// The process and its descendants.
    pub fn pids(&self) -> Vec<u32> {
        let mut pids = vec![self.child.id()];
        let mut at = 0;
        while at < pids.len() {
            let pid = pids[at];
            let listed = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
            let listed = listed.unwrap_or_default();
            pids.extend(
                listed
                    .split_whitespace()
                    .filter_map(|pid| pid.parse::<u32>().ok()),
            );
            at += 1;
        }
        pids
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        sys::signal(self.child.id(), signal);
    }

    /// Asks the program itself, which a tool may have started, to end; whether it has in time.
    pub fn end(&mut self, patience: Duration) -> bool {
        let program = self.pids().last().copied();
        sys::signal(program.unwrap_or(self.child.id()), Signal::TERM);
        self.ends_within(patience)
    }

    fn ends_within(&mut self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while self.alive() && Instant::now() < deadline {
            sleep(Duration::from_millis(5));
        }
        !self.alive()
    }

    /// Whether it still runs.
    pub fn alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.alive() {
            return;
        }
        let pids = self.pids();
        sys::signal(self.child.id(), Signal::TERM);
        if !self.ends_within(PATIENCE) {
            // Not reaped before the wait below, so the numbers are still its.
            for pid in pids {
                sys::signal(pid, Signal::KILL);
            }
        }
        let _ = self.child.wait();
    }
}
