//! The configuration as the rest of the program sees it: valid by construction, every
//! duration and size typed, every name resolved.
//!
//! `keys` declares every key of the file, `form` its values as they are written; `config_file`
//! reads a file by them.

mod clients;
pub(crate) mod form;
pub(crate) mod keys;
mod listen;
mod operation;
mod route;
mod upstream;
mod websocket;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

pub use self::clients::{ErrorDetail, HttpConfig};
pub use self::listen::{ListenAddress, Listener};
pub use self::operation::{
    AccessLog, AdminConfig, AdminListen, DrainConfig, LogConfig, LogFormat, ParentRule,
    ReloadConfig, TapLevel, TraceConfig, UpgradeConfig,
};
pub use self::route::{Action, HeaderEdits, HostPolicy, PathRewrite, RouteConfig, RouteTimeouts};
pub use self::upstream::{Balance, EndpointAddress, ResolverConfig, UpstreamConfig};
pub use self::websocket::{OnChange, WebSocketConfig};
pub use crate::route::matches::{HeaderMatch, HostPattern, PathPattern, RouteMatch};
pub use crate::route::origin::{MissingOrigin, OriginHost, OriginPattern, OriginPort, OriginRule};
pub use crate::setting::{Problem, Problems, nearest, parse_duration, quoted, write_duration};
pub use crate::vocabulary::Scheme;

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
