//! The span of a tunnel's life, from its 101 to its end. It is made when the tunnel has
//! ended: an open one carries nothing but its handshake's `traceparent`.

use std::time::SystemTime;

use super::context::TraceParent;
use super::finished::{Finished, FinishedTunnel};
use super::tracer::finish;
use crate::tunnel_info::TunnelReport;

/// A tunnel has ended: exports its span, if its handshake was sampled.
pub fn tunnel_ended(report: &TunnelReport<'_>) {
    let identity = report.identity;
    let Some(handshake) = TraceParent::parse(identity.traceparent().as_bytes()) else {
        return;
    };
    if !handshake.is_sampled() {
        return;
    }
    finish(|| {
        Finished::Tunnel(Box::new(FinishedTunnel {
            handshake,
            id: report.id,
            route: identity.route().clone(),
            upstream: identity.upstream().clone(),
            endpoint: identity.endpoint().clone(),
            client: identity.client().to_owned(),
            host: identity.host().to_owned(),
            path: identity.path().to_owned(),
            request_id: identity.request_id().to_owned(),
            subprotocol: identity.subprotocol().map(str::to_owned),
            closed_by: report.closed_by,
            detail: report.detail.map(str::to_owned),
            closes: report.closes.clone(),
            end: SystemTime::now(),
            duration: report.duration,
            from_client: report.from_client,
            from_upstream: report.from_upstream,
        }))
    });
}
