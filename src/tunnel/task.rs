//! The tunnel as a task of its worker's runtime: polled when a socket is ready or something is
//! asked of it, and dropped at its end, however that comes.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::outlet;
use super::relay::{Tunnel, TunnelSpec};
use crate::tap;
use crate::tunnel_registry::{self, TunnelHandle, command};

/// Starts a tunnel as a task of the current thread's runtime, and registers it with the
/// thread's registry. Must be called inside that runtime, on the worker's thread.
pub fn spawn<G: Send + Unpin + 'static>(spec: TunnelSpec<G>) -> Arc<TunnelHandle> {
    let tunnel = Tunnel::new(spec);
    let handle = tunnel.journal.handle.clone();
    tunnel_registry::add(&handle);
    tokio::spawn(Task(Some(Box::new(tunnel))));
    handle
}

/// The tunnel as a task; empty once the tunnel has left for another process. Boxed, since the
/// runtime aligns its tasks to pairs of cache lines, and the allocator has such blocks of powers of
/// two only: half of one of 512 bytes would be empty.
pub(super) struct Task<G>(pub(super) Option<Box<Tunnel<G>>>);

impl<G: Send + Unpin + 'static> Task<G> {
    /// Carries out what was asked for. Returns whether nothing is left to do.
    #[cold]
    fn obey(&mut self, commands: u8, cx: &mut Context<'_>) -> bool {
        let Some(tunnel) = &mut self.0 else {
            return true;
        };
        let ends = tunnel.obey(commands, cx);
        if commands & command::EXPORT == 0 {
            return ends;
        }
        let why = if ends {
            Some("it has ended")
        } else {
            tunnel.must_stay()
        };
        match why {
            Some(why) => outlet::stays(tunnel.journal.handle.id, why),
            None => self
                .0
                .take()
                .into_iter()
                .for_each(|tunnel| tunnel.hand_off()),
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
        if commands != 0 && task.obey(commands, cx) {
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
        tunnel.leave_line();
        let handle = tunnel.journal.handle.clone();
        tunnel_registry::remove(&handle);
        if handle.is_tapped() {
            tap::ended(handle.id);
        }
        if handle.take_commands() & command::EXPORT != 0 {
            outlet::stays(handle.id, "it has ended");
        }
        let broken_off = tunnel.broken_off();
        tunnel.journal.report(broken_off);
    }
}
