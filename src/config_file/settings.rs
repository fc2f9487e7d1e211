//! What settings of `[http]`, `[drain]`, `[resolver]` and `[admin]` mean together.

use crate::config::admin::AdminTable;
use crate::config::file::FileTable;
use crate::config::form::address::{AdminAddress, Bind};
use crate::config::{AdminConfig, AdminListen, DrainConfig, HttpConfig, ResolverConfig};
use crate::setting::read::{Key, Sink};
use crate::setting::write_duration;

use super::listen::bind_address;

pub(super) fn http(file: &FileTable, http: &HttpConfig, sink: &mut Sink) {
    let Some(table) = file.http.value() else {
        return;
    };
    let (max_head, max_target) = (&table.max_head, &table.max_target);
    let both_read = !max_head.is_invalid() && !max_target.is_invalid();
    if both_read && http.max_target > http.max_head {
        let place = max_target.span().or(max_head.span()).unwrap_or(&table.span);
        let message = "`max_target` is larger than `max_head`, which holds the target too";
        sink.report(place, &format!("{}.max_target", table.key_path), message)
            .hint("raise `max_head`, or lower `max_target`");
    }
}

pub(super) fn drain(file: &FileTable, drain: &DrainConfig, sink: &mut Sink) {
    let Some(table) = file.drain.value() else {
        return;
    };
    let (over, deadline) = (&table.over, &table.deadline);
    let both_read = !over.is_invalid() && !deadline.is_invalid();
    if both_read && drain.deadline < drain.over {
        let message = format!(
            "the drain's `deadline` ({}) is shorter than its `over` ({})",
            write_duration(drain.deadline),
            write_duration(drain.over)
        );
        let place = deadline.span().or(over.span()).unwrap_or(&table.span);
        sink.report(place, &format!("{}.deadline", table.key_path), message)
            .hint("tunnels closed last need time too: let `deadline` be some seconds longer");
    }
}

pub(super) fn resolver(file: &FileTable, resolver: &ResolverConfig, sink: &mut Sink) {
    let Some(table) = file.resolver.value() else {
        return;
    };
    let (min_ttl, max_ttl) = (&table.min_ttl, &table.max_ttl);
    let both_read = !min_ttl.is_invalid() && !max_ttl.is_invalid();
    if both_read && resolver.max_ttl < resolver.min_ttl {
        let place = max_ttl.span().or(min_ttl.span()).unwrap_or(&table.span);
        let message = format!(
            "`max_ttl` ({}) is shorter than `min_ttl` ({})",
            write_duration(resolver.max_ttl),
            write_duration(resolver.min_ttl)
        );
        sink.report(place, &format!("{}.max_ttl", table.key_path), message);
    }
}

pub(super) fn admin(table: Option<&AdminTable>, sink: &mut Sink) -> AdminConfig {
    let mut admin = AdminConfig::default();
    let Some(table) = table else {
        return admin;
    };
    table.apply(&mut admin);
    match table.listen.value() {
        Some(AdminAddress::Off) => admin.listen = AdminListen::Off,
        Some(AdminAddress::At(bind)) => {
            // One that is written wrongly was meant to be there.
            if admin.token_file.is_none() && !table.token_file.is_invalid() {
                only_loopback(&table.listen, bind, sink);
            }
            admin.listen = AdminListen::At(bind_address(bind, &table.mode, admin.mode, sink));
        }
        Some(AdminAddress::Auto) | None => {}
    }
    admin
}

/// Without a token, every client that reaches the admin interface over TCP may give orders: only
/// this machine may.
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
