//! Listening: bind an address, accept connections, outlast a shortage of descriptors. An
//! accepted socket belongs to no runtime yet, so that it can be handed to any worker.
//!
//! Which worker gets it, and how many connections are allowed, is decided above.

pub mod socket;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{SocketAddrAny, SocketFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::{TcpStream, UnixStream};

use crate::config::ListenAddress;
use crate::io::Io;

pub use socket::BindError;

/// How long accepting rests when descriptors or memory are exhausted.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Shortest time between two log lines about that.
const EXHAUSTED_LOG: Duration = Duration::from_secs(10);

/// Binds `address` and listens; accepting needs [`Listener::start`].
pub fn bind(address: &ListenAddress) -> Result<Listener, BindError> {
    let bound = match address {
        ListenAddress::Tcp(tcp) => socket::bind_tcp(*tcp).map(|fd| (fd, None)),
        ListenAddress::Unix { path, mode } => {
            socket::bind_unix(path, *mode).map(|(fd, file)| (fd, Some(file)))
        }
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
        _file: file,
    })
}

/// A bound socket that accepts nothing yet: the kernel queues connections meanwhile.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
    address: ListenAddress,
    local: Option<SocketAddr>,
    _file: Option<socket::SocketFile>,
}

impl Listener {
    /// What was asked for.
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
    pub fn start(self) -> io::Result<Acceptor> {
        let tcp = self.local.is_some();
        let listener = AsyncFd::with_interest(self, Interest::READABLE)?;
        Ok(Acceptor {
            listener,
            tcp,
            logged: None,
        })
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
    listener: AsyncFd<Listener>,
    tcp: bool,
    /// When a shortage was last logged.
    logged: Option<Instant>,
}

impl Acceptor {
    /// The next connection. Peers that were gone before they were accepted are skipped, and
    /// a shortage of descriptors is waited out; an error means that the listener is broken.
    /// Dropping the future loses no connection.
    pub async fn accept(&mut self) -> io::Result<Accepted> {
        loop {
            let accepted = self
                .listener
                .async_io(Interest::READABLE, |listener| Ok(accept(&listener.fd)?))
                .await;
            match accepted {
                Ok((fd, peer)) => {
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
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                let now = Instant::now();
                if self.logged.is_none_or(|last| now - last >= EXHAUSTED_LOG) {
                    self.logged = Some(now);
                    tracing::error!(
                        listen = ?self.listener().address,
                        %error,
                        "cannot accept: raise the limit of open files (ulimit -n, LimitNOFILE)"
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

/// Who connected.
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
    /// Who connected.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// Registers with the runtime that this is called in.
    pub fn into_io(self) -> io::Result<Io> {
        Ok(match self.peer {
            Peer::Tcp(_) => Io::Tcp(TcpStream::from_std(self.fd.into())?),
            Peer::Unix => Io::Unix(UnixStream::from_std(self.fd.into())?),
        })
    }
}

#[cfg(test)]
mod tests;
