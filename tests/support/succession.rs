//! A proxy that is upgraded: started through a link in a folder of its own, so that another
//! binary can be put in its place. What the processes write goes to the same pipes, and all
//! of them are ended with the test.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::Proxy;
use super::proxy::{binary, field};

/// A proxy and its successors.
pub struct Succession {
    pub proxy: Proxy,
    folder: TempDir,
}

impl Succession {
    /// Starts the first process. `toml` is told the folder, for files that belong to it.
    pub fn start(toml: impl FnOnce(&Path) -> String) -> Succession {
        Succession::start_with(toml, |_, _| {})
    }

    /// The same, and the command can be changed before it is started.
    pub fn start_with(
        toml: impl FnOnce(&Path) -> String,
        change: impl FnOnce(&Path, &mut Command),
    ) -> Succession {
        let folder = tempfile::Builder::new()
            .prefix("sluice-succession-")
            .tempdir()
            .expect("a temporary folder");
        let link = folder.path().join("sluice");
        std::os::unix::fs::symlink(binary(), &link).expect("a link");
        let config = folder.path().join("sluice.toml");
        let admin = folder.path().join("admin.sock");
        let admin = format!("\n[admin]\nlisten = \"unix:{}\"\n", admin.display());
        let toml = toml(folder.path()) + &admin;
        std::fs::write(&config, toml).expect("the config file");
        Succession {
            proxy: Proxy::start_binary(&link, &config, |command| change(folder.path(), command)),
            folder,
        }
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("sluice.toml")
    }

    /// Puts another configuration into the file.
    pub fn configure(&self, toml: &str) {
        let admin = format!("\n[admin]\nlisten = \"{}\"\n", self.admin());
        std::fs::write(self.config(), toml.to_owned() + &admin).expect("the config file");
    }

    /// Where the admin interface is.
    pub fn admin(&self) -> String {
        format!("unix:{}", self.file("admin.sock").display())
    }

    /// Another file in the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a shell script where the binary was. Written by another process: a descriptor
    /// of ours could be inherited by a child of another test, and a file that is open for
    /// writing cannot be executed.
    pub fn install(&self, script: &str) {
        let mut writer = Command::new("sh")
            .args([
                "-c",
                "cat > \"$0.new\" && chmod +x \"$0.new\" && mv \"$0.new\" \"$0\"",
            ])
            .arg(self.file("sluice"))
            .stdin(Stdio::piped())
            .spawn()
            .expect("a shell");
        let mut input = writer.stdin.take().expect("it is piped");
        write!(input, "#!/bin/sh\n{script}\n").expect("the shell reads");
        drop(input);
        assert!(writer.wait().expect("our child").success());
    }

    /// Puts the real binary back.
    pub fn install_real(&self) {
        let new = self.file("sluice.new");
        std::os::unix::fs::symlink(binary(), &new).expect("a link");
        std::fs::rename(&new, self.file("sluice")).expect("the folder is ours");
    }

    /// The events with this message so far.
    pub fn events(&self, message: &str) -> Vec<Value> {
        let lines = self.proxy.lines().into_iter().map(|line| line.json);
        lines
            .filter(|json| field(json, "message") == message)
            .collect()
    }

    /// Waits for the n-th event with this message, from 0.
    pub fn event(&self, message: &str, n: usize) -> Value {
        crate::eventually!(self.events(message).len() > n, "{message} ({n})");
        self.events(message).swap_remove(n)
    }

    /// The ids of all that were started so far, the first process's before them.
    pub fn pids(&self) -> Vec<u32> {
        let started = self.events("a new process was started");
        let pids = started
            .iter()
            .filter_map(|event| field(event, "pid").as_u64());
        std::iter::once(self.proxy.id())
            .chain(pids.map(|pid| pid as u32))
            .collect()
    }

    /// The process that has taken over last.
    pub fn serving(&self) -> u32 {
        let last = self.events("handed over").pop();
        let pid = last.and_then(|event| field(&event, "pid").as_u64());
        pid.map_or(self.proxy.id(), |pid| pid as u32)
    }

    /// Asks for an upgrade.
    pub fn ask(&self) {
        self.signal(self.serving(), Signal::USR2);
    }

    /// Upgrades, and waits until both say so. Gives the old one's event.
    pub fn upgrade(&self) -> Value {
        let (given, taken) = ("handed over", "taken over");
        let before = (self.events(given).len(), self.events(taken).len());
        self.ask();
        self.event(taken, before.1);
        self.event(given, before.0)
    }

    /// Tries to upgrade, and gives the event that says why not.
    pub fn refused(&self) -> Value {
        let message = "upgrade refused: this process goes on";
        let before = self.events(message).len();
        self.ask();
        self.event(message, before)
    }

    /// Sends a signal to one of the processes.
    pub fn signal(&self, pid: u32, signal: Signal) {
        kill_process(as_pid(pid), signal).expect("it runs");
    }

    /// Whether this process runs; a zombie does not.
    pub fn runs(&self, pid: u32) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = status.rsplit(") ").next().unwrap_or_default();
        !state.is_empty() && !state.starts_with(['Z', 'X'])
    }

    /// Every process that was started with a path in the folder, by whomever.
    pub fn running(&self) -> Vec<u32> {
        let folder = self.folder.path().to_string_lossy().into_owned();
        let entries = std::fs::read_dir("/proc").expect("proc is mounted");
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        pids.filter(|pid: &u32| {
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&command).contains(&folder)
        })
        .collect()
    }

    /// Ends the process that serves by SIGTERM and waits until it is gone.
    pub fn end(&self) {
        let serving = self.serving();
        self.signal(serving, Signal::TERM);
        crate::eventually!(!self.runs(serving), "{serving} ends");
    }
}

impl Drop for Succession {
    fn drop(&mut self) {
        for pid in self.running() {
            let _ = kill_process(as_pid(pid), Signal::KILL);
        }
    }
}

fn as_pid(pid: u32) -> Pid {
    Pid::from_raw(pid as i32).expect("not 0")
}
