//! `/v1/events`: what happens, as server-sent events. A reader that is too slow loses events
//! and is told how many; nothing waits for it.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode};
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::watch;

use super::answer::{Answer, Refusal};
use super::filter::Query;
use super::sse::{self, Source};
use crate::events::{self, Entry, Event, LISTENERS, Lost, Subscription};

static LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

struct Reader {
    missed: VecDeque<Arc<Entry>>,
    subscription: Subscription,
}

/// Begins to tell what happens. Ends with the admin interface.
pub(super) fn of(
    headers: &HeaderMap,
    query: Option<&str>,
    closing: watch::Receiver<bool>,
) -> Result<Answer, Refusal> {
    let mut query = Query::parse(query)?;
    // An EventSource cannot set the field on its first request.
    let after = query.take("after");
    query.finish()?;
    let field = headers.get(&LAST_EVENT_ID);
    let after = match (field.map(|value| value.to_str()), &after) {
        (Some(Ok(text)), _) => Some(text),
        (_, Some(text)) => Some(text.as_str()),
        _ => None,
    };
    // What is not a number of ours is one of another process.
    let after = after.map(|text| text.parse().unwrap_or(0));
    let mut subscription = events::subscribe(after).map_err(|_| {
        let message = format!("{LISTENERS} listen already, which is the most");
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message)
    })?;
    let reader = Reader {
        missed: std::mem::take(&mut subscription.missed).into(),
        subscription,
    };
    Ok(sse::answer(reader, closing))
}

impl Source for Reader {
    async fn next(&mut self) -> Option<Bytes> {
        let entry = match self.subscription.live.recv().await {
            Ok(entry) => entry,
            Err(RecvError::Lagged(count)) => lost(count),
            Err(RecvError::Closed) => return None,
        };
        Some(entry.block())
    }

    fn waiting(&mut self) -> Option<Bytes> {
        let entry =
            self.missed
                .pop_front()
                .or_else(|| match self.subscription.live.try_recv() {
                    Ok(entry) => Some(entry),
                    Err(TryRecvError::Lagged(count)) => Some(lost(count)),
                    Err(TryRecvError::Empty | TryRecvError::Closed) => None,
                })?;
        Some(entry.block())
    }
}

fn lost(count: u64) -> Arc<Entry> {
    Arc::new(Entry::unkept(Event::Lost(Lost {
        time: events::now(),
        count,
        why: "they were read too slowly".to_owned(),
    })))
}
