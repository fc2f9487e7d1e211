//! "Say why": from what was sent and what came back, the likely cause of a refused WebSocket
//! handshake and what would fix it, in sentences for a log line. Decides nothing: the rules
//! are in `websocket::handshake`. The answers of real servers were recorded and are in the tests.
//! Foreign values (Host, Origin, body) enter the sentences only cleaned and shortened.

pub mod proxied;
mod quote;
mod said;
mod status;

use std::borrow::Cow;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode};

pub use quote::first_words;
use quote::shown;
use said::tls_expected;
pub use said::{Diagnosis, Sent};

use crate::vocabulary::span;

use crate::websocket::handshake::{HandshakeProblem, HeadError, UpstreamProblem};

/// What came back instead of a tunnel.
#[derive(Debug, Clone, Copy)]
pub enum HandshakeAnswer<'a> {
    /// An HTTP answer other than 101.
    Status {
        /// Its status.
        status: StatusCode,
        /// Its fields.
        headers: &'a HeaderMap,
        /// The start of its content; 200 bytes are enough.
        body: &'a [u8],
    },
    /// A 101 that is not valid.
    Invalid101 {
        /// The rule it breaks.
        problem: UpstreamProblem,
        /// Its fields.
        headers: &'a HeaderMap,
    },
    /// Bytes that are not an HTTP/1 response head.
    Garbage {
        /// Why not.
        error: HeadError,
        /// The first bytes.
        bytes: &'a [u8],
    },
    /// The connection ended before a complete head; with what had come, perhaps nothing.
    Closed(&'a [u8]),
    /// No complete head within this time.
    TimedOut(Duration),
}

/// Names the likely cause of a handshake's failure at the upstream.
pub fn diagnose(sent: &Sent<'_>, answer: &HandshakeAnswer<'_>) -> Diagnosis {
    match answer {
        HandshakeAnswer::Status {
            status,
            headers,
            body,
        } => status::diagnose_status(sent, *status, headers, body),
        HandshakeAnswer::Invalid101 { problem, headers } => diagnose_101(*problem, headers),
        HandshakeAnswer::Garbage { error, bytes } => diagnose_bytes(bytes, Some(*error)),
        HandshakeAnswer::Closed(bytes) => diagnose_bytes(bytes, None),
        HandshakeAnswer::TimedOut(after) => Diagnosis::new(
            "no-answer-in-time",
            format!(
                "the upstream accepted the connection and said nothing for {}",
                span::written(*after)
            ),
            "see whether the endpoint speaks HTTP at all and is not overloaded; if it only needs \
             longer, raise handshake_timeout of the route",
        ),
    }
}

/// What a client did wrong, in words; `cause` is [`HandshakeProblem::name`].
pub fn diagnose_client(problem: HandshakeProblem) -> Diagnosis {
    let fix = match problem {
        HandshakeProblem::UpgradeRemoved
        | HandshakeProblem::ConnectionRemoved
        | HandshakeProblem::HttpVersion => {
            "let the proxy or balancer in front of sluice pass WebSocket on over HTTP/1.1 with \
             Upgrade and Connection intact; if nothing stands in front, the client is at fault"
        }
        HandshakeProblem::UpgradeNotWebSocket => {
            "see which proxy in front replaces Upgrade, or correct the client"
        }
        HandshakeProblem::Version => {
            "use a client of RFC 6455; every browser since 2012 speaks version 13"
        }
        HandshakeProblem::Method
        | HandshakeProblem::KeyMissing
        | HandshakeProblem::KeyRepeated
        | HandshakeProblem::KeyInvalid
        | HandshakeProblem::Body => "correct the client; no browser sends this",
    };
    Diagnosis::new(problem.name(), problem.reason(), fix)
}

/// A 101 that breaks a rule.
fn diagnose_101(problem: UpstreamProblem, headers: &HeaderMap) -> Diagnosis {
    const FIXED: &str = "let the backend's WebSocket library write the 101; for a server known to \
                         be broken, accept_invalid_101 = true on this route";
    let fix = match problem.can_be_waived() {
        true => FIXED,
        false => "point the route at the WebSocket server itself",
    };
    Diagnosis::new(problem.name(), broken_rule(problem, headers), fix)
}

fn broken_rule(problem: UpstreamProblem, headers: &HeaderMap) -> Cow<'static, str> {
    let value = |name| shown(headers.get(name).map_or(b"", HeaderValue::as_bytes));
    match problem {
        UpstreamProblem::NotSwitching => "the answer is not a 101".into(),
        UpstreamProblem::HttpVersion => {
            "the 101 came in HTTP/1.0, which knows no upgrade: a script or an old proxy wrote it"
                .into()
        }
        UpstreamProblem::UpgradeMissing => {
            "the 101 carries no Upgrade: something on the way removed the hop-by-hop headers, or the \
             server is not a WebSocket server"
                .into()
        }
        UpstreamProblem::UpgradeOther => format!(
            "the 101 switches to \"{}\", not to websocket",
            value("upgrade")
        )
        .into(),
        UpstreamProblem::ConnectionMissing => {
            "the 101 carries no Connection: Upgrade: something on the way removed the hop-by-hop \
             headers"
                .into()
        }
        UpstreamProblem::AcceptMissing => {
            "the 101 carries no Sec-WebSocket-Accept: the server did not read the key, so it may \
             be no WebSocket server"
                .into()
        }
        UpstreamProblem::AcceptWrong => format!(
            "the 101 carries Sec-WebSocket-Accept \"{}\", which is not computed from the key \
             that was sent: a fixed, cached or home-made answer",
            value("sec-websocket-accept")
        )
        .into(),
        UpstreamProblem::SubprotocolRepeated => {
            "the 101 names more than one subprotocol: the server returned the list instead of \
             choosing"
                .into()
        }
        UpstreamProblem::SubprotocolNotOffered => format!(
            "the 101 chooses the subprotocol \"{}\", which the client did not offer; browsers \
             would fail the connection",
            value("sec-websocket-protocol")
        )
        .into(),
        UpstreamProblem::ExtensionNotOffered => format!(
            "the 101 switches on the extension \"{}\", which the client did not offer",
            value("sec-websocket-extensions")
        )
        .into(),
    }
}

/// What bytes that are not an answer say; `error` is absent where the connection ended first.
pub fn diagnose_bytes(bytes: &[u8], error: Option<HeadError>) -> Diagnosis {
    match bytes {
        // RFC 8446 section 5.1: a record of type alert, version 3.x.
        [0x15, 0x03, ..] => tls_expected("the upstream answered with a TLS alert"),
        // RFC 9113 section 4.1: a SETTINGS frame on stream 0, which opens every connection.
        [_, _, _, 0x04, 0x00 | 0x01, 0, 0, 0, 0, ..] => Diagnosis::new(
            "http2-only",
            "the upstream answered with HTTP/2 frames: it speaks only HTTP/2 in plaintext on this \
             port",
            "point the endpoint at an HTTP/1.1 port, or let the backend accept HTTP/1.1 too",
        ),
        [b'P', b'R', b'I', b' ', b'*', ..] => Diagnosis::new(
            "http2-only",
            "the upstream sent the HTTP/2 client preface: it is itself an HTTP/2 client",
            "point the endpoint at a server that speaks HTTP/1.1",
        ),
        [] => Diagnosis::new(
            "closed-without-answer",
            "the upstream closed the connection without a word: it expects TLS or another \
             protocol on this port, it does not handle upgrades (node without an upgrade \
             listener), or it crashed",
            "see the backend's own log at this moment, and whether the port is its plain HTTP one",
        ),
        _ => not_an_answer(bytes, error),
    }
}

fn not_an_answer(bytes: &[u8], error: Option<HeadError>) -> Diagnosis {
    match error {
        None if bytes.starts_with(b"HTTP/1.") => Diagnosis::new(
            "closed-in-answer",
            "the upstream closed the connection in the middle of its answer's head: it crashed or \
             was restarted",
            "see the backend's own log at this moment",
        ),
        None | Some(HeadError::NotHttp) => Diagnosis::new(
            "not-http",
            format!(
                "the upstream does not speak HTTP on this port; it said \"{}\"",
                shown(bytes)
            ),
            "correct the endpoint's port",
        ),
        Some(error) => Diagnosis::new(
            "malformed-answer",
            format!("{error}; what could be read in two ways is refused"),
            match error.is_taken_by_lenient() {
                true => {
                    "correct what the backend writes into its answer's head, or set lenient = true \
                     in the table of its upstream"
                }
                false => "correct what the backend writes into its answer's head",
            },
        ),
    }
}

#[cfg(test)]
mod tests;
