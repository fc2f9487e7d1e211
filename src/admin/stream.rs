//! `/v1/events`: what happens, as server-sent events (HTML Living Standard, section 9.2).
//! A reader that is too slow loses events and is told how many; nobody waits for it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

use super::answer::{Answer, Refusal, stream};
use super::filter::Query;
use crate::events::{self, Entry, Event, LISTENERS, Lost, Subscription};

/// While nothing happens, how often the reader is shown that the connection lives.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// Events that are sent in one go, in bytes.
const CHUNK: usize = 64 * 1024;

static LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

struct Reader {
    missed: VecDeque<Arc<Entry>>,
    subscription: Subscription,
    closing: watch::Receiver<bool>,
    /// How long to wait for the first event before a sign of life.
    patience: Duration,
}

/// Begins to tell what happens. Ends with the admin interface.
pub(super) fn of(
    headers: &HeaderMap,
    query: Option<&str>,
    closing: watch::Receiver<bool>,
) -> Result<Answer, Refusal> {
    let mut query = Query::parse(query)?;
    // An EventSource cannot set the field on its first request.
    let behind = query.take("after");
    query.finish()?;
    let field = headers.get(&LAST_EVENT_ID);
    let behind = match (field.map(|value| value.to_str()), &behind) {
        (Some(Ok(text)), _) => Some(text),
        (_, Some(text)) => Some(text.as_str()),
        _ => None,
    };
    // What is not a number of ours is one of another process.
    let behind = behind.map(|text| text.parse().unwrap_or(0));
    let mut subscription = events::subscribe(behind).map_err(|_| {
        let message = format!("{LISTENERS} listen already, which is the most");
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message)
    })?;
    let reader = Reader {
        missed: std::mem::take(&mut subscription.missed).into(),
        subscription,
        closing,
        patience: Duration::ZERO,
    };
    let chunks = futures_util::stream::unfold(reader, |mut reader| async {
        let chunk = reader.next().await?;
        Some((Ok::<_, Infallible>(Frame::data(chunk)), reader))
    });
    Ok(stream(
        "text/event-stream",
        StreamBody::new(chunks).boxed_unsync(),
    ))
}

impl Reader {
    /// What to send next; `None`: the admin interface ends.
    async fn next(&mut self) -> Option<Bytes> {
        if self.missed.is_empty() {
            let first = tokio::select! {
                told = self.subscription.live.recv() => match told {
                    Ok(entry) => entry,
                    Err(RecvError::Lagged(count)) => lost(count),
                    Err(RecvError::Closed) => return None,
                },
                () = tokio::time::sleep(self.patience) => {
                    self.patience = SIGN_OF_LIFE;
                    return Some(Bytes::from_static(b": \n\n"));
                }
                _ = self.closing.wait_for(|closing| *closing) => return None,
            };
            self.missed.push_back(first);
        }
        let mut chunk = BytesMut::new();
        while chunk.len() < CHUNK {
            let Some(entry) = self.missed.pop_front().or_else(|| self.waiting()) else {
                break;
            };
            chunk.extend_from_slice(&entry.block());
        }
        self.patience = SIGN_OF_LIFE;
        Some(chunk.freeze())
    }

    fn waiting(&mut self) -> Option<Arc<Entry>> {
        use tokio::sync::broadcast::error::TryRecvError;
        match self.subscription.live.try_recv() {
            Ok(entry) => Some(entry),
            Err(TryRecvError::Lagged(count)) => Some(lost(count)),
            Err(TryRecvError::Empty | TryRecvError::Closed) => None,
        }
    }
}

fn lost(count: u64) -> Arc<Entry> {
    Arc::new(Entry::unkept(Event::Lost(Lost {
        time: events::now(),
        count,
        why: "they were read too slowly".to_owned(),
    })))
}
