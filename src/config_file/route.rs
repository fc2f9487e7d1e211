//! `[[route]]`: conditions, one action, and what of the rest goes with them. The pieces
//! that only change a forwarded request are in `forward`.

mod forward;

use std::collections::HashMap;
use std::sync::Arc;

use http::{Method, StatusCode};

use super::upstream::{Upstreams, endpoints};
use crate::config::action::{RedirectKey, RespondTable};
use crate::config::file::FileTable;
use crate::config::form::field::MatchField;
use crate::config::form::request::{HeaderTest, UpstreamName};
use crate::config::route::RouteTable;
use crate::config::websocket::WebSocketKey;
use crate::config::{Action, HeaderMatch, PathPattern, RouteConfig, RouteMatch, UpstreamConfig};
use crate::setting::read::{Key, Located, Sink, Span, nearest, quoted};

pub(super) fn routes(
    file: &FileTable,
    upstreams: &mut Upstreams,
    sink: &mut Sink,
) -> Vec<Arc<RouteConfig>> {
    let Some(blocks) = file.route.given() else {
        return Vec::new();
    };
    if blocks.value.0.is_empty() {
        sink.at(blocks, "`route` is empty; at least one is needed");
    }
    let names = names(&blocks.value.0, sink);
    let defined = defined(file, upstreams);
    let mut routes = Vec::with_capacity(names.len());
    let mut comparable = Vec::new();
    for (block, name) in blocks.value.0.iter().zip(names) {
        let table = &block.value;
        let (matches, known) = conditions(table, sink);
        let action = action(table, &name, defined.as_deref(), upstreams, sink);
        let mut route = RouteConfig {
            name,
            matches,
            action,
            rewrite: forward::rewrite(table, sink),
            host: forward::host(table),
            websocket: Arc::new(forward::websocket(table)),
            ..RouteConfig::default()
        };
        table.apply(&mut route);
        forward::fields_once(&table.request_headers, sink);
        forward::fields_once(&table.response_headers, sink);
        forward::without_effect(table, &route.action, sink);
        let route = Arc::new(route);
        if known {
            comparable.push((Arc::clone(&route), block.span.clone()));
        }
        routes.push(route);
    }
    ties(&comparable, sink);
    routes
}

/// The names of the upstreams that the file defines; `None` where they could not be read.
fn defined(file: &FileTable, upstreams: &Upstreams) -> Option<Vec<String>> {
    (!file.upstream.is_invalid()).then(|| upstreams.keys().cloned().collect())
}

fn ties(comparable: &[(Arc<RouteConfig>, Span)], sink: &mut Sink) {
    let routes: Vec<_> = comparable
        .iter()
        .map(|(route, _)| Arc::clone(&route.matches))
        .collect();
    for (one, other) in crate::route::matcher::ties(&routes) {
        let (Some((first, first_span)), Some((second, span))) = (
            comparable.get(one.min(other)),
            comparable.get(one.max(other)),
        ) else {
            continue;
        };
        let message = format!(
            "the routes `{}` and `{}` can match the same request, and neither is more specific",
            first.name, second.name
        );
        sink.report(span, "route", message)
            .hint("narrow one of them by host, path, listen, method, headers or websocket")
            .related(first_span.clone(), "the other route");
    }
}

/// The name of each route: its own, or one made from its conditions. No two are the same.
fn names(blocks: &[Located<RouteTable>], sink: &mut Sink) -> Vec<String> {
    let mut given: HashMap<&str, &Span> = HashMap::new();
    for block in blocks {
        let Some(name) = block.value.name.given() else {
            continue;
        };
        if let Some(first) = given.get(name.value.0.as_str()) {
            sink.at(name, format!("two routes are named `{}`", name.value.0))
                .related((*first).clone(), "first here");
        } else {
            given.insert(&name.value.0, &name.span);
        }
    }
    let mut uses: HashMap<String, usize> = HashMap::new();
    let mut name_of = |table: &RouteTable| {
        if let Some(name) = table.name.value() {
            return name.0.clone();
        }
        let made = made_name(table);
        loop {
            let uses = uses.entry(made.clone()).or_default();
            *uses += 1;
            let name = match *uses {
                1 => made.clone(),
                n => format!("{made}#{n}"),
            };
            if !given.contains_key(name.as_str()) {
                return name;
            }
        }
    };
    blocks.iter().map(|block| name_of(&block.value)).collect()
}

/// `GET,HEAD:example.com/api/*+websocket`: what the route asks for, in one word.
fn made_name(table: &RouteTable) -> String {
    let mut name = String::new();
    if let Some(methods) = table.method.value() {
        let methods: Vec<&str> = methods.0.iter().map(|m| m.value.as_str()).collect();
        name.push_str(&methods.join(","));
        name.push(':');
    }
    if let Some(hosts) = table.host.value() {
        let hosts: Vec<String> = hosts.0.iter().map(|host| host.value.to_string()).collect();
        name.push_str(&hosts.join(","));
    }
    match (table.path.value(), table.path_prefix.value()) {
        (Some(path), _) => name.push_str(&path.0),
        (None, Some(prefix)) => name.push_str(&format!("{}/*", prefix.0)),
        (None, None) => name.push_str("/*"),
    }
    match websocket_condition(table) {
        Some(true) => name.push_str("+websocket"),
        Some(false) => name.push_str("-websocket"),
        None => {}
    }
    for listener in table.listen.value().into_iter().flat_map(|all| &all.0) {
        name.push_str(&format!("@{}", listener.value.0));
    }
    for (field, _) in table
        .headers
        .value()
        .into_iter()
        .flat_map(|entries| &entries.0)
    {
        name.push_str(&format!("+{}", field.value.0));
    }
    name
}

fn websocket_condition(table: &RouteTable) -> Option<bool> {
    match table.websocket.value()? {
        WebSocketKey::Match(value) => Some(*value),
        WebSocketKey::Settings(settings) => settings.r#match.value().copied(),
    }
}

/// The route's conditions, and whether all of them were understood.
fn conditions(table: &RouteTable, sink: &mut Sink) -> (Arc<RouteMatch>, bool) {
    if let (Some(path), Some(prefix)) = (table.path.given(), table.path_prefix.given()) {
        sink.at(prefix, "a route has either `path` or `path_prefix`")
            .hint("`path` is this path alone, `path_prefix` all below it too")
            .related(path.span.clone(), "the other");
    }
    let websocket = websocket_condition(table);
    let methods: Vec<Method> = (table.method.value().into_iter())
        .flat_map(|methods| &methods.0)
        .map(|method| method.value.clone())
        .collect();
    if websocket == Some(true)
        && let Some(method) = table.method.given()
        && !methods.contains(&Method::GET)
    {
        sink.at(
            method,
            "this route matches nothing: a WebSocket handshake is a GET",
        )
        .hint("leave `method` out");
    }
    let path = match (table.path.value(), table.path_prefix.value()) {
        (Some(path), _) => PathPattern::Exact(path.0.clone()),
        (None, Some(prefix)) => PathPattern::Prefix(prefix.0.clone()),
        (None, None) => PathPattern::default(),
    };
    let listeners = table.listen.value().into_iter().flat_map(|all| &all.0);
    let hosts = table.host.value().into_iter().flat_map(|hosts| &hosts.0);
    let websocket_unknown = match table.websocket.value() {
        Some(WebSocketKey::Settings(settings)) => settings.r#match.is_invalid(),
        _ => table.websocket.is_invalid(),
    };
    let known = !(table.host.is_invalid()
        || table.path.is_invalid()
        || table.path_prefix.is_invalid()
        || table.method.is_invalid()
        || table.headers.is_invalid()
        || table.listen.is_invalid()
        || websocket_unknown);
    let matches = RouteMatch {
        hosts: hosts.map(|host| host.value.clone()).collect(),
        path,
        methods,
        headers: header_conditions(table, sink),
        websocket,
        listeners: listeners.map(|name| name.value.0.clone()).collect(),
    };
    (Arc::new(matches), known)
}

/// The fields that are asked for, each once: two conditions on one line could not both hold.
fn header_conditions(table: &RouteTable, sink: &mut Sink) -> Vec<HeaderMatch> {
    let entries = table.headers.value().into_iter();
    let mut named: Vec<&Located<MatchField>> = Vec::new();
    let mut headers = Vec::new();
    for (name, test) in entries.flat_map(|entries| &entries.0) {
        if let Some(first) = named.iter().find(|first| first.value == name.value) {
            sink.at(name, format!("`{}` is named twice", name.value.0))
                .related(first.span.clone(), "first here");
        }
        named.push(name);
        headers.push(HeaderMatch {
            name: name.value.0.clone(),
            value: match &test.value {
                HeaderTest::Present => None,
                HeaderTest::Equals(value) => Some(value.0.clone()),
            },
        });
    }
    headers
}

/// The one action of a route. Where it is not known its problem was noted, and the answer
/// only stands in for it.
fn action(
    table: &RouteTable,
    name: &str,
    defined: Option<&[String]>,
    upstreams: &mut Upstreams,
    sink: &mut Sink,
) -> Action {
    one_action(table, sink);
    if let Some(upstream) = table.upstream.given() {
        if let Some(defined) = defined {
            upstream_is_defined(upstream, defined, sink);
        }
        return Action::Upstream(upstream.value.0.clone());
    }
    if let Some(to) = table.to.given() {
        let upstream = UpstreamConfig::new(name.to_owned(), endpoints(&to.value, sink));
        if defined.is_some_and(|defined| defined.iter().any(|other| other == name)) {
            let message = format!(
                "the endpoints in `to` become an upstream with the route's name, but \
                 `[upstream.{name}]` is defined too"
            );
            sink.at(to, message).hint(format!(
                "write `upstream = \"{name}\"`, or rename the route"
            ));
        } else {
            upstreams.insert(name.to_owned(), Arc::new(upstream));
        }
        return Action::Upstream(name.to_owned());
    }
    if let Some(redirect) = table.redirect.value() {
        let (to, status) = match redirect {
            RedirectKey::To(to) => (Some(to), None),
            RedirectKey::Table(table) => (table.to.value(), table.status.value()),
        };
        return Action::Redirect {
            status: status.map_or(StatusCode::PERMANENT_REDIRECT, |status| status.0),
            to: to.map(|to| to.0.clone()).unwrap_or_default(),
        };
    }
    match table.respond.value() {
        Some(respond) => answer(respond, sink),
        None => Action::default(),
    }
}

fn one_action(table: &RouteTable, sink: &mut Sink) {
    let actions: Vec<(&str, &Span)> = [
        ("upstream", table.upstream.span()),
        ("to", table.to.span()),
        ("respond", table.respond.span()),
        ("redirect", table.redirect.span()),
    ]
    .into_iter()
    .filter_map(|(name, span)| span.map(|span| (name, span)))
    .collect();
    match actions.as_slice() {
        [] => {
            sink.report(&table.span, &table.key_path, "this route has no action")
                .hint("add `upstream`, `to`, `respond` or `redirect`");
        }
        [_] => {}
        [(first, first_span), rest @ ..] => {
            for (name, span) in rest {
                let message = format!("a route has one action: `{first}` or `{name}`");
                sink.report(span, &format!("{}.{name}", table.key_path), message)
                    .related((*first_span).clone(), format!("`{first}` is here"));
            }
        }
    }
}

fn upstream_is_defined(name: &Located<UpstreamName>, defined: &[String], sink: &mut Sink) {
    let wanted = &name.value.0;
    if defined.contains(wanted) {
        return;
    }
    let names = || defined.iter().map(String::as_str);
    let hint = match nearest(wanted, names()) {
        _ if defined.is_empty() => format!("add `[upstream.{wanted}]` with its `endpoints`"),
        Some(meant) if defined.len() > 1 => {
            format!("did you mean `{meant}`? defined: {}", quoted(names()))
        }
        _ => format!("defined: {}", quoted(names())),
    };
    sink.at(name, format!("upstream `{wanted}` is not defined"))
        .hint(hint);
}

fn answer(respond: &RespondTable, sink: &mut Sink) -> Action {
    let status = respond
        .status
        .value()
        .map_or(StatusCode::OK, |status| status.0);
    let body = respond
        .body
        .value()
        .map(|body| body.0.clone())
        .unwrap_or_default();
    if let Key::Given(place) = &respond.body
        && !body.is_empty()
        && matches!(status.as_u16(), 204 | 205 | 304)
    {
        sink.at(
            place,
            format!("an answer with status {} has no body", status.as_u16()),
        );
    }
    Action::Respond { status, body }
}
