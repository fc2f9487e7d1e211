//! `/v1/status`: what the process is, what it serves and with what configuration. The types
//! are the command line's too, so fields are added, never renamed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use serde::{Deserialize, Serialize};

use super::certificates::{self, CertificateStatus};
use super::history::History;
use super::http::HttpView;
use super::state::Context;
use super::upstreams::{self, EndpointState};
use crate::process::order::{DrainView, Remaining};
use crate::process::state::{LastReload, Phase};
use crate::proxy::untrusted;
use crate::snapshot::Snapshot;
use crate::tap;
use crate::tunnel_registry;
use crate::vocabulary::stamp::rfc3339;

/// The state of the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// Milliseconds since it started.
    pub uptime_ms: u64,
    /// Which configuration is in force, counted from 1.
    pub generation: u64,
    /// How far it is on its way.
    pub phase: Phase,
    /// Whether new clients are welcome.
    pub ready: bool,
    /// Each worker's share.
    pub workers: Vec<WorkerStatus>,
    /// Client connections, tunnels among them.
    pub connections: u64,
    /// The configuration.
    pub config: ConfigStatus,
    /// The live tunnels.
    pub tunnels: TunnelStatus,
    /// The drains.
    pub drains: Vec<DrainView>,
    /// What may be missing in the configuration, in sentences.
    #[serde(default)]
    pub hints: Vec<String>,
    /// Plain HTTP by route.
    #[serde(default)]
    pub http: Vec<HttpView>,
    /// Who looks at frames of tunnels: how many taps there are.
    #[serde(default)]
    pub taps: u64,
    /// The processes that this one has taken over from and that finish what they have, the
    /// last first.
    #[serde(default)]
    pub predecessors: Vec<Remaining>,
    /// The certificates of listeners with TLS.
    #[serde(default)]
    pub certificates: Vec<CertificateStatus>,
}

/// One worker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerStatus {
    /// Client connections, tunnels among them.
    pub connections: u64,
    /// Tunnels.
    pub tunnels: u64,
}

/// The configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigStatus {
    /// Its file; `None`: started without one.
    pub file: Option<String>,
    /// How the last reload went; `None` before the first.
    pub last_reload: Option<ReloadStatus>,
    /// False from a reload that was refused to the next one that was not.
    pub config_last_reload_successful: bool,
}

/// A reload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadStatus {
    /// When, as RFC 3339 writes it.
    pub at: String,
    /// Whether the file was put in force.
    pub ok: bool,
    /// Why it was not.
    pub error: Option<String>,
}

/// The live tunnels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TunnelStatus {
    /// All of them.
    pub total: u64,
    /// By route, in the order of names.
    pub routes: Vec<RouteStatus>,
    /// By upstream and endpoint, in the order of names.
    pub upstreams: Vec<UpstreamStatus>,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteStatus {
    /// Its name.
    pub name: String,
    /// Its live tunnels.
    pub tunnels: u64,
    /// False: it is gone from the configuration, and only its tunnels are left.
    pub configured: bool,
}

/// An upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamStatus {
    /// Its name.
    pub name: String,
    /// Its endpoints.
    pub endpoints: Vec<EndpointStatus>,
}

/// An endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointStatus {
    /// Its address as logs show it.
    pub address: String,
    /// Its live tunnels.
    pub tunnels: u64,
    /// False: it is gone from the configuration or from its name's addresses, and only its
    /// tunnels are left.
    pub configured: bool,
    /// Whether it is used.
    #[serde(default)]
    pub state: EndpointState,
    /// Why the last connect failed, in a word: `refused`, `timeout`, …; `None`: it succeeded.
    #[serde(default)]
    pub failure: Option<String>,
    /// Since when connects fail, as RFC 3339 writes it.
    #[serde(default)]
    pub failing_since: Option<String>,
}

/// Gathers it all; asks every worker once.
pub(super) async fn of(context: &Context, history: &History) -> Status {
    let shared = &context.shared;
    let state = &shared.state;
    let counts = tunnels_by_worker(context).await;
    let workers = context.workers.iter().zip(&counts);
    let workers = workers.map(|(worker, counts)| WorkerStatus {
        connections: worker.load() as u64,
        tunnels: counts.values().sum(),
    });
    let snapshot = shared.snapshot.load();
    let last_reload = state.last_reload().map(ReloadStatus::from);
    let certificates = certificates::all(&snapshot);
    let mut hints = untrusted::hints(&snapshot.forwarding);
    hints.extend(certificates::hints(&certificates));
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        uptime_ms: u64::try_from(state.started.elapsed().as_millis()).unwrap_or(u64::MAX),
        generation: snapshot.generation,
        phase: state.phase(),
        ready: state.is_ready(),
        workers: workers.collect(),
        connections: shared.connections.load(Relaxed) as u64,
        config: ConfigStatus {
            file: context
                .source
                .as_ref()
                .map(|file| file.display().to_string()),
            config_last_reload_successful: last_reload.as_ref().is_none_or(|last| last.ok),
            last_reload,
        },
        tunnels: TunnelStatus::new(&snapshot, &counts),
        drains: state.drain_views(),
        hints,
        http: history.http(),
        taps: tap::count() as u64,
        predecessors: state.predecessor().all(),
        certificates,
    }
}

/// Route, upstream and endpoint.
type Way = (Arc<str>, Arc<str>, Arc<str>);

/// The tunnels of each worker; of one that has stopped none.
async fn tunnels_by_worker(context: &Context) -> Vec<HashMap<Way, u64>> {
    let next = AtomicUsize::new(0);
    let answers = context
        .workers
        .ask(|| {
            let index = next.fetch_add(1, Relaxed);
            move || (index, tunnels_here())
        })
        .await;
    let mut by_worker = Vec::new();
    by_worker.resize_with(context.workers.iter().len(), HashMap::new);
    for (index, counts) in answers {
        by_worker[index] = counts;
    }
    by_worker
}

fn tunnels_here() -> HashMap<Way, u64> {
    let mut counts = HashMap::new();
    for handle in tunnel_registry::handles() {
        let identity = &handle.identity;
        let way = (
            identity.route().clone(),
            identity.upstream().clone(),
            identity.endpoint().clone(),
        );
        *counts.entry(way).or_default() += 1;
    }
    counts
}

impl TunnelStatus {
    fn new(snapshot: &Snapshot, counts: &[HashMap<Way, u64>]) -> TunnelStatus {
        /// Tunnels, and whether the configuration knows of it.
        type Count = (u64, bool);
        let mut routes: BTreeMap<Arc<str>, Count> = BTreeMap::new();
        let mut endpoints: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Count>> = BTreeMap::new();
        for route in snapshot
            .routes
            .iter()
            .filter(|route| route.upstream.is_some())
        {
            routes.insert(route.name.clone(), (0, true));
        }
        for upstream in snapshot.upstreams.values() {
            let own = endpoints.entry(upstream.name().clone()).or_default();
            for endpoint in upstream.endpoints().iter() {
                own.insert(endpoint.name().clone(), (0, true));
            }
        }
        let mut total = 0;
        for ((route, upstream, endpoint), count) in counts.iter().flatten() {
            total += count;
            routes.entry(route.clone()).or_default().0 += count;
            let own = endpoints.entry(upstream.clone()).or_default();
            own.entry(endpoint.clone()).or_default().0 += count;
        }
        let route = |(name, (tunnels, configured)): (Arc<str>, Count)| RouteStatus {
            name: name.to_string(),
            tunnels,
            configured,
        };
        let endpoint = |upstream: &Arc<str>, address: Arc<str>, count: Count| {
            let own = snapshot.upstreams.get(&**upstream).and_then(|upstream| {
                let all = upstream.endpoints();
                let own = all.iter().find(|endpoint| *endpoint.name() == address);
                own.cloned()
            });
            let failure = own.as_ref().and_then(|endpoint| endpoint.failure());
            EndpointStatus {
                address: address.to_string(),
                tunnels: count.0,
                configured: count.1,
                state: upstreams::state(own.as_deref()),
                failure: failure.map(|failure| failure.why.to_owned()),
                failing_since: failure.map(|failure| rfc3339(failure.since)),
            }
        };
        let upstream = |(name, own): (Arc<str>, BTreeMap<Arc<str>, Count>)| UpstreamStatus {
            name: name.to_string(),
            endpoints: { own.into_iter() }
                .map(|(address, count)| endpoint(&name, address, count))
                .collect(),
        };
        TunnelStatus {
            total,
            routes: routes.into_iter().map(route).collect(),
            upstreams: endpoints.into_iter().map(upstream).collect(),
        }
    }
}

impl From<LastReload> for ReloadStatus {
    fn from(last: LastReload) -> Self {
        ReloadStatus {
            at: rfc3339(last.at),
            ok: last.error.is_none(),
            error: last.error,
        }
    }
}
