//! What to say of a key that does not belong where it stands.

use crate::config::action::{RedirectTable, RespondTable};
use crate::config::admin::AdminTable;
use crate::config::clients::HttpTable;
use crate::config::drain::DrainTable;
use crate::config::file::FileTable;
use crate::config::listen::ListenTable;
use crate::config::log::LogTable;
use crate::config::operation::{ReloadTable, UpgradeTable};
use crate::config::route::{HeaderEditsTable, RouteTable, TimeoutsTable};
use crate::config::tls::{CertificateTable, TlsTable};
use crate::config::trace::TraceTable;
use crate::config::upstream::{ResolverTable, UpstreamTable};
use crate::config::websocket::WebSocketTable;
use crate::setting::{nearest, quoted};

const TABLES: [(&str, &[&str]); 19] = [
    (TraceTable::PLACE, TraceTable::KEYS),
    (AdminTable::PLACE, AdminTable::KEYS),
    (ReloadTable::PLACE, ReloadTable::KEYS),
    (UpgradeTable::PLACE, UpgradeTable::KEYS),
    (FileTable::PLACE, FileTable::KEYS),
    (LogTable::PLACE, LogTable::KEYS),
    (HttpTable::PLACE, HttpTable::KEYS),
    (DrainTable::PLACE, DrainTable::KEYS),
    (ResolverTable::PLACE, ResolverTable::KEYS),
    (ListenTable::PLACE, ListenTable::KEYS),
    (TlsTable::PLACE, TlsTable::KEYS),
    (CertificateTable::PLACE, CertificateTable::KEYS),
    (RouteTable::PLACE, RouteTable::KEYS),
    (HeaderEditsTable::PLACE, HeaderEditsTable::KEYS),
    (TimeoutsTable::PLACE, TimeoutsTable::KEYS),
    (WebSocketTable::PLACE, WebSocketTable::KEYS),
    (RespondTable::PLACE, RespondTable::KEYS),
    (RedirectTable::PLACE, RedirectTable::KEYS),
    (UpstreamTable::PLACE, UpstreamTable::KEYS),
];

/// What to say of a condition beside the table that takes its place.
const WEBSOCKET_TWICE: &str =
    "`websocket` is a condition or a table; the table holds the condition as `match = true`";

/// What to say of a key that is there twice and may be written in two ways; `None`: of most
/// there is nothing to say.
pub(super) fn hint_for_twice(key: &str) -> Option<&'static str> {
    match key {
        "websocket" => Some(WEBSOCKET_TWICE),
        "redirect" => {
            Some("`redirect` is a URL or a table; the table holds the URL as `to = \"https://…\"`")
        }
        _ => None,
    }
}

/// What to say of a key that is unknown in a table with these keys and near to none of them.
pub(super) fn hint_for(unknown: &str, keys: &[&str]) -> String {
    if unknown == "websocket" && keys == WebSocketTable::KEYS {
        return WEBSOCKET_TWICE.to_owned();
    }
    let all = TABLES.iter().flat_map(|(_, keys)| keys.iter().copied());
    let Some(meant) = nearest(unknown, all) else {
        return format!("the keys here are {}", quoted(keys.iter().copied()));
    };
    let places: Vec<&str> = TABLES
        .iter()
        .filter(|(_, keys)| keys.contains(&meant))
        .map(|(place, _)| *place)
        .collect();
    let places = places.join(" or ");
    if meant == unknown {
        format!("`{unknown}` belongs in {places}")
    } else {
        format!("did you mean `{meant}`? it belongs in {places}")
    }
}
