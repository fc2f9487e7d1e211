//! The tunnel: two directions that flow independently, and the closing handshake's states
//! (RFC 6455 section 7). It starts behind a validated 101 with both sockets in hand, and
//! knows nothing of how they came to be.
//!
//! `frame` follows framing, `pump` moves bytes, `registry` keeps time; `journal` and
//! `report` say what happened. `export` and `resume` carry a live tunnel from one process
//! to the next, as the descriptors and the `state` that it consists of.

pub mod drain;
mod export;
pub mod handle;
pub mod identity;
mod journal;
mod pump;
pub mod registry;
pub mod report;
mod resume;
mod splice;
pub mod state;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

pub use self::drain::{DrainOrder, Selection};
pub use self::export::{Export, ExportedTunnel, Guard};
pub use self::handle::{CloseOrder, Cut, Phase, TunnelHandle, next_id, reserve_ids};
pub use self::identity::{Deflate, IdentityParts, TunnelIdentity};
pub use self::report::{ClosedBy, Closes, PeerClose, TunnelReport};
pub use self::resume::{Resume, resume};
pub use self::state::TunnelState;
pub use crate::vocabulary::counters::Tally;
pub use crate::websocket::frame::Side;

use self::handle::command;
use self::journal::Journal;
use self::pump::Direction;
use crate::config::WebSocketConfig;
use crate::net::io::{Io, with_scratch};
use crate::net::listen::socket::{keep_alive, user_timeout};
use crate::tap;

/// Everything a tunnel starts with.
#[derive(Debug)]
pub struct TunnelSpec<G> {
    /// The client's connection.
    pub client: Io,
    /// The upstream's connection.
    pub upstream: Io,
    /// What the client sent behind its handshake and was read already.
    pub from_client: Bytes,
    /// What the upstream sent behind its 101 and was read already.
    pub from_upstream: Bytes,
    /// The route's settings.
    pub settings: Arc<WebSocketConfig>,
    /// Whose tunnel it is.
    pub identity: Box<TunnelIdentity>,
    /// Called once, on the worker's thread, when the tunnel has ended.
    pub report: fn(&TunnelReport<'_>),
    /// Dropped behind the report: leases, permits.
    pub guard: G,
}

/// Starts a tunnel as a task of the current thread's runtime, and registers it with the
/// thread's registry. Must be called inside that runtime, on the worker's thread.
pub fn spawn<G: Send + Unpin + 'static>(spec: TunnelSpec<G>) -> Arc<TunnelHandle> {
    let tunnel = Tunnel::new(spec);
    let handle = tunnel.journal.handle.clone();
    registry::add(&handle);
    tokio::spawn(Task(Some(tunnel)));
    handle
}

/// The tunnel as a task; empty once the tunnel has left for another process.
struct Task<G>(Option<Tunnel<G>>);

/// A running tunnel. Kept small: an idle one is hardly more than its sockets.
struct Tunnel<G> {
    client: Io,
    upstream: Io,
    /// From the client to the upstream.
    up: Direction,
    /// From the upstream to the client.
    down: Direction,
    journal: Journal,
    /// Dropped last.
    guard: G,
}

impl<G> Tunnel<G> {
    fn new(spec: TunnelSpec<G>) -> Tunnel<G> {
        let handle = Arc::new(TunnelHandle::new(spec.identity, spec.settings, spec.report));
        tap::opened(&handle);
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
    fn obey(&mut self, commands: u8) -> bool {
        if commands & command::CUT != 0 {
            let cut = self.journal.handle.cut_reason();
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
            self.start_close();
        }
        false
    }

    /// Lets the kernel find peers that are gone or do not read. The client's socket has had its
    /// keep-alive from the listener. A socket that cannot have it still works.
    fn keep_alive(&self) {
        let limit = self.journal.handle.settings().unread_timeout;
        if let Io::Tcp(upstream) = &self.upstream {
            let _ = keep_alive(upstream);
            let _ = user_timeout(upstream, limit);
        }
        if let Io::Tcp(client) = &self.client {
            let _ = user_timeout(client, limit);
        }
    }

    /// Looks whether a side is gone that no direction reads from at the moment.
    fn probe(&mut self) {
        let sides = [
            (Side::Client, &self.client, self.down.has_ended()),
            (Side::Upstream, &self.upstream, self.up.has_ended()),
        ];
        for (side, io, told) in sides {
            if !self.journal.lost[side as usize]
                && let Some(error) = io.broken(told)
            {
                self.journal.failed(side, &error);
            }
        }
    }

    /// Begins the closing handshake with both sides. One that a peer has begun is left to
    /// finish by itself: either way the tunnel ends within `close_timeout`.
    fn start_close(&mut self) {
        let Some(order) = self.journal.handle.order().cloned() else {
            return;
        };
        self.journal.closing = true;
        if self.up.saw_close || self.down.saw_close {
            let violated = self.up.violated || self.down.violated;
            if !violated && !matches!(order.by, ClosedBy::Command | ClosedBy::Policy) {
                return;
            }
        }
        self.journal.ended(order.by, order.detail);
        self.up.close(&self.upstream);
        self.down.close(&self.client);
    }

    /// Draws the consequences of what was just moved. Returns whether a direction must be
    /// looked at again.
    #[inline]
    fn settle(&mut self) -> bool {
        let quiet = !(self.up.done
            || self.down.done
            || self.up.saw_close
            || self.down.saw_close
            || self.journal.closing
            || self.journal.violation.is_some()
            || self.journal.lost != [false; 2]);
        if quiet { false } else { self.settle_end() }
    }

    #[cold]
    fn settle_end(&mut self) -> bool {
        let mut again = false;
        if let Some(violation) = self.journal.violation.take() {
            self.journal.handle.close(Arc::new(CloseOrder {
                by: ClosedBy::Policy,
                detail: Some(violation.as_str()),
                client_code: PROTOCOL_ERROR,
                upstream_code: PROTOCOL_ERROR,
                reason: violation.as_str().into(),
            }));
            self.start_close();
            again = true;
        }
        for side in [Side::Client, Side::Upstream] {
            let lost = self.journal.lost[side as usize];
            if lost && !std::mem::replace(&mut self.journal.seen_lost[side as usize], true) {
                let towards = match side {
                    Side::Client => &mut self.down,
                    Side::Upstream => &mut self.up,
                };
                towards.sink_lost();
                again = true;
            }
        }
        // RFC 6455 section 7.1.1: the server ends its stream first, and we are the client's.
        let answered = self.up.saw_close || self.up.violated || self.up.done;
        if self.down.close_sent && answered {
            self.down.end_stream(&self.client);
        }
        // A violating upstream gets no chance to answer; nor does one that has gone.
        if self.up.close_sent && (self.down.violated || self.down.done) {
            self.up.end_stream(&self.upstream);
        }
        if self.is_over() {
            self.down.end_stream(&self.client);
            // Nothing may follow a Close (RFC 6455 section 5.5.1).
            self.up.fate.drop_all();
            self.down.fate.drop_all();
        }
        self.set_phase();
        again
    }

    /// Whether the closing handshake is complete with both peers: each was sent a Close,
    /// ours or the other's, and has sent its own or gone.
    fn is_over(&self) -> bool {
        self.up.is_over() && self.down.is_over()
    }

    /// Whether the side that ended the tunnel did so in the middle of a frame.
    fn is_cut_short(&self) -> bool {
        match self.journal.ended_by_side() {
            Some(Side::Client) => self.up.is_cut_short(),
            Some(Side::Upstream) => self.down.is_cut_short(),
            None => false,
        }
    }

    /// Whether nothing is left to wait for. Behind a complete closing handshake the client
    /// is not waited for, since we are its server (RFC 6455 section 7.1.1); the upstream,
    /// whose client we are, is: until the tick that follows [`Phase::Closed`].
    fn has_ended(&self) -> bool {
        self.down.done && (self.up.done || self.is_over())
    }

    /// Whether one side is gone for good, and the other was told with a Close or does not even
    /// take what came before.
    fn has_said_so(&self) -> bool {
        let [client, upstream] = self.journal.lost;
        let at_end = |direction: &Direction| direction.close_sent || !direction.flushed();
        (upstream && at_end(&self.down)) || (client && at_end(&self.up))
    }

    fn set_phase(&mut self) {
        let both = self.up.saw_close && self.down.saw_close;
        // Without frames there is no Close to wait for, once a side is gone.
        let discards = self.up.fate.is_dropped() || self.down.fate.is_dropped();
        let phase = if self.is_over() {
            Phase::Closed
        } else if discards && self.journal.handle.identity.upgrade().is_some() {
            Phase::Closing
        } else if self.journal.closing && (self.up.close_due || self.down.close_due) {
            Phase::Border
        } else if self.journal.closing || both || self.has_said_so() {
            Phase::Closing
        } else if self.up.done
            || self.down.done
            || self.up.fate.is_dropped()
            || self.down.fate.is_dropped()
        {
            Phase::Half
        } else {
            Phase::Open
        };
        if phase != self.journal.phase {
            self.journal.phase = phase;
            self.journal.handle.set_phase(phase);
            registry::touch(&self.journal.handle);
        }
    }
}

/// RFC 6455 section 7.4.1.
const PROTOCOL_ERROR: u16 = 1002;

impl<G> Tunnel<G> {
    /// Moves what can be moved. Returns whether the tunnel has ended.
    #[inline]
    fn run(&mut self, cx: &mut Context<'_>) -> bool {
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
                if !self.settle() {
                    break;
                }
            }
        });
        self.has_ended()
    }
}

impl<G: Send + Unpin + 'static> Task<G> {
    /// Carries out what was asked for. Returns whether nothing is left to do.
    #[cold]
    fn obey(&mut self, commands: u8) -> bool {
        let Some(tunnel) = &mut self.0 else {
            return true;
        };
        let ends = tunnel.obey(commands);
        if commands & command::EXPORT == 0 {
            return ends;
        }
        let why = if ends {
            Some("it has ended")
        } else {
            tunnel.must_stay()
        };
        match why {
            Some(why) => export::stays(tunnel.journal.handle.id, why),
            None => self.0.take().into_iter().for_each(Tunnel::hand_off),
        }
        ends
    }
}

impl<G: Send + Unpin + 'static> Future for Task<G> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let task = self.get_mut();
        let Some(tunnel) = &mut task.0 else {
            return Poll::Ready(());
        };
        if !tunnel.journal.handle.has_waker() {
            tunnel.journal.handle.set_waker(cx.waker());
        }
        let commands = tunnel.journal.handle.take_commands();
        if commands != 0 && task.obey(commands) {
            return Poll::Ready(());
        }
        let Some(tunnel) = &mut task.0 else {
            return Poll::Ready(());
        };
        if tunnel.run(cx) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl<G> Drop for Task<G> {
    fn drop(&mut self) {
        let Some(tunnel) = &mut self.0 else {
            return;
        };
        let handle = tunnel.journal.handle.clone();
        registry::remove(&handle);
        if handle.is_tapped() {
            tap::ended(&handle);
        }
        if handle.take_commands() & command::EXPORT != 0 {
            export::stays(handle.id, "it has ended");
        }
        let cut_short = tunnel.is_cut_short();
        tunnel.journal.report(cut_short);
    }
}
