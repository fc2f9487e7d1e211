//! What spans say, in the words of the OpenTelemetry semantic conventions for HTTP; what those
//! have no word for is under `sluice.`. Made on the exporter's thread.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::{Instant, SystemTime};

use http::{HeaderValue, Method, Version};
use opentelemetry::trace::{
    Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::context::{TraceParent, new_span_id};
use super::finished::{FinishedExchange, FinishedTunnel};
use crate::config::PathPattern;
use crate::route::host;
use crate::tunnel_info::{Closes, PeerClose};
use crate::vocabulary::ClosedBy;

/// Who made the spans.
pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope::builder("sluice")
        .with_version(env!("CARGO_PKG_VERSION"))
        .build()
}

/// The attributes of one span, as they are collected.
#[derive(Default)]
struct Attributes(Vec<KeyValue>);

impl Attributes {
    fn add(&mut self, name: &'static str, value: impl Into<Value>) {
        self.0.push(KeyValue::new(name, value));
    }

    /// Left out where it is empty.
    fn text(&mut self, name: &'static str, value: &str) {
        if !value.is_empty() {
            self.add(name, value.to_owned());
        }
    }

    fn count(&mut self, name: &'static str, value: u64) {
        self.add(name, i64::try_from(value).unwrap_or(i64::MAX));
    }

    /// An authority or endpoint, in two.
    fn server(&mut self, authority: &str) {
        if let Some(path) = authority.strip_prefix("unix:") {
            return self.text("server.address", path);
        }
        let (name, port) = match host::split_port(authority) {
            Some((name, port)) => (name, port),
            None => (authority, None),
        };
        self.text("server.address", name.trim_matches(['[', ']']));
        if let Some(port) = port {
            self.add("server.port", i64::from(port));
        }
    }
}

fn text(value: Option<&HeaderValue>) -> Cow<'_, str> {
    value.map_or(Cow::Borrowed(""), |value| {
        String::from_utf8_lossy(value.as_bytes())
    })
}

/// A client's address, which comes with its port where it is the peer.
fn address_of(client: &str) -> String {
    match client.parse::<SocketAddr>() {
        Ok(address) => address.ip().to_string(),
        Err(_) => client.to_owned(),
    }
}

fn context(span: TraceParent, is_remote: bool) -> SpanContext {
    let flags = TraceFlags::default().with_sampled(span.is_sampled());
    SpanContext::new(
        TraceId::from_bytes(span.trace_id),
        SpanId::from_bytes(span.span_id),
        flags,
        is_remote,
        TraceState::default(),
    )
}

fn link(to: Option<TraceParent>, is_remote: bool) -> SpanLinks {
    let mut links = SpanLinks::default();
    links
        .links
        .extend(to.map(|to| Link::with_context(context(to, is_remote))));
    links
}

fn failed(is_failed: bool, description: Option<&str>) -> Status {
    match is_failed {
        false => Status::Unset,
        true => Status::error(description.unwrap_or_default().to_owned()),
    }
}

/// The methods that the conventions know; with others, clients could make up any number of
/// span names.
fn known(method: &Method) -> Option<&'static str> {
    [
        "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE", "QUERY",
    ]
    .into_iter()
    .find(|known| *known == method.as_str())
}

fn add_method(attributes: &mut Attributes, method: &Method) {
    attributes.add("http.request.method", known(method).unwrap_or("_OTHER"));
    if known(method).is_none() {
        attributes.text("http.request.method_original", method.as_str());
    }
}

fn template(path: &PathPattern) -> String {
    match path {
        PathPattern::Exact(path) => path.clone(),
        PathPattern::Prefix(prefix) => format!("{prefix}/*"),
    }
}

/// The spans of an exchange: its server span, and a client span if it went to an upstream.
pub(super) fn of_exchange(
    exchange: &FinishedExchange,
    scope: &InstrumentationScope,
) -> impl Iterator<Item = SpanData> {
    let server = server_span(exchange, scope);
    std::iter::once(server).chain(client_span(exchange, scope))
}

fn server_span(exchange: &FinishedExchange, scope: &InstrumentationScope) -> SpanData {
    let (recording, about) = (&exchange.recording, &exchange.about);
    let mut attributes = Attributes::default();
    add_request(&mut attributes, exchange);
    let mut name = known(&about.method).unwrap_or("HTTP").to_owned();
    if let Some(route) = &about.route {
        let template = template(&route.config.matches.path);
        name = format!("{name} {template}");
        attributes.add("http.route", template);
        attributes.add("sluice.route", route.name.clone());
        if let Some(upstream) = &route.upstream {
            attributes.add("sluice.upstream", upstream.name().clone());
        }
    }
    if let Some(endpoint) = &about.endpoint {
        attributes.add("sluice.endpoint", endpoint.clone());
    }
    attributes.text("sluice.request_id", &about.request_id);
    attributes.count("http.request.body.size", about.bytes_in);
    attributes.count("http.response.body.size", about.bytes_out);
    let status = about.status.map(|status| status.as_u16());
    if let Some(status) = status {
        attributes.add("http.response.status_code", i64::from(status));
    }
    let server_failed = status.is_some_and(|status| status >= 500);
    match &about.error {
        Some((kind, _)) => attributes.add("error.type", *kind),
        None if server_failed => attributes.text("error.type", &status.unwrap_or(0).to_string()),
        None => {}
    }
    // A client's mistake is not an error of the server's (HTTP semantic conventions, Status).
    let broke_off = about.error.is_some() && status.is_none_or(|status| status < 400);
    let detail = about.error.as_ref().map(|(_, detail)| &**detail);
    let span_context = context(exchange.server, false);
    let end = recording.start + (exchange.ended - recording.started);
    SpanData {
        parent_span_id: recording.parent.map_or(SpanId::INVALID, SpanId::from_bytes),
        parent_span_is_remote: recording.parent.is_some(),
        span_kind: SpanKind::Server,
        links: link(recording.link, true),
        status: failed(server_failed || broke_off, detail),
        ..span(
            span_context,
            name.into(),
            recording.start,
            end,
            attributes,
            scope,
        )
    }
}

/// What the client asked for, and who it is.
fn add_request(attributes: &mut Attributes, exchange: &FinishedExchange) {
    let (recording, about) = (&exchange.recording, &exchange.about);
    add_method(attributes, &about.method);
    attributes.text("url.path", &about.target.path_text());
    if about.with_query {
        attributes.text("url.query", &about.target.query_text().unwrap_or_default());
    }
    attributes.add("url.scheme", about.scheme.as_str());
    attributes.server(&text(about.host.as_ref()));
    attributes.text("client.address", &address_of(&about.client));
    if let Some(peer) = about.peer {
        attributes.text("network.peer.address", &peer.ip().to_string());
        attributes.add("network.peer.port", i64::from(peer.port()));
    }
    let version = match recording.version {
        Version::HTTP_10 => "1.0",
        _ => "1.1",
    };
    attributes.add("network.protocol.version", version);
    attributes.text("user_agent.original", &text(recording.user_agent.as_ref()));
}

fn client_span(exchange: &FinishedExchange, scope: &InstrumentationScope) -> Option<SpanData> {
    let (recording, about) = (&exchange.recording, &exchange.about);
    let (target, sent) = recording.sent.as_ref()?;
    let mut attributes = Attributes::default();
    add_method(&mut attributes, &about.method);
    if let Some(route) = &about.route
        && let Some(upstream) = &route.upstream
    {
        attributes.add("sluice.upstream", upstream.name().clone());
    }
    if let Some(endpoint) = &about.endpoint {
        attributes.server(endpoint);
        if !endpoint.starts_with("unix:") {
            let query = target.query_text().filter(|_| about.with_query);
            let query = query.map(|query| format!("?{query}")).unwrap_or_default();
            attributes.add(
                "url.full",
                format!("http://{endpoint}{}{query}", target.path_text()),
            );
        }
    }
    // What then went to the client is not the upstream's answer.
    let has_answer = recording.answered.is_some() && !recording.refused;
    let unanswered = about.error.as_ref().filter(|_| !has_answer);
    let status = about.status.map(|status| status.as_u16());
    let status = status.filter(|_| unanswered.is_none());
    if let Some(status) = status {
        attributes.add("http.response.status_code", i64::from(status));
    }
    let bad = status.is_some_and(|status| status >= 400);
    match (unanswered, status) {
        (Some((kind, _)), _) => attributes.add("error.type", *kind),
        (None, Some(status)) if bad => attributes.text("error.type", &status.to_string()),
        _ => {}
    }
    let detail = unanswered.map(|(_, detail)| &**detail);
    let span_context = context(exchange.server.with_span(exchange.upstream), false);
    let at =
        |moment: Instant| recording.start + moment.saturating_duration_since(recording.started);
    let end = recording.answered.unwrap_or(exchange.ended);
    let name = known(&about.method).unwrap_or("HTTP");
    Some(SpanData {
        parent_span_id: SpanId::from_bytes(exchange.server.span_id),
        span_kind: SpanKind::Client,
        status: failed(bad || unanswered.is_some(), detail),
        ..span(
            span_context,
            name.into(),
            at(*sent),
            at(end),
            attributes,
            scope,
        )
    })
}

/// The span of a tunnel's life: in its handshake's trace, below its span and linked to it.
pub(super) fn of_tunnel(tunnel: &FinishedTunnel, scope: &InstrumentationScope) -> SpanData {
    let mut attributes = Attributes::default();
    add_identity(&mut attributes, tunnel);
    add_closes(&mut attributes, &tunnel.closes);
    let (up, down) = (tunnel.from_client, tunnel.from_upstream);
    for (name, value) in [
        ("sluice.tunnel.bytes_in", up.bytes),
        ("sluice.tunnel.bytes_out", down.bytes),
        ("sluice.tunnel.messages_in", up.messages()),
        ("sluice.tunnel.messages_out", down.messages()),
    ] {
        attributes.count(name, value);
    }
    let is_failed = matches!(
        tunnel.closed_by,
        ClosedBy::Error | ClosedBy::KeepAlive | ClosedBy::Policy | ClosedBy::Unread
    );
    if is_failed {
        attributes.add("error.type", tunnel.closed_by.as_str());
    }
    let own = tunnel.handshake.with_span(new_span_id());
    let start = tunnel
        .end
        .checked_sub(tunnel.duration)
        .unwrap_or(tunnel.end);
    let name = "websocket tunnel".into();
    SpanData {
        parent_span_id: SpanId::from_bytes(tunnel.handshake.span_id),
        links: link(Some(tunnel.handshake), false),
        status: failed(is_failed, tunnel.detail.as_deref()),
        ..span(
            context(own, false),
            name,
            start,
            tunnel.end,
            attributes,
            scope,
        )
    }
}

/// Who the tunnel was, and why it ended.
fn add_identity(attributes: &mut Attributes, tunnel: &FinishedTunnel) {
    attributes.count("sluice.tunnel.id", tunnel.id);
    attributes.add("sluice.route", tunnel.route.clone());
    attributes.add("sluice.upstream", tunnel.upstream.clone());
    attributes.add("sluice.endpoint", tunnel.endpoint.clone());
    attributes.text("sluice.request_id", &tunnel.request_id);
    attributes.text("client.address", &address_of(&tunnel.client));
    attributes.server(&tunnel.host);
    attributes.text("url.path", &tunnel.path);
    if let Some(subprotocol) = &tunnel.subprotocol {
        attributes.text("sluice.tunnel.subprotocol", subprotocol);
    }
    attributes.add("sluice.tunnel.closed_by", tunnel.closed_by.as_str());
    if let Some(detail) = &tunnel.detail {
        attributes.text("sluice.tunnel.detail", detail);
    }
}

/// The Close frames that were sent.
fn add_closes(attributes: &mut Attributes, closes: &Closes) {
    add_close(
        attributes,
        [
            "sluice.tunnel.client_close.code",
            "sluice.tunnel.client_close.reason",
        ],
        closes.client.as_ref(),
    );
    add_close(
        attributes,
        [
            "sluice.tunnel.upstream_close.code",
            "sluice.tunnel.upstream_close.reason",
        ],
        closes.upstream.as_ref(),
    );
    for (name, code) in [
        ("sluice.tunnel.sent_client.code", closes.sent_client),
        ("sluice.tunnel.sent_upstream.code", closes.sent_upstream),
    ] {
        if let Some(code) = code {
            attributes.add(name, i64::from(code));
        }
    }
}

/// A Close frame that a peer sent; one without a code counts as 1005 (RFC 6455 section 7.1.5).
fn add_close(attributes: &mut Attributes, names: [&'static str; 2], close: Option<&PeerClose>) {
    let Some(close) = close else {
        return;
    };
    let (code, reason) = match close {
        Some((code, reason)) => (*code, &**reason),
        None => (1005, ""),
    };
    attributes.add(names[0], i64::from(code));
    attributes.text(names[1], reason);
}

/// A span without a parent, link or status.
fn span(
    span_context: SpanContext,
    name: Cow<'static, str>,
    start_time: SystemTime,
    end_time: SystemTime,
    attributes: Attributes,
    scope: &InstrumentationScope,
) -> SpanData {
    SpanData {
        span_context,
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name,
        start_time,
        end_time: end_time.max(start_time),
        attributes: attributes.0,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: scope.clone(),
    }
}
