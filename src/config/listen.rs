//! `[[listen]]`: where clients are accepted.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::vocabulary::Scheme;

/// One `[[listen]]` block.
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    /// The bound address.
    pub address: ListenAddress,
    /// The scheme clients use to reach this listener, for `same-origin`,
    /// `X-Forwarded-Proto` and redirects when no trusted proxy says otherwise.
    pub scheme: Scheme,
}

/// Where a listener is bound.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A unix socket path with the permission bits it is created with. Default mode: 0660.
    Unix {
        /// Path of the socket file.
        path: PathBuf,
        /// Permission bits, as in `chmod`.
        mode: u32,
    },
}

impl std::fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ListenAddress::Tcp(address) => address.fmt(f),
            ListenAddress::Unix { path, .. } => write!(f, "unix:{}", path.display()),
        }
    }
}
