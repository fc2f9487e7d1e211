//! The routes as each listener serves them: those that name listeners (`listen`) are in the tables
//! of these, all others in every table.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::matcher::RouteTable;
use super::matches::RouteMatch;

/// The tables of all listeners.
#[derive(Debug, Default)]
pub struct RouteTables {
    /// Of listeners that no route names.
    others: RouteTable,
    named: HashMap<Box<str>, RouteTable>,
}

impl RouteTables {
    /// Lays out the conditions of routes; the look-ups return indices into them.
    pub fn new(routes: &[Arc<RouteMatch>]) -> RouteTables {
        let names = routes.iter().flat_map(|route| &route.listeners);
        let names: BTreeSet<&String> = names.collect();
        let named = names.into_iter().map(|name| {
            let serves = |route: &RouteMatch| route.serves(Some(name));
            (name.as_str().into(), RouteTable::some(routes, serves))
        });
        RouteTables {
            others: RouteTable::some(routes, |route| route.serves(None)),
            named: named.collect(),
        }
    }

    /// The table of a listener.
    pub fn of(&self, listener: Option<&str>) -> &RouteTable {
        if self.named.is_empty() {
            return &self.others;
        }
        let named = listener.and_then(|name| self.named.get(name));
        named.unwrap_or(&self.others)
    }
}
