//! What a request is decided by: routes and upstreams of one configuration, immutable and
//! swapped as a whole. A request takes its `Arc<Route>` and lets go of the snapshot before
//! it first waits, so an old one is freed while its tunnels live on.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

use crate::config::{Action, Config, DrainConfig, HttpConfig, ListenAddress, RouteConfig};
use crate::message::forwarded;
use crate::message::forwarded::ForwardingPolicy;
use crate::metrics;
use crate::net::tls::Server;
use crate::route::hop::Mark;
use crate::route::tables::RouteTables;
use crate::upstream::Upstream;

/// One configuration in force.
#[derive(Debug)]
pub struct Snapshot {
    /// Counts the configurations that were in force, from 1.
    pub generation: u64,
    /// When this one was made, to be put in force at once.
    pub since: SystemTime,
    /// The configuration itself.
    pub config: Arc<Config>,
    /// Finds the index of a request's route.
    pub tables: RouteTables,
    /// The routes by index.
    pub routes: Vec<Arc<Route>>,
    /// The index of each name.
    names: HashMap<Arc<str>, usize>,
    /// The upstreams by name.
    pub upstreams: BTreeMap<String, Arc<Upstream>>,
    /// How tunnels are drained.
    pub drain: Arc<DrainConfig>,
    /// How client connections are treated.
    pub http: Arc<HttpConfig>,
    /// What upstreams are told about clients.
    pub forwarding: Arc<ForwardingPolicy>,
    /// A route asks for a field that sluice writes itself, so requests must have ours before
    /// they are routed.
    pub judges_our_fields: bool,
    /// A listener asks its clients for certificates, of which upstreams are told.
    pub asks_for_certificates: bool,
    /// A route takes only clients with one.
    pub demands_certificates: bool,
    /// What each listener of the configuration serves TLS with, if it does.
    pub servers: Vec<Option<Arc<Server>>>,
}

/// A route in force.
#[derive(Debug)]
pub struct Route {
    /// The generation of its snapshot.
    pub generation: u64,
    /// Its name.
    pub name: Arc<str>,
    /// What a request that left by it carries.
    pub mark: Mark,
    /// Its settings.
    pub config: Arc<RouteConfig>,
    /// Where it leads, unless it answers by itself.
    pub upstream: Option<Arc<Upstream>>,
    /// New handshakes are refused by an operator's command; shared by all routes of the name.
    pub draining: Arc<AtomicBool>,
    /// Where it is counted.
    pub slot: Arc<metrics::Slot>,
}

impl Snapshot {
    /// The first configuration in force; `upstreams` holds one for each of its names.
    pub fn new(config: Arc<Config>, upstreams: BTreeMap<String, Arc<Upstream>>) -> Self {
        Snapshot::after(None, config, upstreams)
    }

    /// The configuration after this one. What live tunnels hold (names, settings) is shared
    /// with it where it has not changed, so that no old one is kept alive by them.
    pub fn next(&self, config: Arc<Config>, upstreams: BTreeMap<String, Arc<Upstream>>) -> Self {
        Snapshot::after(Some(self), config, upstreams)
    }

    /// The listeners with TLS, and what they serve it with.
    pub fn secured(&self) -> impl Iterator<Item = (&ListenAddress, &Arc<Server>)> {
        let listeners = self.config.listeners.iter().zip(&self.servers);
        listeners.filter_map(|(listener, server)| Some((&listener.address, server.as_ref()?)))
    }

    /// The route of this name.
    pub fn route(&self, name: &str) -> Option<&Arc<Route>> {
        self.names.get(name).map(|index| &self.routes[*index])
    }

    fn after(
        old: Option<&Snapshot>,
        config: Arc<Config>,
        upstreams: BTreeMap<String, Arc<Upstream>>,
    ) -> Self {
        let generation = old.map_or(1, |old| old.generation + 1);
        let before: HashMap<&str, &Arc<Route>> = old
            .iter()
            .flat_map(|old| &old.routes)
            .map(|route| (&*route.name, route))
            .collect();
        let route = |config: &Arc<RouteConfig>| {
            let upstream = match &config.action {
                Action::Upstream(name) => upstreams.get(name).cloned(),
                Action::Respond { .. } | Action::Redirect { .. } => None,
            };
            let before = before.get(config.name.as_str());
            let mut config = config.clone();
            if let Some(before) = before
                && before.config.websocket == config.websocket
            {
                Arc::make_mut(&mut config).websocket = before.config.websocket.clone();
            }
            let name = before.map_or_else(|| config.name.as_str().into(), |old| old.name.clone());
            Arc::new(Route {
                generation,
                slot: metrics::slots::route(&name),
                mark: Mark::of(&name),
                name,
                config,
                upstream,
                draining: before.map_or_else(Arc::default, |old| old.draining.clone()),
            })
        };
        let routes: Vec<Arc<Route>> = config.routes.iter().map(route).collect();
        let names = routes.iter().enumerate();
        let names = names.map(|(index, route)| (route.name.clone(), index));
        let conditions: Vec<_> = (config.routes.iter())
            .map(|route| route.matches.clone())
            .collect();
        let forwarding = ForwardingPolicy::new(&config.http);
        let judges_our_fields = config.routes.iter().any(|route| {
            let mut fields = route.matches.headers.iter();
            fields.any(|field| forwarded::gives_way(&forwarding, &field.name))
        });
        Snapshot {
            generation,
            since: SystemTime::now(),
            tables: RouteTables::new(&conditions),
            names: names.collect(),
            routes,
            drain: Arc::new(config.drain.clone()),
            http: Arc::new(config.http.clone()),
            forwarding: Arc::new(forwarding),
            judges_our_fields,
            asks_for_certificates: { config.listeners.iter() }
                .filter_map(|listener| listener.tls.as_ref())
                .any(|tls| tls.client_ca.is_some()),
            demands_certificates: config.routes.iter().any(|route| route.client_certificate),
            servers: Vec::new(),
            upstreams,
            config,
        }
    }
}
