//! The service manager's side: sockets that it opened for us (`sockets`), what it is told
//! (`notify`), its watchdog (`watchdog`), and the file with our process id (`pid_file`). The
//! protocols are systemd's; without their environment variables nothing happens here.
//!
//! What is told when is decided in `server` and `lifecycle`.

pub mod notify;
pub mod own_files;
pub mod pid_file;
pub mod sockets;
pub mod watchdog;

use std::process::Command;

pub use self::notify::main_pid;

/// Sets up the environment of the process that replaces this one. It talks to the same
/// manager and feeds the same watchdog, though under another process id; the inherited
/// sockets reach it in another way, if at all.
pub fn succeed(command: &mut Command) {
    for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID"] {
        command.env_remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_successor_has_the_manager_but_not_our_sockets() {
        let mut command = Command::new("sluice");
        succeed(&mut command);
        let changed: Vec<_> = command.get_envs().collect();
        for gone in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID"] {
            assert!(changed.contains(&(gone.as_ref(), None)), "{gone}");
        }
        for kept in ["NOTIFY_SOCKET", "WATCHDOG_USEC"] {
            assert!(changed.iter().all(|(name, _)| *name != kept), "{kept}");
        }
    }
}
