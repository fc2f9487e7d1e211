//! The file with our process id: whole at every moment, and left alone once it has another
//! process's id.

use std::ffi::OsString;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::system::files;

/// How long the file system may take while the process serves, or ends.
const PATIENCE: Duration = Duration::from_secs(2);

/// A file with our process id. Dropping it removes the file, unless another process has
/// put its own id there.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    /// Beside `path`, until [`PidFile::publish`].
    temporary: Option<PathBuf>,
}

impl PidFile {
    /// Writes the id to a temporary file beside `path`, so that what is wrong with the path
    /// is known before anything begins.
    ///
    /// # Errors
    /// When the directory cannot be written, or what is at `path` is no PID file.
    pub fn prepare(path: &Path) -> Result<PidFile, PidFileError> {
        check(path).map_err(|error| PidFileError::new(path, error))?;
        let temporary = temporary(path)
            .ok_or_else(|| PidFileError::new(path, io::ErrorKind::InvalidFilename.into()))?;
        write(&temporary).map_err(|error| PidFileError::new(path, error))?;
        Ok(PidFile {
            path: path.to_owned(),
            temporary: Some(temporary),
        })
    }

    /// Puts the file in its place, over that of the process that ran before.
    ///
    /// # Errors
    /// When that has become impossible.
    pub fn publish(&mut self) -> Result<(), PidFileError> {
        if let Some(temporary) = self.temporary.clone() {
            let path = self.path.clone();
            let rename = move || check(&path).and_then(|()| std::fs::rename(temporary, path));
            files::within(PATIENCE, rename)
                .and_then(|renamed| renamed)
                .map_err(|error| PidFileError::new(&self.path, error))?;
            self.temporary = None;
        }
        Ok(())
    }
}

/// Puts our id back where another process has put its own, which has failed since. Who
/// removes the file at the end does not change.
///
/// # Errors
/// When the file cannot be written.
pub fn reclaim(path: &Path) -> Result<(), PidFileError> {
    if is_ours(path) {
        return Ok(());
    }
    let mut file = PidFile::prepare(path)?;
    let reclaimed = file.publish();
    // What is in its place is not to be removed by this drop.
    file.path.clear();
    reclaimed
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let (path, temporary) = (std::mem::take(&mut self.path), self.temporary.take());
        // Nothing to do about failures: a file that stays names a process that is gone. Nor is
        // the end of the process to wait for a file system that hangs.
        let _ = files::within(PATIENCE, move || match temporary {
            Some(temporary) => drop(std::fs::remove_file(temporary)),
            None if is_ours(&path) => drop(std::fs::remove_file(path)),
            None => {}
        });
    }
}

/// Whether a PID file can take this place: there is nothing, or what a process left that ran
/// before.
///
/// # Errors
/// What is there instead.
pub fn check(path: &Path) -> io::Result<()> {
    let refuse = |is: &str| {
        let message = format!("{is}, and sluice replaces nothing but a PID file");
        Err(io::Error::new(io::ErrorKind::InvalidInput, message))
    };
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(found) if found.is_symlink() => refuse("it is a symbolic link"),
        Ok(found) if !found.is_file() => refuse("it is a special file"),
        Ok(found) if found.len() > MOST_DIGITS => refuse("it holds something else"),
        Ok(_) => {
            let held = files::read(path, MOST_DIGITS)?;
            match held.trim_ascii().iter().all(u8::is_ascii_digit) {
                true => Ok(()),
                false => refuse("it holds something else"),
            }
        }
    }
}

/// More bytes than any process id takes, whatever is around it.
const MOST_DIGITS: u64 = 32;

fn is_ours(path: &Path) -> bool {
    files::read(path, 64).is_ok_and(|found| found == content().into_bytes())
}

fn content() -> String {
    format!("{}\n", std::process::id())
}

fn temporary(path: &Path) -> Option<PathBuf> {
    let mut name = OsString::from(".");
    name.push(path.file_name()?);
    name.push(format!(".{}", std::process::id()));
    Some(path.with_file_name(name))
}

fn write(path: &Path) -> io::Result<()> {
    // With our process id in its name it can only be what a process that is gone has left.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file: File = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(path)?;
    file.write_all(content().as_bytes()).inspect_err(|_| {
        let _ = std::fs::remove_file(path);
    })
}

/// A PID file that cannot be written.
#[derive(Debug)]
pub struct PidFileError {
    path: PathBuf,
    source: io::Error,
}

impl PidFileError {
    fn new(path: &Path, source: io::Error) -> PidFileError {
        PidFileError {
            path: path.to_owned(),
            source,
        }
    }
}

impl fmt::Display for PidFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        write!(f, "cannot write pid_file {path}: {}", self.source)?;
        f.write_str(match self.source.kind() {
            io::ErrorKind::NotFound => ": create its directory first",
            io::ErrorKind::PermissionDenied => ": this user must be able to write its directory",
            io::ErrorKind::IsADirectory => ": name a file in it",
            _ => "",
        })
    }
}

impl std::error::Error for PidFileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<OsString> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    }

    #[test]
    fn it_appears_when_published_and_goes_when_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sluice.pid");
        std::fs::write(&path, "1\n").unwrap();
        let mut file = PidFile::prepare(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "1\n");
        file.publish().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), content());
        assert_eq!(names(folder.path()), ["sluice.pid"]);
        drop(file);
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn one_that_was_never_published_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sluice.pid");
        std::fs::write(&path, content()).unwrap();
        drop(PidFile::prepare(&path).unwrap());
        assert_eq!(names(folder.path()), ["sluice.pid"]);
    }

    #[test]
    fn errors_name_the_path() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().to_owned(), folder.path().join("none/x.pid")] {
            let error = PidFile::prepare(&path).unwrap_err().to_string();
            assert!(error.contains(path.to_str().unwrap()), "{error}");
        }
    }
}
