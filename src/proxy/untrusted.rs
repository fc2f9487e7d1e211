//! Peers that send forwarded fields and are not trusted: each is noted once, within bounds, so that
//! a proxy missing in `http.trusted_proxies` is found.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Mutex;

use http::HeaderMap;
use http::header::{self, HeaderName};

use crate::message::forwarded::PeerFields;
use crate::system::lock::lock;

/// The most peers that are noted; any client may send these fields.
const MOST: usize = 64;

/// The fields that proxies write.
static CLAIMS: [HeaderName; 4] = [
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    header::FORWARDED,
];

static PEERS: Mutex<BTreeSet<IpAddr>> = Mutex::new(BTreeSet::new());

/// Checks a connection's first request.
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
    let Some(address) = peer.address() else {
        return;
    };
    {
        let mut peers = lock(&PEERS);
        if peers.len() >= MOST || !peers.insert(address) {
            return;
        }
    }
    tracing::warn!(peer = %address, field = %claim, "{}", hint(address));
}

/// What to do about each peer that was noted and is not among the trusted ones now.
pub fn hints(trusts: impl Fn(IpAddr) -> bool) -> Vec<String> {
    let peers = lock(&PEERS).clone();
    let peers = peers.into_iter().filter(|peer| !trusts(*peer));
    peers.map(hint).collect()
}

fn hint(peer: IpAddr) -> String {
    format!(
        "{peer} sends X-Forwarded-* or Forwarded and is not believed: if it is a proxy of yours, add \
         \"{peer}\" to http.trusted_proxies"
    )
}
