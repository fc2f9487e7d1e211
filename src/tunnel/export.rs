//! A live tunnel is exported: its task comes to rest, gives up both sockets and what it knows,
//! and is gone; neither peer is sent anything, and no record is written. Where it goes is decided
//! by the caller; a tunnel that nothing takes is put back by [`ExportedTunnel::restore`].

use std::io;
use std::sync::Arc;

use super::exported::{ExportedTunnel, Guard};
use super::journal::Journal;
use super::outlet;
use super::pump::Direction;
use super::relay::Tunnel;
use super::resume::{self, Resume};
use super::state::{IdentityState, MOST, SettingsState, SideState, TunnelState, unix_micros};
use crate::net::io::Io;
use crate::tap;
use crate::tunnel_registry::{TunnelHandle, hand_off};
use crate::vocabulary::{ClosedBy, Side};

impl ExportedTunnel {
    /// Lets the tunnel go on in this process, on the current thread, as if it had not gone.
    /// It is not asked again before [`end_export`](super::end_export). When it fails the connections
    /// are closed, and the record says so.
    pub fn restore(self) -> io::Result<Arc<TunnelHandle>> {
        let handle = self.handle;
        let restored = resume::restore(Resume {
            client: self.client,
            upstream: self.upstream,
            tls: self.tls,
            state: self.state,
            spill: self.spill,
            settings: handle.settings(),
            identity: handle.identity.clone(),
            guard: self.guard,
            report: handle.report,
        });
        if restored.is_err() {
            report_loss(handle);
        }
        restored
    }
}

/// A tunnel that has left and cannot go on anywhere.
#[cold]
fn report_loss(handle: Arc<TunnelHandle>) {
    let mut journal = Journal::new(handle);
    journal.ended(ClosedBy::Error, Some("hand-over failed"));
    journal.report(None);
}

impl<G: Send + 'static> Tunnel<G> {
    /// Why the tunnel cannot go. `None`: it is ready to, and nothing is in a pipe.
    pub(super) fn must_stay(&mut self) -> Option<&'static str> {
        let sides = [&self.client, &self.upstream];
        if let Some(why) = sides.into_iter().find_map(Io::must_stay) {
            return Some(why);
        }
        let directions = [&self.up, &self.down];
        let ordered = self.journal.closing || self.journal.handle.order().is_some();
        if ordered || directions.iter().any(|direction| direction.is_closing()) {
            return Some("it is being closed");
        }
        if directions.iter().any(|direction| direction.has_lost_sink()) {
            return Some("one side is gone");
        }
        if self.journal.is_ending() {
            return Some("it is ending");
        }
        if self.has_ended() {
            return Some("it has ended");
        }
        for (direction, sink) in [
            (&mut self.up, Side::Upstream),
            (&mut self.down, Side::Client),
        ] {
            if let Err(error) = direction.leave_pipe() {
                self.journal.failed(sink, &error);
                return Some("its pipe cannot be emptied");
            }
        }
        None
    }

    /// Takes the tunnel apart and sends it off; [`Tunnel::must_stay`] returned `None`.
    pub(super) fn hand_off(mut self) {
        self.leave_line();
        let handle = self.journal.handle.clone();
        let mut state = self.state();
        if let Some(ages) = hand_off::take_out(&handle) {
            state.clock = ages.clock;
            [state.client.pulse, state.upstream.pulse] = ages.pulses;
        }
        if handle.is_tapped() {
            tap::ended(handle.id);
        }
        let spill = [self.up.take_spill(), self.down.take_spill()];
        let Tunnel {
            client,
            upstream,
            guard,
            ..
        } = self;
        // What is boxed already stays in its box, however often the tunnel moves.
        let guard: Guard = Box::new(guard);
        let guard = match guard.downcast::<Guard>() {
            Ok(guard) => *guard,
            Err(guard) => guard,
        };
        match (client.into_parts(), upstream.into_parts()) {
            (Ok((client, own)), Ok((upstream, other))) => outlet::send(Box::new(ExportedTunnel {
                client,
                upstream,
                tls: [own, other],
                state,
                spill,
                handle,
                guard,
            })),
            (Err(error), _) | (_, Err(error)) => {
                tracing::warn!(tunnel = handle.id, %error, "a socket could not be given up");
                outlet::stays(handle.id, "a socket could not be given up");
                report_loss(handle);
            }
        }
    }

    fn state(&mut self) -> TunnelState {
        let journal = &self.journal;
        let handle = &journal.handle;
        let side = |direction: &Direction, side: Side| SideState {
            scanner: direction.scanner().state(),
            flow: direction.flow(journal.sent_to(side.other())),
            close: journal.close_of(side),
            counters: handle.counters(side).tally().at_most(MOST),
            pings: journal.pings(side),
            pulse: Default::default(),
        };
        TunnelState {
            id: handle.id,
            identity: IdentityState::of(&handle.identity),
            settings: SettingsState::of(&handle.settings()),
            age: u64::try_from(handle.opened.elapsed().as_micros())
                .map_or(MOST, |age| age.min(MOST)),
            written: unix_micros(),
            ended_by: journal.ended_by_side(),
            secret: journal.secret(),
            clock: Default::default(),
            client: side(&self.up, Side::Client),
            upstream: side(&self.down, Side::Upstream),
        }
    }
}
