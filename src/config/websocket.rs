//! `[route.websocket]`: who may open a tunnel, and how long it is kept.

use std::time::Duration;

use crate::route::origin::{MissingOrigin, OriginPolicy, OriginRule};

/// `[route.websocket]`: who may open a tunnel and how it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct WebSocketConfig {
    /// Which origins may connect. Default: same-origin.
    pub origin: OriginRule,
    /// What happens to a handshake without `Origin`, which no browser sends. Default: allow.
    pub missing_origin: MissingOrigin,
    /// From the handshake sent to its answer. Default: 10 s.
    pub handshake_timeout: Duration,
    /// Accept a 101 that breaks RFC 6455 section 4.1; each one is logged. Default: false.
    pub accept_invalid_101: bool,
    /// Silence in both directions after which the tunnel is closed; noticed up to 1/64 late,
    /// between 1 s and 30 s. `None`: never. Default: 1 h.
    pub idle_timeout: Option<Duration>,
    /// Longest life of a tunnel. Default: unlimited.
    pub max_age: Option<Duration>,
    /// Share of `max_age` by which it is shortened at random, 0 to 1. Default: 0.1.
    pub max_age_jitter: f64,
    /// Silence of one side after which it is sent a Ping; each is up to a quarter earlier, at
    /// random, so that tunnels do not ping together. Default: off.
    pub ping_interval: Option<Duration>,
    /// How long that side may stay silent after the Ping. Default: 20 s.
    pub ping_timeout: Duration,
    /// After one direction has ended, how long the other may go on. Default: 30 s.
    pub half_close_timeout: Duration,
    /// How long a peer may take to answer a Close that sluice sent. Default: 5 s.
    pub close_timeout: Duration,
    /// The code that the client is sent where the upstream is lost or ends its stream without a
    /// Close; 1011 becomes 1014 where no frame had come from it. `None`: no Close.
    /// Default: 1011.
    pub upstream_lost_code: Option<u16>,
    /// The code that the upstream is sent where the client is lost. `None`: no Close.
    /// Default: 1001.
    pub client_lost_code: Option<u16>,
    /// The reason that goes with these codes. Default: `connection lost`.
    pub lost_reason: String,
    /// How long a peer may leave data unread or unacknowledged before its connection is given
    /// up. `None`: as long as the kernel tries. Default: 2 min.
    pub unread_timeout: Option<Duration>,
    /// Close with 1002 what is not valid framing instead of relaying it unseen.
    /// Default: false.
    pub strict: bool,
    /// What happens to live tunnels whose route or endpoint a reload has removed.
    /// Default: drain.
    pub on_removed: OnChange,
    /// What happens to live tunnels that a reload's origin rules would refuse.
    /// Default: keep.
    pub on_policy_change: OnChange,
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

impl Default for WebSocketConfig {
    fn default() -> Self {
        WebSocketConfig {
            origin: OriginRule::SameOrigin,
            missing_origin: MissingOrigin::Allow,
            handshake_timeout: Duration::from_secs(10),
            accept_invalid_101: false,
            idle_timeout: Some(Duration::from_secs(3600)),
            max_age: None,
            max_age_jitter: 0.1,
            ping_interval: None,
            ping_timeout: Duration::from_secs(20),
            half_close_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(5),
            upstream_lost_code: Some(1011),
            client_lost_code: Some(1001),
            lost_reason: "connection lost".into(),
            unread_timeout: Some(Duration::from_secs(120)),
            strict: false,
            on_removed: OnChange::Drain,
            on_policy_change: OnChange::Keep,
        }
    }
}

impl WebSocketConfig {
    /// Whose handshakes are let in.
    pub fn origin_policy(&self) -> OriginPolicy<'_> {
        OriginPolicy {
            rule: &self.origin,
            missing: self.missing_origin,
        }
    }
}
