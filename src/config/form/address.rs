//! Where sluice listens, whom it forwards to, asks for names and trusts: socket addresses,
//! `host:port` endpoints, unix sockets, networks. Nothing is resolved or bound here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use ipnet::{IpNet, Ipv4Net};

use crate::config::EndpointAddress;
use crate::setting::read::{FromText, Plain, Wrong};

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

/// The path of a file: absolute, or with a `/` in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FilePath(PathBuf);

impl FromText for FilePath {
    const EXPECTED: &'static str = "the path of a file";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        if text.contains('/') && !text.ends_with('/') && !text.contains('\0') {
            return Ok(FilePath(text.into()));
        }
        let wrong = Wrong::new(format!("`{text}` is not the path of a file"));
        Err(wrong.hint("write it with a `/` in it: `\"/run/sluice/sluice.pid\"`"))
    }
}

impl Plain<PathBuf> for FilePath {
    fn plain(&self) -> PathBuf {
        self.0.clone()
    }
}

impl FromText for EndpointAddress {
    const EXPECTED: &'static str =
        "an endpoint such as `\"host:9000\"` or `\"unix:/run/app.sock\"`";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        if let Some(path) = text.strip_prefix("unix:") {
            return socket_path(path).map(EndpointAddress::Unix);
        }
        let wrong = || Wrong::new(format!("`{text}` is not an endpoint"));
        if let Some((scheme, rest)) = text.split_once("://") {
            return Err(match scheme {
                "http" | "ws" => {
                    let authority = rest.split('/').next().unwrap_or_default();
                    wrong().hint(format!("leave the scheme and path out: `\"{authority}\"`"))
                }
                _ => wrong().hint(
                    "sluice speaks plain HTTP to upstreams; write `\"host:port\"` without a scheme",
                ),
            });
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            return Err(wrong().hint(format!("add a port: `\"{text}:80\"`")));
        };
        let host = if let Some(inner) = host.strip_prefix('[') {
            let inner = inner.strip_suffix(']').unwrap_or(inner);
            if let Some((ip, zone)) = inner.split_once('%') {
                return zoned(ip, zone, port).ok_or_else(|| {
                    wrong().hint("with a zone it is written so: `\"[fe80::1%eth0]:80\"`")
                });
            }
            let ip: Ipv6Addr = inner
                .parse()
                .map_err(|_| wrong().hint("between brackets stands an IPv6 address"))?;
            ip.to_canonical().to_string()
        } else if host.contains(':') {
            return Err(wrong().hint("write an IPv6 address in brackets: `\"[::1]:80\"`"));
        } else {
            complete_name(host)
                .or_else(|| host_name(host))
                .ok_or_else(wrong)?
        };
        match port_number(port)? {
            0 => Err(Wrong::new("port 0 can't be connected to")),
            port => Ok(EndpointAddress::Host { host, port }),
        }
    }
}

/// An endpoint with a zone, whose interface need not be there yet.
fn zoned(ip: &str, zone: &str, port: &str) -> Option<EndpointAddress> {
    /// What the kernel allows, without the final NUL.
    const LONGEST_INTERFACE: usize = 15;
    let named = (1..=LONGEST_INTERFACE).contains(&zone.len())
        && zone
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"/%[]".contains(&byte));
    let port = port_number(port).ok().filter(|port| named && *port != 0)?;
    Some(EndpointAddress::Zoned {
        ip: ip.parse().ok()?,
        zone: zone.to_owned(),
        port,
    })
}

/// A name that ends in a dot: no search domain is tried for it.
fn complete_name(text: &str) -> Option<String> {
    let name = host_name(text.strip_suffix('.')?)?;
    name.parse::<Ipv4Addr>().is_err().then(|| name + ".")
}

/// The name in lower case, if it is one that DNS or `/etc/hosts` could know, or an IPv4
/// address.
pub(crate) fn host_name(text: &str) -> Option<String> {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let numeric_end = text
        .rsplit('.')
        .next()
        .is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    if numeric_end && text.parse::<Ipv4Addr>().is_err() {
        return None;
    }
    let valid = text.len() <= 253 && text.split('.').all(label);
    valid.then(|| text.to_ascii_lowercase())
}

fn port_number(text: &str) -> Result<u16, Wrong> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(port) if digits => Ok(port),
        _ => Err(Wrong::new(format!("`{text}` is not a port")).hint("a port is 1 to 65535")),
    }
}

/// The path of a unix socket, or `@` and a name in the abstract namespace.
fn socket_path(text: &str) -> Result<PathBuf, Wrong> {
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

/// `mode` of a unix socket: octal permission bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileMode(pub(crate) u32);

impl FromText for FileMode {
    const EXPECTED: &'static str = "permission bits in octal, as a string: `\"0660\"`";
    const PATTERN: &'static str = "^0?[0-7]{3}$";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        let octal =
            (3..=4).contains(&text.len()) && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
        match u32::from_str_radix(text, 8) {
            Ok(mode) if octal && mode <= 0o777 => Ok(FileMode(mode)),
            _ => Err(Wrong::new(format!("`{text}` is not a file mode"))
                .hint("write permission bits in octal: `\"0660\"`")),
        }
    }
}

/// A DNS server; port 53 where none is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Nameserver(pub(crate) SocketAddr);

impl FromText for Nameserver {
    const EXPECTED: &'static str = "an IP address such as `\"192.0.2.53\"`, with or without a port";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        if text.contains('%') {
            return Err(
                Wrong::new(format!("`{text}` has a zone, which a server cannot have"))
                    .hint("write an address that is not link-local"),
            );
        }
        let bare = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53));
        let address = bare.or_else(|_| text.parse()).map(unmapped);
        address.map(Nameserver).map_err(|_| {
            Wrong::new(format!("`{text}` is not the address of a DNS server"))
                .hint("write an IP address, with or without a port: `\"192.0.2.53\"`")
        })
    }
}

impl Plain<SocketAddr> for Nameserver {
    fn plain(&self) -> SocketAddr {
        self.0
    }
}

impl FromText for IpNet {
    const EXPECTED: &'static str = "a network such as `\"10.0.0.0/8\"` or an IP address";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(IpNet::from(ip.to_canonical()));
        }
        let Ok(net) = text.parse().map(unmapped_net) else {
            return Err(Wrong::new(format!("`{text}` is not a network"))
                .hint("write `\"10.0.0.0/8\"`, `\"fd00::/8\"` or one IP address"));
        };
        if net != net.trunc() {
            return Err(
                Wrong::new(format!("`{text}` has bits set behind its prefix"))
                    .hint(format!("did you mean `\"{}\"`?", net.trunc())),
            );
        }
        Ok(net)
    }
}

/// An IPv4 address that is written as IPv6 (`::ffff:10.0.0.1`, RFC 4291 section 2.5.5.2) is
/// an IPv4 address: peers are compared as such.
fn unmapped(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// The same for networks: `::ffff:10.0.0.0/104` is `10.0.0.0/8`.
fn unmapped_net(net: IpNet) -> IpNet {
    let bits = net.prefix_len().checked_sub(96);
    let mapped = bits.and_then(|bits| match net.addr().to_canonical() {
        IpAddr::V4(address) if !net.addr().is_ipv4() => Ipv4Net::new(address, bits).ok(),
        _ => None,
    });
    mapped.map_or(net, IpNet::V4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_print_as_they_are_written() {
        for text in [
            "app:9000",
            "1.2.3.4:80",
            "[::1]:80",
            "unix:/run/app.sock",
            "unix:@app",
            "a_b.c-d:1",
            "app.svc.cluster.local.:80",
            "[fe80::1%eth0]:80",
            "[fe80::1%2]:80",
        ] {
            assert_eq!(EndpointAddress::from_text(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            "app",
            "app:",
            "app:0",
            "app:65536",
            "app:+80",
            ":80",
            "::1:80",
            "[::1:80x",
            "http://app:80",
            "unix:run/app.sock",
            "a..b:80",
            "1.2.3:80",
            "a b:80",
            "[app]:80",
            "1.2.3.4.:80",
            ".:80",
            "app..:80",
            "[fe80::1%]:80",
            "[fe80::1%a/b]:80",
            "[fe80::1%eth0]:0",
            "[10.0.0.1%eth0]:80",
            "unix:@",
        ] {
            assert!(EndpointAddress::from_text(text).is_err(), "{text}");
        }
    }

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
            assert!(Nameserver::from_text(&format!("[fe80::1%{zone}]:53")).is_err());
        }
    }

    #[test]
    fn networks_have_no_bits_behind_their_prefix() {
        assert!(IpNet::from_text("10.0.0.0/8").is_ok());
        assert!(IpNet::from_text("::1").is_ok());
        assert!(IpNet::from_text("10.1.0.0/8").is_err());
    }

    #[test]
    fn an_ipv4_address_written_as_ipv6_is_one() {
        let net = |text: &str| IpNet::from_text(text).unwrap().to_string();
        assert_eq!(net("::ffff:127.0.0.1"), "127.0.0.1/32");
        assert_eq!(net("::ffff:7f00:1/128"), "127.0.0.1/32");
        assert_eq!(net("::ffff:10.0.0.0/104"), "10.0.0.0/8");
        assert_eq!(net("::ffff:0:0/96"), "0.0.0.0/0");
        assert_eq!(net("::/0"), "::/0");
        assert_eq!(net("fd00::/8"), "fd00::/8");
        let wrong = IpNet::from_text("::ffff:10.1.0.0/104").unwrap_err();
        assert_eq!(
            wrong.hint.as_deref(),
            Some("did you mean `\"10.0.0.0/8\"`?")
        );

        let loopback = Bind::Tcp("127.0.0.1:80".parse().unwrap());
        assert_eq!(Bind::from_text("[::ffff:127.0.0.1]:80"), Ok(loopback));
        let endpoint = EndpointAddress::from_text("[::ffff:10.0.0.3]:9000").unwrap();
        assert_eq!(endpoint.to_string(), "10.0.0.3:9000");
        let server = Nameserver::from_text("[::ffff:192.0.2.53]:5353").unwrap();
        assert_eq!(server.0.to_string(), "192.0.2.53:5353");
        let server = Nameserver::from_text("::ffff:192.0.2.53").unwrap();
        assert_eq!(server.0.to_string(), "192.0.2.53:53");
    }
}
