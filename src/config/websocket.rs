//! `[route.websocket]`: who may open a tunnel, and how long it is kept.

use std::time::Duration;

use schemars::{Schema, SchemaGenerator, json_schema};
use toml::de::DeValue;

use super::form::close::{CloseCode, CloseReason};
use super::form::origin::Origins;
use crate::route::origin::{MissingOrigin, OriginPolicy, OriginRule};
use crate::setting::read::{Node, Read, Sink};
use crate::setting::scalar::{Limit, Optional, Share, words};
use crate::setting::table::table;
use crate::setting::units::{SomeTime, Time};

table! {
    /// `[route.websocket]`: who may open a tunnel and how it is kept.
    WebSocketTable in "`[route.websocket]`" {
        /// Condition: `true` takes only WebSocket handshakes, `false` everything else.
        /// Default: both.
        r#match: bool,
    } => WebSocketConfig {
        /// Which `Origin` may connect: `same-origin`, `any`, or a list of origins, which may
        /// hold `https://*.example.com`, `null` and `same-origin`.
        origin: Origins as OriginRule = "same-origin",
        /// What happens to a handshake without `Origin`, which no browser sends.
        missing_origin: MissingOrigin as MissingOrigin = "allow",
        /// From the handshake sent to its answer; beyond it the client gets 504.
        handshake_timeout: SomeTime as Duration = "10s",
        /// Accept a 101 that breaks RFC 6455 section 4.1; each one is logged.
        accept_invalid_101: bool as bool = false,
        /// Silence in both directions after which the tunnel is closed, or `"off"`.
        idle_timeout: Optional<SomeTime> as Option<Duration> = "1h",
        /// Longest life of a tunnel, or `"unlimited"`.
        max_age: Limit<SomeTime> as Option<Duration> = "unlimited",
        /// Share of `max_age`, 0 to 1, by which it is shortened at random.
        max_age_jitter: Share as f64 = 0.1,
        /// Silence of one side after which sluice sends it a Ping, at least 1 s, or `"off"`.
        ping_interval: Optional<Time<1000>> as Option<Duration> = "off",
        /// How long that side may stay silent after the Ping before the tunnel is closed.
        ping_timeout: SomeTime as Duration = "20s",
        /// After one direction has ended, how long the other may go on.
        half_close_timeout: SomeTime as Duration = "30s",
        /// How long a peer may take to answer a Close that sluice sent.
        close_timeout: SomeTime as Duration = "5s",
        /// What the client is told where the upstream is lost or ends its stream without a
        /// Close; 1011 becomes 1014 where no frame had come from it. `"off"`: nothing.
        upstream_lost_code: Optional<CloseCode> as Option<u16> = 1011,
        /// What the upstream is told where the client is lost, or ends its stream without a
        /// Close. `"off"`: nothing.
        client_lost_code: Optional<CloseCode> as Option<u16> = 1001,
        /// The close reason for both, at most 123 bytes.
        lost_reason: CloseReason as String = "connection lost",
        /// How long a peer may leave data unread or unacknowledged, at least 1 s, or `"off"`. It is
        /// noticed at the kernel's next retransmission or window probe: small values may take up
        /// to about 7 s.
        unread_timeout: Optional<Time<1000>> as Option<Duration> = "2m",
        /// Close with 1002 what is not valid framing, instead of relaying it unseen.
        strict: bool as bool = false,
        /// What happens to live tunnels whose route or endpoint a reload has removed:
        /// `keep`, `drain` (spread over `drain.over`) or `close`.
        on_removed: OnChange as OnChange = "drain",
        /// The same for live tunnels that a reload's origin rules would refuse.
        on_policy_change: OnChange as OnChange = "keep",
    } with {
    }
}

/// What a reload does with a live tunnel that the new configuration would not have opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnChange {
    /// It lives on.
    Keep,
    /// It is closed at a moment chosen at random within `drain.over`.
    Drain,
    /// It is closed at once.
    Close,
}

words!(OnChange, "`\"keep\"`, `\"drain\"` or `\"close\"`",
    "keep" => OnChange::Keep,
    "drain" => OnChange::Drain,
    "close" => OnChange::Close,
);

words!(MissingOrigin, "`\"allow\"` or `\"deny\"`",
    "allow" => MissingOrigin::Allow,
    "deny" => MissingOrigin::Deny,
);

impl WebSocketConfig {
    /// Whose handshakes are let in.
    pub fn origin_policy(&self) -> OriginPolicy<'_> {
        OriginPolicy {
            rule: &self.origin,
            missing: self.missing_origin,
        }
    }
}

/// `websocket` of a route: a condition, or the table of settings.
#[derive(Debug)]
pub(crate) enum WebSocketKey {
    Match(bool),
    Settings(Box<WebSocketTable>),
}

impl Read for WebSocketKey {
    fn expected() -> String {
        "`true`, `false` or a table".to_owned()
    }

    fn read(node: &Node<'_>, sink: &mut Sink) -> Option<Self> {
        match node.value {
            DeValue::Boolean(value) => Some(WebSocketKey::Match(*value)),
            DeValue::Table(_) => {
                WebSocketTable::read(node, sink).map(|table| WebSocketKey::Settings(table.into()))
            }
            _ => {
                sink.wrong_type(node, &Self::expected());
                None
            }
        }
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "boolean" }, WebSocketTable::schema(generator)] })
    }
}
