//! `[http]`: limits, time-outs and trust of client connections.

use std::time::Duration;

use http::HeaderName;
use ipnet::IpNet;

use super::form::field::{Pseudonym, RequestIdField, spelled, spelling};
use crate::setting::list::List;
use crate::setting::scalar::{Count, Limit, Optional, words};
use crate::setting::table::table;
use crate::setting::typed::Setting;
use crate::setting::units::{AnySize, Bytes, SomeTime};
use crate::setting::written::Written;

table! {
    /// `[http]`: how client connections are treated.
    HttpTable in "`[http]`" {} => HttpConfig {
        /// Largest request head, in bytes; beyond it the answer is 431. From 8 KiB to 16 MiB.
        max_head: Bytes<8192, 16_777_216> as usize = "64KiB",
        /// Most header lines in a request; beyond it the answer is 431.
        max_header_lines: Count<1, 10_000> as usize = 256,
        /// Longest request target, in bytes; beyond it the answer is 414.
        max_target: Bytes<64, 16_777_216> as usize = "8KiB",
        /// Longest time from the first byte of a request head (or the accept) to its last;
        /// beyond it the answer is 408.
        head_timeout: SomeTime as Duration = "10s",
        /// How long a connection may idle between two requests.
        keepalive_timeout: SomeTime as Duration = "75s",
        /// Longest silence inside a request body.
        body_timeout: SomeTime as Duration = "30s",
        /// How long a client may leave an answer unread.
        write_timeout: SomeTime as Duration = "60s",
        /// Slowest request body, in bytes a second over the time spent waiting for the client;
        /// `"off"` or 0 for no limit.
        min_rate: Optional<AnySize> as u64 = 240,
        /// Most client connections at once, tunnels included; `"unlimited"` leaves only the
        /// limit on file descriptors.
        max_connections: Limit<Count<1, 100_000_000>> as Option<usize> = "unlimited",
        /// Networks and addresses of the proxies in front whose `X-Forwarded-*`, `Forwarded`
        /// and request id are believed; those of other peers are deleted.
        trusted_proxies: List<IpNet> as Vec<IpNet> = [],
        /// Whether RFC 7239 `Forwarded` is sent to upstreams besides `X-Forwarded-*`.
        forwarded: bool as bool = false,
        /// The pseudonym to send in `Via`; `"off"` for no `Via`.
        via: Optional<Pseudonym> as Option<String> = "off",
        /// The header field that carries the request id; `"off"` for none.
        request_id: Optional<RequestIdField> as Option<HeaderName> = "x-request-id",
        /// What an error of sluice's own tells the client, in its body and in `Proxy-Status`:
        /// `public` leaves out the names and addresses of upstreams, `full` (for development)
        /// tells what the log has.
        error_detail: ErrorDetail as ErrorDetail = "public",
    } with {
        /// The name of `request_id` where it is written with capitals, with a colon and an LF: it is
        /// sent so.
        spelling: bytes::Bytes = bytes::Bytes::new(),
    }
}

impl Setting<HttpConfig> for HttpTable {
    fn value(&self) -> HttpConfig {
        let mut http = HttpConfig::default();
        self.apply(&mut http);
        let field = self.request_id.value().and_then(|field| field.0.as_ref());
        http.spelling = spelling(field.into_iter().map(|field| &field.0));
        http
    }

    fn write(http: &HttpConfig) -> Written {
        let mut table = Self::written(http);
        if let Some(name) = &http.request_id
            && !http.spelling.is_empty()
        {
            table.remove("request_id");
            table.put("request_id", spelled(&http.spelling, name.as_str()));
        }
        table.into()
    }
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

words!(ErrorDetail, "`\"public\"` or `\"full\"`",
    "public" => ErrorDetail::Public,
    "full" => ErrorDetail::Full,
);
