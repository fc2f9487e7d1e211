//! Our own answers: those of routes that need no upstream, and refusals.

use bytes::Bytes;
use http::Response;

use super::body::ExchangeBody;
use super::outcome::{Answer, Outcome};
use super::spelling::Spelling;
use super::underway::Underway;
use crate::fault::error::{Kind, ProxyError};

/// An answer of our own, with names spelled as in the lines of `configured`.
pub fn own(mut exchange: Box<Underway>, response: Response<Bytes>, configured: Bytes) -> Answer {
    let (stream, record) = exchange.parts();
    record.status(response.status());
    let (mut parts, body) = response.into_parts();
    if let Some((name, value)) = record.request_id_field(stream.facts()) {
        parts.headers.insert(name, value);
    }
    let body = ExchangeBody::whole(body, exchange);
    Answer {
        response: Response::from_parts(parts, body),
        named_length: None,
        reason: None,
        spelling: Spelling {
            configured,
            came: Bytes::new(),
        },
        close: false,
    }
}

/// Records an error, and answers with it unless the client is gone.
pub fn refuse(mut exchange: Box<Underway>, error: &ProxyError) -> Outcome {
    let (stream, record) = exchange.parts();
    let facts = stream.facts();
    if error.kind == Kind::ClientGone {
        record.client_left(error.detail.clone());
        return Outcome::ClientGone;
    }
    record.error(error);
    let id = record.request_id(facts).to_owned();
    let response = error.to_response(record.accept(), &id, facts.http.error_detail);
    let mut answer = own(exchange, response, Bytes::new());
    answer.close = error.close;
    Outcome::Answer(answer)
}
