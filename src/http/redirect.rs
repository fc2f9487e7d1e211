//! Where a `redirect` leads: its target with what stands for the request's own parts filled
//! in, in one pass, so that a brace in a path or query is never taken for one of ours.

use crate::route::host;
use crate::route::origin::PublicAuthority;

/// The `Location` for a request to `path` and `query` under the public URL.
pub fn location(to: &str, public: &PublicAuthority<'_>, path: &str, query: Option<&str>) -> String {
    let mut location = String::with_capacity(to.len() + path.len() + 64);
    let mut rest = to;
    while let Some((before, after)) = rest.split_once('{') {
        location.push_str(before);
        // The configuration takes no other names, and no brace that stands alone.
        let (name, after) = after.split_once('}').unwrap_or((after, ""));
        match name {
            "scheme" => location.push_str(public.scheme.as_str()),
            "host" => location.push_str(public.host),
            "hostname" => location.push_str(hostname(public.host)),
            "path" => location.push_str(path),
            "query" => {
                if let Some(query) = query {
                    location.push('?');
                    location.push_str(query);
                }
            }
            _ => {}
        }
        rest = after;
    }
    location.push_str(rest);
    location
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
        location(to, &public, path, query)
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
    fn what_the_request_brings_is_not_read_again() {
        let to = "https://{hostname}{path}{query}";
        assert_eq!(
            from("a", to, "/{query}/{host}", Some("x={scheme}")),
            "https://a/{query}/{host}?x={scheme}"
        );
    }
}
