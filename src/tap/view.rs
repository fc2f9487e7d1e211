//! What a tap sends, as JSON: for the admin interface and the command line. Fields are added,
//! never renamed, and each message is complete without those before it.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use super::follow::{Frame, RSV1};
use super::subject::Subject;
use crate::vocabulary::Side;
use crate::websocket::control::close_payload;
use crate::websocket::frame::Opcode;
use crate::websocket::handshake::Deflate;

/// Who sent a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The client.
    Client,
    /// The upstream.
    Upstream,
    /// sluice itself.
    Sluice,
}

impl From<Side> for Origin {
    fn from(side: Side) -> Origin {
        match side {
            Side::Client => Origin::Client,
            Side::Upstream => Origin::Upstream,
        }
    }
}

/// Whose frames.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfView {
    /// The tunnel's number.
    pub tunnel: u64,
    /// Its route.
    pub route: Arc<str>,
    /// Its upstream.
    pub upstream: Arc<str>,
    /// Its endpoint.
    pub endpoint: Arc<str>,
    /// Its client.
    pub client: String,
}

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameView {
    /// When it was complete, in microseconds since 1970.
    pub time_us: u64,
    /// Whose it is.
    #[serde(flatten)]
    pub of: OfView,
    /// Who sent it.
    pub from: Origin,
    /// Whom it is for.
    pub to: Side,
    /// Its number in its direction since the tap began; `None`: sluice's own are not numbered.
    pub number: Option<u64>,
    /// `text`, `binary`, `continuation`, `close`, `ping` or `pong`.
    pub opcode: String,
    /// It ends its message.
    pub fin: bool,
    /// RSV1.
    pub rsv1: bool,
    /// RSV2.
    pub rsv2: bool,
    /// RSV3.
    pub rsv3: bool,
    /// Bytes of payload as they are on the wire.
    pub length: u64,
    /// It had begun before the tap, and `length` counts from there.
    pub partial: bool,
    /// `text` or `binary`, of what it is a part; `None`: a control frame.
    pub message: Option<String>,
    /// Its message is compressed; `None`: that began before the tap.
    pub compressed: Option<bool>,
    /// A compressed message may refer to those before it; `None`: none is compressed.
    pub takeover: Option<bool>,
    /// It went on to the other side; false: sluice kept it, as answers to its own Pings.
    pub passed: bool,
    /// Bytes of payload that were moved by the kernel, unseen.
    pub spliced: u64,
    /// What a Close says.
    pub close: Option<CloseView>,
    /// Bytes of payload in `text` or `base64`.
    pub captured: u64,
    /// The payload's beginning, where it is valid UTF-8 of an uncompressed text message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The payload's beginning otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
}

/// What a Close says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloseView {
    /// Its code; 1005 where it has none (RFC 6455 section 7.1.5).
    pub code: u16,
    /// Its reason.
    pub reason: String,
}

/// A direction that is not framing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnframedView {
    /// When that was noticed, in microseconds since 1970.
    pub time_us: u64,
    /// Whose it is.
    #[serde(flatten)]
    pub of: OfView,
    /// Who sends it.
    pub from: Side,
    /// What is wrong.
    pub why: String,
}

/// What is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostView {
    /// When that was noticed, in microseconds since 1970.
    pub time_us: u64,
    /// Frames that were left out.
    pub frames: u64,
    /// Frames that were sent without their payload.
    pub payloads: u64,
}

impl OfView {
    fn new(subject: &Subject) -> OfView {
        OfView {
            tunnel: subject.number,
            route: subject.route.clone(),
            upstream: subject.upstream.clone(),
            endpoint: subject.endpoint.clone(),
            client: subject.client.to_string(),
        }
    }
}

impl FrameView {
    /// The view of a frame.
    pub fn new(at: SystemTime, of: &Subject, from: Origin, to: Side, frame: Frame) -> FrameView {
        let deflate = of.deflate;
        let control = frame.opcode.is_control();
        let compressed = match deflate {
            // The bit may mean something else.
            None => Some(false),
            Some(_) => frame.compressed,
        };
        let plain = compressed == Some(false) && (control || frame.text);
        let captured = frame.payload.len() as u64;
        let close = (frame.opcode == Opcode::Close).then(|| CloseView::new(&frame.payload));
        let (text, base64) = match (String::from_utf8(frame.payload), captured) {
            // The code before its reason is no text.
            (_, 0) => (None, None),
            (Ok(text), _) if plain && frame.opcode != Opcode::Close => (Some(text), None),
            (Ok(text), _) => (None, Some(BASE64.encode(text.as_bytes()))),
            (Err(raw), _) => (None, Some(BASE64.encode(raw.as_bytes()))),
        };
        let message = match frame.text {
            true => "text",
            false => "binary",
        };
        FrameView {
            time_us: micros(at),
            of: OfView::new(of),
            from,
            to,
            number: (from != Origin::Sluice).then_some(frame.number),
            opcode: opcode(frame.opcode).to_owned(),
            fin: frame.fin,
            rsv1: frame.rsv & RSV1 != 0,
            rsv2: frame.rsv & 2 != 0,
            rsv3: frame.rsv & 1 != 0,
            length: frame.length,
            partial: frame.partial,
            message: (!control).then(|| message.to_owned()),
            compressed,
            takeover: deflate.map(|deflate| takes_over(deflate, from)),
            passed: frame.passed,
            spliced: frame.spliced,
            close,
            captured,
            text,
            base64,
        }
    }

    /// The payload's beginning.
    pub fn payload(&self) -> Vec<u8> {
        match (&self.text, &self.base64) {
            (Some(text), _) => text.clone().into_bytes(),
            (_, Some(base64)) => BASE64.decode(base64.as_bytes()).unwrap_or_default(),
            _ => Vec::new(),
        }
    }
}

impl CloseView {
    fn new(payload: &[u8]) -> CloseView {
        let (code, reason) = close_payload(payload).unwrap_or_else(|| {
            const NONE: u16 = 1005;
            (NONE, "".into())
        });
        CloseView {
            code,
            reason: reason.into(),
        }
    }
}

impl UnframedView {
    /// The view of such a direction.
    pub fn new(at: SystemTime, of: &Subject, from: Side, why: &str) -> UnframedView {
        UnframedView {
            time_us: micros(at),
            of: OfView::new(of),
            from,
            why: why.to_owned(),
        }
    }
}

impl LostView {
    /// The view of what is missing.
    pub fn new(at: SystemTime, frames: u64, payloads: u64) -> LostView {
        LostView {
            time_us: micros(at),
            frames,
            payloads,
        }
    }
}

fn takes_over(deflate: Deflate, from: Origin) -> bool {
    match from {
        Origin::Client => !deflate.client_no_context_takeover,
        Origin::Upstream => !deflate.server_no_context_takeover,
        Origin::Sluice => false,
    }
}

fn opcode(opcode: Opcode) -> &'static str {
    match opcode {
        Opcode::Continuation => "continuation",
        Opcode::Text => "text",
        Opcode::Binary => "binary",
        Opcode::Close => "close",
        Opcode::Ping => "ping",
        Opcode::Pong => "pong",
    }
}

fn micros(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
