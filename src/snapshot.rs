//! What a request is decided by: routes and upstreams of one configuration, immutable and
//! swapped as a whole. A request takes its `Arc<Route>` and lets go of the snapshot before
//! it first waits, so an old one is freed while its tunnels live on.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::{Action, Config, DrainConfig, HttpConfig, RouteConfig};
use crate::http::forwarded::ForwardingPolicy;
use crate::route::matcher::RouteTable;
use crate::upstream::Upstream;

/// One configuration in force.
#[derive(Debug)]
pub struct Snapshot {
    /// Counts the configurations that were in force, from 1.
    pub generation: u64,
    /// The configuration itself.
    pub config: Arc<Config>,
    /// Finds the index of a request's route.
    pub table: RouteTable,
    /// The routes by index.
    pub routes: Vec<Arc<Route>>,
    /// The upstreams by name.
    pub upstreams: BTreeMap<String, Arc<Upstream>>,
    /// How tunnels are drained.
    pub drain: Arc<DrainConfig>,
    /// How client connections are treated.
    pub http: Arc<HttpConfig>,
    /// What upstreams are told about clients.
    pub forwarding: Arc<ForwardingPolicy>,
}

/// A route in force.
#[derive(Debug)]
pub struct Route {
    /// Its name.
    pub name: Arc<str>,
    /// Its settings.
    pub config: Arc<RouteConfig>,
    /// Where it leads, unless it answers by itself.
    pub upstream: Option<Arc<Upstream>>,
}

impl Snapshot {
    /// Puts a configuration in force; `upstreams` holds one for each of its names.
    pub fn new(
        generation: u64,
        config: Arc<Config>,
        upstreams: BTreeMap<String, Arc<Upstream>>,
    ) -> Self {
        let route = |config: &Arc<RouteConfig>| {
            let upstream = match &config.action {
                Action::Upstream(name) => upstreams.get(name).cloned(),
                Action::Respond { .. } | Action::Redirect { .. } => None,
            };
            Arc::new(Route {
                name: config.name.as_str().into(),
                config: config.clone(),
                upstream,
            })
        };
        Snapshot {
            generation,
            table: RouteTable::new(&config.routes),
            routes: config.routes.iter().map(route).collect(),
            drain: Arc::new(config.drain.clone()),
            http: Arc::new(config.http.clone()),
            forwarding: Arc::new(ForwardingPolicy::new(&config.http)),
            upstreams,
            config,
        }
    }
}
