//! What is right and still hardly meant: warnings of a file that can be put in force. `sluice
//! check` prints them; a start and a reload log them.

use std::net::IpAddr;

use crate::config::EndpointAddress;
use crate::config::action::RedirectKey;
use crate::config::file::FileTable;
use crate::config::form::address::Bind;
use crate::config::form::answer::RedirectTarget;
use crate::setting::read::{Located, Node, Sink};

use super::{verbatim, without_effect};

pub(super) fn warnings(node: &Node<'_>, file: &FileTable, sink: &mut Sink) {
    verbatim::warnings(node, sink);
    without_effect::warnings(file, sink);
    unused_upstreams(file, sink);
    own_address(file, sink);
    redirects_with_port(file, sink);
}

fn unused_upstreams(file: &FileTable, sink: &mut Sink) {
    let routes = || file.route.value().into_iter().flat_map(|blocks| &blocks.0);
    let used = |name: &str| {
        { routes() }.any(|route| {
            let upstream = route.value.upstream.value();
            upstream.is_some_and(|upstream| upstream.0 == name)
        })
    };
    for (name, _) in file.upstream.value().iter().flat_map(|entries| &entries.0) {
        if !used(&name.value.0) {
            sink.at(name, format!("no route uses upstream `{}`", name.value.0))
                .hint(format!(
                    "write `upstream = \"{}\"` in a `[[route]]`, or leave the table out",
                    name.value.0
                ));
        }
    }
}

/// An endpoint that is a listener of this file: requests would come back until something
/// gives up.
fn own_address(file: &FileTable, sink: &mut Sink) {
    let blocks = || file.listen.value().into_iter().flat_map(|blocks| &blocks.0);
    let binds: Vec<_> = blocks()
        .filter_map(|block| block.value.address.given())
        .collect();
    let named = file
        .upstream
        .value()
        .into_iter()
        .flat_map(|entries| &entries.0);
    let named = named.filter_map(|(_, table)| table.value.endpoints.value());
    let routes = file.route.value().into_iter().flat_map(|blocks| &blocks.0);
    let inline = routes.filter_map(|route| route.value.to.value());
    for endpoint in named.chain(inline).flat_map(|list| &list.0) {
        if let Some(bind) = binds
            .iter()
            .find(|bind| leads_to(&endpoint.value, &bind.value))
        {
            let message = format!("{} is an address that sluice listens on", endpoint.value);
            sink.at(endpoint, message)
                .hint("requests would come back to sluice; name the server that is to answer")
                .related(bind.span.clone(), "listened on here");
        }
    }
}

/// Whether a connect to the endpoint arrives at the listener, as far as the file alone says.
fn leads_to(endpoint: &EndpointAddress, bind: &Bind) -> bool {
    match (endpoint, bind) {
        (EndpointAddress::Unix(path), Bind::Unix(bound)) => path == bound,
        (EndpointAddress::Host { host, port }, Bind::Tcp(bound)) => {
            let (ip, bound_port) = (bound.ip(), bound.port());
            *port == bound_port
                && match host.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
                    // An unspecified destination is this machine, as loopback is.
                    Ok(to) => {
                        let here = to.is_loopback() || to.is_unspecified();
                        to == ip
                            || here && (takes(ip, to) || to.is_unspecified() && ip.is_loopback())
                    }
                    Err(_) if is_localhost(host) => ip.is_unspecified() || ip.is_loopback(),
                    Err(_) => ip.is_unspecified() && is_own_name(host),
                }
        }
        _ => false,
    }
}

/// Whether a listener on `bound` takes what comes to `to`: `[::]` takes IPv4 too.
fn takes(bound: IpAddr, to: IpAddr) -> bool {
    bound.is_unspecified() && (bound.is_ipv6() || to.is_ipv4())
}

/// RFC 6761 section 6.3, and what `/etc/hosts` usually has beside it.
fn is_localhost(host: &str) -> bool {
    let host = host.trim_end_matches('.');
    matches!(
        host,
        "localhost" | "ip6-localhost" | "localhost.localdomain"
    ) || host.ends_with(".localhost")
}

/// Whether this is the machine's own name: with or without its domain, as in a container, where
/// the service's name is often the machine's too.
fn is_own_name(host: &str) -> bool {
    let uname = rustix::system::uname();
    let Ok(own) = uname.nodename().to_str() else {
        return false;
    };
    let host = host.trim_end_matches('.');
    let first = |name: &str| {
        name.split('.')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase()
    };
    host.eq_ignore_ascii_case(own) || !host.contains('.') && first(own) == first(host)
}

/// `https://{host}` keeps the port of a plain listener.
fn redirects_with_port(file: &FileTable, sink: &mut Sink) {
    let routes = file.route.value().into_iter().flat_map(|blocks| &blocks.0);
    for redirect in routes.filter_map(|route| route.value.redirect.given()) {
        let (target, place): (Option<&RedirectTarget>, _) = match &redirect.value {
            RedirectKey::To(to) => (Some(to), (&redirect.span, &redirect.key)),
            RedirectKey::Table(table) => match table.to.given() {
                Some(Located { value, span, key }) => (Some(value), (span, key)),
                None => continue,
            },
        };
        let Some(rest) = target.and_then(|to| to.0.strip_prefix("https://{host}")) else {
            continue;
        };
        sink.report(place.0, place.1, "`{host}` keeps the port of the request")
            .hint(format!(
                "`\"https://{{hostname}}{rest}\"` leads from http://example.com:8080 to \
                 https://example.com"
            ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setting::read::FromText;

    #[test]
    fn the_machines_own_name_is_seen() {
        let uname = rustix::system::uname();
        let own = uname.nodename().to_str().expect("a name");
        let leads = |bind: &str| {
            let endpoint = EndpointAddress::from_text(&format!("{own}:8080")).expect("valid");
            leads_to(&endpoint, &Bind::from_text(bind).expect("valid"))
        };
        assert!(leads(":8080") && leads("[::]:8080"));
        assert!(!leads(":8081") && !leads("127.0.0.1:8080"));
    }

    #[test]
    fn a_connect_to_a_listener_is_seen() {
        let leads = |endpoint: &str, bind: &str| {
            let endpoint = EndpointAddress::from_text(endpoint).unwrap();
            leads_to(&endpoint, &Bind::from_text(bind).unwrap())
        };
        for (endpoint, bind) in [
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("127.0.0.1:8080", ":8080"),
            ("127.0.0.1:8080", "0.0.0.0:8080"),
            ("127.0.0.9:8080", "0.0.0.0:8080"),
            ("0.0.0.0:8080", "127.0.0.1:8080"),
            ("0.0.0.0:8080", "0.0.0.0:8080"),
            ("localhost:8080", "0.0.0.0:8080"),
            ("localhost:8080", "127.0.0.1:8080"),
            ("LOCALHOST:8080", "[::1]:8080"),
            ("app.localhost:8080", ":8080"),
            ("[::1]:8080", ":8080"),
            ("[::ffff:127.0.0.1]:8080", "127.0.0.1:8080"),
            ("[::ffff:127.0.0.1]:8080", ":8080"),
            ("10.0.0.5:8080", "[::ffff:10.0.0.5]:8080"),
            ("10.0.0.5:8080", "10.0.0.5:8080"),
            ("unix:/run/a.sock", "unix:/run/a.sock"),
        ] {
            assert!(leads(endpoint, bind), "{endpoint} at {bind}");
        }
        for (endpoint, bind) in [
            ("127.0.0.1:9000", ":8080"),
            ("10.0.0.5:8080", ":8080"),
            ("127.0.0.2:8080", "127.0.0.1:8080"),
            ("[::1]:8080", "0.0.0.0:8080"),
            ("localhost:8080", "10.0.0.5:8080"),
            ("app:8080", ":8080"),
            ("unix:/run/b.sock", "unix:/run/a.sock"),
        ] {
            assert!(!leads(endpoint, bind), "{endpoint} at {bind}");
        }
    }
}
