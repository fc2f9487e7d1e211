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
use crate::net::listen::Listener;

/// What holds no secret and changes nothing: answered without a token too.
const OPEN: [&str; 3] = ["/", "/healthz", "/readyz"];

/// Starts a program of the asker's choice as sluice's user, so that being on this machine is
/// not enough.
const UPGRADE: &str = "/v1/upgrade";

/// Through what a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AccessGuard {
    /// TCP, at this port.
    Tcp(u16),
    /// A unix socket, whose permission bits say who may connect. A browser may ask through a
    /// forwarded port all the same, and leaves the port out of the Host where that is 80.
    Unix,
}

impl AccessGuard {
    pub(super) fn of(listener: &Listener) -> AccessGuard {
        listener.local_addr().map_or(AccessGuard::Unix, |address| {
            AccessGuard::Tcp(address.port())
        })
    }

    /// Whether the request may be heard. Over TCP it has to bring the token, if there is one.
    pub(super) fn check<B>(
        self,
        request: &Request<B>,
        token: Option<&Token>,
    ) -> Result<(), Refusal> {
        // Through whatever terminates TLS in front of it a page is one of https.
        let mut schemes: &[&str] = &["http"];
        let own = match (self, token) {
            (AccessGuard::Tcp(_), Some(token)) => {
                if !OPEN.contains(&request.uri().path()) {
                    token.check(request.headers())?;
                }
                // No page of another site knows the token, whatever its name leads to.
                schemes = &["http", "https"];
                Some(named_authority(request)?)
            }
            (AccessGuard::Tcp(_), None) if request.uri().path() == UPGRADE => {
                return Err(Refusal::new(
                    StatusCode::FORBIDDEN,
                    "over TCP an upgrade needs a token: set admin.token_file, or admin.listen to \
                     a unix socket, or send SIGUSR2",
                ));
            }
            (AccessGuard::Tcp(port), None) => Some(public_authority(request, port)?),
            (AccessGuard::Unix, _) => forwarded_authority(request)?,
        };
        let is_own = |origin: &[u8]| {
            let Some(own) = &own else { return false };
            let mut origins = schemes.iter().map(|scheme| format!("{scheme}://{own}"));
            origins.any(|own| own.as_bytes() == origin)
        };
        for origin in request.headers().get_all(ORIGIN) {
            if !is_own(origin.as_bytes()) {
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

impl AccessGuard {
    /// Whether a request that may be heard was one that not every client could make.
    pub(super) fn shows_a_right<B>(self, request: &Request<B>, token: Option<&Token>) -> bool {
        match (self, token) {
            (AccessGuard::Tcp(_), Some(_)) => !OPEN.contains(&request.uri().path()),
            (AccessGuard::Tcp(_), None) | (AccessGuard::Unix, _) => true,
        }
    }
}

/// The one authority that the request names, if it is an address or localhost, and `port`.
fn public_authority<B>(request: &Request<B>, port: u16) -> Result<Authority, Refusal> {
    match named_authority(request) {
        Ok(authority)
            if is_of_no_name_server(&authority) && authority.port_u16().unwrap_or(80) == port =>
        {
            Ok(authority)
        }
        _ => {
            let message =
                format!("the Host has to be an IP address or localhost, with the port {port}");
            Err(Refusal::new(StatusCode::FORBIDDEN, message))
        }
    }
}

/// What scripts call the unix socket, as in `http://sluice/metrics`.
const OWN_NAME: &str = "sluice";

/// The authority of a request that may have come through a forwarded port; `None`: no
/// browser sent it.
fn forwarded_authority<B>(request: &Request<B>) -> Result<Option<Authority>, Refusal> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let says_nothing = hosts.all(|host| host.is_empty()) && request.uri().authority().is_none();
    if says_nothing {
        return Ok(None);
    }
    match named_authority(request) {
        // Any other name, a single word too, is looked up in some network and by some browser.
        Ok(authority) if is_of_no_name_server(&authority) => Ok(Some(authority)),
        // But for the one that scripts have for the socket, which a network hardly has.
        Ok(authority) if authority.as_str() == OWN_NAME => Ok(None),
        _ => {
            let message = "the Host has to be localhost or an IP address (http://localhost/…): \
                           another name may be that of a web page";
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

fn is_of_no_name_server(authority: &Authority) -> bool {
    let host = authority.host();
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    !authority.as_str().contains('@')
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

    fn status(guard: AccessGuard, method: &str, fields: &[(&str, &str)]) -> u16 {
        let mut request = Request::builder().method(method).uri("/v1/status");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let checked = guard.check(&request.body(()).unwrap(), None);
        checked.map_or_else(|refusal| Answer::from(refusal).status().as_u16(), |()| 200)
    }

    #[test]
    fn only_addresses_and_localhost_are_hosts() {
        let tcp = AccessGuard::Tcp(9000);
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
        }
        assert_eq!(status(tcp, "GET", &[]), 403);
        let twice = [("host", "127.0.0.1:9000"), ("host", "127.0.0.1:9000")];
        assert_eq!(status(tcp, "GET", &twice), 403);
        assert_eq!(
            status(AccessGuard::Tcp(80), "GET", &[("host", "127.0.0.1")]),
            200
        );
    }

    #[test]
    fn a_forwarded_port_of_a_unix_socket_is_guarded_too() {
        for host in [
            "localhost",
            "127.0.0.1",
            "[::1]",
            "",
            "127.0.0.1:9",
            "localhost:9180",
            "sluice",
        ] {
            assert_eq!(
                status(AccessGuard::Unix, "GET", &[("host", host)]),
                200,
                "{host}"
            );
        }
        assert_eq!(status(AccessGuard::Unix, "GET", &[]), 200);
        let twice = [("host", "localhost"), ("host", "rebound.example")];
        assert_eq!(status(AccessGuard::Unix, "GET", &twice), 403);
        for host in [
            "admin",
            "x",
            "unix",
            "localhost.",
            "admin.localhost",
            "127.1",
            "2130706433",
            "0x7f000001",
            "rebound.example",
            "rebound.example:80",
            "rebound.example:9180",
            "sluice.example",
            "example.",
            "user@localhost",
            "user@localhost:9180",
            "sluice:80",
            "not a host",
        ] {
            assert_eq!(
                status(AccessGuard::Unix, "GET", &[("host", host)]),
                403,
                "{host}"
            );
        }
        for (host, origin, expected) in [
            ("localhost:9180", "http://localhost:9180", 200),
            ("localhost:9180", "http://evil.example", 403),
            ("localhost:9180", "null", 403),
            ("localhost", "http://localhost", 200),
            ("localhost", "http://evil.example", 403),
            ("sluice", "http://sluice", 403),
        ] {
            let fields = [("host", host), ("origin", origin)];
            assert_eq!(
                status(AccessGuard::Unix, "GET", &fields),
                expected,
                "{origin}"
            );
        }
    }

    #[test]
    fn with_a_token_the_page_may_be_one_of_https() {
        let token = Token::of("correct-horse-battery");
        for (origin, expected) in [
            ("https://admin.example", true),
            ("http://admin.example", true),
            ("https://evil.example", false),
        ] {
            let request = Request::builder()
                .uri("/v1/status")
                .header("host", "admin.example")
                .header("authorization", "Bearer correct-horse-battery")
                .header("origin", origin);
            let request = request.body(()).unwrap();
            let checked = AccessGuard::Tcp(9000).check(&request, Some(&token));
            assert_eq!(checked.is_ok(), expected, "{origin}");
        }
    }

    #[test]
    fn an_upgrade_over_tcp_needs_a_token() {
        let token = Token::of("correct-horse-battery");
        let request = |guard: AccessGuard, token| {
            let request = Request::post("/v1/upgrade")
                .header("host", "127.0.0.1:9000")
                .header("content-type", "application/json")
                .header("authorization", "Bearer correct-horse-battery");
            guard.check(&request.body(()).unwrap(), token).is_ok()
        };
        assert!(!request(AccessGuard::Tcp(9000), None));
        assert!(request(AccessGuard::Tcp(9000), Some(&token)));
        assert!(request(AccessGuard::Unix, None));
    }

    #[test]
    fn the_target_counts_for_more_than_the_host() {
        let request = |uri: &str| {
            let request = Request::builder().uri(uri).header("host", "127.0.0.1:9000");
            request.body(()).unwrap()
        };
        let tcp = AccessGuard::Tcp(9000);
        assert!(tcp.check(&request("http://127.0.0.1:9000/x"), None).is_ok());
        assert!(
            tcp.check(&request("http://rebound.example:9000/x"), None)
                .is_err()
        );
    }

    #[test]
    fn other_origins_are_refused() {
        let tcp = AccessGuard::Tcp(9000);
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
            assert_eq!(
                status(AccessGuard::Unix, "POST", &fields),
                expected,
                "{kind}"
            );
            assert_eq!(
                status(AccessGuard::Unix, "DELETE", &fields),
                expected,
                "{kind}"
            );
        }
        assert_eq!(status(AccessGuard::Unix, "POST", &[]), 415);
        assert_eq!(status(AccessGuard::Unix, "HEAD", &[]), 200);
    }
}
