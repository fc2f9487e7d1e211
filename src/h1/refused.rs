//! What never became an exchange, since it was refused before hyper had seen its head: the
//! answer as bytes, and the record.

use std::time::Instant;

use bytes::Bytes;
use http::Response;

use super::glimpse::Glimpse;
use crate::fault::cause;
use crate::fault::error::ProxyError;
use crate::message::spelling::{Speller, push_spelled};
use crate::policy::facts::Facts;
use crate::proxy::record::Asked;
use crate::{access_log, metrics};

/// The answer for a connection that hyper no longer serves. Its names are spelled as in the
/// lines of `spelling`.
pub fn encode(response: &Response<Bytes>, spelling: &[u8]) -> Vec<u8> {
    let mut speller = Speller::new(spelling);
    let mut out = Vec::with_capacity(512 + response.body().len());
    let status = response.status();
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or("").as_bytes());
    out.extend_from_slice(b"\r\n");
    for (name, value) in response.headers() {
        let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
        push_spelled(&mut out, &mut speller, name, value);
    }
    out.extend_from_slice(format!("Content-Length: {}\r\n\r\n", response.body().len()).as_bytes());
    out.extend_from_slice(response.body());
    out
}

/// Records a request that was refused before it could become an exchange: what was read of it,
/// when that arrived, and how many bytes of content the answer had.
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
        let vouched = facts.vouched_client(&glimpse.fields);
        line.text(
            "client",
            &vouched.map_or_else(|| facts.client(), |client| client.to_string()),
        );
        line.optional("method", glimpse.method.as_deref());
        line.optional("host", glimpse.host.as_deref());
        line.optional("path", glimpse.path.as_deref());
        if access_log::with_query() {
            line.optional("query", glimpse.query.as_deref());
        }
        let protocol = glimpse.protocol.clone();
        Asked::glimpsed(protocol, &glimpse.fields, facts.tls.clone()).write(line);
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
