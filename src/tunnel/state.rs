//! A live tunnel as it travels to another process: plain values that describe themselves,
//! for JSON. They are filled in and restored where what they describe is: the scanner in
//! `websocket::frame`, a direction in `pump`, Pings in `journal`, clocks in `tunnel_registry`.
//!
//! What comes from outside is checked in full before anything is built of it. A field that
//! a later version adds has a default here; one that this version does not know is passed
//! over. Flags that can only be set in a tunnel on its way to its end are not here: such a
//! tunnel stays where it is.

mod check;

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

pub(super) use self::check::MOST;
use crate::config::WebSocketConfig;
use crate::metrics::slots;
use crate::tunnel_info::{IdentityParts, TunnelIdentity};
use crate::tunnel_registry::handle::{Past, PingCounts};
use crate::tunnel_registry::{Ages, ClockState, PulseState};
use crate::vocabulary::Side;
use crate::vocabulary::counters::Tally;
pub(super) use crate::websocket::frame::restore::ScannerState;
pub use crate::websocket::frame::restore::StateError;
use crate::websocket::handshake::Deflate;

/// The longest setting in milliseconds, a thousand years.
const LONGEST: u64 = 1000 * 366 * 24 * 3600 * 1000;
/// Time under way that is believed: clocks may be set in between.
const LONGEST_WAY: Duration = Duration::from_secs(60);

/// Everything about a tunnel but its sockets and the bytes still to be written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TunnelState {
    /// The tunnel's number, unique in the process.
    pub id: u64,
    /// Whose it is.
    pub identity: IdentityState,
    /// The settings that it has lived under.
    pub settings: SettingsState,
    /// Since its opening, in microseconds.
    pub(super) age: u64,
    /// When this was written down, in microseconds since 1970; 0 is unknown.
    #[serde(default)]
    pub(super) written: u64,
    /// Who was the first to send a Close or to end its stream.
    #[serde(default)]
    pub(super) ended_by: Option<Side>,
    /// What the payload of our Pings begins with; none where no Ping has passed.
    #[serde(default)]
    pub(super) secret: Option<u64>,
    pub(super) clock: ClockState,
    /// What comes from the client, and what is known of it.
    pub(super) client: SideState,
    /// The same of the upstream.
    pub(super) upstream: SideState,
}

/// Whose tunnel it is, see [`TunnelIdentity`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityState {
    /// The request id.
    pub request_id: String,
    /// The route's name.
    pub route: String,
    /// The upstream's name.
    pub upstream: String,
    /// The endpoint's address.
    pub endpoint: String,
    /// The client's address.
    pub client: String,
    /// The host asked for.
    pub host: String,
    /// The path asked for.
    pub path: String,
    /// The negotiated subprotocol.
    #[serde(default)]
    pub subprotocol: Option<String>,
    /// The protocol besides WebSocket that was switched to.
    #[serde(default)]
    pub upgrade: Option<String>,
    /// The handshake's Origin.
    #[serde(default)]
    pub origin: Option<String>,
    /// The span of its handshake; empty where it is not traced.
    #[serde(default)]
    pub traceparent: String,
    /// What the handshake agreed on about compression.
    #[serde(default)]
    pub deflate: Option<Deflate>,
}

/// What a tunnel needs of its route's settings; times in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SettingsState {
    #[serde(default)]
    idle_timeout: Option<u64>,
    #[serde(default)]
    max_age: Option<u64>,
    max_age_jitter: f64,
    #[serde(default)]
    ping_interval: Option<u64>,
    ping_timeout: u64,
    half_close_timeout: u64,
    close_timeout: u64,
    #[serde(default = "LostState::before")]
    lost: LostState,
    #[serde(default)]
    unread_timeout: Option<u64>,
    strict: bool,
}

/// What is said to a side whose other side is lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct LostState {
    #[serde(default)]
    upstream_code: Option<u16>,
    #[serde(default)]
    client_code: Option<u16>,
    reason: String,
}

impl LostState {
    fn of(settings: &WebSocketConfig) -> LostState {
        LostState {
            upstream_code: settings.upstream_lost_code,
            client_code: settings.client_lost_code,
            reason: settings.lost_reason.clone(),
        }
    }

    /// For a state from a version without this field.
    fn before() -> LostState {
        LostState::of(&WebSocketConfig::default())
    }
}

/// One side: the direction that comes from it, and the Pings to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SideState {
    pub(super) scanner: ScannerState,
    pub(super) flow: FlowState,
    /// The Close that it sent.
    #[serde(default)]
    pub(super) close: Option<CloseState>,
    pub(super) counters: Tally,
    pub(super) pings: PingState,
    pub(super) pulse: PulseState,
}

/// The flags of the direction that comes from a side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FlowState {
    pub(super) observing: bool,
    pub(super) holding: bool,
    pub(super) bulk: bool,
    /// A Ping of ours is to be sent to the other side.
    pub(super) ping_due: bool,
    pub(super) eof: bool,
    pub(super) done: bool,
    /// The code of the Close that the other side was sent at the end of this one.
    #[serde(default)]
    pub(super) told: Option<u16>,
}

/// A Close frame; an empty one has no code.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CloseState {
    #[serde(default)]
    pub(super) code: Option<u16>,
    #[serde(default)]
    pub(super) reason: String,
}

/// Pings to a side.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PingState {
    /// The number of our last one.
    pub(super) sequence: u32,
    /// Of the last one, ours or a peer's; 0 when it is answered.
    pub(super) hash: u32,
    /// Microseconds since that passed.
    pub(super) age: u32,
    /// How many of ours were written, modulo 256.
    pub(super) sent: u8,
    /// Bytes of the answers to ours, modulo 2^32.
    pub(super) swallowed: u32,
    /// The last round trip in microseconds; 0 is unknown.
    pub(super) rtt: u32,
}

impl TunnelState {
    pub(super) fn side(&self, side: Side) -> &SideState {
        match side {
            Side::Client => &self.client,
            Side::Upstream => &self.upstream,
        }
    }

    /// What the tunnel has lived through when it goes on.
    pub(super) fn past(&self) -> Past {
        let sides = [&self.client, &self.upstream];
        Past {
            id: self.id,
            age: Duration::from_micros(self.age) + self.under_way(),
            is_half_closed: sides.iter().any(|side| side.flow.done),
            counters: sides.map(|side| side.counters),
            pings: sides.map(|side| PingCounts {
                sent: side.pings.sent,
                swallowed: side.pings.swallowed,
                rtt: side.pings.rtt,
            }),
        }
    }

    /// Its clocks when this was written down.
    pub(super) fn ages(&self) -> Ages {
        Ages {
            clock: self.clock.clone(),
            pulses: [&self.client, &self.upstream].map(|side| side.pulse.clone()),
        }
    }

    /// How long the state has been under way. That time counts for every clock.
    pub(super) fn under_way(&self) -> Duration {
        if self.written == 0 {
            return Duration::ZERO;
        }
        Duration::from_micros(unix_micros().saturating_sub(self.written)).min(LONGEST_WAY)
    }

    /// The same in whole tenths of a second.
    pub(super) fn tenths_under_way(&self) -> u32 {
        (self.under_way().as_millis() / 100) as u32
    }
}

/// Microseconds since 1970.
pub(super) fn unix_micros() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_micros() as u64)
}

impl IdentityState {
    pub(super) fn of(identity: &TunnelIdentity) -> IdentityState {
        IdentityState {
            request_id: identity.request_id().to_owned(),
            route: identity.route().to_string(),
            upstream: identity.upstream().to_string(),
            endpoint: identity.endpoint().to_string(),
            client: identity.client().to_owned(),
            host: identity.host().to_owned(),
            path: identity.path().to_owned(),
            subprotocol: identity.subprotocol().map(str::to_owned),
            upgrade: identity.upgrade().map(str::to_owned),
            origin: identity.origin().map(str::to_owned),
            traceparent: identity.traceparent().to_owned(),
            deflate: identity.deflate(),
        }
    }

    /// The identity, with the names of the configuration in force where that has them.
    pub fn identity(&self) -> Box<TunnelIdentity> {
        let [route, upstream, endpoint] =
            [&self.route, &self.upstream, &self.endpoint].map(|name| name.as_str().into());
        TunnelIdentity::new(IdentityParts {
            request_id: &self.request_id,
            route: slots::route(&route),
            endpoint: slots::endpoint(&upstream, &endpoint),
            client: &self.client,
            host: &self.host,
            path: &self.path,
            subprotocol: self.subprotocol.as_deref(),
            upgrade: self.upgrade.as_deref(),
            origin: self.origin.as_deref(),
            traceparent: &self.traceparent,
            deflate: self.deflate,
        })
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).map_or(LONGEST, |millis| millis.min(LONGEST))
}

impl SettingsState {
    pub(super) fn of(settings: &WebSocketConfig) -> SettingsState {
        SettingsState {
            idle_timeout: settings.idle_timeout.map(millis),
            max_age: settings.max_age.map(millis),
            max_age_jitter: settings.max_age_jitter,
            ping_interval: settings.ping_interval.map(millis),
            ping_timeout: millis(settings.ping_timeout),
            half_close_timeout: millis(settings.half_close_timeout),
            close_timeout: millis(settings.close_timeout),
            lost: LostState::of(settings),
            unread_timeout: settings.unread_timeout.map(millis),
            strict: settings.strict,
        }
    }

    /// Settings to go on with where the route is not configured any more; what only matters
    /// before the 101 has its default.
    pub fn settings(&self) -> WebSocketConfig {
        WebSocketConfig {
            idle_timeout: self.idle_timeout.map(Duration::from_millis),
            max_age: self.max_age.map(Duration::from_millis),
            max_age_jitter: self.max_age_jitter,
            ping_interval: self.ping_interval.map(Duration::from_millis),
            ping_timeout: Duration::from_millis(self.ping_timeout),
            half_close_timeout: Duration::from_millis(self.half_close_timeout),
            close_timeout: Duration::from_millis(self.close_timeout),
            upstream_lost_code: self.lost.upstream_code,
            client_lost_code: self.lost.client_code,
            lost_reason: self.lost.reason.clone(),
            unread_timeout: self.unread_timeout.map(Duration::from_millis),
            strict: self.strict,
            ..WebSocketConfig::default()
        }
    }

    /// Whether `settings` say the same.
    pub(super) fn same(&self, settings: &WebSocketConfig) -> bool {
        let other = SettingsState::of(settings);
        // A decimal fraction may not come back to the last bit.
        let jitter = self.max_age_jitter - other.max_age_jitter;
        jitter.abs() < 1e-9
            && SettingsState {
                max_age_jitter: self.max_age_jitter,
                ..other
            } == *self
    }
}
