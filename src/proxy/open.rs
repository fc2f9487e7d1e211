//! A connection to an upstream: to the endpoint whose turn it is, or to another one as long as
//! nothing was sent.

use crate::fault::error::{Kind, ProxyError};
use crate::metrics::{self, Retry};
use crate::net::io::Io;
use crate::upstream::connect::{ConnectError, ConnectErrorKind, connect};
use crate::upstream::connection::Connection;
use crate::upstream::{Lease, Upstream};

/// An endpoint's share, or why there is none.
pub fn pick(upstream: &Upstream, tried: &[usize]) -> Result<Lease, ProxyError> {
    upstream
        .pick(tried)
        .ok_or_else(|| match upstream.is_unresolved() {
            true => connect_error(&ConnectError::unresolved(upstream.name().clone())),
            false => ProxyError::upstream(
                Kind::DestinationUnavailable,
                format!(
                    "the upstream {} has no endpoint left to try",
                    upstream.name()
                ),
            ),
        })
}

/// Opens a connection to the leased endpoint, or to another one where that fails.
pub async fn open(upstream: &Upstream, lease: Lease) -> Result<(Connection, Lease), ProxyError> {
    let mut lease = lease;
    let mut tried = Vec::new();
    loop {
        let endpoint = lease.endpoint().clone();
        tried.push(endpoint.id());
        let error = match connect_or_leave(upstream, &lease, &tried).await {
            Connecting::Done(io) => {
                lease.ok();
                let connection = Connection {
                    io,
                    reused: false,
                    owner: None,
                    large: false,
                };
                return Ok((connection, lease));
            }
            Connecting::Elsewhere(next) => {
                metrics::retried(endpoint.slot(), Retry::ConnectFailed);
                lease = next;
                continue;
            }
            Connecting::Failed(error) => error,
        };
        if !error.kind.blames_endpoint() {
            return Err(connect_error(&error));
        }
        lease.failed(error.kind.word());
        match upstream.pick(&tried) {
            Some(next) => {
                metrics::retried(endpoint.slot(), Retry::ConnectFailed);
                lease = next;
            }
            None => return Err(connect_error(&error)),
        }
    }
}

/// What came of one connect.
enum Connecting {
    Done(Io),
    Failed(ConnectError),
    /// It hangs, another request waits for it already, and this endpoint can be used.
    Elsewhere(Lease),
}

/// Connects. Of the requests whose connect to one endpoint hangs, one waits to the end; the
/// others leave after a fifth of the time for an endpoint that is not among `tried`.
async fn connect_or_leave(upstream: &Upstream, lease: &Lease, tried: &[usize]) -> Connecting {
    let limit = upstream.config().connect_timeout;
    let patience = limit / 5;
    let mut connecting = std::pin::pin!(connect(lease.endpoint(), limit));
    let connected = match tokio::time::timeout(patience, &mut connecting).await {
        Ok(connected) => connected,
        Err(_) => {
            let is_first = lease.suspect(limit - patience);
            if !is_first && let Some(next) = upstream.pick_usable(tried) {
                return Connecting::Elsewhere(next);
            }
            connecting.await
        }
    };
    connected.map_or_else(Connecting::Failed, Connecting::Done)
}

fn connect_error(error: &ConnectError) -> ProxyError {
    let kind = match error.kind {
        ConnectErrorKind::Refused => Kind::ConnectionRefused,
        ConnectErrorKind::Timeout => Kind::ConnectionTimeout,
        ConnectErrorKind::Unreachable => Kind::DestinationUnroutable,
        ConnectErrorKind::Dns => Kind::DnsError,
        ConnectErrorKind::Local => Kind::Internal,
        ConnectErrorKind::Other => Kind::DestinationUnavailable,
    };
    let mut proxy = ProxyError::upstream(kind, error.to_string());
    proxy.status = error.kind.status();
    proxy
}
