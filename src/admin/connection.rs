//! The admin interface's connections: hyper on the control thread, and what a peer may cost
//! at most. Who gives way to whom is in `slots`.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as Wake, Poll, ready};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tracing::field::Empty;

use super::guard::AccessGuard;
use super::slots::{Slot, Slots};
use super::state::{AdminState, Context};
use super::table;
use crate::net::close::linger;
use crate::net::io::Socket;
use crate::net::listen::{Accepted, Listener};
use crate::system::descriptors;

/// The largest head of a request, in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// Time for a request's head, the silence before it included.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a peer over TCP may leave an answer unread, in milliseconds (RFC 5482, as Linux
/// has it: a window that stays shut counts). A client that may connect to a unix socket is trusted.
const UNREAD_MS: u32 = 30_000;

/// What all connections share.
#[derive(Debug)]
pub(super) struct Server {
    admin: AdminState,
    slots: Arc<Slots>,
}

impl Server {
    pub(super) fn new(context: Context, listener: &Listener) -> Server {
        Server {
            admin: AdminState {
                context,
                guard: AccessGuard::of(listener),
                history: Arc::default(),
                closing: watch::Sender::new(false),
            },
            slots: Arc::new(Slots::new(descriptors::reserved())),
        }
    }

    /// Follows the counts for ever.
    pub(super) fn follow(&self) -> impl Future<Output = ()> + use<> {
        let workers = self.admin.context.workers.clone();
        self.admin.history.clone().keep(workers)
    }

    /// Serves a connection in a task of its own.
    pub(super) fn serve(self: &Arc<Self>, accepted: Accepted) {
        let Some(slot) = self.slots.take(accepted.peer().ip()) else {
            return;
        };
        match accepted.into_socket() {
            Ok(socket) => {
                if let Socket::Tcp(stream) = &socket {
                    // One that cannot have it is served all the same.
                    let _ = set_tcp_user_timeout(stream, UNREAD_MS);
                }
                drop(tokio::spawn(self.clone().run(Arc::new(socket), slot)));
            }
            Err(error) => {
                tracing::warn!(left_out = Empty, %error, "an admin connection cannot be served");
            }
        }
    }

    async fn run(self: Arc<Self>, socket: Arc<Socket>, slot: Slot) {
        let slot = Arc::new(slot);
        let mut closing = self.admin.closing.subscribe();
        let closed = async move { closing.wait_for(|closing| *closing).await.is_ok() };
        let service = service_fn(|mut request| {
            let slot = slot.clone();
            request.extensions_mut().insert(slot.clone());
            let answer = table::answer(request, &self.admin, slot);
            async { Ok::<_, Infallible>(answer.await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(HyperEnd(socket.clone())), service);
        let ended = {
            let mut connection = pin!(connection);
            tokio::select! {
                ended = &mut connection => ended,
                () = slot.lost() => return,
                _ = closed => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "an admin connection broke");
        }
        // hyper's end of it went with the connection.
        if let Some(socket) = Arc::into_inner(socket) {
            tokio::select! {
                () = linger(socket.into()) => {}
                () = slot.lost() => {}
            }
        }
    }

    /// Waits, at most `limit`, until every connection has ended after its answer.
    pub(super) async fn finish(&self, limit: Duration) {
        self.admin.closing.send_replace(true);
        let _ = tokio::time::timeout(limit, self.slots.all_left()).await;
    }
}

/// hyper's end of a connection, which is not closed with it: a second descriptor would cost
/// one more of the reserve.
struct HyperEnd(Arc<Socket>);

impl AsyncRead for HyperEnd {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Wake<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            match self.0.try_read(buf.initialize_unfilled()) {
                Ok(count) => {
                    buf.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.0.poll_read_ready(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for HyperEnd {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Wake<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Wake<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Wake<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.shutdown_write())
    }
}
