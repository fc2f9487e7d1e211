//! Listening: bind an address, accept connections, outlast a shortage of descriptors. An
//! accepted socket belongs to no runtime yet, so that it can be handed to any worker.
//!
//! Which worker gets it, and how many connections are allowed, is decided elsewhere.

pub mod socket;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{SocketAddrAny, SocketFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::{TcpStream, UnixStream};

use crate::config::{self, ListenAddress, Scheme};
use crate::metrics::{self, AcceptError};
use crate::net::io::{Io, Socket};
use crate::net::tls::Server;
use crate::system::descriptors;

pub use socket::{BindError, abstract_name, connect_unix};

/// What clients of a listener see of it.
#[derive(Debug, Clone)]
pub struct ListenerInfo {
    /// The scheme of the public URL.
    pub scheme: Scheme,
    /// The listener's TCP port; 0 on a unix socket.
    pub port: u16,
    /// What it speaks TLS with, if it does.
    pub tls: Option<Arc<Server>>,
    /// Its name, if it has one.
    pub name: Option<Arc<str>>,
    /// Its clients are to come by https instead, on this port.
    pub https_port: Option<u16>,
}

impl ListenerInfo {
    /// Of a listener that is configured so; `port` is the socket's.
    pub fn new(listener: &config::Listener, tls: Option<Arc<Server>>, port: u16) -> Self {
        ListenerInfo {
            scheme: listener.scheme,
            port,
            tls,
            name: listener.name.clone(),
            https_port: listener.redirect_to_https,
        }
    }

    /// One of plain HTTP on this port, of which nothing else is known.
    pub fn plain(port: u16) -> Self {
        let listener = config::Listener::default();
        ListenerInfo::new(&listener, None, port)
    }
}

impl PartialEq for ListenerInfo {
    fn eq(&self, other: &ListenerInfo) -> bool {
        let same_tls = match (&self.tls, &other.tls) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            _ => false,
        };
        let whole = |info: &ListenerInfo| (info.scheme, info.port, info.https_port);
        same_tls && whole(self) == whole(other) && self.name == other.name
    }
}

/// How long accepting rests when descriptors or memory are exhausted.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Shortest time between two log lines about memory.
const EXHAUSTED_LOG: Duration = Duration::from_secs(10);

/// Binds `address` and listens; accepting needs [`Listener::start`].
pub fn bind(address: &ListenAddress) -> Result<Listener, BindError> {
    let bound = match address {
        ListenAddress::Tcp(tcp) => socket::bind_tcp(*tcp).map(|fd| (fd, None)),
        ListenAddress::Unix { path, mode } => socket::bind_unix(path, *mode),
    };
    let (fd, file) = bound.map_err(|error| BindError::new(address, error))?;
    let local = match address {
        ListenAddress::Tcp(_) => rustix::net::getsockname(&fd)
            .and_then(SocketAddr::try_from)
            .map(Some)
            .map_err(|error| BindError::new(address, error.into()))?,
        ListenAddress::Unix { .. } => None,
    };
    Ok(Listener {
        fd,
        address: address.clone(),
        local,
        file,
        managed: false,
    })
}

/// Whether [`bind`] would succeed; nothing is left, and no connection is accepted.
///
/// # Errors
/// Those of [`bind`].
pub fn probe(address: &ListenAddress) -> Result<(), BindError> {
    let probed = match address {
        ListenAddress::Tcp(tcp) => socket::probe_tcp(*tcp),
        ListenAddress::Unix { path, .. } => socket::probe_unix(path),
    };
    probed.map_err(|error| BindError::new(address, error))
}

/// Who connects to a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// Clients: they get no descriptor of the reserve.
    Clients,
    /// Operators: the reserve is for them.
    Operators,
}

/// A bound socket that accepts nothing yet: the kernel queues connections meanwhile.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
    address: ListenAddress,
    local: Option<SocketAddr>,
    file: Option<socket::SocketFile>,
    /// The service manager listens on it, too: clients wait for us as long as it does.
    managed: bool,
}

impl Listener {
    /// The address that was asked for.
    pub fn address(&self) -> &ListenAddress {
        &self.address
    }

    /// The TCP address with its real port; `None` for a unix socket.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.local
    }

    /// Registers with the runtime that this is called in.
    #[expect(
        deprecated,
        reason = "its replacement is unsafe: the caller must promise that the descriptor stays \
                  the same and open. It does here: `fd` is owned and private"
    )]
    pub fn start(self: Arc<Self>, whom: Whom) -> io::Result<Acceptor> {
        let tcp = self.local.is_some();
        let listener = AsyncFd::with_interest(self, Interest::READABLE)?;
        Ok(Acceptor {
            listener,
            tcp,
            whom,
            is_near: true,
            logged: None,
        })
    }
}

impl Listener {
    /// A socket that listens already, bound to `address` by another process, which may have
    /// left the removal of a unix socket's file to us.
    ///
    /// # Errors
    /// When it is not a listening socket, or has no address.
    pub fn adopt(fd: OwnedFd, address: &ListenAddress, owns_file: bool) -> io::Result<Listener> {
        if !rustix::net::sockopt::socket_acceptconn(&fd)? {
            let message = "the descriptor is no listening socket";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        rustix::io::ioctl_fionbio(&fd, true)?;
        rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC)?;
        let (local, file) = match address {
            ListenAddress::Tcp(_) => {
                let local = SocketAddr::try_from(rustix::net::getsockname(&fd)?)?;
                (Some(local), None)
            }
            ListenAddress::Unix { path, .. } if owns_file => {
                (None, Some(socket::SocketFile::at(path)?))
            }
            ListenAddress::Unix { .. } => (None, None),
        };
        Ok(Listener {
            fd,
            address: address.clone(),
            local,
            file,
            managed: false,
        })
    }

    /// Notes that the service manager has opened it.
    pub fn of_manager(self) -> Listener {
        Listener {
            managed: true,
            ..self
        }
    }

    /// Whether the service manager has opened it.
    pub fn is_of_manager(&self) -> bool {
        self.managed
    }

    /// Leaves a unix socket's file to another process.
    pub fn leave_file(&self) {
        if let Some(file) = &self.file {
            file.leave();
        }
    }

    /// Takes a file back that was left, if there is one.
    pub fn take_file(&self) {
        if let Some(file) = &self.file {
            file.take();
        }
    }

    /// Gives a unix socket's file the permission bits that `address` has now; one that the
    /// service manager made keeps its own.
    pub fn set_mode(&self, address: &ListenAddress) {
        if let (Some(file), ListenAddress::Unix { mode, .. }) = (&self.file, address)
            && let Err(error) = file.set_mode(*mode)
        {
            tracing::warn!(%address, %error, "the socket keeps its permission bits");
        }
    }

    /// Whether a unix socket's file is to be removed when this is dropped.
    pub fn owns_file(&self) -> bool {
        self.file.as_ref().is_some_and(|file| !file.is_left())
    }
}

impl std::fmt::Display for Listener {
    /// The real address: with the port that the system chose, if it did.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.local {
            Some(local) => local.fmt(f),
            None => self.address.fmt(f),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// A listener at work. Dropping it closes the socket and removes a unix socket's file.
#[derive(Debug)]
pub struct Acceptor {
    listener: AsyncFd<Arc<Listener>>,
    tcp: bool,
    whom: Whom,
    /// The last connection took a descriptor close to the reserve, or there was none yet.
    is_near: bool,
    /// When a shortage of memory was last logged.
    logged: Option<Instant>,
}

impl Acceptor {
    /// The next connection. Peers that were gone before they were accepted are skipped, and
    /// a shortage of descriptors is waited out; an error means that the listener is broken.
    /// Dropping the future loses no connection.
    pub async fn accept(&mut self) -> io::Result<Accepted> {
        loop {
            let (is_client, is_near) = (self.whom == Whom::Clients, self.is_near);
            let accepted = self.listener.async_io(Interest::READABLE, |listener| {
                // What is accepted cannot be put back into the queue.
                let looks = is_client && (is_near || descriptors::keeps_room());
                if looks && !descriptors::is_room(&listener.fd) {
                    return Err(Errno::MFILE.into());
                }
                Ok(accept(&listener.fd)?)
            });
            match accepted.await {
                Ok((fd, peer)) => {
                    self.is_near = descriptors::is_near_reserve(&fd);
                    return Ok(Accepted {
                        fd,
                        peer: self.peer(peer),
                    });
                }
                Err(error) => self.outlast(error).await?,
            }
        }
    }

    /// The bound socket.
    pub fn listener(&self) -> &Listener {
        self.listener.get_ref()
    }

    fn peer(&self, peer: Option<SocketAddrAny>) -> Peer {
        if !self.tcp {
            return Peer::Unix;
        }
        match peer.and_then(|peer| SocketAddr::try_from(peer).ok()) {
            // IPv4 through a `[::]` listener is IPv4 to every rule and log.
            Some(peer) => Peer::Tcp(SocketAddr::new(peer.ip().to_canonical(), peer.port())),
            None => Peer::Unix,
        }
    }

    async fn outlast(&mut self, error: io::Error) -> io::Result<()> {
        let errno = error.raw_os_error().map(Errno::from_raw_os_error);
        metrics::accept_failed(match errno {
            Some(Errno::MFILE | Errno::NFILE) => AcceptError::Descriptors,
            Some(Errno::NOBUFS | Errno::NOMEM) => AcceptError::Memory,
            _ => AcceptError::Other,
        });
        match errno {
            Some(Errno::MFILE | Errno::NFILE) => {
                descriptors::ran_out();
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
                Ok(())
            }
            Some(Errno::NOBUFS | Errno::NOMEM) => {
                let now = Instant::now();
                if self.logged.is_none_or(|last| now - last >= EXHAUSTED_LOG) {
                    self.logged = Some(now);
                    tracing::error!(
                        listen = %self.listener().address,
                        %error,
                        "cannot accept: the system has no memory for another connection"
                    );
                }
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
                Ok(())
            }
            Some(Errno::BADF | Errno::INVAL | Errno::NOTSOCK | Errno::OPNOTSUPP) | None => {
                Err(error)
            }
            // accept(2): what is left belongs to the connection, not to the listener.
            Some(_) => Ok(()),
        }
    }
}

fn accept(listener: &OwnedFd) -> rustix::io::Result<(OwnedFd, Option<SocketAddrAny>)> {
    rustix::net::acceptfrom_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)
}

/// The peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Peer {
    /// A TCP peer; an IPv4 address is never in its IPv6-mapped form.
    Tcp(SocketAddr),
    /// A local process through a unix socket.
    Unix,
}

impl Peer {
    /// The IP address, where there is one.
    pub fn ip(self) -> Option<IpAddr> {
        match self {
            Peer::Tcp(address) => Some(address.ip()),
            Peer::Unix => None,
        }
    }
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Peer::Tcp(address) => address.fmt(f),
            Peer::Unix => f.write_str("unix"),
        }
    }
}

/// An accepted connection on its way to a worker.
#[derive(Debug)]
pub struct Accepted {
    fd: OwnedFd,
    peer: Peer,
}

impl Accepted {
    /// A connection that was accepted elsewhere.
    pub fn from_parts(fd: OwnedFd, peer: Peer) -> Accepted {
        Accepted { fd, peer }
    }

    /// The peer.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// Closes it so that the peer learns at once that nothing serves here.
    pub fn refuse(self) {
        // A reset instead of an end, where the protocol has one.
        let _ = rustix::net::sockopt::set_socket_linger(&self.fd, Some(Duration::ZERO));
    }

    /// Registers with the runtime that this is called in.
    pub fn into_socket(self) -> io::Result<Socket> {
        Ok(match self.peer {
            Peer::Tcp(_) => Socket::Tcp(TcpStream::from_std(self.fd.into())?),
            Peer::Unix => Socket::Unix(UnixStream::from_std(self.fd.into())?),
        })
    }

    /// The same as a stream.
    pub fn into_io(self) -> io::Result<Io> {
        self.into_socket().map(Io::from)
    }
}

impl AsFd for Accepted {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests;
