//! `[upstream.NAME]`: endpoints and how they are used; `[resolver]`: how their names are
//! looked up.

use std::net::SocketAddr;
use std::time::Duration;

use super::address::EndpointAddress;
use super::form::network::Nameserver;
use crate::setting::list::{List, OneOrMany};
use crate::setting::scalar::{Count, words};
use crate::setting::table::table;
use crate::setting::units::{AnyTime, SomeTime};

table! {
    /// An `[upstream.NAME]` table: one server or several that do the same.
    UpstreamTable in "`[upstream.NAME]`" {
    } => UpstreamConfig {
        /// Where they are: `host:port`, `[::1]:port` or `unix:/path`.
        endpoints: OneOrMany<EndpointAddress> as Vec<EndpointAddress> [required],
        /// `least`: the endpoint with the fewest exchanges and tunnels; `round-robin`: one
        /// after the other.
        balance: Balance as Balance = "least",
        /// Time for one TCP connect. After a fifth of it one request waits on, the others go
        /// to another endpoint that can be used.
        connect_timeout: SomeTime as Duration = "5s",
        /// After a failed connect, or repeated answer time-outs in silence, how long an
        /// endpoint is used only when no other is left.
        retry_after: AnyTime as Duration = "10s",
        /// Idle keep-alive connections kept for each endpoint by each worker.
        max_idle: Count<0, 1_000_000> as usize = 64,
        /// How long an idle connection is kept.
        idle_timeout: SomeTime as Duration = "55s",
        /// Most header lines in an answer; beyond it the client gets 502.
        max_header_lines: Count<1, 10_000> as usize = 1024,
        /// Take what some embedded devices write into the head of an answer: lines that end in
        /// LF alone, folded lines, repeated blanks in the status line. What decides where an
        /// answer ends is read as strictly as ever.
        lenient: bool as bool = false,
    } with {
        /// The name.
        name: String = String::new(),
    }
}

impl UpstreamConfig {
    /// An upstream with every setting at its default.
    pub fn new(name: String, endpoints: Vec<EndpointAddress>) -> Self {
        UpstreamConfig {
            name,
            endpoints,
            ..UpstreamConfig::default()
        }
    }
}

/// How an upstream's endpoint is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Balance {
    /// The one with the fewest exchanges and tunnels.
    #[default]
    Least,
    /// One after the other.
    RoundRobin,
}

words!(Balance, "`\"least\"` or `\"round-robin\"`",
    "least" => Balance::Least,
    "round-robin" => Balance::RoundRobin,
);

table! {
    /// `[resolver]`: how the names of upstream endpoints are resolved.
    ResolverTable in "`[resolver]`" => ResolverConfig {
        /// DNS servers, as IP addresses with or without a port; none means the system's.
        nameservers: List<Nameserver> as Vec<SocketAddr> = [],
        /// Shortest time between two look-ups of a name, whatever its TTL.
        min_ttl: SomeTime as Duration = "1s",
        /// Longest time between two look-ups of a name, whatever its TTL.
        max_ttl: SomeTime as Duration = "5m",
        /// Time for one look-up.
        timeout: SomeTime as Duration = "5s",
    }
}
