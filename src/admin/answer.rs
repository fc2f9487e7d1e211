//! The forms of answers and of what comes with requests: JSON, short texts, errors.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::slots::Slot;
use crate::process::order::OrderError;
use crate::vocabulary::visible;

/// An answer on its way.
pub(super) type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// The largest body of a request, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// Time for a request's body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// One line of text.
pub(super) fn text(status: StatusCode, line: &str) -> Answer {
    with(status, "text/plain; charset=utf-8", format!("{line}\n"))
}

/// A text of another type.
pub(super) fn page(media_type: &'static str, text: String) -> Answer {
    with(StatusCode::OK, media_type, text)
}

/// A value as JSON.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    match serde_json::to_string(value) {
        Ok(body) => with(status, "application/json", visible::json(body)),
        Err(problem) => text(StatusCode::INTERNAL_SERVER_ERROR, &problem.to_string()),
    }
}

/// A request that is not granted, and what would be right.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    why: OrderError,
    /// The methods that are, where only the method is wrong.
    allow: Option<HeaderValue>,
    /// A token is missing.
    challenge: bool,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Refusal {
        Refusal::of(status, OrderError::new(message))
    }

    pub(super) fn of(status: StatusCode, why: OrderError) -> Refusal {
        Refusal {
            status,
            why,
            allow: None,
            challenge: false,
        }
    }

    /// What its body says.
    pub(super) fn why(self) -> OrderError {
        self.why
    }

    /// A token would be right.
    pub(super) fn challenge(mut self) -> Refusal {
        self.challenge = true;
        self
    }

    /// Only these methods are right.
    pub(super) fn allow(mut self, methods: &str) -> Refusal {
        self.allow = HeaderValue::from_str(methods).ok();
        self
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Answer {
        let mut answer = json(refusal.status, &refusal.why);
        if let Some(methods) = refusal.allow {
            answer.headers_mut().insert(ALLOW, methods);
        }
        if refusal.challenge {
            let bearer = HeaderValue::from_static("Bearer");
            answer.headers_mut().insert(WWW_AUTHENTICATE, bearer);
        }
        answer
    }
}

fn with(status: StatusCode, media_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut response = stream(media_type, Full::new(body.into()).boxed_unsync());
    *response.status_mut() = status;
    response
}

/// A body that comes bit by bit.
pub(super) fn stream(media_type: &'static str, body: UnsyncBoxBody<Bytes, Infallible>) -> Answer {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The request's body; an empty one is an object without members.
pub(super) async fn body<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, Refusal> {
    let refuse = |status, message: String| Err(Refusal::new(status, message));
    let slot = request.extensions().get::<Arc<Slot>>().cloned();
    let whole = Limited::new(request.into_body(), MAX_BODY).collect();
    let bytes = match tokio::time::timeout(BODY_TIMEOUT, whole).await {
        Ok(Ok(whole)) => whole.to_bytes(),
        Ok(Err(problem)) if problem.is::<LengthLimitError>() => {
            let message = format!("the body is larger than {MAX_BODY} bytes");
            return refuse(StatusCode::PAYLOAD_TOO_LARGE, message);
        }
        Ok(Err(problem)) => return refuse(StatusCode::BAD_REQUEST, problem.to_string()),
        Err(_) => {
            let message = "the body did not come in time".to_owned();
            return refuse(StatusCode::REQUEST_TIMEOUT, message);
        }
    };
    if let Some(slot) = slot {
        slot.waits();
    }
    let text = match bytes.trim_ascii() {
        b"" => b"{}",
        text => text,
    };
    // An array would be taken for the members in their order.
    if !text.starts_with(b"{") {
        let message = "the body has to be a JSON object".to_owned();
        return refuse(StatusCode::BAD_REQUEST, message);
    }
    serde_json::from_slice(text)
        .or_else(|problem| refuse(StatusCode::BAD_REQUEST, format!("the body: {problem}")))
}
