//! Idle client connections that go to another process. Between two requests a connection is only a
//! socket, so another process can serve it, and its client does not find it closed.

use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;

use super::connections;
use super::context::Context;
use crate::net::io::Io;
use crate::net::listen::{ListenerInfo, Peer};
use crate::process::Shared;
use crate::proxy::load::Guard;
use crate::vocabulary::hand_off::{HandOff, Outlet};

thread_local! {
    static OUTLET: Outlet<IdleConnection> = const { Outlet::closed() };
    static ALL: Cell<bool> = const { Cell::new(false) };
}

/// What became of a connection that was asked to go.
pub type Export = HandOff<IdleConnection>;

/// A connection that waits for its next request, of which no byte has been read.
#[derive(Debug)]
pub struct IdleConnection {
    /// The client's socket.
    pub fd: OwnedFd,
    /// The peer.
    pub peer: Peer,
    /// The listener.
    pub listener_info: ListenerInfo,
    /// Its share of the load; kept until another process serves it.
    pub(super) guard: Guard,
    pub(super) shared: Arc<Shared>,
}

/// Asks up to `most` idle connections of this thread to go; each sends exactly one [`Export`]
/// to the sink. Returns how many were asked.
pub fn export(most: usize, sink: &UnboundedSender<Export>) -> usize {
    OUTLET.with(|outlet| outlet.open(sink.clone()));
    let mut asked = 0;
    connections::for_each(|context| {
        // One over TLS cannot go: it would be asked for ever.
        let can_go = context.facts.tls.is_none() && context.is_idle();
        if asked < most && can_go && context.ask_to_hand_off() {
            asked += 1;
        }
    });
    asked
}

/// From now on each connection of this thread goes as soon as it is idle, without being asked,
/// and those that cannot close after their exchange.
pub fn export_all(sink: &UnboundedSender<Export>) {
    OUTLET.with(|outlet| outlet.open(sink.clone()));
    ALL.set(true);
    connections::wake();
}

/// Whether connections of this thread are to go as soon as they can.
pub(super) fn takes_all() -> bool {
    ALL.get()
}

/// No connection of this thread goes any more.
pub fn end() {
    ALL.set(false);
    OUTLET.with(Outlet::close);
}

/// The connection leaves this process with its socket; given back where it cannot.
pub(super) fn hand_off(io: Io, context: &Context, guard: Guard) -> Result<(), IdleConnection> {
    let fd = match io.into_fd() {
        Ok(fd) => fd,
        Err(error) => {
            tracing::warn!(%error, "a connection could not be taken from its runtime");
            stays();
            return Ok(());
        }
    };
    let idle = IdleConnection {
        fd,
        peer: context.facts.peer,
        listener_info: context.facts.listener_info.clone(),
        guard,
        shared: context.shared.clone(),
    };
    // It would be idle at once and be handed off again, for ever.
    OUTLET
        .with(|outlet| outlet.send(idle))
        .inspect_err(|_| end())
}

/// The connection that was asked stays.
pub(super) fn stays() {
    OUTLET.with(|outlet| outlet.stays(None, "it got something to do"));
}
