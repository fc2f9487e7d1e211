//! Idle client connections that leave for another process: between two requests there is
//! nothing to a connection but its socket, so that it can be served elsewhere and its client
//! finds no connection closed under its next request.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;

use super::context::Context;
use super::live::{self, Guard};
use crate::net::io::Io;
use crate::net::listen::Front;
use crate::net::listen::Peer;

thread_local! {
    static SINK: RefCell<Option<UnboundedSender<Leaving>>> = const { RefCell::new(None) };
}

/// What became of a connection that was asked to leave.
#[derive(Debug)]
pub enum Leaving {
    /// It waits for its next request, of which no byte was read.
    Connection {
        /// The client's socket.
        fd: OwnedFd,
        /// Who connected.
        peer: Peer,
        /// Where.
        front: Front,
        /// Its share of the load; kept until somebody else serves it.
        guard: Guard,
    },
    /// It got something to do, or ended.
    Busy,
}

/// Asks up to `most` idle connections of this thread to leave; each sends exactly one
/// [`Leaving`] to the sink. Returns how many were asked.
pub fn export(most: usize, sink: &UnboundedSender<Leaving>) -> usize {
    SINK.set(Some(sink.clone()));
    let mut asked = 0;
    live::for_each(|context| {
        if asked < most && context.is_idle() && context.ask_to_leave() {
            asked += 1;
        }
    });
    asked
}

/// The connection has left with its socket.
pub(super) fn left(io: Io, context: &Arc<Context>, guard: Guard) {
    match io.into_fd() {
        Ok(fd) => send(Leaving::Connection {
            fd,
            peer: context.peer,
            front: context.front,
            guard,
        }),
        Err(error) => failed(&error),
    }
}

/// The connection that was asked stays.
pub(super) fn stays() {
    send(Leaving::Busy);
}

fn failed(error: &io::Error) {
    tracing::warn!(%error, "a connection could not be taken from its runtime");
    stays();
}

fn send(leaving: Leaving) {
    SINK.with_borrow(|sink| {
        // A sink that is closed closes the connection with it: its process is ending.
        if let Some(sink) = sink {
            let _ = sink.send(leaving);
        }
    });
}
