//! The same tests over streams that have no descriptor: what a tunnel does must not hang on it.

#![expect(
    clippy::duplicate_mod,
    reason = "the harness is another: its `spec` and `open`"
)]

use super::*;
use crate::net::io::Stream;

#[path = "bulk.rs"]
mod bulk;
#[path = "bytes.rs"]
mod bytes;
#[path = "closing.rs"]
mod closing;
#[path = "drain.rs"]
mod drain;
#[path = "flood.rs"]
mod flood;
#[path = "lost.rs"]
mod lost;
#[path = "settings.rs"]
mod settings;
mod streams;
#[path = "strict.rs"]
mod strict;
#[path = "tap.rs"]
mod tap;
#[path = "time.rs"]
mod time;
#[path = "websocket.rs"]
mod websocket;

fn spec(client: impl Stream + 'static, upstream: impl Stream + 'static) -> TunnelSpec<()> {
    super::spec(Io::foreign(client), Io::foreign(upstream))
}

async fn open(settings: WebSocketConfig) -> (TcpStream, TcpStream, Arc<TunnelHandle>) {
    open_over(spec, settings).await
}

fn small(settings: WebSocketConfig, identity: Box<TunnelIdentity>) -> Small {
    small_over(spec, settings, identity)
}
