//! Answers of sluice's own: what a route says by itself, and refusals.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use hyper::ext::ReasonPhrase;

use super::body::ExchangeBody;
use super::h1::context::Context;
use super::outcome::{Answer, Outcome};
use super::record::Record;
use super::spelling::Spelling;
use crate::fault::error::{Kind, ProxyError};

/// Sends an answer of our own, with names as `configured` spells them.
pub fn own(
    context: &Arc<Context>,
    response: Response<Bytes>,
    configured: Bytes,
    mut record: Box<Record>,
) -> Answer {
    record.status(response.status());
    let (mut parts, body) = response.into_parts();
    if let Some((name, value)) = record.request_id_field() {
        parts.headers.insert(name, value);
    }
    if parts.status.canonical_reason().is_none() {
        parts.extensions.insert(ReasonPhrase::from_static(b""));
    }
    let body = ExchangeBody::whole(body, record, context.clone());
    Answer {
        response: Response::from_parts(parts, body),
        spelling: Spelling {
            configured,
            came: Bytes::new(),
        },
        close: false,
    }
}

/// Answers with an error where the client is there to read it, and notes it.
pub fn refuse(context: &Arc<Context>, error: &ProxyError, mut record: Box<Record>) -> Outcome {
    if error.kind == Kind::ClientGone {
        record.client_left(error.detail.clone());
        return Outcome::ClientGone;
    }
    record.error(error);
    let id = record.request_id().to_owned();
    let response = error.to_response(record.accept(), &id, context.facts.http.error_detail);
    let mut answer = own(context, response, Bytes::new(), record);
    answer.close = error.close;
    Outcome::Answer(answer)
}
