//! A request as it came, before anything is decided.

use http::header::HeaderValue;
use http::request::Parts;
use http::{HeaderMap, HeaderName};

use crate::message::forwarded::is_claim;
use crate::route::hop;
use crate::route::target::Target;
use crate::websocket::handshake::{self, UpgradeRequest};

/// A request without its content.
#[derive(Debug)]
pub struct RequestHead {
    /// Its head. The `uri` is not the target.
    pub parts: Parts,
    /// Its target.
    pub target: Target,
    /// The upgrade that it asks for.
    pub upgrade: UpgradeRequest,
    /// Its content.
    pub content: Content,
    /// What it accepts, for the form of an error.
    pub accept: Option<HeaderValue>,
    /// Which of the fields that decisions ask for it has.
    pub has: Present,
}

/// What is known of a request's content before it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// No content.
    None,
    /// At least this many bytes.
    AtLeast(u64),
}

/// Fields that few requests have. One pass tells which: it costs as much as asking for one of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Present {
    /// `Upgrade`.
    pub upgrade: bool,
    /// `Expect`.
    pub expect: bool,
    /// `Authorization`.
    pub authorization: bool,
    /// The marks of routes.
    pub hops: bool,
    /// What proxies write of the client, `X-Forwarded-*` or `Forwarded`.
    pub claims: bool,
    /// `Sec-WebSocket-Key`.
    websocket_key: bool,
}

impl Present {
    /// Which of them there are, and the first `Accept`.
    fn of(fields: &HeaderMap) -> (Present, Option<&HeaderValue>) {
        let (mut has, mut accept) = (Present::default(), None);
        for (name, value) in fields {
            match HeaderName::as_str(name) {
                "accept" if accept.is_none() => accept = Some(value),
                "upgrade" => has.upgrade = true,
                "expect" => has.expect = true,
                "authorization" => has.authorization = true,
                name if is_claim(name) => has.claims = true,
                "sec-websocket-key" => has.websocket_key = true,
                name if name == hop::NAME => has.hops = true,
                _ => {}
            }
        }
        (has, accept)
    }
}

impl RequestHead {
    /// From what a protocol has read.
    pub fn new(parts: Parts, target: Target, content: Content) -> RequestHead {
        let has_content = content != Content::None;
        let (has, accept) = Present::of(&parts.headers);
        let accept = accept.cloned();
        let upgrade = match has.upgrade || has.websocket_key {
            true => handshake::classify(&parts.method, parts.version, &parts.headers, has_content),
            false => UpgradeRequest::None,
        };
        RequestHead {
            parts,
            target,
            upgrade,
            content,
            accept,
            has,
        }
    }

    /// Whether it asks for another protocol, validly or not.
    pub fn asks_for_upgrade(&self) -> bool {
        self.upgrade != UpgradeRequest::None
    }
}
