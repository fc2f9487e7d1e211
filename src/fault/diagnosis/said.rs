//! A diagnosis, and the parts of the handshake that it is made from.

use std::borrow::Cow;

use http::HeaderValue;

/// A cause for counters, and the sentences for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// Stable, lower-case, with hyphens: `origin-refused`.
    pub cause: &'static str,
    /// One sentence: what probably happened.
    pub likely: Cow<'static, str>,
    /// One sentence: what to change, and where.
    pub fix: Cow<'static, str>,
}

impl Diagnosis {
    pub(super) fn new(
        cause: &'static str,
        likely: impl Into<Cow<'static, str>>,
        fix: impl Into<Cow<'static, str>>,
    ) -> Diagnosis {
        Diagnosis {
            cause,
            likely: likely.into(),
            fix: fix.into(),
        }
    }
}

/// The parts of the handshake sent upstream that a diagnosis needs.
#[derive(Debug, Clone, Copy)]
pub struct Sent<'a> {
    /// The Host given to the upstream.
    pub host: &'a HeaderValue,
    /// The client's Host, where the route replaced it (`set_host`).
    pub replaced_host: Option<&'a HeaderValue>,
    /// The Origin that was passed on.
    pub origin: Option<&'a HeaderValue>,
    /// The path given to the upstream, without its query.
    pub path: &'a [u8],
}

/// The port expects TLS; `how` says what shows it.
pub(super) fn tls_expected(how: &'static str) -> Diagnosis {
    Diagnosis::new(
        "tls-expected",
        format!("{how}: it expects TLS on this port, and sluice spoke plain HTTP"),
        "point the endpoint at the backend's plain HTTP port",
    )
}
