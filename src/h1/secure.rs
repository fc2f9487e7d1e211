//! A client of a listener with TLS: its handshake, and then its connection as any other. What comes
//! of it is counted, and a failure is told with what would fix it.

use std::sync::Arc;
use std::time::Instant;

use tracing::field::Empty;

use super::connection;
use super::context::Context;
use super::glimpse::Glimpse;
use crate::fault::error::ProxyError;
use crate::metrics;
use crate::net::io::{Io, Socket};
use crate::net::listen::{ListenerInfo, Peer};
use crate::net::tls::handshake::{self, Handshake};
use crate::net::tls::{Failure, Kind, Server};
use crate::process::Shared;
use crate::proxy::load::Guard;

/// What a plain request on such a listener is told.
const PLAIN: &str =
    "this port speaks TLS, and the request came as plain HTTP: use https:// or wss://";

/// A client that has connected to a listener with TLS.
#[derive(Debug)]
pub struct Arrived {
    /// Its socket.
    pub socket: Socket,
    /// Who it is.
    pub peer: Peer,
    /// The listener.
    pub listener_info: ListenerInfo,
    /// The process.
    pub shared: Arc<Shared>,
    /// Its share of the load.
    pub guard: Guard,
}

/// Serves it until its connection ends or becomes a tunnel.
pub async fn serve(arrived: Arrived, server: Arc<Server>) {
    // Boxed, as it is long gone for most of the connection's life.
    if let Some((io, context, guard)) = Box::pin(greet(arrived, &server)).await {
        drop(server);
        connection::serve(io, context, guard).await;
    }
}

/// The stream that comes of the handshake, if one does.
async fn greet(arrived: Arrived, server: &Server) -> Option<(Io, Arc<Context>, Guard)> {
    let Arrived {
        socket,
        peer,
        listener_info,
        shared,
        guard,
    } = arrived;
    let (port, since) = (listener_info.port, Instant::now());
    match handshake::accept(socket, server).await {
        Handshake::Done(io, session) => {
            metrics::tls_handshake(session.version == "TLSv1.3", session.is_resumed);
            let context = Context::new(peer, listener_info, shared).secured(session);
            Some((io, Arc::new(context), guard))
        }
        Handshake::Plain(io, read) => {
            metrics::tls_failed(Kind::PlainHttp as usize);
            let context = Context::new(peer, listener_info, shared);
            let error = ProxyError::client(http::StatusCode::BAD_REQUEST, PLAIN);
            connection::refuse(io, &context, &error, &Glimpse::of(&read), since).await;
            None
        }
        Handshake::Failed(failure, server_name) => {
            metrics::tls_failed(failure.kind as usize);
            tell(&failure, peer, port, server_name.as_deref());
            None
        }
    }
}

/// A connection that says nothing is a health check or a scan: not worth a line.
fn tell(failure: &Failure, peer: Peer, port: u16, server_name: Option<&str>) {
    let (reason, detail, fix) = (failure.kind.as_str(), &*failure.detail, failure.kind.fix());
    if failure.kind == Kind::Closed {
        return tracing::debug!(%peer, port, server_name, reason, detail, "no TLS handshake");
    }
    tracing::warn!(
        left_out = Empty,
        %peer,
        port,
        server_name,
        reason,
        detail,
        fix,
        "a TLS handshake failed"
    );
}
