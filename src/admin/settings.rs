//! `/v1/config`: the configuration in force, in the words of its file, defaults included and
//! secrets left out. Destructured field by field, so that a new setting is not forgotten.

use std::fmt::Display;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

use super::upstreams::balance;
use crate::config::{
    AccessLog, Action, AdminConfig, AdminListen, Config, DrainConfig, HeaderEdits, HeaderMatch,
    HostPattern, HostPolicy, HttpConfig, ListenAddress, Listener, LogConfig, LogFormat,
    MissingOrigin, OnChange, OriginRule, ParentRule, PathPattern, PathRewrite, ReloadConfig,
    ResolverConfig, RouteConfig, RouteMatch, RouteTimeouts, TraceConfig, UpgradeConfig,
    UpstreamConfig, WebSocketConfig, write_duration,
};
use crate::net::listen;
use crate::vocabulary::credentials::{REDACTED, is_for_credentials};

/// All of it.
pub(super) fn of(config: &Config) -> Value {
    let Config {
        workers,
        listeners,
        routes,
        upstreams,
        http,
        log,
        drain,
        resolver,
        admin,
        reload: ReloadConfig { watch },
        upgrade: UpgradeConfig { deadline },
        pid_file,
        trace,
    } = config;
    let upstreams = upstreams
        .iter()
        .map(|(name, one)| (name.clone(), upstream(one)));
    json!({
        "workers": workers.get(),
        "pid_file": pid_file.as_ref().map_or("off".to_owned(), |path| path.display().to_string()),
        "log": log_table(log),
        "http": http_table(http),
        "drain": drain_table(drain),
        "admin": admin_table(admin),
        "reload": { "watch": watch },
        "upgrade": { "deadline": write_duration(*deadline) },
        "resolver": resolver_table(resolver),
        "trace": trace_table(trace),
        "listen": listeners.iter().map(listener).collect::<Vec<_>>(),
        "upstream": upstreams.collect::<Map<_, _>>(),
        "route": routes.iter().map(|one| route(one)).collect::<Vec<_>>(),
    })
}

fn log_table(log: &LogConfig) -> Value {
    let LogConfig {
        level,
        format,
        access,
        query,
        headers,
    } = log;
    let format = match format {
        LogFormat::Auto => "auto",
        LogFormat::Human => "human",
        LogFormat::Json => "json",
        LogFormat::Combined => "combined",
    };
    let access = match access {
        AccessLog::Stdout => "stdout".to_owned(),
        AccessLog::Stderr => "stderr".to_owned(),
        AccessLog::Off => "off".to_owned(),
        AccessLog::File(path) => path.display().to_string(),
    };
    json!({
        "level": level,
        "format": format,
        "access": access,
        "query": query,
        "headers": strings(headers),
    })
}

/// The address of a collector may hold a password.
fn trace_table(trace: &TraceConfig) -> Value {
    let TraceConfig {
        endpoint,
        sample,
        parent,
        service_name,
    } = trace;
    let endpoint = match endpoint {
        None => "off",
        Some(endpoint) if endpoint.contains('@') => REDACTED,
        Some(endpoint) => endpoint,
    };
    let parent = match parent {
        ParentRule::Continue => "continue",
        ParentRule::Trusted => "trusted",
        ParentRule::Ignore => "ignore",
    };
    json!({
        "endpoint": endpoint,
        "sample": sample,
        "parent": parent,
        "service_name": service_name,
    })
}

fn http_table(http: &HttpConfig) -> Value {
    let HttpConfig {
        trusted_proxies,
        forwarded,
        via,
        request_id,
        spelling: _,
        max_head,
        max_header_lines,
        max_target,
        head_timeout,
        keepalive_timeout,
        body_timeout,
        write_timeout,
        min_rate,
        max_connections,
        error_detail,
    } = http;
    json!({
        "max_head": max_head,
        "max_header_lines": max_header_lines,
        "max_target": max_target,
        "head_timeout": write_duration(*head_timeout),
        "keepalive_timeout": write_duration(*keepalive_timeout),
        "body_timeout": write_duration(*body_timeout),
        "write_timeout": write_duration(*write_timeout),
        "min_rate": min_rate,
        "max_connections": limit(*max_connections),
        "trusted_proxies": strings(trusted_proxies),
        "forwarded": forwarded,
        "via": via.as_deref().unwrap_or("off"),
        "request_id": request_id.as_ref().map_or("off", HeaderName::as_str),
        "error_detail": error_detail.as_str(),
    })
}

fn drain_table(drain: &DrainConfig) -> Value {
    let DrainConfig {
        delay,
        over,
        deadline,
        client_code,
        upstream_code,
        reason,
        retry_after,
    } = drain;
    json!({
        "delay": write_duration(*delay),
        "over": write_duration(*over),
        "deadline": write_duration(*deadline),
        "client_code": client_code,
        "upstream_code": upstream_code,
        "reason": reason,
        "retry_after": write_duration(*retry_after),
    })
}

fn admin_table(admin: &AdminConfig) -> Value {
    let AdminConfig {
        listen,
        mode,
        token_file,
        tap,
    } = admin;
    let listen = match listen {
        AdminListen::Auto => "auto".to_owned(),
        AdminListen::Off => "off".to_owned(),
        AdminListen::At(address) => address.to_string(),
    };
    let token_file = token_file.as_ref().map(|path| path.display().to_string());
    json!({
        "listen": listen,
        "mode": format!("{mode:04o}"),
        "token_file": token_file.unwrap_or_else(|| "off".to_owned()),
        "tap": tap.as_str(),
    })
}

fn resolver_table(resolver: &ResolverConfig) -> Value {
    let ResolverConfig {
        nameservers,
        min_ttl,
        max_ttl,
        timeout,
    } = resolver;
    json!({
        "nameservers": strings(nameservers),
        "min_ttl": write_duration(*min_ttl),
        "max_ttl": write_duration(*max_ttl),
        "timeout": write_duration(*timeout),
    })
}

fn listener(listener: &Listener) -> Value {
    let Listener { address, scheme } = listener;
    let mut shown = json!({ "address": address.to_string(), "scheme": scheme.as_str() });
    if let ListenAddress::Unix { path, mode } = address
        && listen::abstract_name(path).is_none()
    {
        shown["mode"] = format!("{mode:04o}").into();
    }
    shown
}

fn upstream(upstream: &UpstreamConfig) -> Value {
    let UpstreamConfig {
        name: _,
        endpoints,
        balance: how,
        connect_timeout,
        retry_after,
        max_idle,
        idle_timeout,
        max_header_lines,
        lenient,
    } = upstream;
    json!({
        "endpoints": strings(endpoints),
        "balance": balance(*how),
        "connect_timeout": write_duration(*connect_timeout),
        "retry_after": write_duration(*retry_after),
        "max_idle": max_idle,
        "idle_timeout": write_duration(*idle_timeout),
        "max_header_lines": max_header_lines,
        "lenient": lenient,
    })
}

fn route(route: &RouteConfig) -> Value {
    let RouteConfig {
        name,
        line: _,
        matches,
        action,
        rewrite,
        host: policy,
        request_headers,
        response_headers,
        timeouts:
            RouteTimeouts {
                response_head,
                response_idle,
                expect_continue,
            },
        upgrade,
        max_body,
        websocket: rules,
    } = route;
    let mut shown = Map::new();
    shown.insert("name".into(), name.as_str().into());
    what_it_takes(matches, &mut shown);
    match action {
        Action::Upstream(name) => shown.insert("upstream".into(), name.as_str().into()),
        Action::Respond { status, body } => {
            let answer = json!({ "status": status.as_u16(), "body": body });
            shown.insert("respond".into(), answer)
        }
        Action::Redirect { status, to } => {
            let answer = json!({ "status": status.as_u16(), "to": to });
            shown.insert("redirect".into(), answer)
        }
    };
    if let PathRewrite::ReplacePrefix(by) = rewrite {
        let by = if by.is_empty() { "/" } else { by };
        shown.insert("replace_prefix".into(), by.into());
    }
    if let HostPolicy::Set(host) = policy {
        shown.insert("set_host".into(), text(host));
    }
    shown.insert("upgrade".into(), upgrade.as_slice().into());
    shown.insert("max_body".into(), limit(*max_body));
    let timeouts = json!({
        "response_head": write_duration(*response_head),
        "response_idle": write_duration(*response_idle),
        "expect_continue": write_duration(*expect_continue),
    });
    shown.insert("timeouts".into(), timeouts);
    shown.insert("request_headers".into(), edits(request_headers));
    shown.insert("response_headers".into(), edits(response_headers));
    let mut rules = websocket(rules);
    if let Some(only) = matches.websocket {
        rules["match"] = only.into();
    }
    shown.insert("websocket".into(), rules);
    shown.into()
}

fn what_it_takes(matches: &RouteMatch, shown: &mut Map<String, Value>) {
    let RouteMatch {
        hosts,
        path: pattern,
        methods,
        headers,
        websocket: _,
    } = matches;
    shown.insert("host".into(), hosts.iter().map(host).collect());
    let key = match pattern {
        PathPattern::Exact(_) => "path",
        PathPattern::Prefix(_) => "path_prefix",
    };
    shown.insert(key.into(), path(pattern).into());
    shown.insert("method".into(), strings(methods));
    let headers = headers.iter().map(|HeaderMatch { name, value }| {
        let value = value
            .as_ref()
            .map_or(true.into(), |value| field(name, value));
        (name.to_string(), value)
    });
    shown.insert("headers".into(), headers.collect::<Map<_, _>>().into());
}

/// The rules for a route's tunnels.
pub(super) fn websocket(rules: &WebSocketConfig) -> Value {
    let WebSocketConfig {
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
    } = rules;
    let origin = match origin {
        OriginRule::SameOrigin => "same-origin".into(),
        OriginRule::Any => "any".into(),
        OriginRule::List(patterns) => strings(patterns),
    };
    let missing_origin = match missing_origin {
        MissingOrigin::Allow => "allow",
        MissingOrigin::Deny => "deny",
    };
    json!({
        "origin": origin,
        "missing_origin": missing_origin,
        "handshake_timeout": write_duration(*handshake_timeout),
        "accept_invalid_101": accept_invalid_101,
        "idle_timeout": span_or(*idle_timeout, "off"),
        "max_age": span_or(*max_age, "unlimited"),
        "max_age_jitter": max_age_jitter,
        "ping_interval": span_or(*ping_interval, "off"),
        "ping_timeout": write_duration(*ping_timeout),
        "half_close_timeout": write_duration(*half_close_timeout),
        "close_timeout": write_duration(*close_timeout),
        "upstream_lost_code": code_or_off(*upstream_lost_code),
        "client_lost_code": code_or_off(*client_lost_code),
        "lost_reason": lost_reason,
        "unread_timeout": span_or(*unread_timeout, "off"),
        "strict": strict,
        "on_removed": on_change(*on_removed),
        "on_policy_change": on_change(*on_policy_change),
    })
}

fn code_or_off(code: Option<u16>) -> Value {
    code.map_or_else(|| "off".into(), Value::from)
}

fn on_change(what: OnChange) -> &'static str {
    match what {
        OnChange::Keep => "keep",
        OnChange::Drain => "drain",
        OnChange::Close => "close",
    }
}

/// A host as routes name it.
pub(super) fn host(host: &HostPattern) -> String {
    match host {
        HostPattern::Exact(name) => name.clone(),
        HostPattern::Suffix(suffix) => format!("*.{suffix}"),
    }
}

/// A path as routes name it.
pub(super) fn path(path: &PathPattern) -> String {
    match path {
        PathPattern::Exact(path) => path.clone(),
        PathPattern::Prefix(prefix) if prefix.is_empty() => "/".to_owned(),
        PathPattern::Prefix(prefix) => prefix.clone(),
    }
}

fn edits(edits: &HeaderEdits) -> Value {
    let HeaderEdits {
        remove,
        set,
        add,
        spelling: _,
    } = edits;
    let fields = |all: &[(HeaderName, HeaderValue)]| {
        let all = all.iter();
        all.map(|(name, value)| (name.to_string(), field(name, value)))
            .collect::<Map<_, _>>()
    };
    json!({ "remove": strings(remove), "set": fields(set), "add": fields(add) })
}

/// The value of a header field, unless the field is for credentials.
fn field(name: &HeaderName, value: &HeaderValue) -> Value {
    match value.is_sensitive() || is_for_credentials(name) {
        true => REDACTED.into(),
        false => text(value),
    }
}

fn text(value: &HeaderValue) -> Value {
    String::from_utf8_lossy(value.as_bytes()).into()
}

fn strings<T: Display>(all: &[T]) -> Value {
    all.iter().map(T::to_string).collect()
}

fn span_or(span: Option<Duration>, without: &str) -> String {
    span.map_or_else(|| without.to_owned(), write_duration)
}

fn limit<T: Into<Value>>(limit: Option<T>) -> Value {
    limit.map_or("unlimited".into(), T::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_credential_is_not_shown() {
        let toml = "listen = [{ address = '127.0.0.1:1' }]\n[[route]]\nto = 'localhost:1'\n\
            headers = { x-api-key = 'hidden-1', x-tenant = 'shown-1' }\n\
            request_headers.set = { authorization = 'Bearer hidden-2', x-app = 'shown-2', \
            X-Auth-Token = 'hidden-3' }\n\
            request_headers.add = { cookie = 'hidden-4' }\n\
            response_headers.set = { set-cookie = 'hidden-5', x-frame-options = 'shown-3' }\n";
        let shown = of(&crate::config_file::parse(toml, "test").unwrap()).to_string();
        assert!(!shown.contains("hidden"), "{shown}");
        for plain in ["shown-1", "shown-2", "shown-3", "authorization", "cookie"] {
            assert!(shown.contains(plain), "{plain}: {shown}");
        }
        assert_eq!(shown.matches("\"redacted\"").count(), 5, "{shown}");
    }
}
