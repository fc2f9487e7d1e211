//! Starting the next process: which binary, with which arguments, and one end of a socket
//! pair as its standard input. `daemon` waits for its messages.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::ENVIRONMENT;
use super::channel::Channel;
use crate::supervise;

/// How long a process that has ended the stream may take to be gone.
const EXIT: Duration = Duration::from_secs(2);

/// How this process was started, so that the next one is started alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    binary: PathBuf,
    arguments: Vec<OsString>,
}

impl Launch {
    /// For this process; to be called at its start, before the binary can be replaced.
    ///
    /// # Errors
    /// When the system does not say which binary this is.
    pub fn capture() -> io::Result<Launch> {
        let mut arguments = std::env::args_os();
        let name = arguments.next().unwrap_or_default();
        let name = Path::new(&name);
        let binary = match std::env::current_exe() {
            Ok(exe) => path_of(name, undeleted(exe)),
            // Without /proc the name has to do.
            Err(error) => by_name(name).ok_or(error)?,
        };
        Ok(Launch {
            binary,
            arguments: arguments.collect(),
        })
    }

    /// Starts `binary`, or else the path that this process came from, where a new version
    /// may be by now; with `config` in the place of this process's arguments. Waits for the file
    /// system that the binary is on.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, binary: Option<&Path>, config: Option<&Path>) -> io::Result<Started> {
        let binary = binary.unwrap_or(&self.binary);
        let (ours, theirs) = UnixStream::pair()?;
        let mut command = Command::new(binary);
        match config {
            Some(config) => command.arg("run").arg("--config").arg(config),
            None => command.args(&self.arguments),
        };
        supervise::succeed(&mut command);
        command
            .env(ENVIRONMENT, "1")
            .stdin(Stdio::from(OwnedFd::from(theirs)));
        let child = command.spawn().map_err(|error| {
            let binary = binary.display();
            io::Error::new(error.kind(), format!("cannot start {binary}: {error}"))
        })?;
        // The command still holds the child's end: without it the stream ends with the child.
        drop(command);
        Ok(Started {
            process: NextProcess(Some(child)),
            socket: ours,
        })
    }
}

/// The next process before this one's runtime knows of it.
#[derive(Debug)]
pub struct Started {
    process: NextProcess,
    socket: UnixStream,
}

impl Started {
    /// Takes it into the runtime that this is called in.
    ///
    /// # Errors
    /// When the socket cannot be registered; the process is killed.
    pub fn successor(self) -> io::Result<Successor> {
        Ok(Successor {
            channel: Channel::new(self.socket.into())?,
            process: self.process,
        })
    }
}

/// The name that this process was started by, where that is the binary at `exe`: a link's
/// name leads to the next version when the link has been changed.
fn path_of(name: &Path, exe: PathBuf) -> PathBuf {
    let same = |path: &PathBuf| path.canonicalize().is_ok_and(|real| real == exe);
    by_name(name).filter(same).unwrap_or(exe)
}

/// The file that a shell would start by this name.
fn by_name(name: &Path) -> Option<PathBuf> {
    if name.as_os_str().as_bytes().contains(&b'/') {
        return std::path::absolute(name).ok();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_absolute() && file.is_file())
}

/// proc(5): the link of a process whose binary was unlinked says so after its path.
fn undeleted(exe: PathBuf) -> PathBuf {
    match exe.as_os_str().as_bytes().strip_suffix(b" (deleted)") {
        Some(path) => OsString::from_vec(path.to_vec()).into(),
        None => exe,
    }
}

/// The next process, and the connection to it.
#[derive(Debug)]
pub struct Successor {
    /// The process.
    pub process: NextProcess,
    /// The connection to it.
    pub channel: Channel,
}

/// A child that is killed when this is dropped, unless it was let go.
#[derive(Debug)]
pub struct NextProcess(Option<Child>);

impl NextProcess {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.0.as_ref().map_or(0, Child::id)
    }

    /// How it ended, if it has.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.0.as_mut()?.try_wait().ok().flatten()
    }

    /// How it ended, after it has ended the stream; `None`: it still runs.
    pub async fn wait(&mut self) -> Option<ExitStatus> {
        let give_up = tokio::time::Instant::now() + EXIT;
        loop {
            let ended = self.has_ended();
            if ended.is_some() || tokio::time::Instant::now() >= give_up {
                return ended;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// It is not killed any more.
    pub fn let_go(&mut self) {
        self.0 = None;
    }

    /// Ends it at once, and with it every copy of a descriptor that it was sent.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            // It is gone in a moment; there is no need to wait.
            let reap = std::thread::Builder::new().spawn(move || child.wait());
            if let Err(error) = reap {
                tracing::debug!(%error, "the new process stays a zombie");
            }
        }
    }
}

impl Drop for NextProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_kept_and_a_foreign_name_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path().canonicalize().expect("it exists");
        let (exe, other, link) = (folder.join("v1"), folder.join("v2"), folder.join("sluice"));
        std::fs::write(&exe, "").expect("a file");
        std::fs::write(&other, "").expect("a file");
        std::os::unix::fs::symlink(&exe, &link).expect("a link");
        assert_eq!(path_of(&link, exe.clone()), link);
        assert_eq!(path_of(&other, exe.clone()), exe);
        assert_eq!(path_of(Path::new("no-such-program"), exe.clone()), exe);
        assert_eq!(path_of(Path::new(""), exe.clone()), exe);
    }

    #[test]
    fn an_unlinked_binary_is_looked_for_where_it_was() {
        let path = |text: &str| undeleted(PathBuf::from(text));
        assert_eq!(
            path("/usr/bin/sluice (deleted)"),
            Path::new("/usr/bin/sluice")
        );
        assert_eq!(path("/usr/bin/sluice"), Path::new("/usr/bin/sluice"));
    }
}
