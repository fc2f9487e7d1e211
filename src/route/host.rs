//! Host names as routing and the Origin policy compare them: lower-case, without a trailing
//! dot, IPv6 literals in their canonical text (RFC 3986 section 3.2.2, RFC 5952).
//! Owns no policy; names are not decoded (IDNA stays `xn--…`).

use std::borrow::Cow;
use std::net::Ipv6Addr;

/// The one spelling of `host`, which has no port. Borrows where nothing has to
/// change, except that an IPv6 literal is always written anew.
pub fn normalise(host: &str) -> Cow<'_, str> {
    if let Some(address) = ipv6(host) {
        return Cow::Owned(format!("[{address}]"));
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    }
}

/// Whether two hosts without ports are the same, without allocating.
pub fn same(a: &str, b: &str) -> bool {
    let bare = |host| str::strip_suffix(host, '.').unwrap_or(host);
    bare(a).eq_ignore_ascii_case(bare(b)) || ipv6(a).is_some_and(|address| ipv6(b) == Some(address))
}

/// Splits `host[:port]` as in a `Host` field. An empty port is none (RFC 9110 section 4.2.3).
/// `None` for what is not an authority: an empty host, userinfo, a bad port, a bare IPv6 address.
pub fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let colon = match authority.strip_prefix('[') {
        Some(rest) => rest.find(']')? + 2,
        None => authority
            .bytes()
            .position(|byte| byte == b':')
            .unwrap_or(authority.len()),
    };
    let (host, rest) = authority.split_at_checked(colon)?;
    let port = match rest.strip_prefix(':') {
        None if rest.is_empty() => None,
        None => return None,
        Some("") => None,
        Some(digits) => Some(port(digits)?),
    };
    // Hosts are short: a loop is over before a search in blocks has begun.
    let sound = host.bytes().all(|byte| !matches!(byte, b'@' | b'/' | b','));
    (!host.is_empty() && sound).then_some((host, port))
}

/// A decimal port; no sign, at most five digits.
pub(super) fn port(digits: &str) -> Option<u16> {
    if digits.is_empty() || digits.len() > 5 {
        return None;
    }
    let number = digits.bytes().try_fold(0u32, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u32::from(byte - b'0'))?;
        Some(number * 10 + digit)
    });
    number.and_then(|number| u16::try_from(number).ok())
}

fn ipv6(host: &str) -> Option<Ipv6Addr> {
    if !host.contains(':') {
        return None;
    }
    let inner = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    inner.unwrap_or(host).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling() {
        for (host, normal) in [
            ("example.com", "example.com"),
            ("Example.COM.", "example.com"),
            ("[::1]", "[::1]"),
            ("::1", "[::1]"),
            ("[0:0:0:0:0:0:0:1]", "[::1]"),
            ("[2001:DB8::A]", "[2001:db8::a]"),
            ("", ""),
        ] {
            assert_eq!(normalise(host), normal, "{host}");
            assert!(same(host, normal), "{host}");
        }
        assert!(!same("example.com", "example.org"));
        assert!(!same("[::1]", "[::2]"));
    }

    #[test]
    fn authorities_are_split() {
        for (authority, split) in [
            ("a", Some(("a", None))),
            ("a:", Some(("a", None))),
            ("a:80", Some(("a", Some(80)))),
            ("[::1]", Some(("[::1]", None))),
            ("[::1]:8080", Some(("[::1]", Some(8080)))),
            ("", None),
            (":80", None),
            ("a:+8", None),
            ("a:65536", None),
            ("a:80:80", None),
            ("[::1", None),
            ("[::1]x", None),
            ("u@a", None),
            ("[é", None),
        ] {
            assert_eq!(split_port(authority), split, "{authority}");
        }
    }
}
