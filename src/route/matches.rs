//! The conditions of a route: host, path, method, header fields, handshake or not.

use std::fmt;

use http::{HeaderName, HeaderValue, Method};

/// The conditions of a route; all of them must hold.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RouteMatch {
    /// Any of these; empty means every host.
    pub hosts: Vec<HostPattern>,
    /// Default: the prefix `/`.
    pub path: PathPattern,
    /// Any of these; empty means every method.
    pub methods: Vec<Method>,
    /// All of these.
    pub headers: Vec<HeaderMatch>,
    /// `Some(true)`: only WebSocket handshakes; `Some(false)`: everything else.
    pub websocket: Option<bool>,
    /// Any of these; empty means every listener.
    pub listeners: Vec<String>,
}

impl RouteMatch {
    /// Whether it takes requests of the listener of this name.
    pub fn serves(&self, listener: Option<&str>) -> bool {
        let is_named = |name: &str| self.listeners.iter().any(|own| own == name);
        self.listeners.is_empty() || listener.is_some_and(is_named)
    }
}

/// A host condition, lower-case, without a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// Exactly this host.
    Exact(String),
    /// `*.example.com`: one or more labels in front of this suffix, held without `*.`.
    Suffix(String),
}

impl fmt::Display for HostPattern {
    /// As the configuration writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostPattern::Exact(host) => f.write_str(host),
            HostPattern::Suffix(suffix) => write!(f, "*.{suffix}"),
        }
    }
}

/// A path condition, compared with every reading of a path: see `route::path`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PathPattern {
    /// Exactly this path.
    Exact(String),
    /// This path or anything below it on a segment boundary; held without a trailing slash,
    /// so `/` is held as the empty string.
    Prefix(String),
}

impl fmt::Display for PathPattern {
    /// As the configuration writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathPattern::Prefix(prefix) if prefix.is_empty() => f.write_str("/"),
            PathPattern::Exact(path) | PathPattern::Prefix(path) => f.write_str(path),
        }
    }
}

impl Default for PathPattern {
    fn default() -> Self {
        PathPattern::Prefix(String::new())
    }
}

/// A condition on a request header field.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HeaderMatch {
    /// The field's name.
    pub name: HeaderName,
    /// The exact value of its only line; `None`: present is enough.
    pub value: Option<HeaderValue>,
}
