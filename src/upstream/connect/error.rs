//! Why a connection to an endpoint could not be opened.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustix::io::Errno;

use crate::metrics::Connect;

/// Why there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectErrorKind {
    /// The connection was refused.
    Refused,
    /// No answer in time.
    Timeout,
    /// No route to the host or network.
    Unreachable,
    /// The name has not been resolved.
    Dns,
    /// This machine is out of descriptors, ports or memory: no endpoint's fault.
    Local,
    /// Anything else.
    Other,
}

impl ConnectErrorKind {
    pub(super) fn of(error: &io::Error) -> ConnectErrorKind {
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            // A unix socket whose file is missing is a server that is not running.
            Some(Errno::CONNREFUSED | Errno::NOENT) => ConnectErrorKind::Refused,
            Some(Errno::TIMEDOUT) => ConnectErrorKind::Timeout,
            // ENODEV: the interface of a zone is not there.
            Some(
                Errno::NODEV
                | Errno::HOSTUNREACH
                | Errno::NETUNREACH
                | Errno::HOSTDOWN
                | Errno::NETDOWN,
            ) => ConnectErrorKind::Unreachable,
            Some(
                Errno::MFILE | Errno::NFILE | Errno::ADDRNOTAVAIL | Errno::NOBUFS | Errno::NOMEM,
            ) => ConnectErrorKind::Local,
            _ => ConnectErrorKind::Other,
        }
    }

    pub(super) fn counted(self) -> Connect {
        match self {
            ConnectErrorKind::Refused => Connect::Refused,
            ConnectErrorKind::Timeout => Connect::Timeout,
            ConnectErrorKind::Unreachable => Connect::Unreachable,
            ConnectErrorKind::Local => Connect::Local,
            ConnectErrorKind::Dns | ConnectErrorKind::Other => Connect::Other,
        }
    }

    /// Its name in logs and the admin interface.
    pub fn word(self) -> &'static str {
        match self {
            ConnectErrorKind::Refused => "refused",
            ConnectErrorKind::Timeout => "timeout",
            ConnectErrorKind::Unreachable => "unreachable",
            ConnectErrorKind::Dns => "dns",
            ConnectErrorKind::Local => "local",
            ConnectErrorKind::Other => "other",
        }
    }

    /// The status that RFC 9209 recommends for it.
    pub fn status(self) -> http::StatusCode {
        match self {
            ConnectErrorKind::Refused | ConnectErrorKind::Unreachable | ConnectErrorKind::Dns => {
                http::StatusCode::BAD_GATEWAY
            }
            ConnectErrorKind::Timeout => http::StatusCode::GATEWAY_TIMEOUT,
            ConnectErrorKind::Local | ConnectErrorKind::Other => {
                http::StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    /// True if the endpoint is to be marked with [`Lease::failed`](crate::upstream::Lease::failed) and
    /// another one tried; where this machine is at fault, neither helps.
    pub fn blames_endpoint(self) -> bool {
        self != ConnectErrorKind::Local
    }
}

/// A connect that failed. Nothing was sent.
#[derive(Debug)]
pub struct ConnectError {
    /// What kind of failure.
    pub kind: ConnectErrorKind,
    /// Name of the endpoint, or of the upstream where no endpoint is known.
    pub to: Arc<str>,
    /// What the system said.
    pub source: Option<io::Error>,
}

impl ConnectError {
    /// The upstream's names have not been resolved so far.
    pub fn unresolved(upstream: Arc<str>) -> ConnectError {
        ConnectError {
            kind: ConnectErrorKind::Dns,
            to: upstream,
            source: None,
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Some(source) => write!(f, "cannot connect to {}: {source}", self.to),
            None => write!(f, "no address of upstream {} has been resolved", self.to),
        }
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}
