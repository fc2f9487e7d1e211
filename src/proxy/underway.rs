//! An exchange from its head to the end of its answer: its record and the client's stream. At its
//! end, for whatever reason, the stream is told first and the record last.

use std::sync::Arc;

use super::record::Record;
use super::stream::Stream;
use crate::policy::head::RequestHead;

/// An exchange under way.
#[derive(Debug)]
pub struct Underway {
    stream: Arc<dyn Stream>,
    record: Record,
}

impl Underway {
    /// For a request that has come on `stream`.
    pub fn begin(stream: Arc<dyn Stream>, head: &mut RequestHead) -> Box<Self> {
        let record = Record::begin(stream.facts(), head);
        Box::new(Underway { stream, record })
    }

    /// The client's stream.
    pub fn stream(&self) -> &Arc<dyn Stream> {
        &self.stream
    }

    /// What is known of the exchange.
    pub fn record(&mut self) -> &mut Record {
        &mut self.record
    }

    /// The stream and the record.
    pub fn parts(&mut self) -> (&Arc<dyn Stream>, &mut Record) {
        (&self.stream, &mut self.record)
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        let ending = self.stream.end();
        let awaited = self.record.end(self.stream.facts(), &ending);
        if self.record.is_handshake() {
            self.stream.await_login(awaited);
        }
    }
}
