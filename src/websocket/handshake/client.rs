//! The client's side: is this request a WebSocket handshake, and is it a valid one (RFC 6455
//! section 4.2.1)? Host is checked with every request, elsewhere; Origin is the route's policy.

use http::header::{
    CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};

use super::{elements, has_token};

/// What a request wants besides being answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpgradeRequest {
    /// Nothing: a plain request.
    None,
    /// A protocol that sluice never tunnels (`h2c`, `TLS/1.0`): `Upgrade` is dropped and the
    /// request goes on as a plain one (RFC 9110 section 7.8).
    Other,
    /// A valid WebSocket handshake.
    WebSocket(ClientHandshake),
    /// Meant as a WebSocket handshake, but not one: answered by us, with `Connection: close`.
    Invalid(HandshakeProblem),
}

impl UpgradeRequest {
    /// Whether the request was meant as a WebSocket handshake, valid or not.
    pub fn is_websocket(&self) -> bool {
        matches!(
            self,
            UpgradeRequest::WebSocket(_) | UpgradeRequest::Invalid(_)
        )
    }
}

/// What of a valid handshake is needed after its header map has gone to the upstream.
///
/// The values share the request's buffer: nothing is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientHandshake {
    /// `Sec-WebSocket-Key`: base64 of 16 bytes.
    pub key: HeaderValue,
    /// The lines of `Sec-WebSocket-Protocol`, as sent.
    pub subprotocols: Vec<HeaderValue>,
    /// The lines of `Sec-WebSocket-Extensions`, as sent.
    pub extensions: Vec<HeaderValue>,
}

/// Which rule of RFC 6455 section 4.2.1 a client's handshake breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HandshakeProblem {
    /// `Sec-WebSocket-Key` without any `Upgrade`: a hop in front removed it.
    UpgradeRemoved,
    /// `Sec-WebSocket-Key`, and an `Upgrade` that does not name `websocket`.
    UpgradeNotWebSocket,
    /// The method is not GET.
    Method,
    /// The request is not HTTP/1.1.
    HttpVersion,
    /// `Upgrade: websocket` without the token `upgrade` in `Connection`: a hop in front
    /// removed it.
    ConnectionRemoved,
    /// `Sec-WebSocket-Version` is missing, repeated or not 13.
    Version,
    /// No `Sec-WebSocket-Key`.
    KeyMissing,
    /// More than one `Sec-WebSocket-Key`.
    KeyRepeated,
    /// `Sec-WebSocket-Key` is not base64 of 16 bytes.
    KeyInvalid,
    /// The request announces content.
    Body,
}

impl HandshakeProblem {
    /// A stable name for logs and counters.
    pub fn name(self) -> &'static str {
        match self {
            HandshakeProblem::UpgradeRemoved => "client-upgrade-removed",
            HandshakeProblem::UpgradeNotWebSocket => "client-upgrade-not-websocket",
            HandshakeProblem::Method => "client-method",
            HandshakeProblem::HttpVersion => "client-http-version",
            HandshakeProblem::ConnectionRemoved => "client-connection-removed",
            HandshakeProblem::Version => "client-websocket-version",
            HandshakeProblem::KeyMissing => "client-key-missing",
            HandshakeProblem::KeyRepeated => "client-key-repeated",
            HandshakeProblem::KeyInvalid => "client-key-invalid",
            HandshakeProblem::Body => "client-body",
        }
    }

    /// 426 for a version that is not ours, which obliges the answer to carry
    /// [`HandshakeProblem::version_header`]; 400 for the rest.
    pub fn status(self) -> StatusCode {
        match self {
            HandshakeProblem::Version => StatusCode::UPGRADE_REQUIRED,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// The field that must accompany [`HandshakeProblem::status`] (RFC 6455 section 4.4).
    pub fn version_header(self) -> Option<(HeaderName, HeaderValue)> {
        (self == HandshakeProblem::Version)
            .then(|| (SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")))
    }

    /// One line for the client, in words.
    pub fn reason(self) -> &'static str {
        match self {
            HandshakeProblem::UpgradeRemoved => {
                "this WebSocket request arrived without Upgrade: a proxy in front removed the \
                 hop-by-hop headers; nginx needs proxy_http_version 1.1, proxy_set_header \
                 Upgrade $http_upgrade and proxy_set_header Connection \"upgrade\""
            }
            HandshakeProblem::UpgradeNotWebSocket => {
                "this WebSocket request arrived with an Upgrade that does not name websocket"
            }
            HandshakeProblem::Method => "a WebSocket handshake must be a GET request",
            HandshakeProblem::HttpVersion => {
                "a WebSocket handshake must be HTTP/1.1; if nginx stands in front, it needs \
                 proxy_http_version 1.1"
            }
            HandshakeProblem::ConnectionRemoved => {
                "this WebSocket request arrived without Connection: upgrade: a proxy in front \
                 removed the hop-by-hop headers; nginx needs proxy_set_header Connection \
                 \"upgrade\" beside proxy_set_header Upgrade $http_upgrade"
            }
            HandshakeProblem::Version => "Sec-WebSocket-Version must be 13, once",
            HandshakeProblem::KeyMissing => "Sec-WebSocket-Key is missing",
            HandshakeProblem::KeyRepeated => "Sec-WebSocket-Key must be there once",
            HandshakeProblem::KeyInvalid => "Sec-WebSocket-Key must be 16 bytes in base64",
            HandshakeProblem::Body => "a WebSocket handshake must not have a body",
        }
    }
}

/// Judges a request by RFC 6455 section 4.2.1. A plain request costs two failed lookups.
///
/// `has_body` is what the HTTP parser says; any `Transfer-Encoding` and any `Content-Length`
/// other than 0 are refused besides, so that a parser's leniency cannot hide content after
/// a handshake.
pub fn classify(
    method: &Method,
    version: Version,
    headers: &HeaderMap,
    has_body: bool,
) -> UpgradeRequest {
    if !headers.contains_key(UPGRADE) {
        return match headers.contains_key(SEC_WEBSOCKET_KEY) {
            true => UpgradeRequest::Invalid(HandshakeProblem::UpgradeRemoved),
            false => UpgradeRequest::None,
        };
    }
    if !has_token(headers, &UPGRADE, "websocket") {
        return match headers.contains_key(SEC_WEBSOCKET_KEY) {
            true => UpgradeRequest::Invalid(HandshakeProblem::UpgradeNotWebSocket),
            false => UpgradeRequest::Other,
        };
    }
    match check(method, version, headers, has_body) {
        Ok(handshake) => UpgradeRequest::WebSocket(handshake),
        Err(problem) => UpgradeRequest::Invalid(problem),
    }
}

/// The rules for a request that names `websocket` in `Upgrade`.
fn check(
    method: &Method,
    version: Version,
    headers: &HeaderMap,
    has_body: bool,
) -> Result<ClientHandshake, HandshakeProblem> {
    if method != Method::GET {
        return Err(HandshakeProblem::Method);
    }
    if version != Version::HTTP_11 {
        return Err(HandshakeProblem::HttpVersion);
    }
    if !has_token(headers, &CONNECTION, "upgrade") {
        return Err(HandshakeProblem::ConnectionRemoved);
    }
    // Before the key: the drafts before version 4 had none, and should learn the version.
    let mut versions = headers.get_all(SEC_WEBSOCKET_VERSION).iter();
    if versions.next().map(HeaderValue::as_bytes) != Some(b"13") || versions.next().is_some() {
        return Err(HandshakeProblem::Version);
    }
    let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).iter();
    let key = keys.next().ok_or(HandshakeProblem::KeyMissing)?;
    if keys.next().is_some() {
        return Err(HandshakeProblem::KeyRepeated);
    }
    if !is_key(key.as_bytes()) {
        return Err(HandshakeProblem::KeyInvalid);
    }
    let announces_content = headers.contains_key(TRANSFER_ENCODING)
        || elements(headers, &CONTENT_LENGTH).any(|length| length != b"0");
    if has_body || announces_content {
        return Err(HandshakeProblem::Body);
    }
    let lines = |name| headers.get_all(name).iter().cloned().collect();
    Ok(ClientHandshake {
        key: key.clone(),
        subprotocols: lines(SEC_WEBSOCKET_PROTOCOL),
        extensions: lines(SEC_WEBSOCKET_EXTENSIONS),
    })
}

/// Base64 of 16 bytes: 22 characters and two of padding. Bits beyond the 128 are not looked
/// at (RFC 4648 section 3.5 leaves that to the decoder, and servers do not look either).
fn is_key(key: &[u8]) -> bool {
    match key.strip_suffix(b"==") {
        Some(digits) => {
            digits.len() == 22
                && digits
                    .iter()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
        }
        None => false,
    }
}

#[cfg(test)]
mod tests;
