//! The socket that a command turns to: a TCP address or a unix socket, as people write it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use crate::config::{Config, ListenAddress};

/// Where a listener is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

impl Target {
    /// The first listener of a configuration, one without TLS where there is one; where it listens
    /// on every address, loopback.
    pub fn of(config: &Config) -> Option<Target> {
        let mut all = config.listeners.iter();
        let plain = all.clone().find(|listener| listener.tls.is_none());
        let listener = plain.or_else(|| all.next())?;
        Some(Target::at(&listener.address))
    }

    /// Where this is listened on.
    pub(crate) fn at(address: &ListenAddress) -> Target {
        match address {
            ListenAddress::Unix { path, .. } => Target::Unix(path.clone()),
            ListenAddress::Tcp(address) => Target::Tcp(reachable(*address)),
        }
    }

    /// `http://127.0.0.1:8080/`, `127.0.0.1:8080`, `localhost:8080`, `[::1]:8080` or
    /// `unix:/run/sluice.sock`. The error says what would be right.
    pub fn parse(text: &str) -> Result<Target, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Target::Unix(path.into()));
        }
        let authority = text.strip_prefix("http://").unwrap_or(text);
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let numeric = match authority.strip_prefix("localhost") {
            Some(port) if port.is_empty() || port.starts_with(':') => format!("127.0.0.1{port}"),
            _ => authority.to_owned(),
        };
        let bare = numeric.trim_start_matches('[').trim_end_matches(']');
        numeric
            .parse()
            .or_else(|_| bare.parse().map(|ip: IpAddr| SocketAddr::new(ip, 80)))
            .map(Target::Tcp)
            .map_err(|_| {
                format!(
                    "cannot check `{text}`: it has to be like http://127.0.0.1:8080/ (an IP \
                     address or localhost, no path) or unix:/run/sluice.sock"
                )
            })
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Target::Tcp(address) => address.fmt(f),
            Target::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Where it listens on every address, loopback.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_as_people_write_them() {
        let tcp = |text: &str| Ok(Target::Tcp(text.parse().unwrap()));
        assert_eq!(
            Target::parse("http://127.0.0.1:8080/"),
            tcp("127.0.0.1:8080")
        );
        assert_eq!(
            Target::parse("http://localhost:8080"),
            tcp("127.0.0.1:8080")
        );
        assert_eq!(Target::parse("localhost"), tcp("127.0.0.1:80"));
        assert_eq!(Target::parse("[::1]:8080"), tcp("[::1]:8080"));
        assert_eq!(Target::parse("http://[::1]/"), tcp("[::1]:80"));
        assert_eq!(
            Target::parse("unix:/run/s"),
            Ok(Target::Unix("/run/s".into()))
        );
        for wrong in [
            "https://127.0.0.1/",
            "http://127.0.0.1/path",
            "example.com:80",
            "",
        ] {
            assert!(
                Target::parse(wrong)
                    .unwrap_err()
                    .contains("http://127.0.0.1:8080/")
            );
        }
    }

    #[test]
    fn the_first_listener_is_the_target_and_every_address_means_loopback() {
        let of = |listen: &str| {
            let backend = SocketAddr::from(([127, 0, 0, 1], 1));
            Target::of(&crate::cli::demo::config(listen.parse().unwrap(), backend)).unwrap()
        };
        assert_eq!(
            of("0.0.0.0:81"),
            Target::Tcp("127.0.0.1:81".parse().unwrap())
        );
        assert_eq!(of("[::]:81"), Target::Tcp("[::1]:81".parse().unwrap()));
        assert_eq!(
            of("127.0.0.3:81"),
            Target::Tcp("127.0.0.3:81".parse().unwrap())
        );
    }
}
