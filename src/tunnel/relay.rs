//! A running tunnel: its two directions, and what is asked of it.

use std::sync::Arc;
use std::task::Context;

use bytes::Bytes;

use super::journal::Journal;
use super::pump::Direction;
use super::taps;
use crate::config::WebSocketConfig;
use crate::net::io::{Io, PeerState, with_scratch};
use crate::net::listen::socket::{keep_alive, user_timeout};
use crate::tunnel_info::{TunnelIdentity, TunnelReport};
use crate::tunnel_registry::{Cut, TunnelHandle, command};
use crate::vocabulary::Side;

/// Everything a tunnel starts with.
#[derive(Debug)]
pub struct TunnelSpec<G> {
    /// The client's connection.
    pub client: Io,
    /// The upstream's connection.
    pub upstream: Io,
    /// What the client sent after its handshake and was read already.
    pub from_client: Bytes,
    /// What the upstream sent after its 101 and was read already.
    pub from_upstream: Bytes,
    /// The route's settings.
    pub settings: Arc<WebSocketConfig>,
    /// Whose tunnel it is.
    pub identity: Box<TunnelIdentity>,
    /// Called once, on the worker's thread, when the tunnel has ended.
    pub report: fn(&TunnelReport<'_>),
    /// Dropped after the report: leases, permits.
    pub guard: G,
}

/// A running tunnel. Kept small: an idle one is hardly more than its sockets.
pub(super) struct Tunnel<G> {
    pub(super) client: Io,
    pub(super) upstream: Io,
    /// From the client to the upstream.
    pub(super) up: Direction,
    /// From the upstream to the client.
    pub(super) down: Direction,
    pub(super) journal: Journal,
    /// Dropped last.
    pub(super) guard: G,
}

impl<G> Tunnel<G> {
    pub(super) fn new(spec: TunnelSpec<G>) -> Tunnel<G> {
        let handle = Arc::new(TunnelHandle::new(spec.identity, spec.settings, spec.report));
        taps::opened(&handle, handle.opened);
        let mut journal = Journal::new(handle);
        let mut up = Direction::new(Side::Client);
        let mut down = Direction::new(Side::Upstream);
        if journal.handle.identity.upgrade().is_some() {
            up.without_frames();
            down.without_frames();
        }
        up.seed(&spec.from_client, &mut journal);
        down.seed(&spec.from_upstream, &mut journal);
        Tunnel {
            client: spec.client,
            upstream: spec.upstream,
            up,
            down,
            journal,
            guard: spec.guard,
        }
    }

    /// Carries out what was asked for. Returns whether the tunnel is to end at once.
    #[cold]
    pub(super) fn obey(&mut self, commands: u8, cx: &mut Context<'_>) -> bool {
        if commands & command::CUT != 0 {
            let cut = self.journal.handle.cut_reason();
            if cut == Cut::HalfClose {
                if self.journal.unread_end.stands() {
                    self.journal.ended_by_peer(Side::Client, Some(cut.detail()));
                }
                self.say_close(cx);
            }
            self.journal.ended(cut.by(), Some(cut.detail()));
            return true;
        }
        if commands & command::FINISH != 0 {
            return true;
        }
        if commands & command::PING_CLIENT != 0 {
            self.down.ping();
        }
        if commands & command::PING_UPSTREAM != 0 {
            self.up.ping();
        }
        if commands & command::KEEP_ALIVE != 0 {
            self.keep_alive();
        }
        if commands & command::PROBE != 0 {
            self.probe();
        }
        if commands & command::CLOSE != 0 {
            self.start_close(cx);
        }
        false
    }

    /// Lets the kernel find peers that are gone or do not read. The client's socket has had its
    /// keep-alive from the listener. A socket that cannot have it still works.
    fn keep_alive(&self) {
        let limit = self.journal.handle.settings().unread_timeout;
        if let Some(upstream) = self.upstream.tcp() {
            let _ = keep_alive(upstream);
            let _ = user_timeout(upstream, limit);
        }
        if let Some(client) = self.client.tcp() {
            let _ = user_timeout(client, limit);
        }
    }

    /// Checks whether a side is gone from which no direction reads at the moment.
    fn probe(&mut self) {
        let sides = [
            (Side::Client, &self.client, self.down.has_ended()),
            (Side::Upstream, &self.upstream, self.up.has_ended()),
        ];
        let mut client_ended = false;
        for (side, io, ended) in sides {
            if self.journal.lost[side as usize] {
                continue;
            }
            match io.peer_state(ended) {
                PeerState::Broken(error) => self.journal.failed(side, &error),
                PeerState::Ended if side == Side::Client => client_ended = true,
                PeerState::Ended | PeerState::Open => {}
            }
        }
        self.note_unread_end(client_ended);
    }

    /// A client that has ended its stream is half closed although that cannot be read yet, for as
    /// long as the upstream takes nothing of what stands before it.
    fn note_unread_end(&mut self, client_ended: bool) {
        let is_unread = client_ended && !self.up.flushed();
        let gone = is_unread.then(|| self.up.gone(&self.journal));
        self.journal.unread_end = self.journal.unread_end.look(gone);
        self.set_phase();
    }

    /// It moves nothing any more.
    pub(super) fn leave_line(&mut self) {
        self.up.leave_line(&self.journal);
        self.down.leave_line(&self.journal);
    }

    /// Moves what can be moved. Returns whether the tunnel has ended.
    #[inline]
    pub(super) fn run(&mut self, cx: &mut Context<'_>) -> bool {
        with_scratch(|scratch| {
            loop {
                let Tunnel {
                    client,
                    upstream,
                    up,
                    down,
                    journal,
                    ..
                } = self;
                if !up.is_idle(client) {
                    up.pump(client, upstream, scratch, cx, journal);
                }
                if !down.is_idle(upstream) {
                    down.pump(upstream, client, scratch, cx, journal);
                }
                if !self.settle(cx) {
                    break;
                }
            }
        });
        self.has_ended()
    }
}
