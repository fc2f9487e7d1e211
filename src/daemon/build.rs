//! Builds the upstreams that a configuration asks for, and begins to resolve their names, before
//! any of it is in force: at the start, and for a reload.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, UpstreamConfig};
use crate::snapshot::Snapshot;
use crate::upstream::discover::Discovery;
use crate::upstream::{Registry, Upstream};

/// Longest wait for names that were not asked for before.
const NAMES: Duration = Duration::from_secs(5);

/// By name.
pub(super) type Upstreams = BTreeMap<String, Arc<Upstream>>;

/// One for each name; what has not changed is the old one.
pub(super) fn upstreams(
    config: &Config,
    old: Option<&Snapshot>,
    registry: &Arc<Registry>,
) -> Upstreams {
    let upstream = |(name, config): (&String, &Arc<UpstreamConfig>)| {
        let old = old.and_then(|old| old.upstreams.get(name));
        let same = old.filter(|old| old.config() == config).cloned();
        let build = || Arc::new(Upstream::new(config.clone(), registry.clone()));
        (name.clone(), same.unwrap_or_else(build))
    };
    config.upstreams.iter().map(upstream).collect()
}

/// Asks for their names. Those that are still unknown are waited for, and at the `first` time
/// all.
pub(super) async fn resolve(
    upstreams: &Upstreams,
    registry: &Arc<Registry>,
    config: &Config,
    first: bool,
) -> Discovery {
    let all: Vec<Arc<Upstream>> = upstreams.values().cloned().collect();
    let discovery = Discovery::start(&all, registry, &config.resolver);
    if first || all.iter().any(|upstream| upstream.is_unresolved()) {
        discovery.settled(config.resolver.timeout.min(NAMES)).await;
    }
    discovery
}
