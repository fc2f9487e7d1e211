//! The settings of a route that forwards: path, Host, header fields, deadlines, tunnels;
//! and that a route which answers by itself has none of them.

use crate::config::form::field::EditField;
use crate::config::keys::{
    HeaderEditsTable, RouteTable, TimeoutsTable, WebSocketKey, WebSocketTable,
};
use crate::config::{Action, HeaderEdits, HostPolicy, PathRewrite, RouteTimeouts, WebSocketConfig};
use crate::setting::read::{Key, Located, Sink, Span};

pub(super) fn rewrite(table: &RouteTable, sink: &mut Sink) -> PathRewrite {
    let strip = table.strip_prefix.given().filter(|strip| strip.value);
    let replace = table.replace_prefix.given();
    if let (Some(strip), Some(replace)) = (strip, replace) {
        sink.at(
            replace,
            "a route has either `strip_prefix` or `replace_prefix`",
        )
        .related(strip.span.clone(), "the other");
    }
    let place = strip
        .map(|strip| ("strip_prefix", &strip.span))
        .or(replace.map(|replace| ("replace_prefix", &replace.span)));
    if let Some((name, span)) = place
        && table.path_prefix.is_absent()
    {
        let key = format!("{}.{name}", table.key);
        let message = format!("`{name}` without `path_prefix`: there is no prefix to change");
        sink.report(span, &key, message)
            .hint("say with `path_prefix = \"/api\"` which requests take this route");
    }
    match (strip, replace) {
        (_, Some(replace)) => PathRewrite::ReplacePrefix(replace.value.0.clone()),
        (Some(_), None) => PathRewrite::ReplacePrefix(String::new()),
        (None, None) => PathRewrite::Keep,
    }
}

pub(super) fn host(table: &RouteTable) -> HostPolicy {
    match table.set_host.value() {
        Some(host) => HostPolicy::Set(host.0.clone()),
        None => HostPolicy::Preserve,
    }
}

pub(super) fn upgrade(table: &RouteTable) -> Vec<String> {
    let Some(protocols) = table.upgrade.value() else {
        return Vec::new();
    };
    let protocols = protocols.0.iter();
    protocols.map(|entry| entry.value.0.clone()).collect()
}

pub(super) fn timeouts(table: &RouteTable) -> RouteTimeouts {
    let mut timeouts = RouteTimeouts::default();
    if let Some(TimeoutsTable {
        span: _,
        key: _,
        response_head,
        response_idle,
        expect_continue,
    }) = table.timeouts.value()
    {
        response_head.store(&mut timeouts.response_head);
        response_idle.store(&mut timeouts.response_idle);
        expect_continue.store(&mut timeouts.expect_continue);
    }
    timeouts
}

pub(super) fn header_edits(key: &Key<HeaderEditsTable>, sink: &mut Sink) -> HeaderEdits {
    let mut edits = HeaderEdits::default();
    let Some(HeaderEditsTable {
        span: _,
        key: _,
        set,
        add,
        remove,
    }) = key.value()
    else {
        return edits;
    };
    let mut spelling = Vec::new();
    let mut set_names = Vec::new();
    for (name, value) in set.value().iter().flat_map(|entries| &entries.0) {
        once(name, &mut set_names, sink);
        name.value.spell(&mut spelling);
        edits
            .set
            .push((name.value.0.clone(), value.value.0.clone()));
    }
    for (name, values) in add.value().iter().flat_map(|entries| &entries.0) {
        name.value.spell(&mut spelling);
        for value in &values.value.0 {
            edits
                .add
                .push((name.value.0.clone(), value.value.0.clone()));
        }
    }
    let mut removed = Vec::new();
    for name in remove.value().iter().flat_map(|list| &list.0) {
        once(name, &mut removed, sink);
        edits.remove.push(name.value.0.clone());
    }
    edits.spelling = spelling.into();
    edits
}

/// Notes a field that is named twice, whatever its spelling.
fn once<'a>(name: &'a Located<EditField>, seen: &mut Vec<&'a Located<EditField>>, sink: &mut Sink) {
    if let Some(first) = seen.iter().find(|first| first.value == name.value) {
        sink.at(name, format!("`{}` is named twice", name.value.0))
            .related(first.span.clone(), "first here");
    }
    seen.push(name);
}

pub(super) fn websocket(table: &RouteTable) -> WebSocketConfig {
    let mut config = WebSocketConfig::default();
    let Some(WebSocketKey::Settings(settings)) = table.websocket.value() else {
        return config;
    };
    let WebSocketTable {
        span: _,
        key: _,
        r#match: _,
        origin,
        missing_origin,
        handshake_timeout,
        accept_invalid_101,
        idle_timeout,
        max_age,
        max_age_jitter,
        ping_interval,
        ping_timeout,
        half_close_timeout,
        close_timeout,
        upstream_lost_code,
        client_lost_code,
        lost_reason,
        unread_timeout,
        strict,
        on_removed,
        on_policy_change,
    } = settings.as_ref();
    if let Some(origins) = origin.value() {
        config.origin = origins.0.clone();
    }
    missing_origin.store(&mut config.missing_origin);
    handshake_timeout.store(&mut config.handshake_timeout);
    accept_invalid_101.store(&mut config.accept_invalid_101);
    idle_timeout.store(&mut config.idle_timeout);
    max_age.store(&mut config.max_age);
    max_age_jitter.store(&mut config.max_age_jitter);
    ping_interval.store(&mut config.ping_interval);
    ping_timeout.store(&mut config.ping_timeout);
    half_close_timeout.store(&mut config.half_close_timeout);
    close_timeout.store(&mut config.close_timeout);
    upstream_lost_code.store(&mut config.upstream_lost_code);
    client_lost_code.store(&mut config.client_lost_code);
    lost_reason.store(&mut config.lost_reason);
    unread_timeout.store(&mut config.unread_timeout);
    strict.store(&mut config.strict);
    on_removed.store(&mut config.on_removed);
    on_policy_change.store(&mut config.on_policy_change);
    config
}

/// Notes the settings that a route which answers by itself does not use.
pub(super) fn without_effect(table: &RouteTable, action: &Action, sink: &mut Sink) {
    let action = match action {
        Action::Upstream(_) => return,
        Action::Respond { .. } if table.respond.span().is_none() => return,
        Action::Respond { .. } => "respond",
        Action::Redirect { .. } => "redirect",
    };
    let websocket = match table.websocket.given() {
        Some(Located {
            value: WebSocketKey::Settings(settings),
            span,
            ..
        }) if settings.has_settings() => Some(span),
        _ => None,
    };
    let strip = table.strip_prefix.given().filter(|strip| strip.value);
    let unused: [(&str, Option<&Span>); 7] = [
        ("strip_prefix", strip.map(|strip| &strip.span)),
        ("replace_prefix", table.replace_prefix.span()),
        ("set_host", table.set_host.span()),
        ("request_headers", table.request_headers.span()),
        ("upgrade", table.upgrade.span()),
        ("timeouts", table.timeouts.span()),
        ("websocket", websocket),
    ];
    for (name, span) in unused {
        if let Some(span) = span {
            let message = format!("`{name}` has no effect on a route with `{action}`");
            sink.report(span, &format!("{}.{name}", table.key), message)
                .hint("nothing is forwarded; leave it out");
        }
    }
}

impl WebSocketTable {
    /// Whether anything but the condition is given.
    fn has_settings(&self) -> bool {
        let WebSocketTable {
            span: _,
            key: _,
            r#match: _,
            origin,
            missing_origin,
            handshake_timeout,
            accept_invalid_101,
            idle_timeout,
            max_age,
            max_age_jitter,
            ping_interval,
            ping_timeout,
            half_close_timeout,
            close_timeout,
            upstream_lost_code,
            client_lost_code,
            lost_reason,
            unread_timeout,
            strict,
            on_removed,
            on_policy_change,
        } = self;
        let spans = [
            origin.span(),
            missing_origin.span(),
            handshake_timeout.span(),
            accept_invalid_101.span(),
            idle_timeout.span(),
            max_age.span(),
            max_age_jitter.span(),
            ping_interval.span(),
            ping_timeout.span(),
            half_close_timeout.span(),
            close_timeout.span(),
            upstream_lost_code.span(),
            client_lost_code.span(),
            lost_reason.span(),
            unread_timeout.span(),
            strict.span(),
            on_removed.span(),
            on_policy_change.span(),
        ];
        spans.iter().any(Option::is_some)
    }
}
