//! What is different between two configurations, in words.

use std::collections::BTreeMap;

use crate::config::{AdminConfig, Config};

/// What a reload cannot change.
pub(super) fn needs_restart(old: &Config, new: &Config) -> Vec<String> {
    // What a tap may see is looked up each time that it is about to tell something.
    let admin = AdminConfig {
        tap: new.admin.tap,
        ..old.admin.clone()
    };
    let settings = [
        ("workers", old.workers != new.workers),
        ("log.format", old.log.format != new.log.format),
        ("admin", admin != new.admin),
        ("pid_file", old.pid_file != new.pid_file),
    ];
    let changed = settings.iter().filter(|(_, changed)| *changed);
    changed.map(|(name, _)| (*name).to_owned()).collect()
}

/// What has changed, a line each.
pub(super) fn changes(old: &Config, new: &Config) -> Vec<String> {
    let mut changes = Vec::new();
    compare(
        &mut changes,
        "listener",
        old.listeners
            .iter()
            .map(|one| (one.address.to_string(), one)),
        new.listeners
            .iter()
            .map(|one| (one.address.to_string(), one)),
        |old, new| old == new,
    );
    compare(
        &mut changes,
        "upstream",
        old.upstreams.iter().map(|(name, one)| (name.clone(), one)),
        new.upstreams.iter().map(|(name, one)| (name.clone(), one)),
        |old, new| old == new,
    );
    compare(
        &mut changes,
        "route",
        old.routes.iter().map(|one| (one.name.clone(), one)),
        new.routes.iter().map(|one| (one.name.clone(), one)),
        |old, new| old == new,
    );
    let tables = [
        ("[log]", old.log != new.log),
        ("[trace]", old.trace != new.trace),
        ("[http]", old.http != new.http),
        ("[drain]", old.drain != new.drain),
        ("[resolver]", old.resolver != new.resolver),
        ("[reload]", old.reload != new.reload),
        ("[upgrade]", old.upgrade != new.upgrade),
    ];
    for (table, _) in tables.iter().filter(|(_, changed)| *changed) {
        changes.push(format!("{table} changed"));
    }
    changes
}

fn compare<T>(
    changes: &mut Vec<String>,
    what: &str,
    old: impl Iterator<Item = (String, T)>,
    new: impl Iterator<Item = (String, T)>,
    equal: impl Fn(&T, &T) -> bool,
) {
    let mut old: BTreeMap<String, T> = old.collect();
    for (name, new) in new {
        match old.remove(&name) {
            None => changes.push(format!("{what} {name} added")),
            Some(old) if !equal(&old, &new) => changes.push(format!("{what} {name} changed")),
            Some(_) => {}
        }
    }
    changes.extend(old.keys().map(|name| format!("{what} {name} removed")));
}
