//! The two records of a tunnel: one when it opens, one when it has ended and why.

use super::record::Asked;
use crate::access_log;
use crate::events;
use crate::metrics;
use crate::trace;
use crate::tunnel_info::{PeerClose, TunnelIdentity, TunnelReport};
use crate::tunnel_registry::TunnelHandle;

/// A tunnel has opened; `asked` is what the access log adds about its handshake.
pub fn opened(tunnel: &TunnelHandle, asked: Option<&Asked>) {
    let identity = &tunnel.identity;
    metrics::tunnel_opened(identity.slot());
    events::opened(identity);
    access_log::record("tunnel_open", |line| {
        line.number("tunnel", tunnel.id);
        about(line, identity);
        if let Some(asked) = asked {
            asked.write(line);
        }
    });
}

/// A tunnel has ended.
pub fn closed(report: &TunnelReport<'_>) {
    let closes = [&report.closes.client, &report.closes.upstream];
    metrics::tunnel_closed(&metrics::Ended {
        route: report.identity.slot(),
        closed_by: report.closed_by,
        duration: report.duration,
        closes: closes.map(|close| {
            let sent = close.as_ref()?;
            Some(sent.as_ref().map(|(code, _)| *code))
        }),
    });
    trace::tunnel_ended(report);
    events::closed(report);
    access_log::record("tunnel_close", |line| {
        line.number("tunnel", report.id);
        about(line, report.identity);
        line.text("closed_by", report.closed_by.as_str());
        line.optional("detail", report.detail);
        let closes = report.closes;
        close(line, "client_close", closes.client.as_ref());
        close(line, "upstream_close", closes.upstream.as_ref());
        for (name, code) in [
            ("sent_client", closes.sent_client),
            ("sent_upstream", closes.sent_upstream),
        ] {
            if let Some(code) = code {
                line.number(name, code.into());
            }
        }
        line.millis("duration_ms", report.duration);
        line.number("bytes_in", report.from_client.bytes);
        line.number("bytes_out", report.from_upstream.bytes);
        line.number("messages_in", report.from_client.messages());
        line.number("messages_out", report.from_upstream.messages());
        line.number("text_in", report.from_client.text);
        line.number("text_out", report.from_upstream.text);
        line.number("binary_in", report.from_client.binary);
        line.number("binary_out", report.from_upstream.binary);
        line.number("pings_in", report.from_client.pings.into());
        line.number("pings_out", report.from_upstream.pings.into());
        for (name, rtt) in [
            ("client_rtt_ms", report.client_rtt),
            ("upstream_rtt_ms", report.upstream_rtt),
        ] {
            if let Some(rtt) = rtt {
                line.millis(name, rtt);
            }
        }
    });
}

/// A Close frame that a peer sent; one without a code counts as 1005 (RFC 6455 section 7.1.5).
fn close(line: &mut access_log::Line<'_>, name: &'static str, close: Option<&PeerClose>) {
    match close {
        None => {}
        Some(None) => line.close(name, 1005, ""),
        Some(Some((code, reason))) => line.close(name, *code, reason),
    }
}

fn about(line: &mut access_log::Line<'_>, identity: &TunnelIdentity) {
    line.text("request_id", identity.request_id());
    line.optional("trace_id", identity.trace_id());
    line.text("client", identity.client());
    line.text("host", identity.host());
    line.text("path", identity.path());
    line.text("route", identity.route());
    line.text("upstream", identity.upstream());
    line.text("endpoint", identity.endpoint());
    line.optional("subprotocol", identity.subprotocol());
    line.optional("upgrade", identity.upgrade());
    line.optional("origin", identity.origin());
}
