//! Opens one connection to one endpoint, or says why it could not. Which endpoint, and whether to
//! try another, is decided elsewhere.

mod error;

use std::borrow::Cow;
use std::ffi::OsString;
use std::io;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::pin::pin;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};

use crate::metrics::{self, Connect};
use crate::net::io::Io;
use crate::net::listen;
use crate::system::descriptors;
use crate::vocabulary::span;

use super::{Address, Endpoint};

pub use self::error::{ConnectError, ConnectErrorKind};

/// A timer that comes this much too late says that the process stood still.
pub(super) const STOOD_STILL: Duration = Duration::from_secs(1);

/// Connects within `timeout`.
///
/// A TCP connection gets `TCP_NODELAY` and nothing more: keep-alive options cost four system
/// calls and serve only what is going to be idle for long, so a tunnel that has lived for
/// some seconds calls [`keep_alive`](crate::net::listen::socket::keep_alive) itself.
/// socket, setsockopt, connect, epoll_ctl: that is all.
pub async fn connect(endpoint: &Endpoint, timeout: Duration) -> Result<Io, ConnectError> {
    let connected = async {
        match endpoint.address() {
            Address::Tcp(address) => tcp(*address).await.map(Io::from),
            Address::Zoned(ip, zone, port) => match in_zone(*ip, zone, *port) {
                Ok(address) => tcp(address).await.map(Io::from),
                Err(error) => Err(error),
            },
            Address::Unix(path) => unix(path).await.map(Io::from),
        }
    };
    let (kind, source) = match within(timeout, connected).await {
        Some(Ok(io)) => {
            metrics::connected(endpoint.slot(), Connect::Ok);
            return Ok(io);
        }
        Some(Err(source)) => (ConnectErrorKind::of(&source), source),
        None => {
            let words = format!("no answer within {}", span::written(timeout));
            (
                ConnectErrorKind::Timeout,
                io::Error::new(io::ErrorKind::TimedOut, words),
            )
        }
    };
    metrics::connected(endpoint.slot(), kind.counted());
    Err(ConnectError {
        kind,
        to: endpoint.name().clone(),
        source: Some(source),
    })
}

/// Waits for `limit` at most, and not less because the process stood still: a timer that
/// comes far too late is set anew.
async fn within<T>(limit: Duration, waited: impl Future<Output = T>) -> Option<T> {
    let mut waited = pin!(waited);
    let mut left = limit;
    loop {
        let due = Instant::now() + left;
        if let Ok(done) = tokio::time::timeout(left, &mut waited).await {
            return Some(done);
        }
        let late = due.elapsed();
        if late < STOOD_STILL {
            return None;
        }
        left = late.min(limit);
    }
}

async fn tcp(address: SocketAddr) -> io::Result<TcpStream> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let opened = rustix::net::socket_with(family, SocketType::STREAM, flags, None);
    let fd = descriptors::outside_reserve(opened.map_err(io::Error::from))?;
    sockopt::set_tcp_nodelay(&fd, true)?;
    match rustix::net::connect(&fd, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    let stream = TcpStream::from_std(fd.into())?;
    // A failed connect shows as EPOLLERR and EPOLLHUP, so SO_ERROR is read only then.
    let ready = stream.ready(Interest::WRITABLE).await?;
    if ready.is_write_closed()
        && let Some(error) = stream.take_error()?
    {
        return Err(error);
    }
    Ok(stream)
}

/// The address with the number of its zone's interface.
fn in_zone(ip: Ipv6Addr, zone: &str, port: u16) -> io::Result<SocketAddr> {
    let number = match zone.parse() {
        Ok(number) => number,
        Err(_) => {
            let flags = SocketFlags::CLOEXEC;
            let socket =
                rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
            rustix::net::netdevice::name_to_index(&socket, zone)?
        }
    };
    Ok(SocketAddrV6::new(ip, port, 0, number).into())
}

async fn unix(path: &Path) -> io::Result<UnixStream> {
    let path = abstract_name(path);
    loop {
        match descriptors::outside_reserve(UnixStream::connect(&path).await) {
            // The listener's backlog is full, and no event says when it no longer is.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            done => return done,
        }
    }
}

/// What tokio connects to: a name in the abstract namespace begins with NUL there.
fn abstract_name(path: &Path) -> Cow<'_, Path> {
    match listen::abstract_name(path) {
        Some(name) => {
            let name = [b"\0", name].concat();
            Cow::Owned(OsString::from_vec(name).into())
        }
        None => Cow::Borrowed(path),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Registry;
    use super::*;
    use crate::net::io::Socket;
    use std::io::Read;
    use std::net::TcpListener;
    use std::sync::Arc;

    fn endpoint(address: Address) -> Arc<Endpoint> {
        Registry::default().endpoint(&"app".into(), address)
    }

    async fn kind_of(address: Address, timeout: Duration) -> ConnectErrorKind {
        connect(&endpoint(address), timeout)
            .await
            .expect_err("no connection")
            .kind
    }

    const LONG: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn tcp_connects_without_delay_option_and_carries_bytes() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(host).unwrap();
            let address = listener.local_addr().unwrap();
            let io = connect(&endpoint(Address::Tcp(address)), LONG)
                .await
                .unwrap();
            assert!(sockopt::tcp_nodelay(io.tcp().unwrap()).unwrap());
            let (mut peer, _) = listener.accept().unwrap();
            let socket = io.carrier().unwrap();
            assert_eq!(socket.try_write(b"hello").unwrap(), 5, "writable at once");
            drop(io);
            let mut got = String::new();
            peer.read_to_string(&mut got).unwrap();
            assert_eq!(got, "hello");
        }
    }

    #[tokio::test]
    async fn zones_are_names_or_numbers_of_interfaces() {
        let listener = TcpListener::bind("[::1]:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let zoned = |zone: &str| Address::Zoned(Ipv6Addr::LOCALHOST, zone.into(), port);
        for zone in ["lo", "1"] {
            connect(&endpoint(zoned(zone)), LONG).await.expect(zone);
            listener.accept().unwrap();
        }
        assert_eq!(
            kind_of(zoned("missing0"), LONG).await,
            ConnectErrorKind::Unreachable
        );
    }

    #[tokio::test]
    async fn abstract_sockets_have_no_file() {
        use std::os::linux::net::SocketAddrExt;
        let name = format!("sluice-{}", std::process::id());
        let address = || Address::Unix(Path::new(&format!("@{name}")).into());
        assert_eq!(kind_of(address(), LONG).await, ConnectErrorKind::Refused);
        let bound = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
        let listener = std::os::unix::net::UnixListener::bind_addr(&bound).unwrap();
        connect(&endpoint(address()), LONG).await.unwrap();
        listener.accept().unwrap();
    }

    #[tokio::test]
    async fn a_port_without_a_listener_refuses() {
        let closed = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let error = connect(&endpoint(Address::Tcp(closed)), LONG)
            .await
            .unwrap_err();
        assert_eq!(error.kind, ConnectErrorKind::Refused);
        assert!(error.to_string().contains(&closed.to_string()), "{error}");
    }

    #[tokio::test]
    async fn a_full_backlog_times_out() {
        // The kernel drops further SYNs when the queue of one is full.
        let fd = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&fd, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        rustix::net::listen(&fd, 0).unwrap();
        let address: SocketAddr = rustix::net::getsockname(&fd).unwrap().try_into().unwrap();
        let _filling = std::net::TcpStream::connect(address).unwrap();
        let short = Duration::from_millis(200);
        assert_eq!(
            kind_of(Address::Tcp(address), short).await,
            ConnectErrorKind::Timeout
        );
    }

    #[tokio::test]
    async fn a_network_without_a_route_is_unreachable() {
        // TCP cannot go to a broadcast address: Linux answers without sending a packet.
        let address = Address::Tcp(SocketAddr::from(([255, 255, 255, 255], 9)));
        let kind = kind_of(address, LONG).await;
        assert_eq!(kind, ConnectErrorKind::Unreachable);
        let error = io::Error::from(Errno::ADDRNOTAVAIL);
        assert!(!ConnectErrorKind::of(&error).blames_endpoint());
    }

    #[tokio::test]
    async fn unix_sockets_connect_refuse_and_wait_for_a_full_backlog() {
        let dir = tempfile::tempdir().unwrap();
        let path: Arc<Path> = dir.path().join("app.sock").into();
        let address = || Address::Unix(path.clone());
        assert_eq!(
            kind_of(address(), LONG).await,
            ConnectErrorKind::Refused,
            "no file"
        );

        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let first = connect(&endpoint(address()), LONG).await.unwrap();
        assert!(matches!(first.carrier(), Some(Socket::Unix(_))));

        let short = Duration::from_millis(50);
        assert_eq!(
            kind_of(address(), short).await,
            ConnectErrorKind::Timeout,
            "full"
        );
        let waiting = tokio::spawn({
            let endpoint = endpoint(address());
            async move { connect(&endpoint, LONG).await }
        });
        let _taken = listener.accept().unwrap();
        waiting.await.unwrap().expect("there is room now");

        drop(listener);
        assert_eq!(
            kind_of(address(), LONG).await,
            ConnectErrorKind::Refused,
            "stale file"
        );
    }
}
