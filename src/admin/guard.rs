//! Keeps web pages from giving orders. A page that a browser shows can send requests to
//! loopback addresses, and by DNS rebinding even read the answers: so the Host has to be one
//! that no name server decides about, a foreign Origin is refused, and what changes
//! something needs a media type that a form cannot send.

use std::net::IpAddr;

use http::header::{CONTENT_TYPE, HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, Method, Request, StatusCode};

use super::answer::Refusal;
use super::token::Token;
use crate::listen::Listener;

/// What holds no secret and changes nothing: answered without a token too.
const OPEN: [&str; 3] = ["/", "/healthz", "/readyz"];

/// Through what a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    /// TCP, at this port.
    Tcp(u16),
    /// A unix socket, whose permission bits say who may connect; its Host says nothing.
    Unix,
}

impl Door {
    pub(super) fn of(listener: &Listener) -> Door {
        listener
            .local_addr()
            .map_or(Door::Unix, |address| Door::Tcp(address.port()))
    }

    /// Whether the request may be heard. Over TCP it has to bring the token, if there is one.
    pub(super) fn check<B>(
        self,
        request: &Request<B>,
        token: Option<&Token>,
    ) -> Result<(), Refusal> {
        let own = match (self, token) {
            (Door::Tcp(_), Some(token)) => {
                if !OPEN.contains(&request.uri().path()) {
                    token.check(request.headers())?;
                }
                // No page of another site knows the token, whatever its name leads to.
                Some(named_authority(request)?)
            }
            (Door::Tcp(port), None) => Some(public_authority(request, port)?),
            (Door::Unix, _) => None,
        };
        let own_origin = own.map(|authority| format!("http://{authority}"));
        for origin in request.headers().get_all(ORIGIN) {
            if own_origin.as_deref().map(str::as_bytes) != Some(origin.as_bytes()) {
                return Err(Refusal::new(
                    StatusCode::FORBIDDEN,
                    "requests of other origins are not answered",
                ));
            }
        }
        let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
        if changes && !is_json(request.headers()) {
            return Err(Refusal::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "Content-Type has to be application/json",
            ));
        }
        Ok(())
    }
}

/// The one authority that the request names, if it is an address or localhost, and `port`.
fn public_authority<B>(request: &Request<B>, port: u16) -> Result<Authority, Refusal> {
    match named_authority(request) {
        Ok(authority) if is_own(&authority, port) => Ok(authority),
        _ => {
            let message =
                format!("the Host has to be an IP address or localhost, with the port {port}");
            Err(Refusal::new(StatusCode::FORBIDDEN, message))
        }
    }
}

/// The one authority that the request names.
fn named_authority<B>(request: &Request<B>) -> Result<Authority, Refusal> {
    let refuse = || Refusal::new(StatusCode::FORBIDDEN, "there has to be one valid Host");
    let mut hosts = request.headers().get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(refuse());
    };
    let host = Authority::try_from(host.as_bytes()).map_err(|_| refuse())?;
    // RFC 9112 section 3.2.2: an authority in the target stands in for the Host.
    Ok(request.uri().authority().unwrap_or(&host).clone())
}

fn is_own(authority: &Authority, port: u16) -> bool {
    let host = authority.host();
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    !authority.as_str().contains('@')
        && authority.port_u16().unwrap_or(80) == port
        && (host.eq_ignore_ascii_case("localhost") || literal.parse::<IpAddr>().is_ok())
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let media_type = value.and_then(|value| value.split(';').next());
    media_type.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

#[cfg(test)]
mod tests {
    use super::super::answer::Answer;
    use super::*;

    fn status(door: Door, method: &str, fields: &[(&str, &str)]) -> u16 {
        let mut request = Request::builder().method(method).uri("/v1/status");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let checked = door.check(&request.body(()).unwrap(), None);
        checked.map_or_else(|refusal| Answer::from(refusal).status().as_u16(), |()| 200)
    }

    #[test]
    fn only_addresses_and_localhost_are_hosts() {
        let tcp = Door::Tcp(9000);
        for host in [
            "127.0.0.1:9000",
            "localhost:9000",
            "LOCALHOST:9000",
            "[::1]:9000",
            "10.0.0.1:9000",
        ] {
            assert_eq!(status(tcp, "GET", &[("host", host)]), 200, "{host}");
        }
        for host in [
            "rebound.example:9000",
            "localhost.example:9000",
            "127.0.0.1.example:9000",
            "127.0.0.1",
            "127.0.0.1:9001",
            "localhost:80",
            "user@127.0.0.1:9000",
            "",
        ] {
            assert_eq!(status(tcp, "GET", &[("host", host)]), 403, "{host}");
            assert_eq!(status(Door::Unix, "GET", &[("host", host)]), 200, "{host}");
        }
        assert_eq!(status(tcp, "GET", &[]), 403);
        let twice = [("host", "127.0.0.1:9000"), ("host", "127.0.0.1:9000")];
        assert_eq!(status(tcp, "GET", &twice), 403);
        assert_eq!(status(Door::Tcp(80), "GET", &[("host", "127.0.0.1")]), 200);
    }

    #[test]
    fn the_target_counts_for_more_than_the_host() {
        let request = |uri: &str| {
            let request = Request::builder().uri(uri).header("host", "127.0.0.1:9000");
            request.body(()).unwrap()
        };
        let tcp = Door::Tcp(9000);
        assert!(tcp.check(&request("http://127.0.0.1:9000/x"), None).is_ok());
        assert!(
            tcp.check(&request("http://rebound.example:9000/x"), None)
                .is_err()
        );
    }

    #[test]
    fn other_origins_are_refused() {
        let tcp = Door::Tcp(9000);
        let host = ("host", "localhost:9000");
        for (origin, expected) in [
            ("http://localhost:9000", 200),
            ("http://127.0.0.1:9000", 403),
            ("https://localhost:9000", 403),
            ("http://localhost:9001", 403),
            ("null", 403),
        ] {
            let fields = [host, ("origin", origin)];
            assert_eq!(status(tcp, "GET", &fields), expected, "{origin}");
            assert_eq!(status(Door::Unix, "GET", &fields), 403, "{origin}");
        }
    }

    #[test]
    fn orders_are_json() {
        for (kind, expected) in [
            ("application/json", 200),
            ("Application/JSON; charset=utf-8", 200),
            ("text/plain", 415),
            ("application/x-www-form-urlencoded", 415),
            ("application/jsonp", 415),
        ] {
            let fields = [("content-type", kind)];
            assert_eq!(status(Door::Unix, "POST", &fields), expected, "{kind}");
            assert_eq!(status(Door::Unix, "DELETE", &fields), expected, "{kind}");
        }
        assert_eq!(status(Door::Unix, "POST", &[]), 415);
        assert_eq!(status(Door::Unix, "HEAD", &[]), 200);
    }
}
