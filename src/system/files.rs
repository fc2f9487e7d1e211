//! Files that a configuration names, so that none of them can stop the process: opening never
//! waits, only kinds of files that can be read (or appended to) are taken, what is read is
//! bounded, and a serving process does all of it on a thread of its own, which it waits for
//! only for so long.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc;
use std::time::Duration;

use rustix::fs::OFlags;

/// How long a file system may take before it counts as hanging.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Threads that may wait for a hanging file system at once.
const HANGING: usize = 8;

/// An open that does not wait for the other end of a FIFO or for a terminal's line.
const WITHOUT_WAITING: i32 = (OFlags::NONBLOCK.bits() | OFlags::NOCTTY.bits()) as i32;

/// The content of a regular file of at most `limit` bytes.
///
/// # Errors
/// When it cannot be read, is no regular file, or is larger.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    read_bounded(open_to_read(path, false)?, limit)
}

/// As [`read`]; what the caller of a command has opened for it (`/dev/stdin`, or the
/// `/dev/fd/63` of a shell's `<(…)`) may be a pipe, and is waited for.
///
/// # Errors
/// As [`read`].
pub fn read_given(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let is_given = ["/dev/stdin", "/dev/fd", "/proc/self/fd"]
        .iter()
        .any(|given| path.starts_with(given));
    read_bounded(open_to_read(path, is_given)?, limit)
}

fn open_to_read(path: &Path, pipes: bool) -> io::Result<File> {
    let open = OpenOptions::new()
        .read(true)
        .custom_flags(WITHOUT_WAITING)
        .open(path);
    let file = open.map_err(|error| named(error, path))?;
    let kind = file.metadata()?.file_type();
    if pipes && kind.is_fifo() {
        // A description of our own: the process that gave the pipe is not disturbed.
        rustix::fs::fcntl_setfl(&file, OFlags::empty())?;
    } else if !kind.is_file() {
        return Err(wrong_kind(kind, "a regular file"));
    }
    Ok(file)
}

/// All of it, whatever its length is said to be: that of a file in /proc is 0, others grow.
///
/// # Errors
/// When it cannot be read, or is larger than `limit` bytes.
pub fn read_bounded(from: impl io::Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        let message = format!("it is larger than {}", size(limit));
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

/// Opens a file to append to, and makes it where it is missing. A FIFO is taken too, with or
/// without a reader, and a character device; writing to them never waits.
///
/// # Errors
/// When it cannot be opened, or nothing can be appended to it.
pub fn append(path: &Path) -> io::Result<File> {
    appending(path, true)
}

/// As [`append`], to a file that is there already.
///
/// # Errors
/// As [`append`], and when there is none.
pub fn append_to_what_is(path: &Path) -> io::Result<File> {
    appending(path, false)
}

fn appending(path: &Path, create: bool) -> io::Result<File> {
    let open = OpenOptions::new()
        .append(true)
        .create(create)
        .custom_flags(WITHOUT_WAITING)
        .open(path);
    let file = match open {
        // fifo(7): without a reader it opens only for both; its reader may come later.
        Err(error) if error.raw_os_error() == Some(NO_READER) => OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(WITHOUT_WAITING)
            .open(path),
        other => other,
    };
    let file = file.map_err(|error| named(error, path))?;
    let kind = file.metadata()?.file_type();
    if kind.is_file() || kind.is_fifo() || kind.is_char_device() {
        Ok(file)
    } else {
        Err(wrong_kind(
            kind,
            "a regular file, a FIFO or a character device",
        ))
    }
}

const NO_READER: i32 = rustix::io::Errno::NXIO.raw_os_error();

/// Says what it is where the system's words would not.
fn named(error: io::Error, path: &Path) -> io::Error {
    match std::fs::metadata(path) {
        Ok(found) if found.file_type().is_socket() || found.is_dir() => {
            wrong_kind(found.file_type(), "a regular file")
        }
        _ => error,
    }
}

fn wrong_kind(kind: std::fs::FileType, wanted: &str) -> io::Error {
    let is = match () {
        () if kind.is_dir() => "a directory",
        () if kind.is_fifo() => "a FIFO",
        () if kind.is_socket() => "a socket",
        () if kind.is_char_device() => "a character device",
        () if kind.is_block_device() => "a block device",
        () => "a special file",
    };
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("it is {is}, not {wanted}"),
    )
}

fn size(bytes: u64) -> String {
    match bytes {
        _ if bytes >= 1 << 20 => format!("{} MiB", bytes >> 20),
        _ => format!("{} KiB", bytes >> 10),
    }
}

/// Does `work` on a thread of its own while the caller's thread goes on.
///
/// # Errors
/// When it takes longer than [`PATIENCE`], or too many others hang already; what it does later
/// is thrown away.
pub async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let (done, result) = tokio::sync::oneshot::channel();
    start(move || drop(done.send(work())))?;
    match tokio::time::timeout(PATIENCE, result).await {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(_)) => Err(io::Error::other("the thread for files has failed")),
        Err(_) => Err(hangs(PATIENCE)),
    }
}

/// As [`apart`] where nothing else is to go on; waits at most `limit`.
///
/// # Errors
/// As [`apart`].
pub fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (done, result) = mpsc::sync_channel(1);
    start(move || drop(done.send(work())))?;
    match result.recv_timeout(limit) {
        Ok(result) => Ok(result),
        Err(mpsc::RecvTimeoutError::Timeout) => Err(hangs(limit)),
        Err(_) => Err(io::Error::other("the thread for files has failed")),
    }
}

fn start(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    static AT_WORK: std::sync::LazyLock<Arc<AtomicUsize>> = std::sync::LazyLock::new(Arc::default);
    struct Place(Arc<AtomicUsize>);
    impl Drop for Place {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Relaxed);
        }
    }
    if AT_WORK.fetch_add(1, Relaxed) >= HANGING {
        AT_WORK.fetch_sub(1, Relaxed);
        return Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the file system hangs: earlier attempts have not come back yet",
        ));
    }
    let place = Place(AT_WORK.clone());
    std::thread::Builder::new()
        .name("files".into())
        .spawn(move || {
            let _place = place;
            work();
        })?;
    Ok(())
}

fn hangs(limit: Duration) -> io::Error {
    let message = format!(
        "the file system has not answered within {} s",
        limit.as_secs()
    );
    io::Error::new(io::ErrorKind::TimedOut, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn fifo(folder: &Path) -> std::path::PathBuf {
        let path = folder.join("fifo");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        path
    }

    #[test]
    fn only_regular_files_are_read_and_only_so_much() {
        let folder = tempfile::tempdir().unwrap();
        let error = |path: &Path| read(path, 1024).unwrap_err().to_string();
        assert_eq!(
            error(&fifo(folder.path())),
            "it is a FIFO, not a regular file"
        );
        assert_eq!(
            error(folder.path()),
            "it is a directory, not a regular file"
        );
        let zero = folder.path().join("zero");
        symlink("/dev/zero", &zero).unwrap();
        assert_eq!(error(&zero), "it is a character device, not a regular file");
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert_eq!(error(&socket), "it is a socket, not a regular file");
        let large = folder.path().join("large");
        std::fs::write(&large, [0; 1025]).unwrap();
        assert_eq!(error(&large), "it is larger than 1 KiB");
        assert_eq!(read(&large, 1025).unwrap().len(), 1025);
        // Its length is said to be 0.
        assert!(
            !read(Path::new("/proc/self/status"), 1 << 20)
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn a_fifo_without_a_reader_is_appended_to() {
        use std::io::Write;
        let folder = tempfile::tempdir().unwrap();
        let path = fifo(folder.path());
        let mut log = append(&path).unwrap();
        log.write_all(b"early\n").unwrap();
        let mut reader = open_to_read(Path::new("/dev/null"), false).err();
        assert!(reader.take().is_some(), "a device is not read");
        let mut told = [0; 6];
        let mut reader = OpenOptions::new().read(true).open(&path).unwrap();
        reader.read_exact(&mut told).unwrap();
        assert_eq!(&told, b"early\n");
        assert!(append(folder.path()).is_err());
    }

    #[test]
    fn what_hangs_is_given_up() {
        let (_hold, wait) = mpsc::channel::<()>();
        let error = within(Duration::from_millis(1), move || wait.recv()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(within(PATIENCE, || 7).unwrap(), 7);
    }
}
