//! The answer that says what went wrong: status, one-line reason and `Proxy-Status` (RFC 9209).
//! Every refusal of sluice's own is built here; answers of upstreams never are.

use bytes::Bytes;
use http::Response;
use http::header::{self, HeaderName, HeaderValue};
use serde::Serialize;

use super::error::{Kind, ProxyError, Side};
use crate::config::ErrorDetail;

/// What sluice calls itself in `Proxy-Status`.
pub const PROXY_NAME: &str = "sluice";

/// `Proxy-Status`, RFC 9209.
pub const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// The JSON form of our own answers.
#[derive(Serialize)]
struct Problem<'a> {
    status: u16,
    error: &'a str,
    detail: &'a str,
    request_id: &'a str,
}

impl ProxyError {
    /// The sentence for the client: about its own request all of it, about upstreams and sluice
    /// itself only the kind of failure.
    fn sentence(&self, detail: ErrorDetail) -> &str {
        let is_internal = self.side == Side::Upstream || self.kind == Kind::Internal;
        match &self.public {
            _ if detail == ErrorDetail::Full => &self.detail,
            Some(sentence) => sentence,
            None if is_internal => self.kind.sentence(),
            None => &self.detail,
        }
    }

    /// The answer: JSON where the request's `Accept` names it, else a line of text.
    pub fn to_response(
        &self,
        accept: Option<&HeaderValue>,
        request_id: &str,
        detail: ErrorDetail,
    ) -> Response<Bytes> {
        let sentence = self.sentence(detail);
        let json = accept.is_some_and(accepts_json);
        let body = if json {
            let problem = Problem {
                status: self.status.as_u16(),
                error: self.kind.as_str(),
                detail: sentence,
                request_id,
            };
            // Texts and numbers cannot fail to serialise.
            let mut value = serde_json::to_string(&problem).unwrap_or_default();
            value.push('\n');
            value
        } else {
            let reason = self.status.canonical_reason().unwrap_or("Error");
            let code = self.status.as_u16();
            match request_id {
                "" => format!("{code} {reason}: {sentence}\n"),
                id => format!("{code} {reason}: {sentence}\nrequest id: {id}\n"),
            }
        };
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(if json {
                "application/json"
            } else {
                "text/plain; charset=utf-8"
            }),
        );
        headers.insert(PROXY_STATUS, self.proxy_status(sentence));
        if let Some(after) = self.retry_after {
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some((name, value)) = self.field.as_deref() {
            headers.insert(name.clone(), value.clone());
        }
        response
    }

    /// The `Proxy-Status` member of RFC 9209: `sluice; error=…; details="…"`.
    fn proxy_status(&self, sentence: &str) -> HeaderValue {
        let mut value = format!("{PROXY_NAME}; error={}; details=\"", self.kind.registered());
        for c in sentence.chars() {
            match c {
                '"' | '\\' => value.extend(['\\', c]),
                ' '..='~' => value.push(c),
                _ => value.push('?'),
            }
        }
        value.push('"');
        HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static("sluice"))
    }
}

/// Whether `Accept` names JSON. A browser's `*/*` does not count: people read text.
fn accepts_json(accept: &HeaderValue) -> bool {
    accept.as_bytes().split(|b| *b == b',').any(|range| {
        let media = range
            .split(|b| *b == b';')
            .next()
            .unwrap_or(b"")
            .trim_ascii();
        media.eq_ignore_ascii_case(b"application/json")
            || media.eq_ignore_ascii_case(b"application/problem+json")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;

    #[test]
    fn the_answer_says_what_and_whose() {
        let error = ProxyError::upstream(Kind::ConnectionRefused, "say \"no\"\n");
        let response = error.to_response(None, "abc", ErrorDetail::Full);
        assert_eq!(response.status(), 502);
        assert_eq!(
            response.headers()[PROXY_STATUS],
            "sluice; error=connection_refused; details=\"say \\\"no\\\"?\""
        );
        assert!(response.body().ends_with(b"request id: abc\n"));
    }

    #[test]
    fn the_public_is_told_nothing_of_the_upstream() {
        let secret = "cannot connect to unix:/run/x.sock";
        for side in [Side::Upstream, Side::Sluice] {
            let mut error = ProxyError::upstream(Kind::Internal, secret);
            error.side = side;
            let response = error.to_response(None, "abc", ErrorDetail::Public);
            assert!(!format!("{response:?}").contains("x.sock"), "{response:?}");
        }
        let error = ProxyError::upstream(Kind::ProtocolError, secret).publicly("said");
        let response = error.to_response(None, "abc", ErrorDetail::Public);
        assert_eq!(
            response.headers()[PROXY_STATUS],
            "sluice; error=http_protocol_error; details=\"said\""
        );
    }

    #[test]
    fn json_only_where_it_is_named() {
        let error = ProxyError::client(StatusCode::BAD_REQUEST, "x");
        let text = error.to_response(
            Some(&HeaderValue::from_static("*/*")),
            "",
            ErrorDetail::Public,
        );
        assert_eq!(
            text.headers()[header::CONTENT_TYPE],
            "text/plain; charset=utf-8"
        );
        let accept = HeaderValue::from_static("text/html, application/json;q=0.9");
        let json = error.to_response(Some(&accept), "", ErrorDetail::Public);
        assert_eq!(json.headers()[header::CONTENT_TYPE], "application/json");
        assert!(serde_json::from_slice::<serde_json::Value>(json.body()).is_ok());
    }
}
