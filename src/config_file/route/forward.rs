//! The settings of a route that forwards: path, Host, header fields, deadlines, tunnels;
//! and that a route which answers by itself has none of them.

use crate::config::form::field::EditField;
use crate::config::route::{HeaderEditsTable, RouteTable};
use crate::config::websocket::WebSocketKey;
use crate::config::{Action, HostPolicy, PathRewrite, WebSocketConfig};
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
        let key = format!("{}.{name}", table.key_path);
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

/// Notes each field that is named twice.
pub(super) fn fields_once(key: &Key<HeaderEditsTable>, sink: &mut Sink) {
    let Some(edits) = key.value() else {
        return;
    };
    let mut set = Vec::new();
    for (name, _) in edits.set.value().iter().flat_map(|entries| &entries.0) {
        once(name, &mut set, sink);
    }
    let mut removed = Vec::new();
    for name in edits.remove.value().iter().flat_map(|list| &list.0) {
        once(name, &mut removed, sink);
    }
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
    if let Some(WebSocketKey::Settings(settings)) = table.websocket.value() {
        settings.apply(&mut config);
    }
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
            sink.report(span, &format!("{}.{name}", table.key_path), message)
                .hint("nothing is forwarded; leave it out");
        }
    }
}
