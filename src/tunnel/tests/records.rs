//! The same tests over TLS: the client's end of each tunnel is a stream of records, and what it says
//! in the clear is made into records, and back, in between. Left out is what such a hop makes another
//! test of: floods from threads, and an end that is to come before a byte.

#![expect(
    clippy::duplicate_mod,
    reason = "the harness is another: its `spec` and `open`"
)]

use super::*;

#[path = "bytes.rs"]
mod bytes;
mod client;
#[path = "closing.rs"]
mod closing;
#[path = "drain.rs"]
mod drain;
mod handover;
#[path = "lost.rs"]
mod lost;
#[path = "settings.rs"]
mod settings;
#[path = "tap.rs"]
mod tap;
#[path = "time.rs"]
mod time;
#[path = "websocket.rs"]
mod websocket;

fn spec(client: impl Into<Io>, upstream: impl Into<Io>) -> TunnelSpec<()> {
    super::spec(client::behind_tls(client.into()), upstream)
}

async fn open(settings: WebSocketConfig) -> (TcpStream, TcpStream, Arc<TunnelHandle>) {
    open_over(spec, settings).await
}

fn small(settings: WebSocketConfig, identity: Box<TunnelIdentity>) -> Small {
    small_over(spec, settings, identity)
}
