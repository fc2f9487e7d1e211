//! What a reload means for a live tunnel: nothing, new settings, or an end. A route is known
//! by its name, an endpoint by its upstream's name and its address.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use http::header::ORIGIN;
use http::{HeaderMap, HeaderValue};

use crate::config::{EndpointAddress, OnChange, Scheme, WebSocketConfig};
use crate::route::origin::{self, PublicAuthority};
use crate::snapshot::{Route, Snapshot};
use crate::tunnel_info::TunnelIdentity;
use crate::tunnel_registry::{CloseOrder, DrainOrder, Review, Selection, TunnelHandle};
use crate::upstream::Upstream;
use crate::vocabulary::ClosedBy;

/// Why a tunnel has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Route,
    Endpoint,
    Origin,
}

const CAUSES: [(Cause, &str); 3] = [
    (Cause::Route, "its route was removed"),
    (Cause::Endpoint, "its endpoint was removed"),
    (Cause::Origin, "its origin is not allowed any more"),
];

/// Judges live tunnels by the snapshot that has just been put in force. Shared by all
/// workers, for one reload.
#[derive(Debug)]
pub struct Reviewer {
    routes: HashMap<Arc<str>, Arc<Route>>,
    /// The addresses that each upstream has now.
    present: HashMap<Arc<str>, HashSet<Arc<str>>>,
    /// Upstreams whose names are still all there, with the addresses that they had without
    /// names: any other address came from a name, and a name's answer may lack it for now.
    named: HashMap<Arc<str>, HashSet<Arc<str>>>,
    drains: [Arc<DrainOrder>; CAUSES.len()],
    closes: [Arc<CloseOrder>; CAUSES.len()],
    changed: AtomicU64,
    closed: AtomicU64,
}

impl Reviewer {
    /// For tunnels that were opened under `old` or before; without one, by another process.
    pub fn new(old: Option<&Snapshot>, new: &Snapshot) -> Reviewer {
        let named = new.upstreams.values().filter_map(|upstream| {
            let old = match old {
                Some(old) => Some(old.upstreams.get(&**upstream.name())?),
                None => None,
            };
            still_named(old, upstream).map(|literals| (upstream.name().clone(), literals))
        });
        let present = new.upstreams.values().map(|upstream| {
            let list = upstream.endpoints();
            let names = list.iter().map(|endpoint| endpoint.name().clone());
            (upstream.name().clone(), names.collect())
        });
        let close = |(_, detail): (Cause, &'static str)| {
            Arc::new(CloseOrder::drain(
                &new.drain,
                ClosedBy::Reload,
                Some(detail),
            ))
        };
        let closes = CAUSES.map(close);
        let started = Instant::now();
        Reviewer {
            routes: new
                .routes
                .iter()
                .map(|route| (route.name.clone(), route.clone()))
                .collect(),
            present: present.collect(),
            named: named.collect(),
            drains: closes.each_ref().map(|close| {
                DrainOrder::closing_with(&new.drain, Selection::Chosen, started, close.clone())
            }),
            closes,
            changed: AtomicU64::new(0),
            closed: AtomicU64::new(0),
        }
    }

    /// What becomes of this tunnel.
    pub fn judge(&self, tunnel: &TunnelHandle) -> Review {
        if tunnel.is_closing() {
            return Review::Keep;
        }
        let identity = &tunnel.identity;
        let Some(route) = self.routes.get(identity.route()) else {
            return self.end(Cause::Route, tunnel.settings().on_removed);
        };
        let settings = &route.config.websocket;
        match &route.upstream {
            None => return self.end(Cause::Route, settings.on_removed),
            Some(upstream) if !self.has(upstream, identity) => {
                return self.end(Cause::Endpoint, settings.on_removed);
            }
            Some(_) => {}
        }
        let before = tunnel.settings();
        if Arc::ptr_eq(&before, settings) {
            return Review::Keep;
        }
        if settings.on_policy_change != OnChange::Keep && is_stricter(&before, settings, identity) {
            return self.end(Cause::Origin, settings.on_policy_change);
        }
        self.changed.fetch_add(1, Relaxed);
        Review::Settings(settings.clone())
    }

    /// The drains that were begun.
    pub fn drains(&self) -> impl Iterator<Item = &Arc<DrainOrder>> {
        self.drains
            .iter()
            .filter(|drain| drain.progress.total() > 0)
    }

    /// Tunnels that got new settings.
    pub fn changed(&self) -> u64 {
        self.changed.load(Relaxed)
    }

    /// Tunnels that were closed at once.
    pub fn closed(&self) -> u64 {
        self.closed.load(Relaxed)
    }

    fn end(&self, cause: Cause, how: OnChange) -> Review {
        match how {
            OnChange::Keep => Review::Keep,
            OnChange::Drain => Review::Drain(self.drains[cause as usize].clone()),
            OnChange::Close => {
                self.closed.fetch_add(1, Relaxed);
                Review::Close(self.closes[cause as usize].clone())
            }
        }
    }

    fn has(&self, upstream: &Upstream, identity: &TunnelIdentity) -> bool {
        let endpoint = identity.endpoint();
        let listed = self.present.get(upstream.name());
        if listed.is_some_and(|listed| listed.contains(endpoint)) {
            return true;
        }
        identity.upstream() == upstream.name()
            && self
                .named
                .get(upstream.name())
                .is_some_and(|literals| !literals.contains(endpoint))
    }
}

/// The addresses that were written as such, if every name of the old upstream is among
/// those of the new one.
fn still_named(old: Option<&Arc<Upstream>>, new: &Upstream) -> Option<HashSet<Arc<str>>> {
    let names: HashSet<&str> = new.names().collect();
    let before = old.map_or(new, |old| old);
    if names.is_empty() || !before.names().all(|name| names.contains(name)) {
        return None;
    }
    let literals = before.config().endpoints.iter().filter(|endpoint| {
        !matches!(endpoint, EndpointAddress::Host { host, .. } if host.parse::<IpAddr>().is_err())
    });
    Some(
        literals
            .map(|endpoint| endpoint.to_string().into())
            .collect(),
    )
}

/// Whether the new origin rules refuse a tunnel that the old ones let in. Of the public
/// authority only the host is known; where that is not enough for the old rules either,
/// nothing is held against the tunnel.
fn is_stricter(old: &WebSocketConfig, new: &WebSocketConfig, identity: &TunnelIdentity) -> bool {
    if identity.upgrade().is_some() {
        return false;
    }
    let mut fields = HeaderMap::new();
    if let Some(origin) = identity.origin() {
        let Ok(origin) = HeaderValue::from_str(origin) else {
            return false;
        };
        fields.insert(ORIGIN, origin);
    }
    let public = PublicAuthority {
        scheme: Scheme::Http,
        host: identity.host(),
        port: None,
    };
    let passes =
        |rules: &WebSocketConfig| origin::check(rules.origin_policy(), &fields, public).is_ok();
    passes(old) && !passes(new)
}
