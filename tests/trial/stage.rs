//! A sluice all of whose outlets are blocked: standard error is a pipe that is not read, the
//! access log is a FIFO whose reader has stopped or a file on a full disk, the collector of
//! its traces never answers; and it may open few descriptors.

use std::fs::{File, OpenOptions};
use std::net::SocketAddr;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::support::disk::{SmallDisk, fifo};
use crate::support::proxy::limited;
use crate::support::{Proxy, RawBackend};

/// How many descriptors it may have open. An eighth of them is its own reserve.
pub const DESCRIPTORS: usize = 512;
/// Of so many reloads all but one are of a configuration with so many unknown keys of this length,
/// which is refused with a line of the log that holds them all. Each character of a key is written
/// as an escape there, so that a line is some hundred kilobytes long.
const GOOD: usize = 4;
const KEYS: usize = 100;
const KEY: usize = 330;

/// Where requests are sent.
pub struct Upstreams {
    /// What the quiet client talks to: HTTP and WebSocket.
    pub quiet: [SocketAddr; 2],
    /// What the floods talk to.
    pub noise: SocketAddr,
}

/// See the module.
pub struct Stage {
    pub proxy: Proxy,
    toml: String,
    folder: tempfile::TempDir,
    _disk: Option<SmallDisk>,
    /// Open, so that the FIFO has a reader.
    _reader: File,
    _collector: RawBackend,
}

impl Stage {
    pub fn start(upstreams: &Upstreams) -> Stage {
        let folder = tempfile::tempdir().expect("a folder");
        let at = folder.path();
        let disk = full_disk(at);
        fifo(&at.join("fifo"));
        let reader = OpenOptions::new()
            .read(true)
            .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
            .open(at.join("fifo"))
            .expect("the FIFO's reader");
        link(at, "fifo");
        // Each connection is held.
        let collector = RawBackend::start(|_, _wire| {
            loop {
                std::thread::park();
            }
        });
        let toml = toml(upstreams, collector.address(), &at.join("log"));
        let proxy = Proxy::start_with(&toml, |command| {
            limited(command, DESCRIPTORS as u64, DESCRIPTORS as u64);
        });
        proxy.stop_reading();
        Stage {
            proxy,
            toml,
            folder,
            _disk: disk,
            _reader: reader,
            _collector: collector,
        }
    }

    /// The n-th reload: the log leads elsewhere, and more often than not the configuration is bad.
    pub fn reload(&self, n: usize) {
        let log = ["fifo", "disk/log"][n % 2];
        link(self.folder.path(), log);
        if !n.is_multiple_of(GOOD) {
            let key = "\u{202e}".repeat(KEY);
            let keys = (0..KEYS).map(|n| format!("\"k{n}{key}\" = 1\n"));
            let keys: String = keys.collect();
            self.proxy.rewrite(&keys);
        } else {
            self.proxy.rewrite(&self.toml);
        }
        self.proxy.signal(Signal::HUP);
    }
}

/// A folder `disk` in which a file `log` takes nothing.
fn full_disk(folder: &Path) -> Option<SmallDisk> {
    let at = folder.join("disk");
    let disk = SmallDisk::mount(&at);
    match &disk {
        Some(disk) => {
            File::create(at.join("log")).expect("an empty log");
            disk.fill();
        }
        None => symlink("/dev/full", at.join("log")).expect("a link"),
    }
    disk
}

/// Has the log lead there, in one step.
fn link(folder: &Path, to: &str) {
    let new: PathBuf = folder.join("new");
    symlink(folder.join(to), &new).expect("a link");
    std::fs::rename(new, folder.join("log")).expect("a link");
}

fn toml(upstreams: &Upstreams, collector: SocketAddr, log: &Path) -> String {
    let Upstreams {
        quiet: [http, websocket],
        noise,
    } = upstreams;
    format!(
        "workers = 2\n\
         [http]\nhead_timeout = \"2s\"\n\
         [log]\naccess = \"{log}\"\n\
         [trace]\nendpoint = \"http://{collector}\"\nsample = 1.0\n\
         [drain]\nover = \"1s\"\ndeadline = \"5s\"\n\
         [[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\npath_prefix = \"/quiet\"\nto = \"{http}\"\n\
         [[route]]\npath_prefix = \"/quiet-messages\"\nto = \"{websocket}\"\n\
         [[route]]\npath_prefix = \"/noise\"\nto = \"{noise}\"\n\
         [route.websocket]\nclose_timeout = \"2s\"\n\
         [[route]]\npath_prefix = \"/here\"\nrespond = {{ status = 200 }}\n",
        log = log.display(),
    )
}
