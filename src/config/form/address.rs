//! Where sluice listens: socket addresses and unix sockets. Nothing is bound here.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use crate::setting::read::{FromText, Wrong};

/// The longest path that fits into a `sockaddr_un`.
const LONGEST_SOCKET_PATH: usize = 107;

/// `address` of a `[[listen]]` block, before its mode is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Bind {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl FromText for Bind {
    const EXPECTED: &'static str =
        "an address such as `\"127.0.0.1:8080\"`, `\":8080\"` or `\"unix:/run/sluice.sock\"`";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        if let Some(path) = text.strip_prefix("unix:") {
            return socket_path(path).map(Bind::Unix);
        }
        if let Some(port) = text.strip_prefix(':') {
            let port = port_number(port)?;
            return Ok(Bind::Tcp(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))));
        }
        if let Some((ip, port)) = without_zone(text) {
            let wrong = Wrong::new(format!("`{text}` has a zone, which a listener cannot have"));
            return Err(wrong.hint(format!(
                "`\"[::]:{port}\"` takes clients of every interface; endpoints may have a zone \
                 (`\"[{ip}%eth0]:{port}\"`)"
            )));
        }
        if let Ok(address) = text.parse() {
            return Ok(Bind::Tcp(unmapped(address)));
        }
        let wrong = Wrong::new(format!("`{text}` is not an address to listen on"));
        if let Ok(port) = text.parse::<u16>() {
            return Err(wrong.hint(format!(
                "for port {port} of every address write `\":{port}\"`"
            )));
        }
        if let Ok(ip) = text.parse::<IpAddr>() {
            let address = SocketAddr::new(ip, 8080);
            return Err(wrong.hint(format!("add a port: `\"{address}\"`")));
        }
        if let Some(port) = text.strip_prefix("localhost:") {
            return Err(wrong.hint(format!(
                "names are not looked up here: `\"127.0.0.1:{port}\"`"
            )));
        }
        Err(wrong.hint(
            "write an IP address and a port (`\"127.0.0.1:8080\"`, `\"[::1]:8080\"`), \
             `\":8080\"` for all addresses, or `\"unix:/path\"`",
        ))
    }
}

/// The address and the port of `[fe80::1%eth0]:80` (RFC 4007 section 11), if it is such a one.
fn without_zone(text: &str) -> Option<(Ipv6Addr, u16)> {
    let (ip, rest) = text.strip_prefix('[')?.split_once('%')?;
    let (_, port) = rest.rsplit_once("]:")?;
    Some((ip.parse().ok()?, port_number(port).ok()?))
}

/// `admin.listen`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AdminAddress {
    Auto,
    Off,
    At(Bind),
}

impl FromText for AdminAddress {
    const EXPECTED: &'static str =
        "`\"auto\"`, `\"off\"`, or an address such as `\"unix:/run/sluice/admin.sock\"`";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        match text {
            "auto" => Ok(AdminAddress::Auto),
            "off" => Ok(AdminAddress::Off),
            address => Bind::from_text(address).map(AdminAddress::At),
        }
    }
}

pub(super) fn port_number(text: &str) -> Result<u16, Wrong> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(port) if digits => Ok(port),
        _ => Err(Wrong::new(format!("`{text}` is not a port")).hint("a port is 1 to 65535")),
    }
}

/// The path of a unix socket, or `@` and a name in the abstract namespace.
pub(super) fn socket_path(text: &str) -> Result<PathBuf, Wrong> {
    if let Some(name) = text.strip_prefix('@') {
        if name.is_empty() || text.len() > LONGEST_SOCKET_PATH || text.contains('\0') {
            return Err(Wrong::new(format!(
                "the name of an abstract socket has 1 to {} bytes and no NUL",
                LONGEST_SOCKET_PATH - 1
            )));
        }
        return Ok(PathBuf::from(text));
    }
    if !text.starts_with('/') {
        let name = text.rsplit('/').next().unwrap_or_default();
        return Err(Wrong::new("the path of a unix socket must be absolute")
            .hint(format!("`\"unix:/run/{name}\"`, for example")));
    }
    if text.len() > LONGEST_SOCKET_PATH || text.contains('\0') {
        return Err(Wrong::new(format!(
            "the path of a unix socket has at most {LONGEST_SOCKET_PATH} bytes and no NUL"
        )));
    }
    Ok(PathBuf::from(text))
}

/// An IPv4 address that is written as IPv6 (`::ffff:10.0.0.1`, RFC 4291 section 2.5.5.2) is
/// an IPv4 address: peers are compared as such.
pub(super) fn unmapped(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_means_every_address() {
        let every = Bind::Tcp("[::]:8080".parse().unwrap());
        assert_eq!(Bind::from_text(":8080"), Ok(every));
        for text in ["8080", "127.0.0.1", "localhost:80", ":http", "unix:x", ""] {
            assert!(Bind::from_text(text).is_err(), "{text}");
        }
        for zone in ["eth0", "2", "lo", "0"] {
            let wrong = Bind::from_text(&format!("[fe80::1%{zone}]:8080")).unwrap_err();
            assert!(wrong.message.contains("has a zone"), "{}", wrong.message);
            let hint = wrong.hint.unwrap_or_default();
            assert!(hint.contains("\"[::]:8080\""), "{hint}");
        }
    }
}
