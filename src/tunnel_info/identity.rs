//! Whose tunnel it is: what the log line and the list of tunnels say besides numbers.
//! Packed, because thousands of idle tunnels hold one each: names that a route shares are
//! shared, and the rest stands in one string.

use std::sync::Arc;

use crate::metrics::Slot;
use crate::websocket::handshake::Deflate;

/// The parts an identity is made of.
#[derive(Debug, Clone)]
pub struct IdentityParts<'a> {
    /// The request id; empty where ids are switched off.
    pub request_id: &'a str,
    /// Where its route is counted, and with it the route's name.
    pub route: Arc<Slot>,
    /// Where its endpoint is counted, and with it the names of upstream and endpoint.
    pub endpoint: Arc<Slot>,
    /// The client's address.
    pub client: &'a str,
    /// The host asked for.
    pub host: &'a str,
    /// The path asked for, without its query unless that is to be logged.
    pub path: &'a str,
    /// The negotiated subprotocol.
    pub subprotocol: Option<&'a str>,
    /// The protocol besides WebSocket that was switched to; it has no subprotocol then.
    pub upgrade: Option<&'a str>,
    /// The handshake's Origin.
    pub origin: Option<&'a str>,
    /// The span of its handshake, as a `traceparent`; empty where it is not traced.
    pub traceparent: &'a str,
    /// What the handshake agreed on about compression.
    pub deflate: Option<Deflate>,
}

/// Index of each text in the packed string.
const REQUEST_ID: usize = 0;
const CLIENT: usize = 1;
const HOST: usize = 2;
const PATH: usize = 3;
const SUBPROTOCOL: usize = 4;
const ORIGIN: usize = 5;
const TRACEPARENT: usize = 6;
const TEXTS: usize = 7;

/// What else is known, as bits of one byte.
mod flag {
    pub(super) const SUBPROTOCOL: u8 = 1;
    pub(super) const ORIGIN: u8 = 2;
    pub(super) const DEFLATE: u8 = 4;
    pub(super) const CLIENT_NO_CONTEXT: u8 = 8;
    pub(super) const SERVER_NO_CONTEXT: u8 = 16;
    /// The text of the subprotocol is another protocol than WebSocket.
    pub(super) const UPGRADE: u8 = 32;
}

/// The identity of one tunnel.
#[derive(Debug, Clone)]
pub struct TunnelIdentity {
    route: Arc<Slot>,
    endpoint: Arc<Slot>,
    texts: Box<str>,
    /// Where each text ends in `texts`.
    ends: [u16; TEXTS],
    /// See [`flag`].
    flags: u8,
}

impl TunnelIdentity {
    /// Packs the parts. Texts that together exceed 64 KiB are cut.
    pub fn new(parts: IdentityParts<'_>) -> Box<TunnelIdentity> {
        let texts = [
            parts.request_id,
            parts.client,
            parts.host,
            parts.path,
            parts.upgrade.or(parts.subprotocol).unwrap_or_default(),
            parts.origin.unwrap_or_default(),
            parts.traceparent,
        ];
        let whole: usize = texts.iter().map(|text| text.len()).sum();
        let mut packed = String::with_capacity(whole.min(usize::from(u16::MAX)));
        let mut ends = [0; TEXTS];
        for (end, text) in ends.iter_mut().zip(texts) {
            let room = usize::from(u16::MAX) - packed.len();
            packed.push_str(&text[..text.floor_char_boundary(room)]);
            *end = packed.len() as u16;
        }
        let deflate = parts.deflate.unwrap_or_default();
        let flags = [
            (parts.upgrade.is_some(), flag::UPGRADE),
            (parts.subprotocol.is_some(), flag::SUBPROTOCOL),
            (parts.origin.is_some(), flag::ORIGIN),
            (parts.deflate.is_some(), flag::DEFLATE),
            (deflate.client_no_context_takeover, flag::CLIENT_NO_CONTEXT),
            (deflate.server_no_context_takeover, flag::SERVER_NO_CONTEXT),
        ];
        let set = flags.iter().filter(|(set, _)| *set);
        Box::new(TunnelIdentity {
            route: parts.route,
            endpoint: parts.endpoint,
            texts: packed.into_boxed_str(),
            ends,
            flags: set.fold(0, |all, (_, flag)| all | flag),
        })
    }

    fn is(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    fn text(&self, index: usize) -> &str {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.texts[usize::from(start)..usize::from(self.ends[index])]
    }

    /// The request id; empty where ids are switched off.
    pub fn request_id(&self) -> &str {
        self.text(REQUEST_ID)
    }

    /// The route's name.
    pub fn route(&self) -> &Arc<str> {
        self.route.name()
    }

    /// Where it is counted: as its route's to its end, even if the route is removed.
    pub fn slot(&self) -> &Slot {
        &self.route
    }

    /// The upstream's name.
    pub fn upstream(&self) -> &Arc<str> {
        self.endpoint.name()
    }

    /// The endpoint's address.
    pub fn endpoint(&self) -> &Arc<str> {
        self.endpoint.address()
    }

    /// The client's address.
    pub fn client(&self) -> &str {
        self.text(CLIENT)
    }

    /// The host asked for.
    pub fn host(&self) -> &str {
        self.text(HOST)
    }

    /// The path asked for.
    pub fn path(&self) -> &str {
        self.text(PATH)
    }

    /// The negotiated subprotocol.
    pub fn subprotocol(&self) -> Option<&str> {
        self.is(flag::SUBPROTOCOL).then(|| self.text(SUBPROTOCOL))
    }

    /// The protocol that was switched to, where that is not WebSocket: there are no frames
    /// then.
    pub fn upgrade(&self) -> Option<&str> {
        self.is(flag::UPGRADE).then(|| self.text(SUBPROTOCOL))
    }

    /// The handshake's Origin.
    pub fn origin(&self) -> Option<&str> {
        self.is(flag::ORIGIN).then(|| self.text(ORIGIN))
    }

    /// The span of its handshake, as a `traceparent`; empty where it is not traced.
    pub fn traceparent(&self) -> &str {
        self.text(TRACEPARENT)
    }

    /// What the handshake agreed on about compression; `None`: that there is none.
    pub fn deflate(&self) -> Option<Deflate> {
        self.is(flag::DEFLATE).then(|| Deflate {
            client_no_context_takeover: self.is(flag::CLIENT_NO_CONTEXT),
            server_no_context_takeover: self.is(flag::SERVER_NO_CONTEXT),
        })
    }

    /// The id of its handshake's trace, if there is one.
    pub fn trace_id(&self) -> Option<&str> {
        self.traceparent().get(3..35)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::slots;

    fn parts<'a>(path: &'a str, origin: Option<&'a str>) -> IdentityParts<'a> {
        IdentityParts {
            request_id: "id",
            route: slots::route(&"chat".into()),
            endpoint: slots::endpoint(&"app".into(), &"127.0.0.1:9000".into()),
            client: "127.0.0.1:50000",
            host: "example.com",
            path,
            subprotocol: None,
            upgrade: None,
            origin,
            traceparent: "",
            deflate: None,
        }
    }

    #[test]
    fn every_part_comes_back() {
        let identity = TunnelIdentity::new(parts("/ws", Some("https://example.com")));
        assert_eq!(identity.request_id(), "id");
        assert_eq!(&**identity.route(), "chat");
        assert_eq!(&**identity.upstream(), "app");
        assert_eq!(&**identity.endpoint(), "127.0.0.1:9000");
        assert_eq!(identity.client(), "127.0.0.1:50000");
        assert_eq!(identity.host(), "example.com");
        assert_eq!(identity.path(), "/ws");
        assert_eq!(identity.subprotocol(), None);
        assert_eq!(identity.origin(), Some("https://example.com"));
        assert_eq!(identity.deflate(), None);
    }

    #[test]
    fn what_was_agreed_on_costs_nothing() {
        for client_no_context_takeover in [false, true] {
            for server_no_context_takeover in [false, true] {
                let agreed = Some(Deflate {
                    client_no_context_takeover,
                    server_no_context_takeover,
                });
                let identity = TunnelIdentity::new(IdentityParts {
                    deflate: agreed,
                    ..parts("/ws", None)
                });
                assert_eq!((identity.deflate(), identity.origin()), (agreed, None));
            }
        }
        let size = size_of::<TunnelIdentity>();
        assert!(size <= 80, "{size}");
    }

    #[test]
    fn oversize_texts_are_cut_not_mixed() {
        let long = "é".repeat(40_000);
        let identity = TunnelIdentity::new(parts(&long, Some("https://example.com")));
        assert_eq!(identity.host(), "example.com");
        assert!(long.starts_with(identity.path()) && identity.path().len() > 60_000);
        assert!("https://example.com".starts_with(identity.origin().expect("it has one")));
    }
}
