//! Causes of answers of sluice's own, where the upstream has said nothing that `diagnosis`
//! could explain: a word for records, events and metrics, and what would fix each.

use http::StatusCode;

use super::error::{Kind, ProxyError, Side};

/// The cause where nothing more is known.
pub const OTHER: &str = "other";

/// A handshake that was not answered, or a request that stayed incomplete, because its client is
/// gone.
pub const CLIENT_GONE: &str = "client-gone";

/// What sluice cut at its own end.
pub const STOPPED: &str = "stopped";

/// The causes of this file, each with what to change; all causes are in a table of
/// `docs/observability.md`.
pub const CAUSES: [(&str, &str); 23] = [
    (
        "origin-not-allowed",
        "add the page's origin to `websocket.origin` of the route, if the page may connect",
    ),
    (
        "client-certificate-missing",
        "give the client a certificate that an authority of `client_ca` has signed, or take \
         `client_certificate` out of the route",
    ),
    (
        "misdirected",
        "nothing, if the client then connects anew (RFC 9110 section 15.5.20); else correct the \
         name that it asks for in its TLS handshake (SNI)",
    ),
    (
        "request-invalid",
        "correct the client, or the proxy in front of sluice",
    ),
    (
        "request-too-large",
        "raise `max_head`, `max_header_lines` or `max_target` of `[http]`, or `max_body` of the \
         route, if such requests are wanted",
    ),
    (
        "request-too-slow",
        "see the client's network; `head_timeout`, `body_timeout` and `min_rate` of `[http]` say \
         how slow a client may be",
    ),
    (
        CLIENT_GONE,
        "see whether the backend or the client's network is slow; else nothing: the user left",
    ),
    (
        "draining",
        "nothing: the client comes back later, or the drain is taken back",
    ),
    (
        STOPPED,
        "nothing: the client comes back later; raise `drain.deadline`, after an upgrade \
         `upgrade.deadline`, if such requests need longer",
    ),
    (
        "no-route",
        "add a route for this host and path, or correct the URL that the page uses",
    ),
    (
        "no-endpoint",
        "look at why every endpoint of the upstream is drained or has failed",
    ),
    (
        "dns-error",
        "correct the upstream's host name, or see why it does not resolve",
    ),
    (
        "connection-refused",
        "start the backend, or correct the upstream's address and port",
    ),
    ("connection-timeout", UNREACHED),
    ("unroutable", UNREACHED),
    (
        "loop-detected",
        "correct the upstream of the route: it leads back to a listener of this proxy, directly or \
         through others",
    ),
    (
        "local-resources",
        "raise the limit of open files, or see what uses up this machine",
    ),
    ("closed-without-answer", BACKEND),
    ("closed-in-answer", BACKEND),
    (
        "malformed-answer",
        "correct what the backend writes into its answer's head",
    ),
    (
        "no-answer-in-time",
        "see whether the backend is overloaded; if it only needs longer, raise `response_head` of \
         the route's `timeouts`",
    ),
    (
        "upstream-not-switching",
        "point the route at the WebSocket server itself",
    ),
    (
        OTHER,
        "see the backend's log, and that of the proxy in front of sluice",
    ),
];

const UNREACHED: &str =
    "correct the upstream's address, or let a firewall in between pass the connection";
const BACKEND: &str = "see the backend's own log at this moment";

/// The cause of an error; `routed`: a route had taken the request.
pub fn of(error: &ProxyError, routed: bool) -> &'static str {
    match error.kind {
        Kind::RequestIncomplete | Kind::ClientGone => CLIENT_GONE,
        Kind::RequestDenied => "origin-not-allowed",
        Kind::CertificateMissing => "client-certificate-missing",
        Kind::RequestError => match error.status {
            StatusCode::REQUEST_TIMEOUT => "request-too-slow",
            StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::URI_TOO_LONG
            | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => "request-too-large",
            StatusCode::MISDIRECTED_REQUEST => "misdirected",
            _ => "request-invalid",
        },
        Kind::DestinationUnavailable => match (error.side, routed) {
            (Side::Upstream, _) => "no-endpoint",
            (_, true) => "draining",
            (_, false) => "no-route",
        },
        Kind::DnsError => "dns-error",
        Kind::ConnectionRefused => "connection-refused",
        Kind::ConnectionTimeout => "connection-timeout",
        Kind::DestinationUnroutable => "unroutable",
        Kind::ConnectionTerminated => "closed-without-answer",
        Kind::ProtocolError => "malformed-answer",
        Kind::ResponseIncomplete => "closed-in-answer",
        Kind::ResponseTimeout => "no-answer-in-time",
        Kind::UpgradeFailed => "upstream-not-switching",
        Kind::LoopDetected => "loop-detected",
        Kind::Stopped => STOPPED,
        Kind::Internal => "local-resources",
    }
}

/// What would fix a cause of this file.
pub fn fix(cause: &str) -> &'static str {
    let found = CAUSES.iter().find(|(known, _)| *known == cause);
    found.map_or("", |(_, fix)| fix)
}
