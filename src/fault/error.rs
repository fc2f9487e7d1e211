//! What went wrong with an exchange and whose fault it was: status, error type and a line in
//! words. The answer that says so is in `answer`.

use std::borrow::Cow;
use std::time::Duration;

use http::StatusCode;
use http::header::{self, HeaderName, HeaderValue};

use crate::message::framing::Refusal;

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
    /// The client is gone: it gets no answer; there is only a record.
    ClientGone,
    /// A policy refused the request.
    RequestDenied,
    /// The route takes only clients with a certificate.
    CertificateMissing,
    /// No route takes the request, or the drain has begun.
    DestinationUnavailable,
    /// The upstream's name does not resolve.
    DnsError,
    /// Every endpoint refused the connection.
    ConnectionRefused,
    /// No endpoint accepted the connection in time.
    ConnectionTimeout,
    /// The network has no route to the endpoint.
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
    /// The request has come back to sluice.
    LoopDetected,
    /// sluice cut it at its own end.
    Stopped,
    /// A bug of sluice, or a resource that it has run out of.
    Internal,
}

impl Kind {
    /// Its word in records: the token of RFC 9209 section 2.3, where there is one.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::RequestError | Kind::RequestIncomplete => "http_request_error",
            Kind::ClientGone => "client_closed",
            Kind::RequestDenied | Kind::CertificateMissing => "http_request_denied",
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
            Kind::Stopped => "stopped",
            Kind::Internal => "proxy_internal_error",
        }
    }

    /// The token of RFC 9209 section 2.3 for `Proxy-Status`.
    pub(super) fn registered(self) -> &'static str {
        match self {
            Kind::Stopped => Kind::DestinationUnavailable.as_str(),
            kind => kind.as_str(),
        }
    }

    /// The sentence for the public: nothing about upstreams.
    pub(super) fn sentence(self) -> &'static str {
        match self {
            Kind::RequestError => "the request is not valid",
            Kind::RequestIncomplete => "the request is not complete",
            Kind::ClientGone => "the client is gone",
            Kind::RequestDenied | Kind::CertificateMissing => "the request is not allowed",
            Kind::LoopDetected => "the request came back to where it had been",
            Kind::DestinationUnavailable => "the upstream is not available",
            Kind::Stopped => "the proxy is shutting down",
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

/// Why an exchange is answered by sluice itself.
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
    /// A sentence for the public, where that of its kind says too little.
    pub public: Option<Cow<'static, str>>,
    /// Close the client's connection after the answer.
    pub close: bool,
    /// `Retry-After`, in whole seconds.
    pub retry_after: Option<Duration>,
    /// A field that the status asks for (`Allow`, `Sec-WebSocket-Version`).
    pub field: Option<Box<(HeaderName, HeaderValue)>>,
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
    fn new(side: Side, status: StatusCode, kind: Kind, detail: Cow<'static, str>) -> Self {
        ProxyError {
            side,
            kind,
            status,
            detail,
            public: None,
            close: false,
            retry_after: None,
            field: None,
        }
    }

    /// The client's fault. The connection is closed: what follows may be out of step.
    pub fn client(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        let kind = match status {
            StatusCode::FORBIDDEN => Kind::RequestDenied,
            _ => Kind::RequestError,
        };
        ProxyError {
            close: true,
            ..Self::new(Side::Client, status, kind, detail.into())
        }
    }

    /// The upstream's fault: 502, or 504 where it was only too slow.
    pub fn upstream(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        let status = match kind {
            Kind::ConnectionTimeout | Kind::ResponseTimeout => StatusCode::GATEWAY_TIMEOUT,
            Kind::DestinationUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_GATEWAY,
        };
        Self::new(Side::Upstream, status, kind, detail.into())
    }

    /// The fault, or the choice, of sluice itself.
    pub fn sluice(status: StatusCode, kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Side::Sluice, status, kind, detail.into())
    }

    /// The client ended its direction in the middle of its request.
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

    /// Sets when to try again.
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// Adds a field that the status asks for.
    pub fn field(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.field = Some(Box::new((name, value)));
        self
    }

    /// Sets the sentence for the public, without the name or address of an upstream.
    pub fn publicly(mut self, sentence: impl Into<Cow<'static, str>>) -> Self {
        self.public = Some(sentence.into());
        self
    }

    /// Closes the client's connection after the answer.
    pub fn closing(mut self) -> Self {
        self.close = true;
        self
    }
}
