//! The likely cause of a plain HTTP answer to a handshake, inferred from its status, its
//! fields, the first words of its content, and the Host and Origin that were sent.

use http::header::{LOCATION, RETRY_AFTER, UPGRADE};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::quote::{first_words, shown};
use super::said::{Diagnosis, Sent, tls_expected};
use crate::fault::cause;

pub(super) fn diagnose_status(
    sent: &Sent<'_>,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) -> Diagnosis {
    let words = first_words(headers, body);
    match status.as_u16() {
        // The sentences of nginx, Go and Apache.
        400 if [
            "HTTPS port",
            "to an HTTPS server",
            "SSL-enabled server port",
        ]
        .iter()
        .any(|sentence| words.contains(sentence)) =>
        {
            tls_expected("the upstream says so")
        }
        400 | 426 => not_seen_or_not_liked(sent, status, headers, &words),
        403 => forbidden(sent, &words),
        401 | 407 => Diagnosis::new(
            "credentials",
            "the upstream wants credentials that the handshake did not carry; browsers cannot add \
             an Authorization header to a WebSocket, only cookies and the URL",
            "see that cookies reach the upstream (their path, domain and SameSite), or exempt \
             this path from authentication",
        ),
        404 | 410 => Diagnosis::new(
            "path-not-found",
            format!(
                "the upstream has nothing at the path \"{}\"",
                shown(sent.path)
            ),
            "compare the route's strip_prefix and replace_prefix, and a final slash, with the \
             path at which the backend serves WebSocket",
        ),
        405 => Diagnosis::new(
            "path-not-websocket",
            format!(
                "the upstream allows no GET at the path \"{}\", so this is no WebSocket endpoint",
                shown(sent.path)
            ),
            "send the route to the path at which the backend serves WebSocket",
        ),
        421 => Diagnosis::new(
            "host-unknown",
            format!(
                "the upstream does not serve the Host \"{}\"",
                shown(sent.host.as_bytes())
            ),
            "set the route's set_host to a name that the backend knows, or add this one there",
        ),
        508 => Diagnosis::new(
            "loop-detected",
            "the request went in a circle, as a proxy on the way found",
            cause::fix("loop-detected"),
        ),
        429 | 503 => overloaded(status, headers),
        300..=399 => redirected(sent, headers),
        other => by_class(sent, other),
    }
}

/// The statuses that say something about the path or the server by their class alone.
fn by_class(sent: &Sent<'_>, status: u16) -> Diagnosis {
    match status {
        200..=299 => Diagnosis::new(
            "not-a-websocket-endpoint",
            format!(
                "the upstream answered \"{}\" as a plain page: this path is no WebSocket \
                 endpoint, or a proxy in between removed Upgrade and a page server answered",
                shown(sent.path)
            ),
            "send the route to the backend and path that serve WebSocket, and let proxies in \
             between pass Upgrade on",
        ),
        502 | 504 => Diagnosis::new(
            "gateway-behind-failed",
            "the upstream is itself a gateway and could not reach its own upstream",
            "see the log of that gateway",
        ),
        501 | 505 => Diagnosis::new(
            "upgrade-unsupported",
            "the upstream does not support this kind of request",
            "send the route to a server that speaks WebSocket over HTTP/1.1",
        ),
        500..=599 => Diagnosis::new(
            "backend-error",
            "the upstream failed while it handled the handshake",
            "see the backend's own log at this moment",
        ),
        _ => Diagnosis::new(
            "refused",
            "the upstream refused the handshake for a reason of its own",
            "see the first words of its answer, and the backend's own log",
        ),
    }
}

/// 400 and 426: the statuses of servers to which something in the handshake is missing.
fn not_seen_or_not_liked(
    sent: &Sent<'_>,
    status: StatusCode,
    headers: &HeaderMap,
    words: &str,
) -> Diagnosis {
    let mut versions = headers.get_all("sec-websocket-version").iter().peekable();
    let asks_for_a_version = versions.peek().is_some();
    let knows_13 = versions
        .flat_map(|line| line.as_bytes().split(|b| *b == b','))
        .any(|version| version.trim_ascii() == b"13");
    if asks_for_a_version && !knows_13 {
        return Diagnosis::new(
            "version-unsupported",
            "the upstream speaks only versions of WebSocket that are older than RFC 6455",
            "update the backend's WebSocket library",
        );
    }
    if asks_for_a_version || words.contains("missing Connection") || words.contains("missing Upg") {
        return upgrade_not_seen();
    }
    if status == StatusCode::UPGRADE_REQUIRED {
        return match headers.get(UPGRADE) {
            Some(wanted) if !names_websocket(wanted) => Diagnosis::new(
                "other-protocol-required",
                format!(
                    "the upstream demands \"{}\" first",
                    shown(wanted.as_bytes())
                ),
                "point the endpoint at a port that speaks plain HTTP/1.1",
            ),
            _ => upgrade_not_seen(),
        };
    }
    // What node's `ws` answers at a path other than its own: nothing but the status's name.
    if words.is_empty() || words == "Bad Request" {
        return Diagnosis::new(
            "path-or-handshake-rejected",
            format!(
                "the upstream gives no reason; node's ws answers so when its path is not \"{}\"",
                shown(sent.path)
            ),
            "compare this path with the backend's, and see the backend's own log",
        );
    }
    Diagnosis::new(
        "handshake-rejected",
        format!("the upstream finds the handshake invalid and says \"{words}\""),
        "see the backend's own log; the client may have sent what this server does not accept",
    )
}

fn names_websocket(upgrade: &HeaderValue) -> bool {
    upgrade
        .as_bytes()
        .split(|b| *b == b',')
        .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"websocket"))
}

/// gorilla: 400 with the version; node `ws` and python `websockets`: 426.
fn upgrade_not_seen() -> Diagnosis {
    Diagnosis::new(
        "upgrade-not-seen",
        "the upstream did not see Upgrade and Connection, which sluice sent: another proxy \
         stands between sluice and the backend and removes them",
        "let that proxy pass WebSocket on (nginx: proxy_http_version 1.1, proxy_set_header \
         Upgrade $http_upgrade, proxy_set_header Connection \"upgrade\"), or point the endpoint \
         at the backend itself",
    )
}

/// 403: mostly an Origin check. gorilla's default compares the Origin's host and port with
/// Host, ignoring case and scheme; python `websockets` has a list only.
fn forbidden(sent: &Sent<'_>, words: &str) -> Diagnosis {
    let Some(origin) = sent.origin else {
        return Diagnosis::new(
            "forbidden",
            "the upstream forbids it, and not for the Origin's value, since none was sent: it may \
             demand one, or refuse the address, the token or the session",
            "see the backend's own log; if it demands an Origin, this client must send one",
        );
    };
    let (shown_origin, host) = (shown(origin.as_bytes()), shown(sent.host.as_bytes()));
    let authority = authority_of(origin.as_bytes());
    let matches = |host: &HeaderValue| authority.eq_ignore_ascii_case(host.as_bytes());
    let own_list = words.contains("invalid Origin");
    if own_list || matches(sent.host) {
        let although = match own_list {
            true => "and says so",
            false => "although it matches that Host",
        };
        return Diagnosis::new(
            "origin-refused",
            format!(
                "the upstream, given the Host \"{host}\", refuses the Origin \"{shown_origin}\" \
                 {although}: it has its own list of origins, or refuses for another reason"
            ),
            format!("allow \"{shown_origin}\" in the backend's list of origins"),
        );
    }
    let likely = format!(
        "the upstream probably compares the Origin \"{shown_origin}\" with the Host \"{host}\" that it was \
         given, and they differ (gorilla/websocket does so by default)"
    );
    let fix = match sent.replaced_host {
        Some(client) if matches(client) => format!(
            "remove set_host from this route, so that the client's Host \"{}\" reaches the \
             backend, or allow \"{shown_origin}\" there",
            shown(client.as_bytes())
        ),
        Some(client) => format!(
            "allow \"{shown_origin}\" at the backend; removing set_host would give it the Host \
             \"{}\", which differs too",
            shown(client.as_bytes())
        ),
        None => format!(
            "allow \"{shown_origin}\" at the backend; if a proxy in front of sluice changed Host, \
             let it keep it with its port (nginx: proxy_set_header Host $http_host)"
        ),
    };
    Diagnosis::new("origin-refused", likely, fix)
}

/// `scheme://authority` → `authority`, as a browser writes it.
fn authority_of(origin: &[u8]) -> &[u8] {
    match memchr::memmem::find(origin, b"://") {
        Some(at) => &origin[at + 3..],
        None => origin,
    }
}

fn overloaded(status: StatusCode, headers: &HeaderMap) -> Diagnosis {
    let wait = match headers.get(RETRY_AFTER) {
        Some(after) => format!(
            " and asks to come back after \"{}\"",
            shown(after.as_bytes())
        ),
        None => String::new(),
    };
    let what = match status {
        StatusCode::TOO_MANY_REQUESTS => "counts too many requests",
        _ => "is not available: starting, draining or overloaded",
    };
    Diagnosis::new(
        "overloaded",
        format!("the upstream {what}{wait}"),
        "see the backend's limits and its own log",
    )
}

/// 3xx: no browser follows a redirect of a WebSocket handshake.
fn redirected(sent: &Sent<'_>, headers: &HeaderMap) -> Diagnosis {
    let location = headers
        .get(LOCATION)
        .map_or(&b""[..], HeaderValue::as_bytes);
    // The query may carry a token; logs have none.
    let location = location
        .split(|b| matches!(b, b'?' | b'#'))
        .next()
        .unwrap_or_default();
    let likely = format!(
        "the upstream redirects \"{}\" to \"{}\", and WebSocket clients follow no redirects",
        shown(sent.path),
        shown(location)
    );
    let path = match memchr::memmem::find(location, b"://") {
        Some(at) => match memchr::memchr(b'/', &location[at + 3..]) {
            Some(slash) => &location[at + 3 + slash..],
            None => b"/",
        },
        None => location,
    };
    if path == sent.path && (location.starts_with(b"https://") || location.starts_with(b"wss://")) {
        return Diagnosis::new(
            "redirect-to-https",
            likely,
            "the backend takes the connection for an unencrypted one: let it trust \
             X-Forwarded-Proto from sluice, or switch its redirect off",
        );
    }
    if path.strip_suffix(b"/") == Some(sent.path) || sent.path.strip_suffix(b"/") == Some(path) {
        return Diagnosis::new(
            "redirect-slash",
            likely,
            "the paths differ by a final slash only: use the backend's form in the client or the \
             route",
        );
    }
    Diagnosis::new(
        "redirect",
        likely,
        "let the client connect to where it points; if that is a login page, the session's cookie \
         did not reach the upstream",
    )
}
