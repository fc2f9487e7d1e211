//! A child process whose output is captured line by line, so that tests can wait for a line,
//! and that is killed by its own id when the test ends.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use serde_json::Value;

use super::{DEADLINE, json_line};

/// Where a line was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// One captured line.
#[derive(Debug, Clone)]
pub struct Line {
    /// When it was read.
    pub at: Instant,
    pub stream: Stream,
    pub text: String,
    /// The line as JSON; `Null` when it is none.
    pub json: Value,
}

#[derive(Default)]
struct Captured {
    lines: Mutex<Vec<Line>>,
    more: Condvar,
    /// What is wrong with lines of JSON.
    faults: Mutex<Vec<String>>,
    /// Nothing more is read.
    is_deaf: AtomicBool,
}

/// A running child and what it has said so far.
pub struct Process {
    name: String,
    child: Child,
    captured: Arc<Captured>,
}

impl Process {
    /// Starts the command with stdin closed and both outputs captured.
    pub fn spawn(name: &str, command: &mut Command) -> Process {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let captured = Arc::new(Captured::default());
        let stdout = child.stdout.take().expect("stdout is piped");
        let stderr = child.stderr.take().expect("stderr is piped");
        // Of other programs and commands the form is their own.
        let checked = name == "sluice";
        capture(Stream::Stdout, stdout, captured.clone(), checked);
        capture(Stream::Stderr, stderr, captured.clone(), checked);
        Process {
            name: name.into(),
            child,
            captured,
        }
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything captured so far.
    pub fn lines(&self) -> Vec<Line> {
        self.captured.lines.lock().unwrap().clone()
    }

    /// Waits for the first line that `wanted` accepts, past ones included.
    pub fn wait_for_line(&self, what: &str, wanted: impl Fn(&Line) -> bool) -> Line {
        self.line_behind(0, DEADLINE, wanted)
            .unwrap_or_else(|| panic!("{} never said: {what}", self.name))
    }

    /// Reads nothing more of its output, but for one line that may be awaited already; the
    /// pipes stay open.
    pub fn stop_reading(&self) {
        self.captured.is_deaf.store(true, Relaxed);
    }

    /// How many lines were captured so far.
    pub fn line_count(&self) -> usize {
        self.captured.lines.lock().unwrap().len()
    }

    /// Waits for the first line behind the first `count` ones that `wanted` accepts.
    pub fn line_behind(
        &self,
        count: usize,
        within: Duration,
        wanted: impl Fn(&Line) -> bool,
    ) -> Option<Line> {
        let give_up = Instant::now() + within;
        let mut lines = self.captured.lines.lock().unwrap();
        let mut looked_at = count;
        loop {
            if let Some(line) = lines[looked_at..].iter().find(|line| wanted(line)) {
                return Some(line.clone());
            }
            looked_at = lines.len();
            let left = give_up.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            lines = self.captured.more.wait_timeout(lines, left).unwrap().0;
        }
    }

    /// Sends a signal to exactly this process.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("the process is our child");
    }

    /// Waits for the process to end by itself.
    pub fn wait_exit(&mut self, within: Duration) -> ExitStatus {
        let give_up = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().expect("the process is our child") {
                return status;
            }
            assert!(
                Instant::now() < give_up,
                "{} still runs after {within:?}",
                self.name
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether the process has ended.
    pub fn has_exited(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !std::thread::panicking() {
            let faults = self.captured.faults.lock().unwrap();
            assert!(faults.is_empty(), "lines of {}: {faults:#?}", self.name);
            return;
        }
        eprintln!("--- output of {} ---", self.name);
        for line in self.lines() {
            eprintln!("{:?} {}", line.stream, line.text);
        }
    }
}

fn capture(
    stream: Stream,
    source: impl Read + Send + 'static,
    captured: Arc<Captured>,
    checked: bool,
) {
    std::thread::spawn(move || {
        for text in BufReader::new(source).lines() {
            while captured.is_deaf.load(Relaxed) {
                std::thread::park();
            }
            let Ok(text) = text else { return };
            let json = serde_json::from_str(&text).unwrap_or(Value::Null);
            if checked
                && json.is_object()
                && let Err(fault) = json_line::check(&text)
            {
                captured.faults.lock().unwrap().push(fault + ": " + &text);
            }
            let at = Instant::now();
            captured.lines.lock().unwrap().push(Line {
                at,
                stream,
                text,
                json,
            });
            captured.more.notify_all();
        }
    });
}
