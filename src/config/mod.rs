//! The configuration: every key of the file declared once, and the typed `Config` that follows,
//! as the rest of the program sees it: every duration and size typed, every name resolved.
//!
//! One file a group of tables. A declaration (`setting::table`) says how a key is written, what it
//! means, its type and its default; `form` has the values as they are written. `config_file`
//! reads a file by them, and writes one.

pub(crate) mod action;
mod address;
pub(crate) mod admin;
pub(crate) mod clients;
pub(crate) mod drain;
pub(crate) mod file;
pub(crate) mod form;
pub(crate) mod listen;
pub(crate) mod log;
pub(crate) mod operation;
pub(crate) mod route;
pub(crate) mod tls;
pub(crate) mod trace;
pub(crate) mod upstream;
pub(crate) mod websocket;

pub use self::action::Action;
pub use self::address::{EndpointAddress, ListenAddress};
pub use self::admin::{AdminConfig, AdminListen, TapLevel};
pub use self::clients::{ErrorDetail, HttpConfig};
pub use self::drain::DrainConfig;
pub use self::file::Config;
pub use self::listen::Listener;
pub use self::log::{AccessLog, LogConfig, LogFormat};
pub use self::operation::{ReloadConfig, UpgradeConfig};
pub use self::route::{HeaderEdits, HostPolicy, PathRewrite, RouteConfig, RouteTimeouts};
pub use self::tls::{CertificateFiles, ClientAuth, TlsConfig, TlsVersion, UnknownName};
pub use self::trace::{ParentRule, TraceConfig};
pub use self::upstream::{Balance, ResolverConfig, UpstreamConfig};
pub use self::websocket::{OnChange, WebSocketConfig};
pub use crate::route::matches::{HeaderMatch, HostPattern, PathPattern, RouteMatch};
pub use crate::route::origin::{MissingOrigin, OriginHost, OriginPattern, OriginPort, OriginRule};
pub use crate::setting::{Problem, Problems, nearest, parse_duration, quoted, write_duration};
pub use crate::vocabulary::Scheme;
