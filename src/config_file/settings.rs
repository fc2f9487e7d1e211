//! `[log]`, `[http]`, `[drain]`, `[trace]` and `[resolver]`: their way into the typed configuration.

use std::net::SocketAddr;

use super::listen::bind_address;
use crate::config::form::address::{AdminAddress, Bind};
use crate::config::keys::{
    AdminTable, DrainTable, FileTable, HttpTable, LogTable, ResolverTable, TraceTable,
};
use crate::config::{
    AdminConfig, AdminListen, DrainConfig, HttpConfig, LogConfig, ReloadConfig, ResolverConfig,
    TraceConfig, UpgradeConfig,
};
use crate::setting::read::{Key, Plain, Sink};
use crate::setting::scalar::Optional;
use crate::setting::units::write_duration;

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
    if let Some(Optional(Some(field))) = request_id.value() {
        let mut lines = Vec::new();
        field.0.spell(&mut lines);
        http.spelling = lines.into();
    }
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

pub(super) fn trace(file: &FileTable) -> TraceConfig {
    let mut trace = TraceConfig::default();
    if let Some(TraceTable {
        span: _,
        key: _,
        endpoint,
        sample,
        parent,
        service_name,
    }) = file.trace.value()
    {
        endpoint.store(&mut trace.endpoint);
        sample.store(&mut trace.sample);
        parent.store(&mut trace.parent);
        service_name.store(&mut trace.service_name);
    }
    trace
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
