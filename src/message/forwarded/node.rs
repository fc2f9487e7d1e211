//! Nodes of a chain: how they are read, and how `Forwarded` writes them.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

/// An address, bare or in brackets, with or without a port.
pub(super) fn parse_address(text: &str) -> Option<IpAddr> {
    let bare = text.parse().ok();
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = || Some(text.parse::<SocketAddr>().ok()?.ip());
    bare.or_else(bracketed)
        .or_else(with_port)
        .map(|address| address.to_canonical())
}

/// A node of `X-Forwarded-For` as `Forwarded` writes it (RFC 7239 section 6): IPv6 in
/// brackets, and quoted like everything with a port.
pub(super) fn node_text(node: &str) -> Cow<'_, str> {
    let bare = node.trim_start_matches('[').trim_end_matches(']');
    match bare.parse().map(|address: IpAddr| address.to_canonical()) {
        Ok(IpAddr::V4(address)) => Cow::Owned(address.to_string()),
        Ok(IpAddr::V6(address)) => Cow::Owned(format!("\"[{address}]\"")),
        Err(_) if node.parse::<SocketAddr>().is_ok() => Cow::Owned(format!("\"{node}\"")),
        Err(_) => Cow::Borrowed("unknown"),
    }
}
