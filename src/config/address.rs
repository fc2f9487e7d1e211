//! Where sluice listens, and where it connects to.

use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;

/// Where an endpoint is reached.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EndpointAddress {
    /// A name to resolve, or an IP address, and a port.
    Host {
        /// Host name or IP address, without brackets; a name that ends in a dot is complete.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// An IPv6 address in the zone of an interface, such as `fe80::1%eth0`.
    Zoned {
        /// The address.
        ip: Ipv6Addr,
        /// Name or number of the interface.
        zone: String,
        /// TCP port.
        port: u16,
    },
    /// A unix socket; one in the abstract namespace where it begins with `@`.
    Unix(PathBuf),
}

impl std::fmt::Display for EndpointAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            EndpointAddress::Host { host, port } if host.contains(':') => {
                write!(f, "[{host}]:{port}")
            }
            EndpointAddress::Host { host, port } => write!(f, "{host}:{port}"),
            EndpointAddress::Zoned { ip, zone, port } => write!(f, "[{ip}%{zone}]:{port}"),
            EndpointAddress::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Where a listener is bound.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A unix socket path with the permission bits it is created with. Default mode: 0660.
    Unix {
        /// Path of the socket file.
        path: PathBuf,
        /// Permission bits, as in `chmod`.
        mode: u32,
    },
}

impl std::fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ListenAddress::Tcp(address) => address.fmt(f),
            ListenAddress::Unix { path, .. } => write!(f, "unix:{}", path.display()),
        }
    }
}
