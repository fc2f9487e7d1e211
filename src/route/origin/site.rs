//! An origin taken apart: `scheme://host[:port]` and nothing else.

use crate::route::host;
use crate::vocabulary::Scheme;

/// An origin taken apart, in the request's own spelling.
pub(super) struct Origin<'a> {
    pub(super) scheme: &'a str,
    /// Empty in `file://` alone and in what is like it.
    pub(super) host: &'a str,
    /// Written, or the scheme's default; `None` for an unknown scheme without one.
    pub(super) port: Option<u16>,
}

impl<'a> Origin<'a> {
    /// `None` unless `text` is exactly `scheme://host[:port]`.
    pub(super) fn parse(text: &'a str) -> Option<Origin<'a>> {
        // Not `split_once("://")`: its searcher costs more than the rest of the check.
        let (scheme, rest) = text.split_at(memchr::memchr(b':', text.as_bytes())?);
        let authority = rest.strip_prefix("://")?;
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        if !scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            || !scheme.bytes().all(sound)
        {
            return None;
        }
        let default = default_port(scheme);
        if authority.is_empty() && default.is_none() {
            let (host, port) = (authority, None);
            return Some(Origin { scheme, host, port });
        }
        let (host, written) = host::split_port(authority)?;
        let bare_colon = authority.ends_with(':');
        let port_text = authority.get(host.len() + 1..).unwrap_or_default();
        if bare_colon || port_text.starts_with('0') || !is_host(host) {
            return None;
        }
        let port = written.or(default);
        Some(Origin { scheme, host, port })
    }

    pub(super) fn is_http(&self) -> bool {
        self.scheme.eq_ignore_ascii_case("http")
    }
}

/// A name of letters, digits, `-`, `.` and `_`, or an IPv6 literal.
fn is_host(host: &str) -> bool {
    match host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')),
    }
}

pub(super) fn default_port(scheme: &str) -> Option<u16> {
    [Scheme::Http, Scheme::Https]
        .into_iter()
        .find(|known| scheme.eq_ignore_ascii_case(known.as_str()))
        .map(Scheme::default_port)
}
