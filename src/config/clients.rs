//! `[http]`: limits, time-outs and trust of client connections.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderName;
use ipnet::IpNet;

/// `[http]`: how client connections are treated.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpConfig {
    /// Peers whose forwarded header fields and request id are believed. Default: none.
    pub trusted_proxies: Vec<IpNet>,
    /// Send RFC 7239 `Forwarded` too. Default: false.
    pub forwarded: bool,
    /// The pseudonym in `Via`. Default: no `Via`.
    pub via: Option<String>,
    /// Name of the request id field; `None` switches it off. Default: `x-request-id`.
    pub request_id: Option<HeaderName>,
    /// That name where it is written with capitals, with a colon and an LF: it is sent so.
    pub spelling: Bytes,
    /// Largest request head in bytes, else 431. Default: 64 KiB.
    pub max_head: usize,
    /// Most header lines in a request, else 431. Default: 256.
    pub max_header_lines: usize,
    /// Longest request target in bytes, else 414. Default: 8 KiB.
    pub max_target: usize,
    /// From the first byte of a head (or the accept) to its last. Default: 10 s.
    pub head_timeout: Duration,
    /// Idle time between requests. Default: 75 s.
    pub keepalive_timeout: Duration,
    /// Longest silence inside a request body. Default: 30 s.
    pub body_timeout: Duration,
    /// How long a client may leave an answer unread. Default: 60 s.
    pub write_timeout: Duration,
    /// Slowest request body in bytes a second, over time spent waiting for the client;
    /// 0 switches it off. Default: 240.
    pub min_rate: u64,
    /// Most client connections at once, tunnels included; `None`: only the file descriptor
    /// limit. Default: none.
    pub max_connections: Option<usize>,
    /// What an error of our own tells the client. Default: public.
    pub error_detail: ErrorDetail,
}

/// What an error of sluice's own tells the client; the log always has everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ErrorDetail {
    /// The kind of failure, without names and addresses of upstreams.
    #[default]
    Public,
    /// What the log has: for development.
    Full,
}

impl ErrorDetail {
    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorDetail::Public => "public",
            ErrorDetail::Full => "full",
        }
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        HttpConfig {
            trusted_proxies: Vec::new(),
            forwarded: false,
            via: None,
            request_id: Some(HeaderName::from_static("x-request-id")),
            spelling: Bytes::new(),
            max_head: 64 * 1024,
            max_header_lines: 256,
            max_target: 8 * 1024,
            head_timeout: Duration::from_secs(10),
            keepalive_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(60),
            min_rate: 240,
            max_connections: None,
            error_detail: ErrorDetail::Public,
        }
    }
}
