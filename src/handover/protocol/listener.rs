//! The listening sockets that a process passes on.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::ListenAddress;
use crate::net::listen::Listener;

/// A listening socket; one descriptor comes with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// What it was bound to, as the configuration spells it: with port 0 where it says so.
    pub address: Address,
    /// Whether the file of a unix socket is to be removed by the process that listens last.
    #[serde(default)]
    pub owns_file: bool,
    /// Whether the service manager has opened it, and goes on listening after sluice.
    #[serde(default)]
    pub managed: bool,
}

impl Offer {
    /// Describes a listener.
    pub fn of(listener: &Listener) -> Offer {
        Offer {
            address: Address::from(listener.address()),
            owns_file: listener.owns_file(),
            managed: listener.is_of_manager(),
        }
    }
}

/// See [`ListenAddress`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Address {
    /// TCP.
    Tcp(SocketAddr),
    /// A unix socket's path.
    Unix(PathBuf),
}

impl Address {
    /// Whether it is this address, whatever its permission bits.
    pub fn is(&self, address: &ListenAddress) -> bool {
        *self == Address::from(address)
    }

    /// The address itself; what its permission bits are is not known.
    pub fn listen(&self) -> ListenAddress {
        match self {
            Address::Tcp(address) => ListenAddress::Tcp(*address),
            Address::Unix(path) => ListenAddress::Unix {
                path: path.clone(),
                mode: 0,
            },
        }
    }
}

impl From<&ListenAddress> for Address {
    fn from(address: &ListenAddress) -> Address {
        match address {
            ListenAddress::Tcp(address) => Address::Tcp(*address),
            ListenAddress::Unix { path, .. } => Address::Unix(path.clone()),
        }
    }
}
