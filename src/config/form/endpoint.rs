//! Whom sluice forwards to: `host:port` endpoints and unix sockets. No name is resolved here.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::address::{port_number, socket_path};
use crate::config::EndpointAddress;
use crate::setting::read::{FromText, Wrong};
use crate::setting::typed::Setting;
use crate::setting::written::Written;

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
    // In a URL the sign is escaped (RFC 6874 section 2); a number may begin with these digits.
    let unescaped = zone.strip_prefix("25");
    let unescaped = unescaped.filter(|zone| zone.bytes().any(|byte| !byte.is_ascii_digit()));
    let zone = unescaped.unwrap_or(zone);
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

impl Setting<EndpointAddress> for EndpointAddress {
    fn value(&self) -> EndpointAddress {
        self.clone()
    }

    fn write(value: &EndpointAddress) -> Written {
        value.to_string().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_zone_of_a_url_is_unescaped() {
        for (text, zone) in [
            ("[fe80::1%25eth0]:80", "eth0"),
            ("[fe80::1%25]:80", "25"),
            ("[fe80::1%251]:80", "251"),
        ] {
            let EndpointAddress::Zoned { zone: found, .. } =
                EndpointAddress::from_text(text).expect("an endpoint")
            else {
                panic!("{text} has a zone");
            };
            assert_eq!(found, zone, "{text}");
        }
    }

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
}
