//! Stand-in for the matcher: only what the configuration asks of it.

use std::sync::Arc;

use crate::config::RouteConfig;

/// Pairs of routes that can match the same request with neither the more specific.
pub fn ties(routes: &[Arc<RouteConfig>]) -> Vec<(usize, usize)> {
    let mut ties = Vec::new();
    for (index, route) in routes.iter().enumerate() {
        for (other_index, other) in routes.iter().enumerate().skip(index + 1) {
            if route.matches == other.matches {
                ties.push((index, other_index));
            }
        }
    }
    ties
}
