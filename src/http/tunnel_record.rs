//! The two records of a tunnel: one when it opens, one when it has ended and why.

use crate::access_log;
use crate::metrics;
use crate::tunnel::{TunnelIdentity, TunnelReport};

/// A tunnel has opened.
pub fn opened(identity: &TunnelIdentity) {
    metrics::tunnel_opened();
    access_log::record("tunnel_open", |line| about(line, identity));
}

/// A tunnel has ended.
pub fn closed(report: &TunnelReport<'_>) {
    metrics::tunnel_closed();
    access_log::record("tunnel_close", |line| {
        about(line, report.identity);
        line.text("closed_by", report.closed_by.as_str());
        line.optional("detail", report.detail);
        line.peer_close("client_close", report.closes.client.as_ref());
        line.peer_close("upstream_close", report.closes.upstream.as_ref());
        line.optional_number("sent_client", report.closes.sent_client.map(u64::from));
        line.optional_number("sent_upstream", report.closes.sent_upstream.map(u64::from));
        line.millis("duration_ms", report.duration);
    });
}

fn about(line: &mut access_log::Line<'_>, identity: &TunnelIdentity) {
    line.text("request_id", identity.request_id());
    line.text("client", identity.client());
    line.text("host", identity.host());
    line.text("path", identity.path());
    line.text("route", identity.route());
    line.text("upstream", identity.upstream());
    line.text("endpoint", identity.endpoint());
    line.optional("subprotocol", identity.subprotocol());
    line.optional("origin", identity.origin());
}
