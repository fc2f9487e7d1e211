//! Peers that send forwarded fields and are not trusted: each is noted once, within bounds, so that
//! a proxy missing in `http.trusted_proxies` is found.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Mutex;

use http::{HeaderMap, HeaderName};

use crate::message::forwarded::{CLAIMS, ForwardingPolicy, PeerFields};
use crate::system::lock::lock;

/// The most peers that are noted; any client may send these fields.
const MOST: usize = 64;

/// `None`: peers on unix sockets, which have no address.
static PEERS: Mutex<BTreeSet<Option<IpAddr>>> = Mutex::new(BTreeSet::new());

/// Checks a request that has such a field.
pub fn look(headers: &HeaderMap, peer: &PeerFields) {
    if peer.is_trusted() {
        return;
    }
    if let Some(claim) = CLAIMS.iter().find(|claim| headers.contains_key(*claim)) {
        note(claim, peer);
    }
}

#[cold]
fn note(claim: &HeaderName, peer: &PeerFields) {
    let address = peer.address();
    {
        let mut peers = lock(&PEERS);
        if peers.len() >= MOST || !peers.insert(address) {
            return;
        }
    }
    let peer = address.map_or_else(|| "unix".to_owned(), |address| address.to_string());
    tracing::warn!(peer, field = %claim, "{}", hint(address));
}

/// What to do about each peer that was noted and is not among the trusted ones now.
pub fn hints(policy: &ForwardingPolicy) -> Vec<String> {
    let peers = lock(&PEERS).clone();
    let peers = peers.into_iter().filter(|peer| !policy.trusts_peer(*peer));
    peers.map(hint).collect()
}

fn hint(peer: Option<IpAddr>) -> String {
    let Some(peer) = peer else {
        return "a peer on a unix socket sends X-Forwarded-* or Forwarded and is not believed: if it \
                is a proxy of yours, add \"127.0.0.1\" to http.trusted_proxies"
            .to_owned();
    };
    format!(
        "{peer} sends X-Forwarded-* or Forwarded and is not believed: if it is a proxy of yours, add \
         \"{peer}\" to http.trusted_proxies"
    )
}
