//! Whom sluice asks for names, and whom it trusts: DNS servers and networks.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::address::unmapped;
use crate::setting::read::{FromText, Wrong};
use crate::setting::typed::Setting;
use crate::setting::written::Written;

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

impl Setting<SocketAddr> for Nameserver {
    fn value(&self) -> SocketAddr {
        self.0
    }

    fn write(value: &SocketAddr) -> Written {
        value.to_string().into()
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
                Wrong::new(format!("`{text}` has bits set after its prefix")).hint(meant(net)),
            );
        }
        Ok(net)
    }
}

/// What a network with bits after its prefix was probably meant to be.
fn meant(net: IpNet) -> String {
    let (IpNet::V6(written), prefix) = (net, net.prefix_len()) else {
        return format!("did you mean `\"{}\"`?", net.trunc());
    };
    let address = written.addr();
    // The prefix was counted as that of IPv4, or is neither.
    if let Some(mapped) = address.to_ipv4_mapped() {
        return match (
            Ipv4Net::new(mapped, prefix),
            Ipv6Net::new(address, prefix.saturating_add(96)),
        ) {
            (Ok(v4), Ok(v6)) => format!(
                "did you mean `\"{}\"`, which as IPv6 is `\"{}\"`?",
                v4.trunc(),
                v6.trunc()
            ),
            _ => format!(
                "write `\"{mapped}\"` for the one address, or a network such as `\"10.0.0.0/8\"`"
            ),
        };
    }
    match has_all_ipv4(written.trunc()) {
        true => format!(
            "did you mean `\"{address}\"`? (`\"{}\"` would contain every IPv4 address)",
            written.trunc()
        ),
        false => format!("did you mean `\"{}\"`?", written.trunc()),
    }
}

/// Whether every IPv4 address, mapped to IPv6, is in the network.
fn has_all_ipv4(net: Ipv6Net) -> bool {
    net.prefix_len() <= 96 && net.contains(&Ipv4Addr::UNSPECIFIED.to_ipv6_mapped())
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

impl Setting<IpNet> for IpNet {
    fn value(&self) -> IpNet {
        *self
    }

    fn write(value: &IpNet) -> Written {
        value.to_string().into()
    }
}

#[cfg(test)]
mod tests {
    use super::super::address::Bind;
    use super::*;
    use crate::config::EndpointAddress;

    #[test]
    fn a_server_has_no_zone() {
        for zone in ["eth0", "2", "lo", "0"] {
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

        // Printed in `sluice check`; each suggestion is right.
        for (text, hint) in [
            (
                "::ffff:10.0.0.5/24",
                "did you mean `\"10.0.0.0/24\"`, which as IPv6 is `\"::ffff:10.0.0.0/120\"`?",
            ),
            (
                "::ffff:a00:5/32",
                "did you mean `\"10.0.0.5/32\"`, which as IPv6 is `\"::ffff:10.0.0.5/128\"`?",
            ),
            (
                "::ffff:10.0.0.5/0",
                "did you mean `\"0.0.0.0/0\"`, which as IPv6 is `\"::ffff:0.0.0.0/96\"`?",
            ),
            (
                "::ffff:10.0.0.0/64",
                "write `\"10.0.0.0\"` for the one address, or a network such as `\"10.0.0.0/8\"`",
            ),
            ("fd00::1/8", "did you mean `\"fd00::/8\"`?"),
            (
                "::1/64",
                "did you mean `\"::1\"`? (`\"::/64\"` would contain every IPv4 address)",
            ),
        ] {
            let wrong = IpNet::from_text(text).unwrap_err();
            assert_eq!(wrong.hint.as_deref(), Some(hint), "{text}");
        }

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
