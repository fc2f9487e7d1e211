//! Sockets that the service manager opened before it started us, as in sd_listen_fds(3), so
//! that no client is refused while sluice is not there. Each belongs to the `[[listen]]` with
//! its address; one that has no listener is an error, for clients would wait in it for ever.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use listenfd::ListenFd;
use rustix::net::sockopt;

use crate::config::ListenAddress;
use crate::net::listen::{Listener, socket};

/// The protocol's first descriptor.
const FIRST: usize = 3;

/// More than any service manager passes; a larger number is no count.
const MOST: usize = 4096;

/// The inherited sockets that were not taken yet.
#[derive(Debug, Default)]
pub struct Inherited(Vec<Socket>);

#[derive(Debug)]
struct Socket {
    label: Label,
    fd: OwnedFd,
    bound: Bound,
}

/// Where a socket is bound.
#[derive(Debug)]
enum Bound {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// What identifies a socket to the author of the unit.
#[derive(Debug, Clone)]
struct Label {
    number: usize,
    name: Option<String>,
}

impl Inherited {
    /// Takes them from the environment. To be called once, before another thread or
    /// descriptor exists: it removes variables, and descriptors are told by their numbers.
    ///
    /// # Errors
    /// When one of them cannot be accepted from.
    pub fn take_all() -> Result<Inherited, ActivationError> {
        let variable = |name| std::env::var(name).ok();
        let pid = variable("LISTEN_PID").and_then(|pid| pid.parse().ok());
        if pid != Some(std::process::id()) {
            return Ok(Inherited::default());
        }
        let count = variable("LISTEN_FDS").unwrap_or_default();
        match count.parse::<usize>() {
            Ok(0..=MOST) => {}
            _ => return Err(ActivationError(Reason::Count(count))),
        }
        let names = variable("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut given = ListenFd::from_env();
        (0..given.len())
            .map(|index| {
                let name = names.next().filter(|name| !name.is_empty());
                let label = Label {
                    number: FIRST + index,
                    name: name.map(str::to_owned),
                };
                Socket::take(&mut given, index, label)
            })
            .collect::<Result<_, _>>()
            .map(Inherited)
    }

    /// The listener for this address, if it was inherited.
    ///
    /// # Errors
    /// When its options cannot be set.
    pub fn take(&mut self, address: &ListenAddress) -> Result<Option<Listener>, ActivationError> {
        let found = self.0.iter().position(|one| one.bound.is(address));
        let Some(found) = found.map(|at| self.0.swap_remove(at)) else {
            return Ok(None);
        };
        let label = found.label.clone();
        let listener = found.into_listener(address);
        listener
            .map(Some)
            .map_err(|error| ActivationError(Reason::Options(label, error)))
    }

    /// Says which sockets are left, none of which has an address among the `wanted`.
    ///
    /// # Errors
    /// When there is one.
    pub fn finish<'a>(
        self,
        wanted: impl IntoIterator<Item = &'a ListenAddress>,
    ) -> Result<(), ActivationError> {
        match self.0.into_iter().min_by_key(|one| one.label.number) {
            None => Ok(()),
            Some(Socket { label, bound, .. }) => Err(ActivationError(Reason::Unwanted {
                label,
                bound,
                wanted: wanted.into_iter().map(ToString::to_string).collect(),
            })),
        }
    }
}

impl Socket {
    fn take(given: &mut ListenFd, index: usize, label: Label) -> Result<Socket, ActivationError> {
        let (fd, bound) = match tcp(given, index).or_else(|| unix(given, index)) {
            Some(Ok(found)) => found,
            Some(Err(wrong)) => return Err(unusable(label, wrong)),
            None => {
                // Both are taken by their type, not by whether they are bound.
                let datagram = matches!(given.take_udp_socket(index), Ok(Some(_)))
                    || matches!(given.take_unix_datagram(index), Ok(Some(_)));
                let wrong = if datagram {
                    Wrong::Datagram
                } else {
                    Wrong::OtherType
                };
                return Err(unusable(label, wrong));
            }
        };
        if !sockopt::socket_acceptconn(&fd).unwrap_or(false) {
            return Err(unusable(label, Wrong::Silent));
        }
        Ok(Socket { label, fd, bound })
    }

    fn into_listener(self, address: &ListenAddress) -> io::Result<Listener> {
        if let Bound::Tcp(_) = self.bound {
            sockopt::set_tcp_nodelay(&self.fd, true)?;
            socket::keep_alive(&self.fd)?;
        }
        // The manager owns the file of a unix socket: it listens on after our end.
        Listener::adopt(self.fd, address, false).map(Listener::of_manager)
    }
}

type Found = Result<(OwnedFd, Bound), Wrong>;

fn tcp(given: &mut ListenFd, index: usize) -> Option<Found> {
    let socket: TcpListener = given.take_tcp_listener(index).ok()??;
    let bound = socket.local_addr().map(Bound::Tcp);
    Some(bound.map_or(Err(Wrong::OtherType), |bound| Ok((socket.into(), bound))))
}

fn unix(given: &mut ListenFd, index: usize) -> Option<Found> {
    let socket: UnixListener = given.take_unix_listener(index).ok()??;
    let address = socket.local_addr().ok();
    let path = address.and_then(|address| match address.as_abstract_name() {
        Some(name) => Some(OsString::from_vec([b"@", name].concat()).into()),
        None => address.as_pathname().map(Path::to_owned),
    });
    Some(path.map_or(Err(Wrong::NoPath), |path| {
        Ok((socket.into(), Bound::Unix(path)))
    }))
}

impl Bound {
    fn is(&self, address: &ListenAddress) -> bool {
        match (self, address) {
            (Bound::Tcp(bound), ListenAddress::Tcp(wanted)) => bound == wanted,
            (Bound::Unix(bound), ListenAddress::Unix { path, .. }) => is_same(bound, path),
            _ => false,
        }
    }
}

/// Whether two paths lead to the same socket file, such as below `/var/run` and `/run`.
fn is_same(one: &Path, other: &Path) -> bool {
    if one == other {
        return true;
    }
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

/// Why a socket cannot be accepted from.
#[derive(Debug, Clone, Copy)]
enum Wrong {
    Datagram,
    /// Neither TCP nor a unix stream, or no socket at all.
    OtherType,
    /// A unix socket that is unnamed.
    NoPath,
    /// It does not listen; a connection, for instance.
    Silent,
}

/// An inherited socket that cannot be used. Its text names the socket and what would be
/// right.
#[derive(Debug)]
pub struct ActivationError(Reason);

#[derive(Debug)]
enum Reason {
    /// `LISTEN_FDS` does not say how many there are.
    Count(String),
    Unusable(Label, Wrong),
    /// No listener of the configuration, whose addresses are `wanted`, has its address.
    Unwanted {
        label: Label,
        bound: Bound,
        wanted: Vec<String>,
    },
    Options(Label, io::Error),
}

fn unusable(label: Label, wrong: Wrong) -> ActivationError {
    ActivationError(Reason::Unusable(label, wrong))
}

impl fmt::Display for ActivationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Reason::Count(count) => {
                write!(f, "LISTEN_FDS={count:?} is not a number of sockets")
            }
            Reason::Unusable(label, wrong) => {
                write!(f, "{label} cannot be used: it ")?;
                f.write_str(match wrong {
                    Wrong::Datagram => {
                        "is for datagrams: write ListenStream= instead of ListenDatagram= in the \
                         .socket unit"
                    }
                    Wrong::OtherType => {
                        "is neither a TCP nor a unix stream socket: ListenStream= in the .socket \
                         unit makes these"
                    }
                    Wrong::NoPath => {
                        "is a unix socket without a name, and `[[listen]]` knows them by name: \
                         write ListenStream=/path or ListenStream=@name in the .socket unit"
                    }
                    Wrong::Silent => {
                        "does not listen: a .socket unit must not have Accept=yes, which passes \
                         single connections"
                    }
                })
            }
            Reason::Unwanted {
                label,
                bound,
                wanted,
            } => {
                write!(
                    f,
                    "{label} is bound to {bound}, and no `[[listen]]` has this address (they \
                     have: {}): write `address = \"{bound}\"` in one, or remove this \
                     ListenStream= from the .socket unit",
                    wanted.join(", ")
                )
            }
            Reason::Options(label, error) => write!(f, "{label} cannot be used: {error}"),
        }
    }
}

impl std::error::Error for ActivationError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            Reason::Options(_, error) => Some(error),
            _ => None,
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the inherited socket {}", self.number)?;
        match &self.name {
            Some(name) => write!(f, " ({name})"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Bound {
    /// As `[[listen]] address` spells it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bound::Tcp(address) => address.fmt(f),
            Bound::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
