//! What `sluice run` would be refused by this machine, tried without a trace: files that it
//! would write or read, and addresses that it would listen on. Nothing is created, and nothing
//! accepts a connection.

use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::fs::Access;
use serde_json::Value;

use super::health;
use crate::admin::Token;
use crate::client::api::Client;
use crate::client::target::Target;
use crate::config::{AccessLog, AdminListen, Config, ListenAddress};
use crate::net::listen;
use crate::supervise::{own_files, pid_file};
use crate::system::files;

/// Time for the sluice that may have the address already to say so.
const ANSWER: Duration = Duration::from_millis(500);

/// Something that would be refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    /// What, and what to do about it.
    pub(super) message: String,
    /// Whether `run` fails for certain. An address may belong to another machine, or to the
    /// sluice that this configuration is for.
    pub(super) fatal: bool,
}

/// Tries all that a start would.
pub(super) fn everything(config: &Config, source: Option<&Path>) -> Vec<Attempt> {
    let mut refused = Vec::new();
    let mut fatal = |message| {
        refused.push(Attempt {
            message,
            fatal: true,
        });
    };
    if let Err(error) = own_files::check(config, source) {
        fatal(error.to_string());
    }
    if let AccessLog::File(path) = &config.log.access
        && let Err(error) = writable(path)
    {
        fatal(format!(
            "cannot open the access log {}: {error} (`log.access`)",
            path.display()
        ));
    }
    if let Some(path) = &config.pid_file
        && let Err(error) = replaceable(path)
    {
        fatal(format!("cannot write pid_file {}: {error}", path.display()));
    }
    if let Err(error) = Token::configured(&config.admin) {
        fatal(format!("{error} (`admin.token_file`)"));
    }
    refused.extend(addresses(config, source));
    refused
}

fn addresses(config: &Config, source: Option<&Path>) -> Vec<Attempt> {
    let listeners = config.listeners.iter().map(|listener| &listener.address);
    let admin = match &config.admin.listen {
        AdminListen::At(address) => Some(address),
        AdminListen::Auto | AdminListen::Off => None,
    };
    let mut refused = Vec::new();
    let mut running = None;
    for address in listeners.chain(admin) {
        let Err(error) = listen::probe(address) else {
            continue;
        };
        let mut message = error.to_string();
        if error.kind() == io::ErrorKind::AddrInUse {
            let running = running.get_or_insert_with(|| Running::find(config, source));
            if running.holds(address) {
                continue;
            }
            if health::check(&Target::at(address), ANSWER).is_ok() {
                message += "; the sluice that listens there is not known to run this file";
            }
        }
        refused.push(Attempt {
            message,
            fatal: false,
        });
    }
    refused
}

/// The sluice that this configuration is for.
enum Running {
    /// It runs, and listens on these addresses.
    On(Vec<String>),
    /// None does.
    Not,
    /// Which file is meant is not known, or may not be asked for; a sluice that answers at the
    /// first listener is taken for it.
    Unknown(bool),
}

impl Running {
    fn find(config: &Config, source: Option<&Path>) -> Running {
        let unknown = || {
            let target = Target::of(config);
            Running::Unknown(target.is_some_and(|target| health::check(&target, ANSWER).is_ok()))
        };
        let Some(file) = source else {
            return unknown();
        };
        let Ok(client) = Client::find(None, Some(file)) else {
            return unknown();
        };
        match client.get::<Value>("/v1/config") {
            Ok(Ok(settings)) => Running::On(listened_on(&settings)),
            // It runs another file, or does not know us.
            Ok(Err(_)) if client.is_meant() == Some(false) => Running::Not,
            Ok(Err(_)) => unknown(),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => unknown(),
            Err(_) => Running::Not,
        }
    }

    fn holds(&self, address: &ListenAddress) -> bool {
        match self {
            Running::On(addresses) => addresses.contains(&address.to_string()),
            Running::Not => false,
            Running::Unknown(answers) => *answers,
        }
    }
}

/// The addresses in `/v1/config`.
fn listened_on(settings: &Value) -> Vec<String> {
    let listeners = settings["listen"].as_array().into_iter().flatten();
    let all = listeners
        .map(|listener| &listener["address"])
        .chain([&settings["admin"]["listen"]]);
    all.filter_map(|address| address.as_str().map(str::to_owned))
        .collect()
}

/// Whether a file can be appended to, or made. A link that leads nowhere is followed.
fn writable(path: &Path) -> io::Result<()> {
    let missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        match path.metadata() {
            Ok(_) => return files::append_to_what_is(&path).map(drop),
            Err(error) if !missing(&error) => return Err(error),
            Err(_) => match path.read_link() {
                Ok(target) => path = path.parent().unwrap_or(Path::new("")).join(target),
                Err(_) => return in_directory(&path),
            },
        }
    }
    Err(rustix::io::Errno::LOOP.into())
}

/// Whether a file can be put in the place of this one.
fn replaceable(path: &Path) -> io::Result<()> {
    pid_file::check(path)?;
    in_directory(path)
}

/// How many links the system follows (path_resolution(7)).
const LINKS: usize = 40;

/// File systems in which the kernel alone makes files: proc and sysfs (statfs(2)).
const OF_THE_KERNEL: [u64; 2] = [0x9fa0, 0x6265_6572];

fn in_directory(path: &Path) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let of_directory = |error: io::Error| {
        let message = format!("the directory {}: {error}", directory.display());
        io::Error::new(error.kind(), message)
    };
    if !directory.metadata().map_err(of_directory)?.is_dir() {
        return Err(of_directory(io::ErrorKind::NotADirectory.into()));
    }
    let system = rustix::fs::statfs(directory).map_err(|error| of_directory(error.into()))?;
    if OF_THE_KERNEL.contains(&(system.f_type as u64)) {
        let error = io::Error::new(io::ErrorKind::Unsupported, "no files can be made in it");
        return Err(of_directory(error));
    }
    let may = rustix::fs::access(directory, Access::WRITE_OK | Access::EXEC_OK);
    may.map_err(|error| of_directory(error.into()))
}
