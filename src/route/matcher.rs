//! Which route takes a request: the most specific one, whatever the order of the file.
//! Owns precedence, the look-up tables and the search for ties; paths come in normal form with
//! their other readings (`path`), hosts in any spelling (`host`).
//!
//! # Precedence
//!
//! Compared in this order: an exact host, a longer host suffix, any host; an exact path, a
//! longer prefix; a `listen` condition; a `websocket` condition; a method condition; more header conditions.
//! A route whose remaining conditions fail is passed over for the next one.
//!
//! # Ties
//!
//! Two routes tie when they share a host pattern and the path pattern, have equally many
//! further conditions of each kind, and one request can meet them all. A header condition
//! with a value asks for exactly one line of that field with that value, so `x-v = "1"` and
//! `x-v = "2"` exclude each other (a request that carries both lines meets neither), while
//! `x-v = "1"` and `x-w = "1"` tie: a request may carry both.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use http::{HeaderMap, Method};

use super::host;
use super::matches::{HeaderMatch, HostPattern, PathPattern, RouteMatch};
#[cfg(doc)]
use super::path;

/// What the matcher compares.
#[derive(Debug, Clone, Copy)]
pub struct RequestView<'a> {
    /// The host without its port, in any letter case; empty where there is none.
    pub host: &'a str,
    /// The path in normal form ([`path::RequestPath::normal`]).
    pub path: &'a str,
    /// The other readings of the path ([`path::RequestPath::readings`]).
    pub readings: &'a [String],
    /// The method.
    pub method: &'a Method,
    /// The header section.
    pub headers: &'a HeaderMap,
    /// Whether the request is a WebSocket handshake.
    pub websocket: bool,
}

/// Why no route takes a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unrouted {
    /// Nothing matches: 404.
    NoRoute,
    /// Another reading of the path would take another route: 400, see [`path`].
    Ambiguous,
}

/// A route whose host and path match, as `explain` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its index.
    pub route: usize,
    /// The first condition that fails; the first candidate without one takes the request.
    pub miss: Option<Miss>,
}

/// A condition that a request does not meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Miss {
    /// `websocket` wants this.
    WebSocket(bool),
    /// The method is not among the route's.
    Method,
    /// This header condition.
    Header(HeaderMatch),
}

/// All routes, laid out for look-up. No look-up walks over more than the patterns' distinct
/// lengths, however many routes there are.
#[derive(Debug, Default)]
pub struct RouteTable {
    hosts: HashMap<Box<str>, Paths>,
    suffixes: ByLength<Paths>,
    any: Paths,
}

/// The path patterns under one host pattern.
#[derive(Debug, Default)]
struct Paths {
    exact: HashMap<Box<str>, Vec<Entry>>,
    prefixes: ByLength<Vec<Entry>>,
    root: Vec<Entry>,
}

/// Values by text, and the texts' distinct lengths, longest first.
#[derive(Debug)]
struct ByLength<T> {
    lengths: Vec<usize>,
    values: HashMap<Box<str>, T>,
}

impl<T> Default for ByLength<T> {
    fn default() -> Self {
        ByLength {
            lengths: Vec::new(),
            values: HashMap::new(),
        }
    }
}

impl<T: Default> ByLength<T> {
    fn entry(&mut self, text: &str) -> &mut T {
        if let Err(at) = self
            .lengths
            .binary_search_by(|length| text.len().cmp(length))
        {
            self.lengths.insert(at, text.len());
        }
        self.values.entry(text.into()).or_default()
    }
}

/// One route under one host and path pattern.
#[derive(Debug, Clone)]
struct Entry {
    index: usize,
    wanted: Arc<RouteMatch>,
}

impl Entry {
    /// Decides between routes of the same host and path pattern; more is better.
    fn rank(&self) -> (bool, bool, bool, usize) {
        rank(&self.wanted)
    }

    fn miss(&self, view: &RequestView<'_>) -> Option<Miss> {
        let wanted = &self.wanted;
        if let Some(websocket) = wanted.websocket
            && websocket != view.websocket
        {
            return Some(Miss::WebSocket(websocket));
        }
        if !wanted.methods.is_empty() && !wanted.methods.contains(view.method) {
            return Some(Miss::Method);
        }
        let failed = wanted
            .headers
            .iter()
            .find(|wanted| !holds(wanted, view.headers));
        failed.map(|header| Miss::Header(header.clone()))
    }
}

fn rank(wanted: &RouteMatch) -> (bool, bool, bool, usize) {
    (
        !wanted.listeners.is_empty(),
        wanted.websocket.is_some(),
        !wanted.methods.is_empty(),
        wanted.headers.len(),
    )
}

fn holds(wanted: &HeaderMatch, headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(&wanted.name).iter();
    match (&wanted.value, lines.next()) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(value), Some(line)) => value == line && lines.next().is_none(),
    }
}

impl RouteTable {
    /// Lays out the conditions of routes; the look-ups return indices into them. Of routes that tie
    /// (see [`ties`]) the earlier one wins.
    pub fn new(routes: &[Arc<RouteMatch>]) -> RouteTable {
        RouteTable::some(routes, |_| true)
    }

    /// The same of some of the routes.
    pub(super) fn some(
        routes: &[Arc<RouteMatch>],
        belongs: impl Fn(&RouteMatch) -> bool,
    ) -> RouteTable {
        let mut table = RouteTable::default();
        let routes = routes.iter().enumerate();
        for (index, wanted) in routes.filter(|(_, route)| belongs(route)) {
            let entry = Entry {
                index,
                wanted: wanted.clone(),
            };
            if wanted.hosts.is_empty() {
                table.any.insert(entry.clone());
            }
            for pattern in &wanted.hosts {
                let paths = match pattern {
                    HostPattern::Exact(host) => {
                        table.hosts.entry(host::normalise(host).into()).or_default()
                    }
                    HostPattern::Suffix(suffix) => table.suffixes.entry(&host::normalise(suffix)),
                };
                paths.insert(entry.clone());
            }
        }
        table
    }

    /// The index of the route that takes a request.
    ///
    /// # Errors
    /// When none does, or when the path could be read as one that another route takes.
    pub fn find(&self, view: &RequestView<'_>) -> Result<usize, Unrouted> {
        let found = self.best(view);
        let stays = |reading: &String| {
            let path = reading.as_str();
            self.best(&RequestView { path, ..*view }) == found
        };
        if !view.readings.iter().all(stays) {
            return Err(Unrouted::Ambiguous);
        }
        found.ok_or(Unrouted::NoRoute)
    }

    fn best(&self, view: &RequestView<'_>) -> Option<usize> {
        let found = self.walk(view, &mut |entry| match entry.miss(view) {
            None => ControlFlow::Break(entry.index),
            Some(_) => ControlFlow::Continue(()),
        });
        found.break_value()
    }

    /// Every route whose host and path match, most specific first, with the condition that fails.
    pub fn candidates(&self, view: &RequestView<'_>) -> Vec<Candidate> {
        let mut candidates: Vec<Candidate> = Vec::new();
        let _ = self.walk(view, &mut |entry| {
            if candidates.iter().all(|seen| seen.route != entry.index) {
                candidates.push(Candidate {
                    route: entry.index,
                    miss: entry.miss(view),
                });
            }
            ControlFlow::<()>::Continue(())
        });
        candidates
    }

    /// Visits the entries whose host and path match, most specific first.
    fn walk<B>(
        &self,
        view: &RequestView<'_>,
        visit: &mut impl FnMut(&Entry) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        if !(self.hosts.is_empty() && self.suffixes.values.is_empty()) {
            let host = host::normalise(view.host);
            if let Some(paths) = self.hosts.get(&*host) {
                paths.walk(view.path, visit)?;
            }
            for &length in &self.suffixes.lengths {
                // At least one byte of a label stands before the dot.
                let Some(dot) = host.len().checked_sub(length + 1).filter(|&dot| dot > 0) else {
                    continue;
                };
                if host.as_bytes()[dot] == b'.'
                    && let Some(paths) = self.suffixes.values.get(&host[dot + 1..])
                {
                    paths.walk(view.path, visit)?;
                }
            }
        }
        self.any.walk(view.path, visit)
    }
}

impl Paths {
    fn insert(&mut self, entry: Entry) {
        let entries = match &entry.wanted.path {
            PathPattern::Exact(path) => self.exact.entry(path.as_str().into()).or_default(),
            PathPattern::Prefix(prefix) if prefix.is_empty() => &mut self.root,
            PathPattern::Prefix(prefix) => self.prefixes.entry(prefix),
        };
        let at = entries.partition_point(|earlier| earlier.rank() >= entry.rank());
        entries.insert(at, entry);
    }

    fn walk<B>(
        &self,
        path: &str,
        visit: &mut impl FnMut(&Entry) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        if let Some(entries) = self.exact.get(path) {
            entries.iter().try_for_each(&mut *visit)?;
        }
        for &length in &self.prefixes.lengths {
            let boundary = path.len() == length || path.as_bytes().get(length) == Some(&b'/');
            if boundary && let Some(entries) = self.prefixes.values.get(&path[..length]) {
                entries.iter().try_for_each(&mut *visit)?;
            }
        }
        self.root.iter().try_for_each(visit)
    }
}

/// The pairs of routes that tie, as indices in rising order; each is a configuration error.
pub fn ties(routes: &[Arc<RouteMatch>]) -> Vec<(usize, usize)> {
    // Routes can only tie inside a bucket of one host pattern, path pattern and rank.
    let mut buckets: HashMap<_, Vec<usize>> = HashMap::new();
    for (index, wanted) in routes.iter().enumerate() {
        let key = |host| (host, &wanted.path, rank(wanted));
        if wanted.hosts.is_empty() {
            buckets.entry(key(None)).or_default().push(index);
        }
        for pattern in &wanted.hosts {
            let normal = match pattern {
                HostPattern::Exact(name) => (true, host::normalise(name)),
                HostPattern::Suffix(suffix) => (false, host::normalise(suffix)),
            };
            buckets.entry(key(Some(normal))).or_default().push(index);
        }
    }
    let mut ties = Vec::new();
    for bucket in buckets.into_values() {
        for (at, &a) in bucket.iter().enumerate() {
            let later = bucket[at + 1..].iter().filter(|&&b| a != b);
            ties.extend(
                later
                    .filter(|&&b| compatible(&routes[a], &routes[b]))
                    .map(|&b| (a, b)),
            );
        }
    }
    ties.sort_unstable();
    ties.dedup();
    ties
}

/// Whether one request can meet the listener, method, header and websocket conditions of both.
fn compatible(a: &RouteMatch, b: &RouteMatch) -> bool {
    let headers = || a.headers.iter().chain(&b.headers);
    let exclude = |one: &HeaderMatch, other: &HeaderMatch| {
        one.name == other.name
            && one.value.is_some()
            && other.value.is_some()
            && one.value != other.value
    };
    a.websocket == b.websocket
        && (a.listeners.is_empty() || a.listeners.iter().any(|name| b.listeners.contains(name)))
        && (a.methods.is_empty() || a.methods.iter().any(|method| b.methods.contains(method)))
        && !headers().any(|one| headers().any(|other| exclude(one, other)))
}

#[cfg(test)]
mod tests;
