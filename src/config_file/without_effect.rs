//! Settings that were given and change nothing, because of another one: warnings. A route that
//! answers by itself and has settings of forwarding is an error, and judged in `route`.

use crate::config::LogFormat;
use crate::config::file::FileTable;
use crate::config::form::address::{AdminAddress, Bind};
use crate::config::log::AccessLog;
use crate::config::route::RouteTable;
use crate::config::websocket::{WebSocketKey, WebSocketTable};
use crate::setting::read::{Key, Sink, Span};
use crate::setting::scalar::Optional;

pub(super) fn warnings(file: &FileTable, sink: &mut Sink) {
    log(file, sink);
    admin(file, sink);
    trace(file, sink);
    tls(file, sink);
    for (name, table) in file.upstream.value().iter().flat_map(|all| &all.0) {
        let table = &table.value;
        if table.max_idle.value().is_some_and(|most| most.0 == 0) {
            let key = format!("upstream.{}", name.value.0);
            let because = "`max_idle = 0` keeps no idle connection";
            note(
                sink,
                &key,
                because,
                &[("idle_timeout", table.idle_timeout.span())],
            );
        }
    }
    for route in file.route.value().into_iter().flat_map(|blocks| &blocks.0) {
        of_route(&route.value, sink);
    }
}

fn tls(file: &FileTable, sink: &mut Sink) {
    let blocks = file.listen.value().into_iter().flat_map(|blocks| &blocks.0);
    let mut asks = false;
    for table in blocks.filter_map(|block| block.value.tls.value()) {
        asks |= !is_off(&table.client_ca);
        if is_off(&table.client_ca) {
            let because = "without `client_ca` clients are not asked for a certificate";
            let keys = [("client_auth", table.client_auth.span())];
            note(sink, &table.key_path, because, &keys);
        }
        if is_off(&table.hsts) {
            let because = "nothing is said without `hsts`";
            let keys = [(
                "hsts_include_subdomains",
                table.hsts_include_subdomains.span(),
            )];
            note(sink, &table.key_path, because, &keys);
        }
    }
    let routes = file.route.value().into_iter().flat_map(|blocks| &blocks.0);
    for demand in routes.filter_map(|route| route.value.client_certificate.given()) {
        if demand.value && !asks {
            sink.at(
                demand,
                "no listener asks clients for a certificate: every request gets 403",
            )
            .hint("write `client_ca` in `[listen.tls]`");
        }
    }
}

/// Notes those of the keys that were given.
fn note(sink: &mut Sink, table: &str, because: &str, keys: &[(&str, Option<&Span>)]) {
    for (name, span) in keys {
        if let Some(span) = span {
            let message = format!("`{name}` has no effect: {because}");
            sink.report(span, &format!("{table}.{name}"), message);
        }
    }
}

fn log(file: &FileTable, sink: &mut Sink) {
    let Some(log) = file.log.value() else {
        return;
    };
    let (headers, query) = (log.headers.span(), log.query.span());
    if log.access.value() == Some(&AccessLog::Off) {
        let because = "`access = \"off\"` writes no access records";
        note(
            sink,
            &log.key_path,
            because,
            &[("headers", headers), ("query", query)],
        );
    } else if log.format.value() == Some(&LogFormat::Combined) {
        let because = "records in the combined format have no place for other fields";
        note(sink, &log.key_path, because, &[("headers", headers)]);
    }
}

fn admin(file: &FileTable, sink: &mut Sink) {
    let Some(admin) = file.admin.value() else {
        return;
    };
    let token_file = ("token_file", given(&admin.token_file));
    match admin.listen.value() {
        Some(AdminAddress::Off) => {
            let because = "there is no admin interface, with `listen = \"off\"`";
            let keys = [
                ("mode", admin.mode.span()),
                token_file,
                ("tap", admin.tap.span()),
            ];
            note(sink, &admin.key_path, because, &keys);
        }
        Some(AdminAddress::At(Bind::Unix(_))) => {
            let because = "only requests over TCP bring a token, and `listen` is a unix socket";
            note(sink, &admin.key_path, because, &[token_file]);
        }
        _ => {}
    }
}

fn trace(file: &FileTable, sink: &mut Sink) {
    let Some(trace) = file.trace.value() else {
        return;
    };
    if is_off(&trace.endpoint) {
        let because = "without `endpoint` no trace is continued or begun";
        let keys = [
            ("sample", trace.sample.span()),
            ("parent", trace.parent.span()),
            ("service_name", trace.service_name.span()),
        ];
        note(sink, &trace.key_path, because, &keys);
    }
}

fn of_route(route: &RouteTable, sink: &mut Sink) {
    let Some(websocket) = route.websocket.value() else {
        return;
    };
    let (settings, only) = match websocket {
        WebSocketKey::Match(only) => (None, Some(*only)),
        WebSocketKey::Settings(table) => (Some(table), table.r#match.value().copied()),
    };
    let switches = route.upgrade.value().is_some_and(|all| !all.0.is_empty());
    if only == Some(true) && !switches {
        let because = "a handshake has no body, and this route takes nothing else";
        note(
            sink,
            &route.key_path,
            because,
            &[("max_body", route.max_body.span())],
        );
    }
    let Some(table) = settings else {
        return;
    };
    if only == Some(false) && !switches && table.has_settings() {
        let message = "these settings have no effect: this route takes no handshakes, with \
                       `match = false`";
        let span = table.r#match.span().unwrap_or(&table.span);
        sink.report(span, &table.key_path, message);
        return;
    }
    of_websocket(table, sink);
}

fn of_websocket(table: &WebSocketTable, sink: &mut Sink) {
    if is_off(&table.ping_interval) {
        let because = "no Pings are sent without `ping_interval`";
        note(
            sink,
            &table.key_path,
            because,
            &[("ping_timeout", table.ping_timeout.span())],
        );
    }
    if is_off(&table.max_age) {
        let because = "it shortens `max_age`, which is unlimited";
        note(
            sink,
            &table.key_path,
            because,
            &[("max_age_jitter", table.max_age_jitter.span())],
        );
    }
    let is_silent = |key: &Key<Optional<_>>| key.value().is_some_and(|code| code.0.is_none());
    if is_silent(&table.upstream_lost_code) && is_silent(&table.client_lost_code) {
        let because = "both codes are `\"off\"`";
        note(
            sink,
            &table.key_path,
            because,
            &[("lost_reason", table.lost_reason.span())],
        );
    }
}

/// Whether what is off by default stays so.
fn is_off<T, const IS_LIMIT: bool>(key: &Key<Optional<T, IS_LIMIT>>) -> bool {
    key.is_absent() || key.value().is_some_and(|value| value.0.is_none())
}

/// The place of what was not given as `"off"`.
fn given<T>(key: &Key<Optional<T>>) -> Option<&Span> {
    key.given()
        .filter(|given| given.value.0.is_some())
        .map(|given| &given.span)
}
