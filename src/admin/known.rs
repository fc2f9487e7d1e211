//! What filters and drains can name: the routes, upstreams and endpoints in force, and those that
//! only their tunnels or exchanges are left of. A name beside these is a mistake, not an empty list.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::config::{nearest, quoted};
use crate::process::Shared;
use crate::process::order::OrderError;
use crate::tunnel_info::TunnelIdentity;
use crate::upstream;

/// The most names that an answer lists.
const LISTED: usize = 20;

/// The names.
#[derive(Debug, Default)]
pub struct Known {
    routes: BTreeSet<Arc<str>>,
    upstreams: BTreeSet<Arc<str>>,
    /// Upstream and address.
    endpoints: BTreeSet<(Arc<str>, Arc<str>)>,
}

impl Known {
    /// Of the process, and of its live tunnels.
    pub fn of<'t>(shared: &Shared, live: impl Iterator<Item = &'t TunnelIdentity>) -> Known {
        let snapshot = shared.snapshot.load();
        let mut known = Known::default();
        for route in &snapshot.routes {
            known.routes.insert(route.name.clone());
        }
        for upstream in snapshot.upstreams.values() {
            known.upstreams.insert(upstream.name().clone());
            for endpoint in upstream.endpoints().iter() {
                let names = (upstream.name().clone(), endpoint.name().clone());
                known.endpoints.insert(names);
            }
        }
        for leaving in upstream::leaving(&shared.registry, snapshot.upstreams.values()) {
            let names = (leaving.upstream().clone(), leaving.name().clone());
            known.endpoints.insert(names);
        }
        // Tunnels of one route often stand together, and share its names.
        let mut last: Option<&TunnelIdentity> = None;
        for one in live {
            let same = |last: &TunnelIdentity| {
                Arc::ptr_eq(last.route(), one.route())
                    && Arc::ptr_eq(last.upstream(), one.upstream())
                    && Arc::ptr_eq(last.endpoint(), one.endpoint())
            };
            if last.replace(one).is_some_and(same) {
                continue;
            }
            known.routes.insert(one.route().clone());
            known.upstreams.insert(one.upstream().clone());
            let names = (one.upstream().clone(), one.endpoint().clone());
            known.endpoints.insert(names);
        }
        known
    }

    /// Whether there is a route of this name.
    ///
    /// # Errors
    /// When there is none; with those that there are.
    pub fn route(&self, name: &str) -> Result<(), OrderError> {
        check("route", name, self.routes.iter().map(|name| &**name))
    }

    /// Whether there is an upstream of this name.
    ///
    /// # Errors
    /// When there is none; with those that there are.
    pub fn upstream(&self, name: &str) -> Result<(), OrderError> {
        check("upstream", name, self.upstreams.iter().map(|name| &**name))
    }

    /// Whether there is an endpoint of this address, alone or after its upstream's name.
    ///
    /// # Errors
    /// When there is none; with those that there are.
    pub fn endpoint(&self, wanted: &str) -> Result<(), OrderError> {
        let mut all = self.endpoints.iter();
        if all.any(|(_, address)| **address == *wanted) {
            return Ok(());
        }
        let whole = self.endpoints.iter();
        let whole: Vec<String> = whole
            .map(|(upstream, address)| format!("{upstream}/{address}"))
            .collect();
        check("endpoint", wanted, whole.iter().map(String::as_str))
    }
}

fn check<'n>(
    what: &str,
    wanted: &str,
    known: impl Iterator<Item = &'n str> + Clone,
) -> Result<(), OrderError> {
    match known.clone().any(|name| name == wanted) {
        true => Ok(()),
        false => Err(OrderError::new(unknown(what, wanted, known))),
    }
}

/// What is said of a name that none of the known ones is.
fn unknown<'n>(what: &str, wanted: &str, known: impl Iterator<Item = &'n str> + Clone) -> String {
    let meant = nearest(wanted, known.clone());
    let meant = meant.map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
    let all = known.clone().count();
    let listed = match all {
        0 => "none is known".to_owned(),
        _ => format!("known: {}", quoted(known.take(LISTED))),
    };
    let more = match all.saturating_sub(LISTED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("there is no {what} `{wanted}`{meant}; {listed}{more}")
}
