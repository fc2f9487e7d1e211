//! A tunnel goes on where another process, or this one, left it: in the middle of a frame,
//! of a closing handshake, of our own Ping's answer.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use super::journal::Journal;
use super::relay::Tunnel;
use super::state::TunnelState;
use super::taps;
use super::task::Task;
use crate::config::WebSocketConfig;
use crate::net::io::Io;
use crate::tls_record::Exported;
use crate::tunnel_info::{TunnelIdentity, TunnelReport};
use crate::tunnel_registry::{TunnelHandle, hand_off};

/// Everything a tunnel goes on with.
#[derive(Debug)]
pub struct Resume<G> {
    /// The client's connection.
    pub client: OwnedFd,
    /// The upstream's connection.
    pub upstream: OwnedFd,
    /// The TLS of the client's and of the upstream's, where they have it.
    pub tls: [Option<Exported>; 2],
    /// Where it stopped.
    pub state: TunnelState,
    /// What is still to be written: from the client, and from the upstream.
    pub spill: [Vec<u8>; 2],
    /// The route's settings, or those of `state`.
    pub settings: Arc<WebSocketConfig>,
    /// Whose tunnel it is, made of what `state` says.
    pub identity: Box<TunnelIdentity>,
    /// Dropped after the report: leases, permits.
    pub guard: G,
    /// Called once, on the worker's thread, when the tunnel has ended.
    pub report: fn(&TunnelReport<'_>),
}

/// Lets a tunnel go on as a task of the current thread's runtime; must be called inside
/// that runtime, on the worker's thread. Every clock keeps running; settings other than those
/// that the tunnel has had come to it as [`Review::Settings`](crate::tunnel_registry::Review) do.
///
/// Fails where the state contradicts itself, see [`TunnelState::check`], and where a
/// descriptor is not a stream socket or cannot be waited for. No byte was moved then.
pub fn resume<G: Send + Unpin + 'static>(parts: Resume<G>) -> io::Result<Arc<TunnelHandle>> {
    start(parts, false)
}

/// The same where it was: the registry does not ask it to go a second time.
pub(super) fn restore<G: Send + Unpin + 'static>(
    parts: Resume<G>,
) -> io::Result<Arc<TunnelHandle>> {
    start(parts, true)
}

fn start<G: Send + Unpin + 'static>(
    parts: Resume<G>,
    asked: bool,
) -> io::Result<Arc<TunnelHandle>> {
    let state = &parts.state;
    let [mut up, mut down] = state.directions(&parts.spill)?;
    let [from_client, from_upstream] = parts.spill;
    up.refill(from_client);
    down.refill(from_upstream);
    let [own, other] = parts.tls.each_ref().map(Option::as_ref);
    let client = Io::from_parts(parts.client, own)?;
    let upstream = Io::from_parts(parts.upstream, other)?;
    let lived = if state.settings.same(&parts.settings) {
        parts.settings.clone()
    } else {
        Arc::new(state.settings.settings())
    };
    let handle = TunnelHandle::restore(&state.past(), parts.identity, lived, parts.report);
    let handle = Arc::new(handle);
    let way = state.tenths_under_way();
    hand_off::adopt(&handle, &state.ages(), way, &parts.settings, asked);
    taps::opened(&handle, Instant::now());
    tokio::spawn(Task(Some(Box::new(Tunnel {
        client,
        upstream,
        up,
        down,
        journal: Journal::restore(handle.clone(), state),
        guard: parts.guard,
    }))));
    Ok(handle)
}
