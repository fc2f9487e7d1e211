//! The configuration as the rest of the program sees it: valid by construction, every
//! duration and size typed, every name resolved. Nothing below `config` knows TOML.
//!
//! One file a group of tables; `file` mirrors the TOML text, `problem` reports what is wrong
//! with it, `schema` describes it to editors.

mod clients;
pub mod file;
mod operation;
pub mod problem;
mod route;
pub mod schema;
mod upstream;
mod websocket;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

pub use self::clients::{ErrorDetail, HttpConfig};
pub use self::file::{
    admin_of, load, load_given, nearest, parse, parse_duration, quoted, review, source_given, text,
    write_duration,
};
pub use self::operation::{
    AccessLog, AdminConfig, AdminListen, DrainConfig, LogConfig, LogFormat, ParentRule,
    ReloadConfig, TapLevel, TraceConfig, UpgradeConfig,
};
pub use self::problem::{Problem, Problems};
pub use self::route::{
    Action, HeaderEdits, HeaderMatch, HostPattern, HostPolicy, PathPattern, PathRewrite,
    RouteConfig, RouteMatch, RouteTimeouts,
};
pub use self::upstream::{Balance, EndpointAddress, ResolverConfig, UpstreamConfig};
pub use self::websocket::{
    MissingOrigin, OnChange, OriginHost, OriginPattern, OriginPort, OriginRule, WebSocketConfig,
};

/// Everything a sluice needs to know to run.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Number of worker threads. Default: one for each CPU the process may use.
    pub workers: NonZeroUsize,
    /// Where clients are accepted; never empty.
    pub listeners: Vec<Listener>,
    /// The routes in the order of the file; no two of them can tie.
    pub routes: Vec<Arc<RouteConfig>>,
    /// Upstreams by name. A route's inline `to` appears under the route's own name.
    pub upstreams: BTreeMap<String, Arc<UpstreamConfig>>,
    /// How client connections are treated.
    pub http: HttpConfig,
    /// What is logged, and how.
    pub log: LogConfig,
    /// How a shutdown treats live tunnels.
    pub drain: DrainConfig,
    /// How upstream names are resolved.
    pub resolver: ResolverConfig,
    /// Where the admin interface listens.
    pub admin: AdminConfig,
    /// How a changed file is noticed.
    pub reload: ReloadConfig,
    /// How the binary is replaced.
    pub upgrade: UpgradeConfig,
    /// Which traces sluice takes part in, and where its spans go.
    pub trace: TraceConfig,
    /// The file that holds the process id while sluice runs. Default: none.
    pub pid_file: Option<PathBuf>,
}

/// One `[[listen]]` block.
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    /// The bound address.
    pub address: ListenAddress,
    /// The scheme clients use to reach this listener, for `same-origin`,
    /// `X-Forwarded-Proto` and redirects when no trusted proxy says otherwise.
    pub scheme: Scheme,
}

/// Where a listener is bound.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A unix socket path with the permission bits it is created with. Default mode: 0660.
    Unix {
        /// Path of the socket file.
        path: PathBuf,
        /// Permission bits, as in `chmod`.
        mode: u32,
    },
}

impl std::fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ListenAddress::Tcp(address) => address.fmt(f),
            ListenAddress::Unix { path, .. } => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The scheme of the public URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Scheme {
    /// `http` and `ws`, default port 80.
    #[default]
    Http,
    /// `https` and `wss`, default port 443: a balancer in front terminates TLS.
    Https,
}

impl Scheme {
    /// The scheme as it stands in a URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    /// The port that an authority without one means.
    pub fn default_port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}
