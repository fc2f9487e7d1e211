//! `/v1/routes` and `/v1/upstreams`: what is configured, with what is live of it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::websocket::WebSocketTable;
use crate::config::{HostPattern, PathPattern};
use crate::exposition::Figures;
use crate::process::Shared;
use crate::setting::scalar::Word;
use crate::snapshot::{Route, Snapshot};
use crate::upstream::{self, Endpoint, Upstream};
use crate::vocabulary::stamp::rfc3339;

/// An upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamView {
    /// Its name.
    pub name: String,
    /// How an endpoint is chosen, as in the configuration; `None`: it is gone from that, and
    /// only endpoints that are leaving are left.
    pub balance: Option<String>,
    /// Its endpoints; none while no name of it is resolved. Those that are leaving come last.
    pub endpoints: Vec<EndpointView>,
}

/// An endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointView {
    /// Its address as logs show it.
    pub address: String,
    /// Whether it is used.
    pub state: EndpointState,
    /// Exchanges under way.
    pub in_flight: u32,
    /// Live tunnels.
    pub tunnels: u32,
    /// Why the last connect failed, in a word; `None`: it succeeded.
    #[serde(default)]
    pub failure: Option<String>,
    /// Since when connects fail, as RFC 3339 writes it.
    #[serde(default)]
    pub failing_since: Option<String>,
}

/// Whether an endpoint is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointState {
    /// It is.
    #[default]
    Up,
    /// The last connect failed: only when no other is left, or as a trial now and then.
    Avoided,
    /// It gets nothing new, by command.
    Draining,
    /// A reload or its name's addresses removed it: it gets nothing new, and is there until its
    /// last tunnel or exchange has ended.
    Leaving,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RouteView {
    /// Its name.
    pub name: String,
    /// Where it leads; `None`: it answers by itself.
    pub upstream: Option<String>,
    /// The hosts that it takes; none: every host.
    pub host: Vec<String>,
    /// The path that it takes, of which `match` says how.
    pub path: String,
    /// `prefix` or `exact`.
    pub r#match: String,
    /// Live tunnels, as of the last look.
    pub tunnels: u64,
    /// Whether new handshakes are refused, by command.
    pub draining: bool,
    /// The rules for its tunnels, in the words of the configuration.
    pub websocket: serde_json::Value,
}

/// The upstreams in the order of names.
pub(super) fn of(shared: &Shared) -> Vec<UpstreamView> {
    let snapshot = shared.snapshot.load();
    let present = |upstream: &Arc<Upstream>| UpstreamView {
        name: upstream.name().to_string(),
        balance: Some(upstream.config().balance.word().to_owned()),
        endpoints: upstream
            .endpoints()
            .iter()
            .map(|one| endpoint(one, false))
            .collect(),
    };
    let present = snapshot.upstreams.values().map(present);
    let mut all: BTreeMap<String, UpstreamView> =
        present.map(|view| (view.name.clone(), view)).collect();
    for leaving in upstream::leaving(&shared.registry, snapshot.upstreams.values()) {
        let name = leaving.upstream().to_string();
        let upstream = all.entry(name.clone()).or_insert_with(|| UpstreamView {
            name,
            balance: None,
            endpoints: Vec::new(),
        });
        upstream.endpoints.push(endpoint(&leaving, true));
    }
    all.into_values().collect()
}

/// The routes in the order of the configuration.
pub(super) fn routes(snapshot: &Snapshot, figures: &Figures) -> Vec<RouteView> {
    let open: HashMap<&str, u64> = figures
        .routes
        .iter()
        .map(|(name, route)| (&**name, route.open))
        .collect();
    let view = |route: &Arc<Route>| RouteView {
        name: route.name.to_string(),
        upstream: route.upstream.as_ref().map(|one| one.name().to_string()),
        host: route
            .config
            .matches
            .hosts
            .iter()
            .map(HostPattern::to_string)
            .collect(),
        path: route.config.matches.path.to_string(),
        r#match: match route.config.matches.path {
            PathPattern::Exact(_) => "exact".to_owned(),
            PathPattern::Prefix(_) => "prefix".to_owned(),
        },
        tunnels: open.get(&*route.name).copied().unwrap_or(0),
        draining: route.draining.load(std::sync::atomic::Ordering::Relaxed),
        websocket: WebSocketTable::written(&route.config.websocket).to_json(),
    };
    snapshot.routes.iter().map(view).collect()
}

fn endpoint(endpoint: &Endpoint, leaving: bool) -> EndpointView {
    let failure = endpoint.failure();
    EndpointView {
        address: endpoint.name().to_string(),
        state: state((!leaving).then_some(endpoint)),
        in_flight: endpoint.in_flight(),
        tunnels: endpoint.tunnels(),
        failure: failure.map(|failure| failure.why.to_owned()),
        failing_since: failure.map(|failure| rfc3339(failure.since)),
    }
}

/// The state of an endpoint; `None`: of one that is leaving.
pub(super) fn state(endpoint: Option<&Endpoint>) -> EndpointState {
    match endpoint {
        None => EndpointState::Leaving,
        Some(endpoint) if endpoint.is_draining() => EndpointState::Draining,
        Some(endpoint) if endpoint.has_failed() => EndpointState::Avoided,
        Some(_) => EndpointState::Up,
    }
}
