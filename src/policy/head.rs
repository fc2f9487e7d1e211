//! A request as it came, before anything is decided.

use http::request::Parts;

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
}

/// What is known of a request's content before it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// No content.
    None,
    /// At least this many bytes.
    AtLeast(u64),
}

impl RequestHead {
    /// From what a protocol has read.
    pub fn new(parts: Parts, target: Target, content: Content) -> RequestHead {
        let has_content = content != Content::None;
        let upgrade =
            handshake::classify(&parts.method, parts.version, &parts.headers, has_content);
        RequestHead {
            parts,
            target,
            upgrade,
            content,
        }
    }

    /// Whether it asks for another protocol, validly or not.
    pub fn asks_for_upgrade(&self) -> bool {
        self.upgrade != UpgradeRequest::None
    }
}
