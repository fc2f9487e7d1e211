//! What is handed over one by one: tunnels and idle connections. Each is offered with its
//! descriptors, and goes on where it was if the other process does not take it.

use std::io;
use std::os::fd::AsFd;

use serde_json::value::RawValue;

use super::channel::Channel;
use super::protocol::{self, ConnectionItem, Message, TunnelItem};
use crate::h1::connection;
use crate::h1::hand_off::IdleConnection;
use crate::tunnel::ExportedTunnel;

/// An item that is offered.
#[derive(Debug)]
pub(super) enum Item {
    Tunnel(Box<ExportedTunnel>),
    Connection(IdleConnection),
}

impl Item {
    /// The number of the tunnel, where it is one.
    pub(super) fn tunnel(&self) -> Option<u64> {
        match self {
            Item::Tunnel(tunnel) => Some(tunnel.state.id),
            Item::Connection(_) => None,
        }
    }

    /// Whether it is a tunnel over TLS.
    pub(super) fn has_tls(&self) -> bool {
        match self {
            Item::Tunnel(tunnel) => tunnel.tls.iter().any(Option::is_some),
            Item::Connection(_) => false,
        }
    }

    /// Offers it under this number.
    ///
    /// # Errors
    /// `InvalidData` where this item cannot be encoded; the stream is intact.
    pub(super) async fn offer(&self, channel: &Channel, id: u64) -> io::Result<()> {
        match self {
            Item::Tunnel(tunnel) => {
                let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
                let state = serde_json::to_string(&tunnel.state).map_err(invalid)?;
                let tls = tunnel
                    .tls
                    .each_ref()
                    .map(|one| one.as_deref().unwrap_or(&[]));
                let item = TunnelItem {
                    id,
                    from_client: tunnel.spill[0].len(),
                    tls: tls.map(<[u8]>::len),
                    state: RawValue::from_string(state).map_err(invalid)?,
                };
                let fds = [tunnel.client.as_fd(), tunnel.upstream.as_fd()];
                let [own, other] = &tunnel.spill;
                let bytes = [own, other, tls[0], tls[1]].concat();
                let message = Message::Tunnel(item, bytes.into());
                protocol::send(channel, message, &fds).await
            }
            Item::Connection(idle) => {
                let item = ConnectionItem::new(id, idle.peer, &idle.listener_info);
                protocol::send(channel, Message::Connection(item), &[idle.fd.as_fd()]).await
            }
        }
    }

    /// Lets it go on in this process, on the thread of its worker.
    pub(super) fn restore(self) {
        match self {
            Item::Tunnel(tunnel) => {
                let id = tunnel.state.id;
                if let Err(error) = tunnel.restore() {
                    tracing::warn!(tunnel = id, %error, "a tunnel that was not taken is lost");
                }
            }
            Item::Connection(idle) => connection::restore(idle),
        }
    }
}
