//! An answer without an end, as server-sent events (HTML Living Standard, section 9.2): what
//! there is goes in one piece, and while there is nothing a sign of life goes now and then.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde::Serialize;
use tokio::sync::watch;

use super::answer::{Answer, stream};
use crate::vocabulary::visible;

/// While nothing happens, how often the reader is shown that the connection lives.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// Events that are sent in one go, in bytes.
const CHUNK: usize = 64 * 1024;

/// Where events come from, each as its block in the stream.
pub(super) trait Source: Send + 'static {
    /// The next one; `None`: no more will come. May be dropped before it is ready.
    fn next(&mut self) -> impl Future<Output = Option<Bytes>> + Send;

    /// The next one, if it is there already.
    fn waiting(&mut self) -> Option<Bytes>;
}

struct Reader<S> {
    source: S,
    closing: watch::Receiver<bool>,
    /// How long to wait for the first event before a sign of life.
    patience: Duration,
}

/// Begins to tell what comes. Ends with its source, or with the admin interface.
pub(super) fn answer(source: impl Source, closing: watch::Receiver<bool>) -> Answer {
    let reader = Reader {
        source,
        closing,
        patience: Duration::ZERO,
    };
    let chunks = futures_util::stream::unfold(reader, |mut reader| async {
        let chunk = reader.next().await?;
        Some((Ok::<_, Infallible>(Frame::data(chunk)), reader))
    });
    stream("text/event-stream", StreamBody::new(chunks).boxed_unsync())
}

/// An event's block.
pub(super) fn block(kind: &str, data: &impl Serialize) -> Bytes {
    let data = visible::json(serde_json::to_string(data).unwrap_or_default());
    format!("event: {kind}\ndata: {data}\n\n").into()
}

impl<S: Source> Reader<S> {
    /// What to send next; `None`: the end.
    async fn next(&mut self) -> Option<Bytes> {
        let first = match self.source.waiting() {
            Some(block) => block,
            None => tokio::select! {
                block = self.source.next() => block?,
                () = tokio::time::sleep(self.patience) => {
                    self.patience = SIGN_OF_LIFE;
                    return Some(Bytes::from_static(b": \n\n"));
                }
                _ = self.closing.wait_for(|closing| *closing) => return None,
            },
        };
        let mut chunk = BytesMut::from(first);
        while chunk.len() < CHUNK
            && let Some(block) = self.source.waiting()
        {
            chunk.extend_from_slice(&block);
        }
        self.patience = SIGN_OF_LIFE;
        Some(chunk.freeze())
    }
}
