//! What a filter can name: the routes and upstreams in force, and those that only their
//! tunnels are left of. A name beside these is a mistake, not an empty list. Endpoints come
//! and go with what names resolve to, so that none is a mistake.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::StatusCode;

use super::answer::Refusal;
use super::tunnels::Live;
use crate::config::{nearest, quoted};
use crate::snapshot::Snapshot;

/// The most names that an answer lists.
const LISTED: usize = 20;

/// The names.
#[derive(Debug, Default)]
pub(super) struct Known {
    routes: BTreeSet<Arc<str>>,
    upstreams: BTreeSet<Arc<str>>,
}

impl Known {
    pub(super) fn of(snapshot: &Snapshot, live: &[Live]) -> Known {
        let mut known = Known::default();
        for route in &snapshot.routes {
            known.routes.insert(route.name.clone());
        }
        for upstream in snapshot.upstreams.values() {
            known.upstreams.insert(upstream.name().clone());
        }
        // Tunnels of one route often stand together, and share its names.
        let same = |a: &Live, b: &Live| {
            let [a, b] = [a, b].map(|live| &live.tunnel.handle.identity);
            Arc::ptr_eq(a.route(), b.route()) && Arc::ptr_eq(a.upstream(), b.upstream())
        };
        for run in live.chunk_by(same) {
            let Some(first) = run.first() else { continue };
            let identity = &first.tunnel.handle.identity;
            known.routes.insert(identity.route().clone());
            known.upstreams.insert(identity.upstream().clone());
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
}

fn check<'n>(
    what: &str,
    wanted: &str,
    known: impl Iterator<Item = &'n str> + Clone,
) -> Result<(), Refusal> {
    if known.clone().any(|name| name == wanted) {
        return Ok(());
    }
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
    let message = format!("there is no {what} `{wanted}`{meant}; {listed}{more}");
    Err(Refusal::new(StatusCode::BAD_REQUEST, message))
}
