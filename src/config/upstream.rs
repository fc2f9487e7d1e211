//! `[upstream.NAME]`: endpoints and how they are used; `[resolver]`: how their names are
//! looked up.

use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// One `[upstream.NAME]` block.
#[derive(Debug, Clone, PartialEq)]
pub struct UpstreamConfig {
    /// The name.
    pub name: String,
    /// Never empty.
    pub endpoints: Vec<EndpointAddress>,
    /// How an endpoint is chosen. Default: least.
    pub balance: Balance,
    /// Time for one TCP connect. Default: 5 s.
    pub connect_timeout: Duration,
    /// After a failed connect, or repeated answer time-outs in silence, how long the endpoint
    /// is used only when no other is left. Default: 10 s.
    pub retry_after: Duration,
    /// Idle keep-alive connections kept for each endpoint by each worker. Default: 64.
    pub max_idle: usize,
    /// How long an idle connection is kept. Default: 55 s.
    pub idle_timeout: Duration,
    /// Most header lines in an answer, else 502. Default: 1024.
    pub max_header_lines: usize,
    /// Take answers whose lines end in LF alone or are folded. Default: false.
    pub lenient: bool,
}

impl UpstreamConfig {
    /// An upstream with every setting at its default.
    pub fn new(name: String, endpoints: Vec<EndpointAddress>) -> Self {
        UpstreamConfig {
            name,
            endpoints,
            balance: Balance::Least,
            connect_timeout: Duration::from_secs(5),
            retry_after: Duration::from_secs(10),
            max_idle: 64,
            idle_timeout: Duration::from_secs(55),
            max_header_lines: 1024,
            lenient: false,
        }
    }
}

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

/// How an upstream's endpoint is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Balance {
    /// The one with the fewest exchanges and tunnels.
    #[default]
    Least,
    /// One after the other.
    RoundRobin,
}

/// `[resolver]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolverConfig {
    /// DNS servers; empty means those of the system. Default: empty.
    pub nameservers: Vec<SocketAddr>,
    /// Shortest time between two look-ups of a name, whatever its TTL says. Default: 1 s.
    pub min_ttl: Duration,
    /// Longest time between two look-ups of a name. Default: 5 min.
    pub max_ttl: Duration,
    /// Time for one look-up. Default: 5 s.
    pub timeout: Duration,
}

impl Default for ResolverConfig {
    fn default() -> Self {
        ResolverConfig {
            nameservers: Vec::new(),
            min_ttl: Duration::from_secs(1),
            max_ttl: Duration::from_secs(300),
            timeout: Duration::from_secs(5),
        }
    }
}
