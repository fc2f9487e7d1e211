//! `/v1/tap`: the frames of tunnels as they pass, as server-sent events, as far as `admin.tap`
//! allows it. That is looked up anew for each message, so that a reload changes it.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use super::answer::{Answer, Refusal};
use super::filter::{Filter, Query};
use super::live;
use super::sse::{self, Source};
use super::state::Context;
use crate::config::TapLevel;
use crate::process::Shared;
use crate::setting::scalar::Word;
use crate::tap::{self, Candidate, FrameView, LostView, TapMessage, UnframedView, Wanted};
use crate::tunnel::taps;

/// Bytes of a payload that are sent, unless fewer or more are asked for.
const PAYLOAD: usize = 4096;

/// The most of them.
pub const LARGEST_PAYLOAD: usize = 64 * 1024;

/// How a tap begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TapBegun {
    /// Open tunnels that it takes; those that open later come to them.
    pub tunnels: u64,
}

/// How it ends, unless the reader or the admin interface does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TapEnded {
    /// What ended it.
    pub why: String,
}

/// What is asked for.
struct Asked {
    filter: Filter,
    tunnel: Option<u64>,
    /// Bytes of each payload.
    payload: Option<usize>,
}

struct Reader {
    messages: mpsc::Receiver<TapMessage>,
    /// What it needs to be allowed.
    level: TapLevel,
    shared: Arc<Shared>,
    begun: Option<TapBegun>,
    /// Its end was sent.
    ended: bool,
}

/// Begins a tap.
pub(super) async fn of(
    context: &Context,
    query: Option<&str>,
    closing: watch::Receiver<bool>,
) -> Result<Answer, Refusal> {
    let asked = Asked::from_query(query)?;
    let level = asked.level();
    let allowed = allowed(&context.shared);
    if allowed < level {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            forbidden(allowed, level),
        ));
    }
    if asked.filter.names() {
        let live = live::all(context).await;
        asked.filter.check(&context.shared, &live)?;
    }
    let (tunnel, payload) = (asked.tunnel, asked.payload);
    let (subscription, messages) = tap::open(asked.into_wanted()).map_err(|_| {
        let message = format!("{} taps are open already, which is the most", tap::MOST);
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message)
    })?;
    let now = Instant::now();
    let taken = context.workers.ask(|| {
        let subscription = subscription.clone();
        move || taps::begin(&subscription, now) as u64
    });
    let tunnels = taken.await.into_iter().sum();
    if let (Some(id), 0) = (tunnel, tunnels) {
        let message = format!("there is no tunnel {id} that the filter takes");
        return Err(Refusal::new(StatusCode::NOT_FOUND, message));
    }
    tracing::info!(
        query = query.unwrap_or_default(),
        payload,
        tunnels,
        "a tap has begun"
    );
    let reader = Reader {
        messages,
        level,
        shared: context.shared.clone(),
        begun: Some(TapBegun { tunnels }),
        ended: false,
    };
    Ok(sse::answer(reader, closing))
}

fn allowed(shared: &Shared) -> TapLevel {
    shared.snapshot.load().config.admin.tap
}

fn forbidden(allowed: TapLevel, wanted: TapLevel) -> String {
    let allowed = allowed.word();
    let right = match wanted {
        TapLevel::Payload => {
            "payloads are shown, which are what the users send, only where it is \"payload\""
        }
        _ => "frames are shown only where it is \"headers\" or \"payload\"",
    };
    format!("admin.tap is \"{allowed}\": {right}")
}

impl Asked {
    fn from_query(query: Option<&str>) -> Result<Asked, Refusal> {
        let mut query = Query::parse(query)?;
        let filter = Filter::from_query(&mut query)?;
        let tunnel = query.take("tunnel").map(|text| text.parse());
        let tunnel = tunnel
            .transpose()
            .map_err(|_| wrong("tunnel is a tunnel's number"))?;
        let payload = match query.take("payload").as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(wrong("payload is true or false")),
        };
        let bytes = match query.take("bytes").map(|text| text.parse::<usize>()) {
            None => PAYLOAD,
            Some(_) if !payload => return Err(wrong("bytes goes with payload=true")),
            Some(Ok(bytes @ 1..=LARGEST_PAYLOAD)) => bytes,
            Some(_) => {
                let message = format!("bytes is a number from 1 to {LARGEST_PAYLOAD}");
                return Err(wrong(&message));
            }
        };
        query.finish()?;
        Ok(Asked {
            filter,
            tunnel,
            payload: payload.then_some(bytes),
        })
    }

    fn level(&self) -> TapLevel {
        match self.payload {
            Some(_) => TapLevel::Payload,
            None => TapLevel::Headers,
        }
    }

    fn into_wanted(self) -> Wanted {
        let Asked {
            filter,
            tunnel,
            payload,
        } = self;
        let select = move |one: &Candidate<'_>| {
            let Candidate {
                number,
                identity,
                opened,
                heard,
            } = *one;
            tunnel.is_none_or(|wanted| wanted == number)
                && filter.takes_one(identity, opened, heard, Instant::now())
        };
        Wanted {
            select: Box::new(select),
            payload,
        }
    }
}

impl Reader {
    /// The block of a message; where that is not allowed any more, of the end.
    fn block(&mut self, message: Option<TapMessage>) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        let allowed = allowed(&self.shared);
        let why = match message {
            _ if allowed < self.level => forbidden(allowed, self.level),
            Some(message) => return Some(spell(message)),
            None => "it was read too slowly, or sluice stops".to_owned(),
        };
        self.ended = true;
        // Nothing that is not allowed may be there for the next one, and workers stop.
        self.messages.close();
        Some(sse::block("ended", &TapEnded { why }))
    }
}

impl Source for Reader {
    async fn next(&mut self) -> Option<Bytes> {
        let message = self.messages.recv().await;
        self.block(message)
    }

    fn waiting(&mut self) -> Option<Bytes> {
        if let Some(begun) = self.begun.take() {
            return Some(sse::block("begun", &begun));
        }
        let message = self.messages.try_recv().ok()?;
        self.block(Some(message))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        tracing::info!("a tap has ended");
    }
}

fn spell(message: TapMessage) -> Bytes {
    match message {
        TapMessage::Frame {
            at,
            of,
            from,
            to,
            frame,
        } => sse::block("frame", &FrameView::new(at, &of, from, to, frame)),
        TapMessage::Unframed { at, of, from, why } => {
            sse::block("unframed", &UnframedView::new(at, &of, from, why))
        }
        TapMessage::Lost {
            at,
            frames,
            payloads,
        } => sse::block("lost", &LostView::new(at, frames, payloads)),
    }
}

fn wrong(message: &str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, message)
}
