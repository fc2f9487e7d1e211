//! What a filter can name: the routes, upstreams and endpoints in force, and those that only
//! their tunnels or exchanges are left of. A name beside these is a mistake, not an empty list.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::StatusCode;

use super::answer::Refusal;
use super::live::Live;
use crate::config::{nearest, quoted};
use crate::process::Shared;
use crate::upstream;

/// The most names that an answer lists.
const LISTED: usize = 20;

/// The names.
#[derive(Debug, Default)]
pub(super) struct Known {
    routes: BTreeSet<Arc<str>>,
    upstreams: BTreeSet<Arc<str>>,
    /// Upstream and address.
    endpoints: BTreeSet<(Arc<str>, Arc<str>)>,
}

impl Known {
    pub(super) fn of(shared: &Shared, live: &[Live]) -> Known {
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
        let same = |a: &Live, b: &Live| {
            let [a, b] = [a, b].map(|live| &live.tunnel.handle.identity);
            Arc::ptr_eq(a.route(), b.route())
                && Arc::ptr_eq(a.upstream(), b.upstream())
                && Arc::ptr_eq(a.endpoint(), b.endpoint())
        };
        for run in live.chunk_by(same) {
            let Some(first) = run.first() else { continue };
            let identity = &first.tunnel.handle.identity;
            known.routes.insert(identity.route().clone());
            known.upstreams.insert(identity.upstream().clone());
            let names = (identity.upstream().clone(), identity.endpoint().clone());
            known.endpoints.insert(names);
        }
        known
    }

    /// Whether there is a route of this name.
    pub(super) fn route(&self, name: &str) -> Result<(), Refusal> {
        check("route", name, self.routes.iter().map(|name| &**name))
    }

    /// Whether there is an upstream of this name.
    pub(super) fn upstream(&self, name: &str) -> Result<(), Refusal> {
        check("upstream", name, self.upstreams.iter().map(|name| &**name))
    }

    /// Whether there is an endpoint of this address, alone or after its upstream's name.
    pub(super) fn endpoint(&self, wanted: &str) -> Result<(), Refusal> {
        if self
            .endpoints
            .iter()
            .any(|(_, address)| **address == *wanted)
        {
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
) -> Result<(), Refusal> {
    if known.clone().any(|name| name == wanted) {
        return Ok(());
    }
    let message = unknown(what, wanted, known);
    Err(Refusal::new(StatusCode::BAD_REQUEST, message))
}

/// What is said of a name that none of the known ones is.
pub fn unknown<'n>(
    what: &str,
    wanted: &str,
    known: impl Iterator<Item = &'n str> + Clone,
) -> String {
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
