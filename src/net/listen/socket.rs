//! Listening sockets: their options, the rules for a unix socket's file, and errors that
//! name the address and what would fix it. Accepting is in `listen`.

use std::fmt;
use std::fs::{File, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use rustix::fs::{Access, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};

use crate::config::ListenAddress;

/// Connections that may wait to be accepted; the kernel's `somaxconn` caps it.
const BACKLOG: i32 = 4096;

/// Silence after which the kernel asks whether the peer is still there.
pub const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);

/// Time between two such questions.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// How long a peer may leave data or questions unacknowledged, or its receive window shut.
/// Linux cuts a peer that acknowledges everything but does not read for this long, too: so
/// it has to be longer than any deadline for slow readers.
pub const USER_TIMEOUT: Duration = Duration::from_secs(120);

/// Makes the kernel find a dead peer: after [`USER_TIMEOUT`] of silence at most. Four system
/// calls; sockets accepted from a [`Listener`](super::Listener) inherit the options, so this
/// is for connections that sluice opened and that live long.
pub fn keep_alive(socket: impl AsFd) -> io::Result<()> {
    let socket = socket.as_fd();
    sockopt::set_socket_keepalive(socket, true)?;
    sockopt::set_tcp_keepidle(socket, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(socket, KEEPALIVE_INTERVAL)?;
    // With a user timeout the kernel counts time instead of unanswered questions.
    sockopt::set_tcp_user_timeout(socket, USER_TIMEOUT.as_millis() as u32)?;
    Ok(())
}

/// How long a peer may leave data unacknowledged or unread; `None`: as long as the kernel tries.
pub fn user_timeout(socket: impl AsFd, limit: Option<Duration>) -> io::Result<()> {
    let millis = limit.map_or(0, |limit| {
        u32::try_from(limit.as_millis()).unwrap_or(u32::MAX)
    });
    // The kernel's number is signed.
    Ok(sockopt::set_tcp_user_timeout(
        socket,
        millis.min(i32::MAX as u32),
    )?)
}

pub(super) fn bind_tcp(address: std::net::SocketAddr) -> io::Result<OwnedFd> {
    let fd = bound_tcp(address)?;
    rustix::net::listen(&fd, BACKLOG)?;
    Ok(fd)
}

/// Whether [`bind_tcp`] would succeed.
pub(super) fn probe_tcp(address: std::net::SocketAddr) -> io::Result<()> {
    bound_tcp(address).map(drop)
}

fn bound_tcp(address: std::net::SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&fd, true)?;
    if address.is_ipv6() {
        // `[::]` takes IPv4 as well, whatever net.ipv6.bindv6only says.
        sockopt::set_ipv6_v6only(&fd, false)?;
    }
    sockopt::set_tcp_nodelay(&fd, true)?;
    keep_alive(&fd)?;
    rustix::net::bind(&fd, &address)?;
    Ok(fd)
}

/// The name in the abstract namespace that `@name` stands for; `None`: it is a path.
pub fn abstract_name(path: &Path) -> Option<&[u8]> {
    path.as_os_str().as_bytes().strip_prefix(b"@")
}

/// Connects to a unix socket, in the abstract namespace where its path begins with `@`.
pub fn connect_unix(path: &Path) -> io::Result<UnixStream> {
    match abstract_name(path) {
        Some(name) => UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?),
        None => UnixStream::connect(path),
    }
}

/// Whether [`bind_unix`] would succeed.
pub(super) fn probe_unix(path: &Path) -> io::Result<()> {
    if let Some(name) = abstract_name(path) {
        return bound_abstract(name).map(drop);
    }
    let name = SocketAddrUnix::new(path)?;
    is_stale(path, &name)?;
    rustix::fs::access(directory(path), Access::WRITE_OK | Access::EXEC_OK)?;
    Ok(())
}

/// The socket and its file; one in the abstract namespace has none, and no permission bits.
pub(super) fn bind_unix(path: &Path, mode: u32) -> io::Result<(OwnedFd, Option<SocketFile>)> {
    if let Some(name) = abstract_name(path) {
        let fd = bound_abstract(name)?;
        rustix::net::listen(&fd, BACKLOG)?;
        return Ok((fd, None));
    }
    let name = SocketAddrUnix::new(path)?;
    remove_stale(path, &name)?;
    let fd = unix_socket()?;
    // Linux creates the file with the socket's own mode less the umask: at no moment may
    // more users connect than `mode` says, and no path is followed to set it afterwards.
    rustix::fs::fchmod(&fd, Mode::from_raw_mode(mode))?;
    let before = rustix::process::umask(Mode::from_raw_mode(!mode & 0o777));
    let bound = rustix::net::bind(&fd, &name);
    rustix::process::umask(before);
    bound?;
    let file = SocketFile::at(path)?;
    rustix::net::listen(&fd, BACKLOG)?;
    Ok((fd, Some(file)))
}

/// It leaves nothing when it is closed.
fn bound_abstract(name: &[u8]) -> io::Result<OwnedFd> {
    let fd = unix_socket()?;
    rustix::net::bind(&fd, &SocketAddrUnix::new_abstract_name(name)?)?;
    Ok(fd)
}

fn unix_socket() -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

/// Removes the socket file that a killed process left, and nothing else.
fn remove_stale(path: &Path, name: &SocketAddrUnix) -> io::Result<()> {
    match is_stale(path, name)? {
        true => std::fs::remove_file(path),
        false => Ok(()),
    }
}

/// Whether there is a socket file that a killed process left; anything else there is an error.
fn is_stale(path: &Path, name: &SocketAddrUnix) -> io::Result<bool> {
    let found = match std::fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    if !found.file_type().is_socket() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let probe = unix_socket()?;
    match rustix::net::connect(&probe, name) {
        Err(Errno::CONNREFUSED) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        // Connected, a full backlog, or no permission to ask: something listens there.
        _ => Err(Errno::ADDRINUSE.into()),
    }
}

/// The file of a unix listener, removed by `Drop` if it is still the same one: after a
/// hand-over the path belongs to the next process.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
    /// It is not ours to remove.
    left: AtomicBool,
}

impl SocketFile {
    pub(super) fn at(path: &Path) -> io::Result<SocketFile> {
        let found = std::fs::symlink_metadata(path)?;
        Ok(SocketFile {
            path: path.to_owned(),
            device: found.dev(),
            inode: found.ino(),
            left: AtomicBool::new(false),
        })
    }

    pub(super) fn leave(&self) {
        self.left.store(true, Relaxed);
    }

    pub(super) fn take(&self) {
        self.left.store(false, Relaxed);
    }

    pub(super) fn is_left(&self) -> bool {
        self.left.load(Relaxed)
    }

    /// Gives the file these permission bits, if it is still the same one: through a
    /// descriptor, so that a link in its place changes no other file's.
    pub(super) fn set_mode(&self, mode: u32) -> io::Result<()> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = match rustix::fs::open(&self.path, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(()),
            file => File::from(file?),
        };
        let found = file.metadata()?;
        if (found.dev(), found.ino()) != (self.device, self.inode) {
            return Ok(());
        }
        if found.mode() & 0o7777 == mode {
            return Ok(());
        }
        // fchmod(2) takes no descriptor of a path; its link below /proc does.
        let link = format!("/proc/self/fd/{}", file.as_raw_fd());
        std::fs::set_permissions(link, Permissions::from_mode(mode))
    }

    fn is_there(&self) -> bool {
        std::fs::symlink_metadata(&self.path)
            .is_ok_and(|found| (found.dev(), found.ino()) == (self.device, self.inode))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if !self.is_left() && self.is_there() {
            // A failure can be ignored: the next start finds the file stale.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// A listener that could not be bound: the address, what the system said, and what to do.
#[derive(Debug)]
pub struct BindError {
    address: ListenAddress,
    source: io::Error,
}

impl BindError {
    pub(super) fn new(address: &ListenAddress, source: io::Error) -> BindError {
        BindError {
            address: address.clone(),
            source,
        }
    }

    /// What the system said.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }

    fn hint(&self) -> Option<String> {
        use io::ErrorKind::{
            AddrInUse, AddrNotAvailable, AlreadyExists, NotFound, PermissionDenied,
        };
        Some(match (&self.address, self.source.kind()) {
            (ListenAddress::Tcp(address), AddrInUse) => {
                let port = address.port();
                format!(
                    "another process (`ss -ltnp 'sport = :{port}'` shows which) or another \
                     `listen` of this file has it; `[::]` takes IPv4 too"
                )
            }
            (ListenAddress::Tcp(address), PermissionDenied) if address.port() < 1024 => format!(
                "ports below 1024 need root or CAP_NET_BIND_SERVICE; choose a higher one (or \
                 set the sysctl net.ipv4.ip_unprivileged_port_start={})",
                address.port()
            ),
            (ListenAddress::Tcp(address), AddrNotAvailable) => format!(
                "no interface of this machine has {}; `ip addr` lists them, 0.0.0.0 and [::] \
                 stand for all",
                address.ip()
            ),
            (ListenAddress::Unix { .. }, AddrInUse) => {
                "another process listens on this socket".to_owned()
            }
            (ListenAddress::Unix { path, .. }, AlreadyExists) => format!(
                "{} exists and is not a socket, so it is left alone; remove it or choose \
                 another path",
                path.display()
            ),
            (ListenAddress::Unix { path, .. }, NotFound) => {
                format!("create the directory {} first", directory(path).display())
            }
            (ListenAddress::Unix { path, .. }, PermissionDenied) => format!(
                "this user must be able to write the directory {}",
                directory(path).display()
            ),
            (ListenAddress::Unix { .. }, _)
                if self.source.raw_os_error() == Some(Errno::NAMETOOLONG.raw_os_error()) =>
            {
                "a socket's path has at most 107 bytes".to_owned()
            }
            _ => return None,
        })
    }
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            ListenAddress::Tcp(address) => write!(f, "cannot listen on {address}: ")?,
            ListenAddress::Unix { path, .. } => {
                write!(f, "cannot listen on unix:{}: ", path.display())?;
            }
        }
        match self.source.kind() {
            io::ErrorKind::AddrInUse => f.write_str("address already in use")?,
            io::ErrorKind::PermissionDenied => f.write_str("permission denied")?,
            io::ErrorKind::AddrNotAvailable => f.write_str("no such address here")?,
            io::ErrorKind::AlreadyExists => f.write_str("file exists")?,
            io::ErrorKind::NotFound => f.write_str("no such directory")?,
            _ => self.source.fmt(f)?,
        }
        match self.hint() {
            Some(hint) => write!(f, ": {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}
