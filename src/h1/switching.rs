//! The 101 with which a client's connection becomes a tunnel (RFC 9110 section 15.2.2), once
//! hyper has let go of its socket.

use bytes::Bytes;

use super::context::Context;
use crate::message::spelling::{Speller, push_field, push_spelled};
use crate::net::close::{Unwritten, write_while};
use crate::net::io::Io;
use crate::proxy::acceptance::{Acceptance, Protocol};
use crate::proxy::load::Guard;
use crate::proxy::pending::PendingTunnel;
use crate::websocket::handshake::{Fields, encode_101};

/// Answers the client with the 101 and lets the tunnel run as a task of its own.
/// `from_client` is what came after the request.
pub(super) async fn switch(
    tunnel: Box<PendingTunnel>,
    mut client: Io,
    from_client: Bytes,
    guard: Guard,
    context: &Context,
) {
    let head = encode(tunnel.acceptance(), &context.facts.http.spelling);
    let limit = context.shared.snapshot.load().http.write_timeout;
    let written = write_while(&mut client, &head, limit, || tunnel.broken()).await;
    match written.and_then(|()| client.for_tunnel().map_err(Unwritten::Gone)) {
        Ok(client) => tunnel.start(client, from_client, guard, &context.shared),
        Err(why) => tunnel.untold(&why),
    }
}

/// The 101; `configured` are lines of the configuration that hold for all routes.
fn encode(acceptance: &Acceptance, configured: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    let names = acceptance.spelling.speller(configured);
    match &acceptance.protocol {
        Protocol::WebSocket(accepted) => {
            let map = &acceptance.fields;
            encode_101(
                &mut out,
                &acceptance.reason,
                Fields { map, names },
                accepted,
            );
        }
        Protocol::Other(protocol) => encode_other(&mut out, acceptance, names, protocol),
    }
    out
}

fn encode_other(
    out: &mut Vec<u8>,
    acceptance: &Acceptance,
    mut speller: Speller<'_>,
    protocol: &str,
) {
    out.extend_from_slice(b"HTTP/1.1 101 ");
    out.extend_from_slice(&acceptance.reason);
    out.extend_from_slice(b"\r\nConnection: Upgrade\r\n");
    push_field(out, b"Upgrade", protocol.as_bytes());
    for (name, value) in &acceptance.fields {
        if !matches!(name.as_str(), "content-length" | "te" | "trailer") {
            let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
            push_spelled(out, &mut speller, name, value);
        }
    }
    out.extend_from_slice(b"\r\n");
}
