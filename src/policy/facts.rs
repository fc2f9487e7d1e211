//! What is known of a client's connection when it is accepted, and holds for all of its
//! requests: the peer, the listener, and the settings that apply.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::{HeaderMap, HeaderValue};

use crate::config::HttpConfig;
use crate::message::forwarded::{ForwardingPolicy, PeerFields, client_ip, push_decimal};
use crate::net::listen::{ListenerInfo, Peer};
use crate::net::tls::Session;
use crate::snapshot::Snapshot;

/// What is known of a client's connection.
#[derive(Debug)]
pub struct Facts {
    /// The peer.
    pub peer: Peer,
    /// The listener.
    pub listener_info: ListenerInfo,
    /// What TLS has agreed on, where the client came by it.
    pub tls: Option<Arc<Session>>,
    /// Header values about the peer, made once.
    pub peer_fields: PeerFields,
    /// Settings that were in force at accept.
    pub http: Arc<HttpConfig>,
    /// The forwarding policy that was in force at accept.
    pub forwarding: Arc<ForwardingPolicy>,
}

impl Facts {
    /// For a connection accepted on `listener_info` while `snapshot` is in force.
    pub fn new(peer: Peer, listener_info: ListenerInfo, snapshot: &Snapshot) -> Facts {
        let (http, forwarding) = (snapshot.http.clone(), snapshot.forwarding.clone());
        let address = match peer {
            Peer::Tcp(address) => Some(address),
            Peer::Unix => None,
        };
        Facts {
            peer_fields: PeerFields::new(
                &forwarding,
                address,
                listener_info.port,
                listener_info.scheme,
            ),
            peer,
            listener_info,
            tls: None,
            http,
            forwarding,
        }
    }

    /// What answers to a client that has come by TLS say about coming by it only.
    pub fn hsts(&self) -> Option<&HeaderValue> {
        self.tls.as_ref()?;
        self.listener_info.tls.as_ref()?.hsts()
    }

    /// The peer, for a log.
    pub fn client(&self) -> String {
        match (self.peer, self.peer_fields.address_text()) {
            (Peer::Tcp(SocketAddr::V4(peer)), Some(address)) => {
                let mut text = String::with_capacity(address.len() + 6);
                text.push_str(address);
                text.push(':');
                push_decimal(&mut text, peer.port());
                text
            }
            (peer, _) => peer.to_string(),
        }
    }

    /// The client's address as a trusted proxy vouches for it; `None` where the peer is the
    /// client.
    pub fn vouched_client(&self, headers: &HeaderMap) -> Option<IpAddr> {
        if !self.peer_fields.is_trusted() {
            return None;
        }
        client_ip(headers, &self.forwarding, &self.peer_fields)
            .filter(|address| self.peer_fields.address() != Some(*address))
    }
}
