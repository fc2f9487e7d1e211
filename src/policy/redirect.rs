//! The target of a `redirect`: its variables are replaced in one pass, so that a brace in a path
//! or query is never taken for a variable.

use crate::route::host;
use crate::route::origin::PublicAuthority;

/// The `Location` for a request to `path` and `query` under the public URL.
pub fn location(
    to: &str,
    public: &PublicAuthority<'_>,
    path: &[u8],
    query: Option<&[u8]>,
) -> String {
    let mut location = String::with_capacity(to.len() + path.len() + 64);
    let mut rest = to;
    while let Some((before, after)) = rest.split_once('{') {
        location.push_str(before);
        // The configuration accepts no other names and no single brace.
        let (name, after) = after.split_once('}').unwrap_or((after, ""));
        match name {
            "scheme" => location.push_str(public.scheme.as_str()),
            "host" => location.push_str(public.host),
            "hostname" => location.push_str(hostname(public.host)),
            "path" => push_ascii(&mut location, path),
            "query" => {
                if let Some(query) = query {
                    location.push('?');
                    push_ascii(&mut location, query);
                }
            }
            _ => {}
        }
        rest = after;
    }
    location.push_str(rest);
    // `//other.test` and `/\other.test` lead to another site: only the template may say so.
    if leads_away(&location) && !leads_away(to) {
        let rest = location.trim_start_matches(SLASHES);
        location.replace_range(..location.len() - rest.len(), "/");
    }
    location
}

/// Whether the target has the request's host in it.
pub fn needs_host(to: &str) -> bool {
    to.contains("{host}") || to.contains("{hostname}")
}

/// Browsers take a backslash for a slash.
const SLASHES: [char; 2] = ['/', '\\'];

/// Whether a reference begins with two slashes, after which a host stands (RFC 3986 section 4.2).
fn leads_away(reference: &str) -> bool {
    let mut start = reference.chars();
    (0..2).all(|_| start.next().is_some_and(|c| SLASHES.contains(&c)))
}

/// As a `Location` may hold it: what is not ASCII is percent-encoded.
fn push_ascii(out: &mut String, bytes: &[u8]) {
    for &byte in bytes {
        match byte.is_ascii() {
            true => out.push(char::from(byte)),
            false => out.push_str(&format!("%{byte:02X}")),
        }
    }
}

/// The host without its port; the brackets of an IPv6 address stay.
fn hostname(authority: &str) -> &str {
    host::split_port(authority).map_or(authority, |(host, _)| host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Scheme;

    fn from(authority: &str, to: &str, path: &str, query: Option<&str>) -> String {
        let public = PublicAuthority {
            scheme: Scheme::Http,
            host: authority,
            port: None,
        };
        location(to, &public, path.as_bytes(), query.map(str::as_bytes))
    }

    #[test]
    fn hostname_is_the_host_without_its_port() {
        let https = "https://{hostname}{path}{query}";
        for (authority, host) in [
            ("app.test:8080", "app.test"),
            ("app.test", "app.test"),
            ("app.test:", "app.test"),
            ("[::1]:8080", "[::1]"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(
                from(authority, https, "/a", Some("b=c")),
                format!("https://{host}/a?b=c")
            );
        }
        assert_eq!(
            from("app.test:8080", "https://{hostname}:8443{path}", "/a", None),
            "https://app.test:8443/a"
        );
        assert_eq!(
            from("app.test:8080", "{scheme}://{host}/new", "/a", Some("b")),
            "http://app.test:8080/new"
        );
    }

    #[test]
    fn a_path_is_told_as_it_came_and_leads_to_no_other_site() {
        for (to, path, location) in [
            ("https://a{path}", "//b/%7e[", "https://a//b/%7e["),
            ("{path}/", "//b.test/x", "/b.test/x/"),
            ("{path}/", "/\\/b.test", "/b.test/"),
            ("{path}/", "/", "/"),
            ("{path}/x", "/", "/x"),
            ("{path}/{hostname}", "/", "/a"),
            ("{path}{path}", "/", "/"),
            ("{path}\\x", "/", "/x"),
            ("/{path}", "/b.test", "/b.test"),
            ("/{path}", "/\\b.test", "/b.test"),
            ("/{path}{query}", "/", "/?\"q\""),
            ("//{host}{path}", "//b.test", "//a//b.test"),
            ("{path}{query}", "/", "/?\"q\""),
            ("/new{path}", "/é", "/new/%C3%A9"),
        ] {
            let query = to.contains("{query}").then_some("\"q\"");
            assert_eq!(from("a", to, path, query), location, "{to} {path}");
        }
    }

    #[test]
    fn what_the_request_brings_is_not_read_again() {
        let to = "https://{hostname}{path}{query}";
        assert_eq!(
            from("a", to, "/{query}/{host}", Some("x={scheme}")),
            "https://a/{query}/{host}?x={scheme}"
        );
    }
}
