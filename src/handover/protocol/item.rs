//! What is offered one by one: tunnels and idle connections.

use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::config::Scheme;
use crate::net::listen::{ListenerInfo, Peer};

/// A tunnel that could go on elsewhere; the client's descriptor and the upstream's come with
/// it, and as raw bytes what is still to be written, and the TLS of both.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TunnelItem {
    /// The number of the item.
    pub id: u64,
    /// How many of the raw bytes came from the client; the others came from the upstream.
    pub from_client: usize,
    /// How many of the raw bytes, at their end, are the TLS of the client's and of the upstream's:
    /// none where they have no TLS. Only for a process that
    /// [`takes_tls`](super::Ready::takes_tls).
    #[serde(default)]
    pub tls: [usize; 2],
    /// The [`TunnelState`](crate::tunnel::TunnelState).
    pub state: Box<RawValue>,
}

/// An idle client connection; its descriptor comes with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionItem {
    /// The number of the item.
    pub id: u64,
    /// The peer; none for a unix socket.
    pub peer: Option<SocketAddr>,
    /// The public URL has `https`.
    pub https: bool,
    /// The port of the listener that it came through.
    pub port: u16,
    /// That listener's name, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listener: Option<Arc<str>>,
    /// Its clients are to come by https instead, on this port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub https_port: Option<u16>,
}

impl ConnectionItem {
    /// Describes a connection.
    pub fn new(id: u64, peer: Peer, info: &ListenerInfo) -> ConnectionItem {
        ConnectionItem {
            id,
            peer: match peer {
                Peer::Tcp(address) => Some(address),
                Peer::Unix => None,
            },
            https: info.scheme == Scheme::Https,
            port: info.port,
            listener: info.name.clone(),
            https_port: info.https_port,
        }
    }

    /// The peer.
    pub fn peer(&self) -> Peer {
        self.peer.map_or(Peer::Unix, Peer::Tcp)
    }

    /// The listener.
    pub fn listener_info(&self) -> ListenerInfo {
        ListenerInfo {
            scheme: match self.https {
                true => Scheme::Https,
                false => Scheme::Http,
            },
            port: self.port,
            // What cannot be handed over.
            tls: None,
            name: self.listener.clone(),
            https_port: self.https_port,
        }
    }
}

/// About the item of this number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The number.
    pub id: u64,
}

/// An item that the new process cannot take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The item's number.
    pub id: u64,
    /// Why, in one line.
    pub why: String,
}
