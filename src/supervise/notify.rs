//! Tells the service manager how we are, by datagrams to `NOTIFY_SOCKET` as in sd_notify(3).
//! Rare, from the control thread only; a manager that cannot be reached is logged and
//! changes nothing else.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::vocabulary::visible::is_hidden;

/// How long a manager with a full queue is waited for: the control thread does nothing else
/// meanwhile.
const PATIENCE: Duration = Duration::from_secs(1);

/// Another process is the service now; what we would say is no longer about it.
static REPLACED: AtomicBool = AtomicBool::new(false);

/// Clients are served.
pub fn ready(status: &str) {
    send(&format!("READY=1\nSTATUS={}", line(status)));
}

/// A reload begins; [`ready`] ends it, however it went.
pub fn reloading() {
    let now = clock_gettime(ClockId::Monotonic);
    let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
    send(&format!(
        "RELOADING=1\nMONOTONIC_USEC={micros}\nSTATUS=Reloading"
    ));
}

/// The end has begun, and takes `within` at most: longer than the manager's own time-out if
/// need be.
pub fn stopping(status: &str, within: Duration) {
    send(&format!(
        "STOPPING=1\nEXTEND_TIMEOUT_USEC={}\nSTATUS={}",
        within.as_micros(),
        line(status)
    ));
}

/// Another process has taken over and is the service's main process from now on: this one
/// has nothing to tell any more. Its watchdog starts anew.
pub fn main_pid(pid: u32) {
    send(&format!("MAINPID={pid}\nWATCHDOG=1"));
    REPLACED.store(true, Relaxed);
}

pub(super) fn watchdog() {
    send("WATCHDOG=1");
}

/// Whether there is a manager that wants to hear.
pub(super) fn is_wanted() -> bool {
    destination().is_some()
}

fn destination() -> Option<std::ffi::OsString> {
    std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty())
}

fn send(message: &str) {
    if REPLACED.load(Relaxed) {
        return;
    }
    let Some(name) = destination() else { return };
    if let Err(error) = send_to(&name, message) {
        tracing::warn!(%error, socket = %name.display(), message, "the service manager cannot be told");
    }
}

fn send_to(name: &OsStr, message: &str) -> io::Result<()> {
    let address = address(name)?;
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.send_to_addr(message.as_bytes(), &address)?;
    Ok(())
}

fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        [b'/', ..] => SocketAddr::from_pathname(name),
        _ => {
            let message = "NOTIFY_SOCKET is neither a path nor the name of an abstract socket";
            Err(io::Error::new(io::ErrorKind::Unsupported, message))
        }
    }
}

/// A status is one line: the next one would be read as an assignment.
fn line(status: &str) -> Cow<'_, str> {
    if status.contains(is_hidden) {
        Cow::Owned(status.replace(is_hidden, " "))
    } else {
        Cow::Borrowed(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_adds_no_assignments() {
        assert_eq!(line("all is well"), "all is well");
        assert_eq!(line("bad\nMAINPID=1\r\0"), "bad MAINPID=1  ");
    }

    #[test]
    fn sockets_have_paths_or_abstract_names() {
        let path = address(OsStr::new("/run/notify")).unwrap();
        assert_eq!(path.as_pathname(), Some("/run/notify".as_ref()));
        let name = address(OsStr::new("@notify/1")).unwrap();
        assert_eq!(name.as_abstract_name(), Some(&b"notify/1"[..]));
        for wrong in ["notify", "vsock:2:1234"] {
            assert!(address(OsStr::new(wrong)).is_err(), "{wrong}");
        }
    }
}
