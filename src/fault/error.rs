//! What went wrong with an exchange, whose fault it was, and the answer that says so:
//! status, one-line reason and `Proxy-Status` (RFC 9209).
//!
//! Every answer of sluice's own is built here; answers of upstreams never are.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use serde::Serialize;

use crate::config::ErrorDetail;
use crate::message::framing::Refusal;
use crate::message::spelling::{Speller, push_spelled};

/// Whose fault it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The client's request.
    Client,
    /// The upstream, or the way to it.
    Upstream,
    /// sluice or its configuration.
    Sluice,
}

/// The error types of RFC 9209 section 2.3 that sluice reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The request breaks HTTP or one of our limits.
    RequestError,
    /// The request ended before its end.
    RequestIncomplete,
    /// The client is gone: it gets no answer, and only records tell.
    ClientGone,
    /// A policy refused the request.
    RequestDenied,
    /// No route takes the request, or the drain has begun.
    DestinationUnavailable,
    /// The upstream's name does not resolve.
    DnsError,
    /// Every endpoint refused the connection.
    ConnectionRefused,
    /// No endpoint accepted the connection in time.
    ConnectionTimeout,
    /// The network says there is no way to the endpoint.
    DestinationUnroutable,
    /// The connection ended while it was in use.
    ConnectionTerminated,
    /// The answer is not HTTP.
    ProtocolError,
    /// The answer ended before its end.
    ResponseIncomplete,
    /// The answer's head did not come in time.
    ResponseTimeout,
    /// The 101 is not valid, or was not asked for.
    UpgradeFailed,
    /// The request has come back.
    LoopDetected,
    /// A bug or an exhausted resource of ours.
    Internal,
}

impl Kind {
    /// The token of RFC 9209 section 2.3.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::RequestError | Kind::RequestIncomplete => "http_request_error",
            Kind::ClientGone => "client_closed",
            Kind::RequestDenied => "http_request_denied",
            Kind::DestinationUnavailable => "destination_unavailable",
            Kind::DnsError => "dns_error",
            Kind::ConnectionRefused => "connection_refused",
            Kind::ConnectionTimeout => "connection_timeout",
            Kind::DestinationUnroutable => "destination_ip_unroutable",
            Kind::ConnectionTerminated => "connection_terminated",
            Kind::ProtocolError => "http_protocol_error",
            Kind::ResponseIncomplete => "http_response_incomplete",
            Kind::ResponseTimeout => "http_response_timeout",
            Kind::UpgradeFailed => "http_upgrade_failed",
            Kind::LoopDetected => "proxy_loop_detected",
            Kind::Internal => "proxy_internal_error",
        }
    }

    /// What the public is told of it: nothing about what stands behind sluice.
    fn sentence(self) -> &'static str {
        match self {
            Kind::RequestError => "the request is not valid",
            Kind::RequestIncomplete => "the request is not complete",
            Kind::ClientGone => "the client is gone",
            Kind::RequestDenied => "the request is not allowed",
            Kind::LoopDetected => "the request came back to where it had been",
            Kind::DestinationUnavailable => "the upstream is not available",
            Kind::DnsError => "the upstream's name cannot be resolved",
            Kind::ConnectionRefused => "the upstream refuses connections",
            Kind::ConnectionTimeout => "the upstream did not accept a connection in time",
            Kind::DestinationUnroutable => "there is no way to the upstream",
            Kind::ConnectionTerminated => "the upstream ended the connection without an answer",
            Kind::ProtocolError => "the upstream's answer is not valid",
            Kind::ResponseIncomplete => "the upstream ended the connection mid-answer",
            Kind::ResponseTimeout => "the upstream did not begin its answer in time",
            Kind::UpgradeFailed => "the upstream's answer to the upgrade is not valid",
            Kind::Internal => "the proxy cannot serve the request at the moment",
        }
    }
}

/// Why an exchange has an answer of sluice's own.
#[derive(Debug, Clone)]
pub struct ProxyError {
    /// Whose fault it was.
    pub side: Side,
    /// The RFC 9209 error type.
    pub kind: Kind,
    /// Status of the answer.
    pub status: StatusCode,
    /// One line in words, for the log.
    pub detail: Cow<'static, str>,
    /// What the public is told instead, where its kind says too little.
    pub public: Option<Cow<'static, str>>,
    /// Close the client's connection behind the answer.
    pub close: bool,
    /// `Retry-After`, in whole seconds.
    pub retry_after: Option<Duration>,
    /// A field that the status asks for (`Allow`, `Sec-WebSocket-Version`).
    pub field: Option<Box<(HeaderName, HeaderValue)>>,
}

/// The JSON form of an answer of ours.
#[derive(Serialize)]
struct Problem<'a> {
    status: u16,
    error: &'a str,
    detail: &'a str,
    request_id: &'a str,
}

impl From<Refusal> for ProxyError {
    fn from(refusal: Refusal) -> Self {
        let mut error = ProxyError::client(refusal.status(), refusal.reason());
        error.field = refusal
            .allow()
            .map(|methods| Box::new((header::ALLOW, HeaderValue::from_static(methods))));
        error
    }
}

impl ProxyError {
    /// The client's fault. The connection is closed: what follows may be out of step.
    pub fn client(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        let kind = match status {
            StatusCode::FORBIDDEN => Kind::RequestDenied,
            _ => Kind::RequestError,
        };
        ProxyError {
            side: Side::Client,
            kind,
            status,
            detail: detail.into(),
            public: None,
            close: true,
            retry_after: None,
            field: None,
        }
    }

    /// The upstream's fault: 502, or 504 where it was only too slow.
    pub fn upstream(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        let status = match kind {
            Kind::ConnectionTimeout | Kind::ResponseTimeout => StatusCode::GATEWAY_TIMEOUT,
            Kind::DestinationUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_GATEWAY,
        };
        ProxyError {
            side: Side::Upstream,
            kind,
            status,
            detail: detail.into(),
            public: None,
            close: false,
            retry_after: None,
            field: None,
        }
    }

    /// Our own fault or choice.
    pub fn sluice(status: StatusCode, kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        ProxyError {
            side: Side::Sluice,
            kind,
            status,
            detail: detail.into(),
            public: None,
            close: false,
            retry_after: None,
            field: None,
        }
    }

    /// The client ended its direction too early.
    pub fn incomplete(detail: &'static str) -> Self {
        let mut error = Self::client(StatusCode::BAD_REQUEST, detail);
        error.kind = Kind::RequestIncomplete;
        error
    }

    /// The client is gone; the status is never sent.
    pub fn client_gone(detail: &'static str) -> Self {
        let mut error = Self::client(StatusCode::BAD_REQUEST, detail);
        error.kind = Kind::ClientGone;
        error
    }

    /// Says when to come back.
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// Adds a field that the status asks for.
    pub fn field(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.field = Some(Box::new((name, value)));
        self
    }

    /// Tells the public this: no name or address of an upstream.
    pub fn publicly(mut self, sentence: impl Into<Cow<'static, str>>) -> Self {
        self.public = Some(sentence.into());
        self
    }

    /// The sentence for the client. What is said of its own request is for it; of upstreams and
    /// of sluice itself only the kind of failure is.
    fn sentence(&self, detail: ErrorDetail) -> &str {
        let is_internal = self.side == Side::Upstream || self.kind == Kind::Internal;
        match &self.public {
            _ if detail == ErrorDetail::Full => &self.detail,
            Some(sentence) => sentence,
            None if is_internal => self.kind.sentence(),
            None => &self.detail,
        }
    }

    /// Closes the client's connection behind the answer.
    pub fn closing(mut self) -> Self {
        self.close = true;
        self
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
        let mut value = format!("{PROXY_NAME}; error={}; details=\"", self.kind.as_str());
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

/// What sluice calls itself in `Proxy-Status`.
pub const PROXY_NAME: &str = "sluice";

/// `Proxy-Status`, RFC 9209.
pub const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

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

/// Writes a response of ours as HTTP/1.1 bytes, for a connection that hyper no longer serves.
/// Its names are spelled as in the lines of `spelling`.
pub fn encode_response(response: &Response<Bytes>, spelling: &[u8]) -> Vec<u8> {
    let mut speller = Speller::new(spelling);
    let mut out = Vec::with_capacity(512 + response.body().len());
    let status = response.status();
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or("").as_bytes());
    out.extend_from_slice(b"\r\n");
    for (name, value) in response.headers() {
        push_spelled(
            &mut out,
            &mut speller,
            name.as_str().as_bytes(),
            value.as_bytes(),
        );
    }
    out.extend_from_slice(format!("Content-Length: {}\r\n\r\n", response.body().len()).as_bytes());
    out.extend_from_slice(response.body());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn the_public_is_told_nothing_of_what_stands_behind() {
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
