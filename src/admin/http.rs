//! Plain HTTP by route, as `/v1/status` tells it: classes of status since the start and of late,
//! and how long clients have waited of late for the first byte.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::exposition::{Figures, RouteFigures};

/// The requests of a route, handshakes among them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpView {
    /// The route's name; empty: no route took them.
    pub route: String,
    /// Since the start, by class of the status; `none`: without an answer.
    pub requests: BTreeMap<String, u64>,
    /// The same of the last `recent_seconds`.
    pub recent: BTreeMap<String, u64>,
    /// How long that is: a minute, once sluice runs for so long.
    pub recent_seconds: u64,
    /// From a request's head to its answer's, in microseconds: half were faster, of late;
    /// `None`: there was no answer. Handshakes are not among them.
    pub first_byte_p50_us: Option<u64>,
    /// The same for 99 of 100.
    pub first_byte_p99_us: Option<u64>,
}

/// Classes of status in the order of [`RouteFigures::requests`].
pub(super) const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// What the figures say, and what is new since the earlier ones.
pub(super) fn of(now: &Figures, earlier: &Figures, seconds: u64) -> Vec<HttpView> {
    let none = RouteFigures::default();
    let views = now.routes.iter().map(|(name, figures)| {
        let before = earlier.routes.get(name).unwrap_or(&none);
        let mut recent = figures.requests;
        for (count, before) in recent.iter_mut().zip(before.requests) {
            // A route that was forgotten meanwhile begins anew.
            *count = count.saturating_sub(before);
        }
        let waits = figures.first_byte.since(&before.first_byte);
        HttpView {
            route: name.to_string(),
            requests: classes(figures.requests),
            recent: classes(recent),
            recent_seconds: seconds,
            first_byte_p50_us: waits.quantile(0.5),
            first_byte_p99_us: waits.quantile(0.99),
        }
    });
    views.collect()
}

fn classes(counts: [u64; 6]) -> BTreeMap<String, u64> {
    CLASSES.map(str::to_owned).into_iter().zip(counts).collect()
}
