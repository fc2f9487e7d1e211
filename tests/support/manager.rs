//! The service manager as sluice sees it: a datagram socket that is told how sluice is.

use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::DEADLINE;

/// Removes what the manager of the test itself may have set.
pub fn unmanaged(command: &mut Command) {
    for name in [
        "RUST_LOG",
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "WATCHDOG_PID",
        "LISTEN_PID",
        "LISTEN_FDS",
        "LISTEN_FDNAMES",
    ] {
        command.env_remove(name);
    }
}

/// Where sluice's notifications arrive.
pub struct Manager(UnixDatagram);

impl Manager {
    /// At a path.
    pub fn at(path: &Path) -> Manager {
        Manager(UnixDatagram::bind(path).expect("a datagram socket"))
    }

    /// At an abstract name.
    pub fn named(name: &str) -> Manager {
        let address = SocketAddr::from_abstract_name(name).expect("a short name");
        Manager(UnixDatagram::bind_addr(&address).expect("a datagram socket"))
    }

    /// The next message as its assignments.
    pub fn next(&self, within: Duration) -> Option<Vec<String>> {
        let mut buffer = [0; 4096];
        self.0.set_read_timeout(Some(within)).expect("not zero");
        match self.0.recv(&mut buffer) {
            Ok(read) => {
                let text = std::str::from_utf8(&buffer[..read]).expect("text");
                Some(text.lines().map(str::to_owned).collect())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// The next message, which must have this assignment.
    pub fn expect(&self, assignment: &str) -> Vec<String> {
        let message = self.next(DEADLINE);
        let message = message.unwrap_or_else(|| panic!("nothing instead of {assignment}"));
        assert!(message.iter().any(|one| one == assignment), "{message:?}");
        message
    }

    /// What has arrived and was not read.
    pub fn rest(&self) -> Vec<Vec<String>> {
        std::iter::from_fn(|| self.next(Duration::from_millis(1))).collect()
    }
}

/// The value of a variable in a message.
pub fn value<'a>(message: &'a [String], name: &str) -> &'a str {
    let found = message.iter().find_map(|one| one.strip_prefix(name));
    let found = found.and_then(|rest| rest.strip_prefix('='));
    found.unwrap_or_else(|| panic!("no {name} in {message:?}"))
}
