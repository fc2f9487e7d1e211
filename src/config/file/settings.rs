//! `[log]`, `[http]`, `[drain]` and `[resolver]`: their own value types, and their way
//! into the typed configuration.

use std::net::SocketAddr;

use schemars::{Schema, SchemaGenerator, json_schema};
use tracing_subscriber::EnvFilter;

use super::address::{AdminAddress, Bind};
use super::keys::{AdminTable, DrainTable, FileTable, HttpTable, LogTable, ResolverTable};
use super::listen::bind_address;
use super::read::{FromText, Key, Node, Plain, Read, Sink, Wrong, nearest};
use super::scalar::integer;
use super::units::write_duration;
use crate::config::{
    AccessLog, AdminConfig, AdminListen, DrainConfig, HttpConfig, LogConfig, ReloadConfig,
    ResolverConfig, UpgradeConfig,
};

/// `log.level`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogLevel(String);

impl FromText for LogLevel {
    const EXPECTED: &'static str = "a level such as `\"info\"`";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
        // A filter takes a word without `=` for the name of a module, so a misspelt level
        // would silence everything.
        let stray = text.split(',').map(str::trim).find(|part| {
            !part.contains('=') && !LEVELS.contains(&part.to_ascii_lowercase().as_str())
        });
        if let Some(part) = stray {
            let wrong = Wrong::new(format!("`{part}` is not a log level"));
            return Err(match nearest(part, LEVELS) {
                Some(meant) => wrong.hint(format!("did you mean `\"{meant}\"`?")),
                None => wrong.hint(
                    "a level is error, warn, info, debug, trace or off; for one module write \
                     `\"info,sluice::tunnel=debug\"`",
                ),
            });
        }
        match EnvFilter::builder().parse(text) {
            Ok(_) => Ok(LogLevel(text.to_owned())),
            Err(error) => Err(Wrong::new(format!("`{text}` is not a log filter: {error}"))),
        }
    }
}

impl Plain<String> for LogLevel {
    fn plain(&self) -> String {
        self.0.clone()
    }
}

/// `log.access`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AccessTarget(AccessLog);

impl FromText for AccessTarget {
    const EXPECTED: &'static str = "`\"stdout\"`, `\"stderr\"`, `\"off\"` or the path of a file";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        let target = match text {
            "stdout" => AccessLog::Stdout,
            "stderr" => AccessLog::Stderr,
            "off" => AccessLog::Off,
            path if path.contains('/') && !path.ends_with('/') && !path.contains('\0') => {
                AccessLog::File(path.into())
            }
            _ => {
                return Err(Wrong::new(format!("`{text}` is not where a log can go")).hint(
                    "`\"stdout\"`, `\"stderr\"`, `\"off\"`, or the path of a file with a `/` in it",
                ));
            }
        };
        Ok(AccessTarget(target))
    }
}

impl Plain<AccessLog> for AccessTarget {
    fn plain(&self) -> AccessLog {
        self.0.clone()
    }
}

/// A close code that an endpoint may send (RFC 6455 section 7.4 and the IANA registry).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CloseCode(u16);

impl Read for CloseCode {
    fn expected() -> String {
        "a WebSocket close code such as 1012".to_owned()
    }

    fn read(node: &Node<'_>, sink: &mut Sink) -> Option<Self> {
        let Some(code) = integer(node.value) else {
            sink.wrong_type(node, &Self::expected());
            return None;
        };
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(CloseCode(code as u16)),
            _ => {
                let message = format!("{code} is not a close code that can be sent");
                sink.report(&node.span, &node.key, message)
                    .hint("1000 to 1003, 1007 to 1014, or 3000 to 4999 of your own");
                None
            }
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "integer", "minimum": 1000, "maximum": 1003 },
            { "type": "integer", "minimum": 1007, "maximum": 1014 },
            { "type": "integer", "minimum": 3000, "maximum": 4999 },
        ] })
    }
}

impl Plain<u16> for CloseCode {
    fn plain(&self) -> u16 {
        self.0
    }
}

/// A close reason: what fits behind the code into a control frame (RFC 6455 section 5.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CloseReason(String);

impl FromText for CloseReason {
    const EXPECTED: &'static str = "a string";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        let length = text.len();
        if length > 123 {
            let message = format!("a close reason has at most 123 bytes; this one has {length}");
            return Err(Wrong::new(message));
        }
        Ok(CloseReason(text.to_owned()))
    }
}

impl Plain<String> for CloseReason {
    fn plain(&self) -> String {
        self.0.clone()
    }
}

pub(super) fn log(file: &FileTable) -> LogConfig {
    let mut log = LogConfig::default();
    if let Some(LogTable {
        span: _,
        key: _,
        level,
        format,
        access,
        query,
        headers,
    }) = file.log.value()
    {
        level.store(&mut log.level);
        format.store(&mut log.format);
        access.store(&mut log.access);
        query.store(&mut log.query);
        if let Some(headers) = headers.value() {
            let names = headers.0.iter().map(|name| name.value.0.clone());
            log.headers = names.collect();
        }
    }
    log
}

pub(super) fn http(file: &FileTable, sink: &mut Sink) -> HttpConfig {
    let mut http = HttpConfig::default();
    let Some(table) = file.http.value() else {
        return http;
    };
    let HttpTable {
        span: _,
        key: _,
        max_head,
        max_header_lines,
        max_target,
        head_timeout,
        keepalive_timeout,
        body_timeout,
        write_timeout,
        min_rate,
        max_connections,
        trusted_proxies,
        forwarded,
        via,
        request_id,
        error_detail,
    } = table;
    max_head.store(&mut http.max_head);
    max_header_lines.store(&mut http.max_header_lines);
    max_target.store(&mut http.max_target);
    head_timeout.store(&mut http.head_timeout);
    keepalive_timeout.store(&mut http.keepalive_timeout);
    body_timeout.store(&mut http.body_timeout);
    write_timeout.store(&mut http.write_timeout);
    if let Some(rate) = min_rate.value() {
        http.min_rate = rate.0.map_or(0, |rate| rate.0);
    }
    max_connections.store(&mut http.max_connections);
    if let Some(nets) = trusted_proxies.value() {
        http.trusted_proxies = nets.0.iter().map(|net| net.value).collect();
    }
    forwarded.store(&mut http.forwarded);
    via.store(&mut http.via);
    request_id.store(&mut http.request_id);
    error_detail.store(&mut http.error_detail);

    let both_read = !max_head.is_invalid() && !max_target.is_invalid();
    if both_read && http.max_target > http.max_head {
        let place = max_target.span().or(max_head.span()).unwrap_or(&table.span);
        let message = "`max_target` is larger than `max_head`, which holds the target too";
        sink.report(place, &format!("{}.max_target", table.key), message)
            .hint("raise `max_head`, or lower `max_target`");
    }
    http
}

pub(super) fn drain(file: &FileTable, sink: &mut Sink) -> DrainConfig {
    let mut drain = DrainConfig::default();
    let Some(table) = file.drain.value() else {
        return drain;
    };
    let DrainTable {
        span: _,
        key: _,
        delay,
        over,
        deadline,
        client_code,
        upstream_code,
        reason,
        retry_after,
    } = table;
    delay.store(&mut drain.delay);
    over.store(&mut drain.over);
    deadline.store(&mut drain.deadline);
    client_code.store(&mut drain.client_code);
    upstream_code.store(&mut drain.upstream_code);
    reason.store(&mut drain.reason);
    retry_after.store(&mut drain.retry_after);

    let both_read = !over.is_invalid() && !deadline.is_invalid();
    if both_read && drain.deadline < drain.over {
        let message = format!(
            "the drain's `deadline` ({}) is shorter than its `over` ({})",
            write_duration(drain.deadline),
            write_duration(drain.over)
        );
        let place = deadline.span().or(over.span()).unwrap_or(&table.span);
        sink.report(place, &format!("{}.deadline", table.key), message)
            .hint("tunnels closed last need time too: let `deadline` be some seconds longer");
    }
    drain
}

pub(super) fn admin(file: &FileTable, sink: &mut Sink) -> AdminConfig {
    let mut admin = AdminConfig::default();
    let Some(AdminTable {
        span: _,
        key: _,
        listen,
        mode,
        token_file,
        tap,
    }) = file.admin.value()
    else {
        return admin;
    };
    if let Some(mode) = mode.value() {
        admin.mode = mode.0;
    }
    token_file.store(&mut admin.token_file);
    tap.store(&mut admin.tap);
    match listen.value() {
        Some(AdminAddress::Off) => admin.listen = AdminListen::Off,
        Some(AdminAddress::At(bind)) => {
            // One that is written wrongly was meant to be there.
            if admin.token_file.is_none() && !token_file.is_invalid() {
                only_loopback(listen, bind, sink);
            }
            admin.listen = AdminListen::At(bind_address(bind, mode, admin.mode, sink));
        }
        Some(AdminAddress::Auto) | None => {}
    }
    admin
}

/// Whoever reaches the admin interface over TCP without a token may give orders: nobody but
/// this machine.
fn only_loopback(listen: &Key<AdminAddress>, bind: &Bind, sink: &mut Sink) {
    if let (Bind::Tcp(address), Some(place)) = (bind, listen.given())
        && !address.ip().to_canonical().is_loopback()
    {
        let message = format!("the admin interface can't listen on {address}");
        sink.at(place, message).hint(format!(
            "without a token it is open to this machine only: `\"127.0.0.1:{}\"`, or name a \
             `token_file`",
            address.port()
        ));
    }
}

pub(super) fn reload(file: &FileTable) -> ReloadConfig {
    let mut reload = ReloadConfig::default();
    if let Some(table) = file.reload.value() {
        table.watch.store(&mut reload.watch);
    }
    reload
}

pub(super) fn upgrade(file: &FileTable) -> UpgradeConfig {
    let mut upgrade = UpgradeConfig::default();
    if let Some(table) = file.upgrade.value() {
        table.deadline.store(&mut upgrade.deadline);
    }
    upgrade
}

pub(super) fn resolver(file: &FileTable, sink: &mut Sink) -> ResolverConfig {
    let mut resolver = ResolverConfig::default();
    let Some(table) = file.resolver.value() else {
        return resolver;
    };
    let ResolverTable {
        span: _,
        key: _,
        nameservers,
        min_ttl,
        max_ttl,
        timeout,
    } = table;
    if let Some(servers) = nameservers.value() {
        resolver.nameservers = servers
            .0
            .iter()
            .map(|server| -> SocketAddr { server.value.plain() })
            .collect();
    }
    min_ttl.store(&mut resolver.min_ttl);
    max_ttl.store(&mut resolver.max_ttl);
    timeout.store(&mut resolver.timeout);

    let both_read = !min_ttl.is_invalid() && !max_ttl.is_invalid();
    if both_read && resolver.max_ttl < resolver.min_ttl {
        let place = max_ttl.span().or(min_ttl.span()).unwrap_or(&table.span);
        let message = format!(
            "`max_ttl` ({}) is shorter than `min_ttl` ({})",
            write_duration(resolver.max_ttl),
            write_duration(resolver.min_ttl)
        );
        sink.report(place, &format!("{}.max_ttl", table.key), message);
    }
    resolver
}
