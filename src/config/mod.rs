//! The configuration as the rest of the program sees it: valid by construction, every
//! duration and size typed, every name resolved. Nothing below `config` knows TOML.
//!
//! `file` mirrors the TOML text, `problem` reports what is wrong with it, `schema`
//! describes it to editors.

pub mod file;
pub mod problem;
pub mod schema;

pub use file::{admin_of, load, parse, parse_duration, write_duration};
pub use problem::{Problem, Problems};

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, StatusCode};
use ipnet::IpNet;

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

/// One `[[route]]` block.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteConfig {
    /// `name`; by default made from what the route matches. Unique.
    pub name: String,
    /// The 1-based line of the route's `[[route]]` header in the file; 0 without a file.
    pub line: usize,
    /// What a request must look like to take this route.
    pub matches: RouteMatch,
    /// What happens to a request that took it.
    pub action: Action,
    /// What becomes of the matched path prefix. Default: kept.
    pub rewrite: PathRewrite,
    /// The Host that the upstream sees. Default: the client's, with its port.
    pub host: HostPolicy,
    /// Changes to the request's header fields, after ours were added.
    pub request_headers: HeaderEdits,
    /// Changes to the response's header fields.
    pub response_headers: HeaderEdits,
    /// Deadlines of an exchange; none of them outlives a 101.
    pub timeouts: RouteTimeouts,
    /// Largest request body in bytes. Default: unlimited.
    pub max_body: Option<u64>,
    /// Origin policy and tunnel settings.
    pub websocket: Arc<WebSocketConfig>,
}

impl RouteConfig {
    /// Whether the other one does the same, wherever it stands in its file.
    pub fn equals(&self, other: &RouteConfig) -> bool {
        let moved = RouteConfig {
            line: self.line,
            ..other.clone()
        };
        *self == moved
    }
}

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
}

/// A host condition, lower-case, without a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// Exactly this host.
    Exact(String),
    /// `*.example.com`: one or more labels in front of this suffix, held without `*.`.
    Suffix(String),
}

/// A path condition, compared with the normalised path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PathPattern {
    /// Exactly this path.
    Exact(String),
    /// This path or anything below it on a segment border; held without a trailing slash,
    /// so `/` is held as the empty string.
    Prefix(String),
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

/// What a route does with its requests.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Forward to this upstream, a key of [`Config::upstreams`].
    Upstream(String),
    /// Answer at once.
    Respond {
        /// Status of the answer.
        status: StatusCode,
        /// Body, sent as `text/plain; charset=utf-8`.
        body: String,
    },
    /// Redirect to another URL.
    Redirect {
        /// 301, 302, 303, 307 or 308. Default: 308.
        status: StatusCode,
        /// The target; `{scheme}`, `{host}`, `{path}` and `{query}` stand for the request's
        /// (`{query}` includes its `?`).
        to: String,
    },
}

/// What becomes of the path prefix that a route matched.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PathRewrite {
    /// The path is sent as it was matched, in normal form: see `route::path`.
    #[default]
    Keep,
    /// The matched prefix is replaced; `strip_prefix = true` is the empty replacement.
    /// Held without a trailing slash.
    ReplacePrefix(String),
}

/// The Host that an upstream is sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum HostPolicy {
    /// What the client sent, with its port.
    #[default]
    Preserve,
    /// This value.
    Set(HeaderValue),
}

/// Changes to header fields: removed first, then set, then added.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HeaderEdits {
    /// Names to remove.
    pub remove: Vec<HeaderName>,
    /// Fields to replace.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// Lines to append.
    pub add: Vec<(HeaderName, HeaderValue)>,
}

/// `[route.timeouts]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteTimeouts {
    /// From the request's last byte sent to the response's head. Default: 60 s.
    pub response_head: Duration,
    /// Longest silence inside a response body. Default: 5 min.
    pub response_idle: Duration,
}

impl Default for RouteTimeouts {
    fn default() -> Self {
        RouteTimeouts {
            response_head: Duration::from_secs(60),
            response_idle: Duration::from_secs(300),
        }
    }
}

/// `[route.websocket]`: who may open a tunnel and how it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct WebSocketConfig {
    /// Which origins may connect. Default: same-origin.
    pub origin: OriginRule,
    /// What happens to a handshake without `Origin`, which no browser sends. Default: allow.
    pub missing_origin: MissingOrigin,
    /// From the handshake sent to its answer. Default: 10 s.
    pub handshake_timeout: Duration,
    /// Accept a 101 that breaks RFC 6455 section 4.1; each one is logged. Default: false.
    pub accept_invalid_101: bool,
    /// Silence in both directions after which the tunnel is closed; noticed up to 1/64 late,
    /// between 1 s and 30 s. `None`: never. Default: 1 h.
    pub idle_timeout: Option<Duration>,
    /// Longest life of a tunnel. Default: unlimited.
    pub max_age: Option<Duration>,
    /// Share of `max_age` by which it is shortened at random, 0 to 1. Default: 0.1.
    pub max_age_jitter: f64,
    /// Silence of one side after which it is sent a Ping. Default: off.
    pub ping_interval: Option<Duration>,
    /// How long that side may stay silent after the Ping. Default: 20 s.
    pub ping_timeout: Duration,
    /// After one direction has ended, how long the other may go on. Default: 30 s.
    pub half_close_timeout: Duration,
    /// How long a peer may take to answer a Close that sluice sent. Default: 5 s.
    pub close_timeout: Duration,
    /// Close with 1002 what is not valid framing instead of relaying it unseen.
    /// Default: false.
    pub strict: bool,
    /// What happens to live tunnels whose route or endpoint a reload has removed.
    /// Default: drain.
    pub on_removed: OnChange,
    /// What happens to live tunnels that a reload's origin rules would refuse.
    /// Default: keep.
    pub on_policy_change: OnChange,
}

/// What a reload does with a live tunnel that the new configuration would not have opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnChange {
    /// It lives on.
    Keep,
    /// It is closed at a moment chosen at random within `drain.over`.
    Drain,
    /// It is closed at once.
    Close,
}

impl Default for WebSocketConfig {
    fn default() -> Self {
        WebSocketConfig {
            origin: OriginRule::SameOrigin,
            missing_origin: MissingOrigin::Allow,
            handshake_timeout: Duration::from_secs(10),
            accept_invalid_101: false,
            idle_timeout: Some(Duration::from_secs(3600)),
            max_age: None,
            max_age_jitter: 0.1,
            ping_interval: None,
            ping_timeout: Duration::from_secs(20),
            half_close_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(5),
            strict: false,
            on_removed: OnChange::Drain,
            on_policy_change: OnChange::Keep,
        }
    }
}

/// Which `Origin` values may open a tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OriginRule {
    /// `origin = "same-origin"`: host and port of the public authority, see `route::origin`.
    SameOrigin,
    /// `origin = "any"`.
    Any,
    /// `origin = ["https://app.example.com", "https://*.example.com", "null", "same-origin"]`.
    List(Vec<OriginPattern>),
}

/// One entry of an origin list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum OriginPattern {
    /// The public authority itself.
    SameOrigin,
    /// The literal `null` origin.
    Null,
    /// One exact origin, serialised as in RFC 6454 section 6.2 (default port left out).
    Exact(String),
    /// `scheme://*.suffix[:port]`: one or more labels in front of the suffix.
    Suffix {
        /// The scheme, lower-case.
        scheme: String,
        /// The part behind `*.`, lower-case.
        suffix: String,
        /// The port; the scheme's default where none is written.
        port: u16,
    },
}

/// What happens to a handshake that carries no `Origin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingOrigin {
    /// It may connect.
    Allow,
    /// It is refused with 403.
    Deny,
}

/// One `[upstream.NAME]` block.
#[derive(Debug, Clone, PartialEq)]
pub struct UpstreamConfig {
    /// The name.
    pub name: String,
    /// Never empty.
    pub endpoints: Vec<EndpointAddress>,
    /// How an endpoint is chosen. Default: least.
    pub balance: Balance,
    /// Time for one TCP connect. Default: 5 s.
    pub connect_timeout: Duration,
    /// After a failed connect, how long the endpoint is used only when no other is left.
    /// Default: 10 s.
    pub retry_after: Duration,
    /// Idle keep-alive connections kept for each endpoint by each worker. Default: 64.
    pub max_idle: usize,
    /// How long an idle connection is kept. Default: 55 s.
    pub idle_timeout: Duration,
}

impl UpstreamConfig {
    /// An upstream with every setting at its default.
    pub fn new(name: String, endpoints: Vec<EndpointAddress>) -> Self {
        UpstreamConfig {
            name,
            endpoints,
            balance: Balance::Least,
            connect_timeout: Duration::from_secs(5),
            retry_after: Duration::from_secs(10),
            max_idle: 64,
            idle_timeout: Duration::from_secs(55),
        }
    }
}

/// Where an endpoint is reached.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EndpointAddress {
    /// A name to resolve, or an IP address, and a port.
    Host {
        /// Host name or IP address, without brackets.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// A unix socket.
    Unix(PathBuf),
}

impl std::fmt::Display for EndpointAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            EndpointAddress::Host { host, port } if host.contains(':') => {
                write!(f, "[{host}]:{port}")
            }
            EndpointAddress::Host { host, port } => write!(f, "{host}:{port}"),
            EndpointAddress::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// How an upstream's endpoint is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Balance {
    /// The one with the fewest exchanges and tunnels.
    #[default]
    Least,
    /// One after the other.
    RoundRobin,
}

/// `[http]`: how client connections are treated.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpConfig {
    /// Peers whose forwarded header fields and request id are believed. Default: none.
    pub trusted_proxies: Vec<IpNet>,
    /// Send RFC 7239 `Forwarded` too. Default: false.
    pub forwarded: bool,
    /// The pseudonym in `Via`. Default: no `Via`.
    pub via: Option<String>,
    /// Name of the request id field; `None` switches it off. Default: `x-request-id`.
    pub request_id: Option<HeaderName>,
    /// Largest request head in bytes, else 431. Default: 64 KiB.
    pub max_head: usize,
    /// Most header lines in a request, else 431. Default: 100.
    pub max_header_lines: usize,
    /// Longest request target in bytes, else 414. Default: 8 KiB.
    pub max_target: usize,
    /// From the first byte of a head (or the accept) to its last. Default: 10 s.
    pub head_timeout: Duration,
    /// Idle time between requests. Default: 75 s.
    pub keepalive_timeout: Duration,
    /// Longest silence inside a request body. Default: 30 s.
    pub body_timeout: Duration,
    /// How long a client may leave an answer unread. Default: 60 s.
    pub write_timeout: Duration,
    /// Slowest request body in bytes a second, over time spent waiting for the client;
    /// 0 switches it off. Default: 240.
    pub min_rate: u64,
    /// Most client connections at once, tunnels included; `None`: only the file descriptor
    /// limit. Default: none.
    pub max_connections: Option<usize>,
}

impl Default for HttpConfig {
    fn default() -> Self {
        HttpConfig {
            trusted_proxies: Vec::new(),
            forwarded: false,
            via: None,
            request_id: Some(HeaderName::from_static("x-request-id")),
            max_head: 64 * 1024,
            max_header_lines: 100,
            max_target: 8 * 1024,
            head_timeout: Duration::from_secs(10),
            keepalive_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(60),
            min_rate: 240,
            max_connections: None,
        }
    }
}

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// A level or a tracing filter directive; `RUST_LOG` overrides it. Default: `info`.
    pub level: String,
    /// Default: human on a terminal, JSON elsewhere.
    pub format: LogFormat,
    /// Where access records (exchanges, tunnels) go. Default: stdout.
    pub access: AccessLog,
    /// Log query strings, which often carry tokens. Default: false.
    pub query: bool,
}

impl Default for LogConfig {
    fn default() -> Self {
        LogConfig {
            level: "info".into(),
            format: LogFormat::Auto,
            access: AccessLog::Stdout,
            query: false,
        }
    }
}

/// The shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Human on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// Columns for a person.
    Human,
    /// One JSON object a line.
    Json,
}

/// Where access records go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AccessLog {
    /// Standard output.
    #[default]
    Stdout,
    /// Standard error, among the events.
    Stderr,
    /// A file, appended to, reopened at a reload.
    File(PathBuf),
    /// Nowhere.
    Off,
}

/// `[drain]`: what a shutdown does with live tunnels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrainConfig {
    /// From the signal, when readiness is given up, to the end of accepting: time for a
    /// balancer to notice. Default: 0 s.
    pub delay: Duration,
    /// Closes are spread at random over this span. Default: 15 s.
    pub over: Duration,
    /// What has not ended by then is cut. Default: 25 s.
    pub deadline: Duration,
    /// Close code sent to clients. Default: 1012 (service restart).
    pub client_code: u16,
    /// Close code sent to upstreams. Default: 1001 (going away).
    pub upstream_code: u16,
    /// Close reason, at most 123 bytes; `{retry_after}` in it stands for the seconds of
    /// `retry_after`. Default: `service restart`.
    pub reason: String,
    /// `Retry-After` of the 503 that handshakes get meanwhile. Default: 5 s.
    pub retry_after: Duration,
}

impl Default for DrainConfig {
    fn default() -> Self {
        DrainConfig {
            delay: Duration::ZERO,
            over: Duration::from_secs(15),
            deadline: Duration::from_secs(25),
            client_code: 1012,
            upstream_code: 1001,
            reason: "service restart".into(),
            retry_after: Duration::from_secs(5),
        }
    }
}

/// `[resolver]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolverConfig {
    /// DNS servers; empty means those of the system. Default: empty.
    pub nameservers: Vec<SocketAddr>,
    /// Shortest time between two look-ups of a name, whatever its TTL says. Default: 1 s.
    pub min_ttl: Duration,
    /// Longest time between two look-ups of a name. Default: 5 min.
    pub max_ttl: Duration,
    /// Time for one look-up. Default: 5 s.
    pub timeout: Duration,
}

impl Default for ResolverConfig {
    fn default() -> Self {
        ResolverConfig {
            nameservers: Vec::new(),
            min_ttl: Duration::from_secs(1),
            max_ttl: Duration::from_secs(300),
            timeout: Duration::from_secs(5),
        }
    }
}

/// `[admin]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminConfig {
    /// Where commands and questions are taken. Default: auto.
    pub listen: AdminListen,
    /// Permission bits of its unix socket. Default: 0600.
    pub mode: u32,
    /// The file whose first line requests over TCP have to bring as a bearer token.
    /// Default: none.
    pub token_file: Option<PathBuf>,
    /// What `sluice tap` may see of the tunnels. Default: headers.
    pub tap: TapLevel,
}

impl Default for AdminConfig {
    fn default() -> Self {
        AdminConfig {
            listen: AdminListen::Auto,
            mode: 0o600,
            token_file: None,
            tap: TapLevel::Headers,
        }
    }
}

/// How much of the frames of tunnels is shown to whoever asks the admin interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TapLevel {
    /// Nothing.
    Off,
    /// Opcodes, sizes, directions, times, and what Closes say.
    Headers,
    /// Payloads too: whatever the users send.
    Payload,
}

impl TapLevel {
    /// As the configuration spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            TapLevel::Off => "off",
            TapLevel::Headers => "headers",
            TapLevel::Payload => "payload",
        }
    }
}

/// Where the admin interface listens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AdminListen {
    /// A unix socket at the usual place, see `admin::default_socket`; where that cannot be
    /// had sluice runs without.
    #[default]
    Auto,
    /// Nowhere.
    Off,
    /// Here, or sluice does not start.
    At(ListenAddress),
}

/// `[reload]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReloadConfig {
    /// Reload when the file changes. Default: false.
    pub watch: bool,
}

/// `[upgrade]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpgradeConfig {
    /// How long the old process may finish its exchanges after a new one took over; what is
    /// left then is cut. Default: 10 min.
    pub deadline: Duration,
}

impl Default for UpgradeConfig {
    fn default() -> Self {
        UpgradeConfig {
            deadline: Duration::from_secs(600),
        }
    }
}

/// `[trace]`.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceConfig {
    /// The base URL of an OTLP/HTTP collector, `http://host:port` with or without a path;
    /// `None` switches tracing off. Default: off.
    pub endpoint: Option<String>,
    /// Share of the traces begun here that is recorded, 0 to 1. Default: 0.01.
    pub sample: f64,
    /// Whose `traceparent` is believed. Default: continue.
    pub parent: ParentRule,
    /// The name under which collectors show sluice. Default: `sluice`.
    pub service_name: String,
}

impl Default for TraceConfig {
    fn default() -> Self {
        TraceConfig {
            endpoint: None,
            sample: 0.01,
            parent: ParentRule::Continue,
            service_name: "sluice".into(),
        }
    }
}

/// What a valid `traceparent` of a request means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ParentRule {
    /// Its trace goes on here, sampled as it says.
    #[default]
    Continue,
    /// The same from `http.trusted_proxies`; anybody else's is linked from a trace of our own.
    Trusted,
    /// Nothing: every request begins a trace.
    Ignore,
}
