//! Judging the upstream's 101 (RFC 6455 section 4.1, the client's checks, which an
//! intermediary must make before it opens a tunnel: until then it is HTTP).

use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use http::{HeaderValue, StatusCode, Version};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::Deflate;
use super::{ClientHandshake, ResponseHead, has_token};

/// What both sides agreed upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// `Sec-WebSocket-Accept` for the client's key, by our own computation.
    pub accept: String,
    /// The subprotocol the upstream chose.
    pub subprotocol: Option<HeaderValue>,
    /// The lines of `Sec-WebSocket-Extensions`, as sent by the upstream.
    pub extensions: Vec<HeaderValue>,
}

/// Why an answer does not open a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UpstreamProblem {
    /// The status is not 101: a plain answer, to be passed on as such.
    NotSwitching,
    /// A 101 in HTTP/1.0, which has none.
    HttpVersion,
    /// No `Upgrade`.
    UpgradeMissing,
    /// `Upgrade` names something else than exactly `websocket`.
    UpgradeOther,
    /// `Connection` lacks `upgrade`.
    ConnectionMissing,
    /// No `Sec-WebSocket-Accept`.
    AcceptMissing,
    /// `Sec-WebSocket-Accept` is repeated or not the one for our key.
    AcceptWrong,
    /// More than one `Sec-WebSocket-Protocol`.
    SubprotocolRepeated,
    /// A subprotocol that the client did not offer.
    SubprotocolNotOffered,
    /// An extension that the client did not offer.
    ExtensionNotOffered,
}

impl UpstreamProblem {
    /// A stable name for logs and counters.
    pub fn name(self) -> &'static str {
        match self {
            UpstreamProblem::NotSwitching => "upstream-not-switching",
            UpstreamProblem::HttpVersion => "upstream-101-http-version",
            UpstreamProblem::UpgradeMissing => "upstream-101-upgrade-missing",
            UpstreamProblem::UpgradeOther => "upstream-101-upgrade-other",
            UpstreamProblem::ConnectionMissing => "upstream-101-connection-missing",
            UpstreamProblem::AcceptMissing => "upstream-101-accept-missing",
            UpstreamProblem::AcceptWrong => "upstream-101-accept-wrong",
            UpstreamProblem::SubprotocolRepeated => "upstream-101-subprotocol-repeated",
            UpstreamProblem::SubprotocolNotOffered => "upstream-101-subprotocol-not-offered",
            UpstreamProblem::ExtensionNotOffered => "upstream-101-extension-not-offered",
        }
    }

    /// Whether a route's `accept_invalid_101` may overlook it. Never a status other than 101,
    /// nor a 101 that says it switched to another protocol.
    pub fn can_be_waived(self) -> bool {
        !matches!(
            self,
            UpstreamProblem::NotSwitching
                | UpstreamProblem::HttpVersion
                | UpstreamProblem::UpgradeOther
        )
    }
}

/// Checks a 101 against what the client offered.
///
/// # Errors
/// The first rule that is broken, those that cannot be waived first.
pub fn validate_101(
    head: &ResponseHead,
    handshake: &ClientHandshake,
) -> Result<Accepted, UpstreamProblem> {
    let headers = &head.headers;
    if head.status != StatusCode::SWITCHING_PROTOCOLS {
        return Err(UpstreamProblem::NotSwitching);
    }
    if head.version != Version::HTTP_11 {
        return Err(UpstreamProblem::HttpVersion);
    }
    let mut upgrades = headers.get_all(UPGRADE).iter().peekable();
    if upgrades.peek().is_none() {
        return Err(UpstreamProblem::UpgradeMissing);
    }
    if !upgrades.all(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket")) {
        return Err(UpstreamProblem::UpgradeOther);
    }
    if !has_token(headers, &CONNECTION, "upgrade") {
        return Err(UpstreamProblem::ConnectionMissing);
    }
    let accepted = Accepted::unchecked(head, handshake);
    let mut accepts = headers.get_all(SEC_WEBSOCKET_ACCEPT).iter();
    match (accepts.next(), accepts.next()) {
        (None, _) => return Err(UpstreamProblem::AcceptMissing),
        (Some(accept), None) if *accept == accepted.accept => {}
        _ => return Err(UpstreamProblem::AcceptWrong),
    }
    if headers
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .nth(1)
        .is_some()
    {
        return Err(UpstreamProblem::SubprotocolRepeated);
    }
    if let Some(chosen) = &accepted.subprotocol
        && !handshake.offers_subprotocol(chosen.as_bytes())
    {
        return Err(UpstreamProblem::SubprotocolNotOffered);
    }
    if !extension_names(&accepted.extensions).all(|name| handshake.offers_extension(name)) {
        return Err(UpstreamProblem::ExtensionNotOffered);
    }
    Ok(accepted)
}

impl Accepted {
    /// Takes the upstream at its word, for a route with `accept_invalid_101`; only after
    /// [`UpstreamProblem::can_be_waived`]. The client still gets a right
    /// `Sec-WebSocket-Accept`, and may itself refuse the rest.
    pub fn unchecked(head: &ResponseHead, handshake: &ClientHandshake) -> Accepted {
        Accepted {
            accept: derive_accept_key(handshake.key.as_bytes()),
            subprotocol: head.headers.get(SEC_WEBSOCKET_PROTOCOL).cloned(),
            extensions: head
                .headers
                .get_all(SEC_WEBSOCKET_EXTENSIONS)
                .iter()
                .cloned()
                .collect(),
        }
    }

    /// What was agreed on about permessage-deflate (RFC 7692 section 7.1), if anything was.
    pub fn deflate(&self) -> Option<Deflate> {
        let is = |name: &[u8], wanted: &str| name.eq_ignore_ascii_case(wanted.as_bytes());
        let mut agreed = extensions(&self.extensions).map(words);
        let mut words = agreed.find_map(|mut words| {
            let name = words.next()?;
            is(name, "permessage-deflate").then_some(words)
        })?;
        let mut deflate = Deflate::default();
        for word in &mut words {
            deflate.client_no_context_takeover |= is(word, "client_no_context_takeover");
            deflate.server_no_context_takeover |= is(word, "server_no_context_takeover");
        }
        Some(deflate)
    }
}

impl ClientHandshake {
    /// Subprotocols are compared case by case.
    fn offers_subprotocol(&self, chosen: &[u8]) -> bool {
        self.subprotocols
            .iter()
            .flat_map(|line| line.as_bytes().split(|b| *b == b','))
            .any(|offered| offered.trim_ascii() == chosen)
    }

    fn offers_extension(&self, name: &[u8]) -> bool {
        extension_names(&self.extensions).any(|offered| offered.eq_ignore_ascii_case(name))
    }
}

fn extension_names(lines: &[HeaderValue]) -> impl Iterator<Item = &[u8]> {
    let names = extensions(lines).filter_map(|extension| words(extension).next());
    names.filter(|name| !name.is_empty())
}

/// Each of lines of `name; parameter="value", …`. A comma inside quotes separates nothing,
/// and an escaped quote ends nothing.
fn extensions(lines: &[HeaderValue]) -> impl Iterator<Item = &[u8]> {
    lines.iter().flat_map(|line| {
        let (mut quoted, mut escaped) = (false, false);
        line.as_bytes().split(move |byte| {
            let inert = quoted || escaped;
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                _ => {}
            }
            *byte == b',' && !inert
        })
    })
}

/// The name of an extension, then those of its parameters that have no value.
fn words(extension: &[u8]) -> impl Iterator<Item = &[u8]> {
    extension
        .split(|byte| *byte == b';')
        .map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests;
