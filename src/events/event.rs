//! The events themselves, as they stand in answers of the admin interface: fields are added,
//! never renamed. Texts of clients are cut, so that no event is large.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::tunnel_info::{PeerClose, TunnelIdentity, TunnelReport};
use crate::vocabulary::stamp::rfc3339;
use crate::vocabulary::visible;

/// The longest text of a client's in an event, in bytes.
const LONGEST: usize = 256;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Event {
    /// A tunnel has ended.
    Closed(Box<Closed>),
    /// A handshake was refused.
    Refused(Box<HandshakeRefused>),
    /// A tunnel has opened.
    Opened(Box<Opened>),
    /// A reload has ended.
    Reload(Reload),
    /// A drain has begun or was taken back.
    Drain(Drain),
    /// An endpoint has failed or is back.
    Health(Health),
    /// A worker did not run for a while.
    StoodStill(StoodStill),
    /// Events that were not kept, or not sent.
    Lost(Lost),
}

impl Event {
    /// Its kind, as `event:` names it.
    pub fn kind(&self) -> &'static str {
        match self {
            Event::Closed(_) => "closed",
            Event::Refused(_) => "refused",
            Event::Opened(_) => "opened",
            Event::Reload(_) => "reload",
            Event::Drain(_) => "drain",
            Event::Health(_) => "health",
            Event::StoodStill(_) => "stood_still",
            Event::Lost(_) => "lost",
        }
    }
}

/// A tunnel that has opened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Opened {
    /// When, as RFC 3339 writes it.
    pub time: String,
    /// The request's id; empty where ids are switched off.
    pub request_id: String,
    /// The client's address.
    pub client: String,
    /// The host asked for.
    pub host: String,
    /// The path asked for.
    pub path: String,
    /// The route's name.
    pub route: Arc<str>,
    /// The upstream's name.
    pub upstream: Arc<str>,
    /// The endpoint's address.
    pub endpoint: Arc<str>,
    /// The negotiated subprotocol.
    pub subprotocol: Option<String>,
    /// The handshake's Origin.
    pub origin: Option<String>,
}

/// A Close frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Close {
    /// Its code; 1005 where it had none (RFC 6455 section 7.1.5).
    pub code: u16,
    /// Its reason.
    pub reason: String,
}

/// A tunnel that has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Closed {
    /// Its number.
    pub id: u64,
    /// Whose it was; the time is that of its end.
    #[serde(flatten)]
    pub of: Opened,
    /// Who or what ended it.
    pub closed_by: String,
    /// More about that.
    pub detail: Option<String>,
    /// The Close that the client sent.
    pub client_close: Option<Close>,
    /// The Close that the upstream sent.
    pub upstream_close: Option<Close>,
    /// The code that sluice sent to the client.
    pub sent_client: Option<u16>,
    /// The code that sluice sent to the upstream.
    pub sent_upstream: Option<u16>,
    /// From its opening to its end, in milliseconds.
    pub duration_ms: f64,
    /// Bytes from the client.
    pub bytes_in: u64,
    /// Bytes from the upstream.
    pub bytes_out: u64,
    /// Messages from the client.
    pub messages_in: u64,
    /// Messages from the upstream.
    pub messages_out: u64,
}

/// A handshake that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandshakeRefused {
    /// When, as RFC 3339 writes it.
    pub time: String,
    /// The request's id; empty where it has none.
    pub request_id: String,
    /// The route; `None`: no route took it.
    pub route: Option<Arc<str>>,
    /// The client's address.
    pub client: String,
    /// The host asked for.
    pub host: String,
    /// The path asked for.
    pub path: String,
    /// The status of the answer; `None`: the client left before one.
    pub status: Option<u16>,
    /// The cause in one word.
    pub cause: String,
    /// One sentence: what probably happened.
    pub likely: String,
    /// One sentence: what to change, and where; may be empty.
    pub fix: String,
}

/// A reload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reload {
    /// When, as RFC 3339 writes it.
    pub time: String,
    /// The configuration in force after it.
    pub generation: u64,
    /// Whether the file was put in force.
    pub ok: bool,
    /// Why it was not.
    pub error: Option<String>,
}

/// A drain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    /// When, as RFC 3339 writes it.
    pub time: String,
    /// What is drained.
    pub target: String,
    /// What became of it.
    pub state: DrainState,
    /// Tunnels that it has to close, or that were let go.
    pub tunnels: u64,
    /// Its span in milliseconds.
    pub over_ms: u64,
}

/// What became of a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DrainState {
    /// It has begun.
    Begun,
    /// It was taken back.
    TakenBack,
    /// It has ended: what it was for is configured no more, or was not for a while.
    Ended,
}

/// The health of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// When, as RFC 3339 writes it.
    pub time: String,
    /// The upstream's name.
    pub upstream: Arc<str>,
    /// The endpoint's address.
    pub endpoint: Arc<str>,
    /// What it is from now on.
    pub state: HealthState,
    /// Why its connects fail, in a word; `None`: they do not.
    #[serde(default)]
    pub why: Option<String>,
}

/// What an endpoint has become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthState {
    /// Its connects succeed.
    Up,
    /// A connect has failed: it is used only when no other is left.
    Avoided,
}

/// A worker that did not run for a while: its process was stopped, or its host had no time for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoodStill {
    /// When it went on, as RFC 3339 writes it.
    pub time: String,
    /// The worker's name.
    pub worker: String,
    /// How long it had stood still, in milliseconds.
    pub still_ms: u64,
}

/// Events that are missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// When that was noticed, as RFC 3339 writes it.
    pub time: String,
    /// How many.
    pub count: u64,
    /// Why.
    pub why: String,
}

impl Opened {
    pub(super) fn new(identity: &TunnelIdentity) -> Opened {
        Opened {
            time: now(),
            request_id: cut(identity.request_id()),
            client: cut(identity.client()),
            host: cut(identity.host()),
            path: cut(identity.path()),
            route: identity.route().clone(),
            upstream: identity.upstream().clone(),
            endpoint: identity.endpoint().clone(),
            subprotocol: identity.subprotocol().map(cut),
            origin: identity.origin().map(cut),
        }
    }
}

impl Closed {
    pub(super) fn new(report: &TunnelReport<'_>) -> Closed {
        let closes = report.closes;
        Closed {
            id: report.id,
            of: Opened::new(report.identity),
            closed_by: report.closed_by.as_str().to_owned(),
            detail: report.detail.map(cut),
            client_close: closes.client.as_ref().map(Close::new),
            upstream_close: closes.upstream.as_ref().map(Close::new),
            sent_client: closes.sent_client,
            sent_upstream: closes.sent_upstream,
            duration_ms: millis(report.duration),
            bytes_in: report.from_client.bytes,
            bytes_out: report.from_upstream.bytes,
            messages_in: report.from_client.messages(),
            messages_out: report.from_upstream.messages(),
        }
    }
}

impl Closed {
    /// The Closes of both sides in words: what each sent by itself, or got from sluice and
    /// answered.
    pub fn closes(&self) -> String {
        let side = |name: &str, got: Option<u16>, sent: &Option<Close>| match (got, sent) {
            (None, None) => format!("{name} sent no Close"),
            (None, Some(close)) => format!("{name} sent {close}"),
            (Some(code), Some(close)) if close.code == code => format!("{name} got {close}"),
            (Some(code), Some(close)) => format!("{name} got {code}, sent {close}"),
            (Some(code), None) => format!("{name} got {code}, did not answer"),
        };
        let client = side("client", self.sent_client, &self.client_close);
        let upstream = side("upstream", self.sent_upstream, &self.upstream_close);
        format!("{client}, {upstream}")
    }
}

impl fmt::Display for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason.as_str() {
            "" => write!(f, "{}", self.code),
            reason => write!(f, "{} {}", self.code, visible::quoted(reason)),
        }
    }
}

impl Close {
    fn new(close: &PeerClose) -> Close {
        let (code, reason) = close
            .as_ref()
            .map_or((1005, ""), |(code, text)| (*code, text));
        Close {
            code,
            reason: reason.to_owned(),
        }
    }
}

/// The present time, as events write it.
pub fn now() -> String {
    rfc3339(SystemTime::now())
}

/// The start of a text that may be of any length.
pub(super) fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(LONGEST)].to_owned()
}

/// With three decimals, as access records have it.
fn millis(span: Duration) -> f64 {
    span.as_micros() as f64 / 1000.0
}
