//! The record of what never became an exchange: a request that was refused before hyper had
//! seen its head.

use std::time::Instant;

use super::glimpse::Glimpse;
use crate::fault::cause;
use crate::fault::error::ProxyError;
use crate::policy::facts::Facts;
use crate::{access_log, metrics};

/// Records a request that was refused before it could become an exchange, with what was read
/// of it: since when that was there, and how much of a body was sent in answer.
pub fn refused(
    facts: &Facts,
    error: &ProxyError,
    id: &str,
    glimpse: &Glimpse,
    since: Instant,
    sent: usize,
) {
    metrics::error(error.kind.as_str());
    metrics::head_refused(error.status);
    access_log::record("exchange", |line| {
        line.text("request_id", id);
        line.text("client", &facts.client());
        line.optional("method", glimpse.method.as_deref());
        line.optional("host", glimpse.host.as_deref());
        line.optional("path", glimpse.path.as_deref());
        if access_log::with_query() {
            line.optional("query", glimpse.query.as_deref());
        }
        line.number("status", error.status.as_u16().into());
        line.millis("duration_ms", since.elapsed());
        line.number("bytes_in", 0);
        line.number("bytes_out", sent as u64);
        line.text("error", error.kind.as_str());
        line.text("detail", &error.detail);
        let cause = cause::of(error, false);
        line.text("cause", cause);
        line.text("likely", &error.detail);
        line.text("fix", cause::fix(cause));
    });
}
