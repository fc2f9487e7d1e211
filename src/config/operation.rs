//! How the process is watched and changed while it runs: `[log]`, `[drain]`, `[admin]`,
//! `[reload]`, `[upgrade]`, `[trace]`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use super::listen::ListenAddress;

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
    /// Fields of requests that access records have besides those they always have. Default:
    /// none.
    pub headers: Arc<[HeaderName]>,
}

impl Default for LogConfig {
    fn default() -> Self {
        LogConfig {
            level: "info".into(),
            format: LogFormat::Auto,
            access: AccessLog::Stdout,
            query: false,
            headers: Arc::new([]),
        }
    }
}

/// The shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Human on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// Words for a person.
    Human,
    /// One JSON object a line.
    Json,
    /// Access records in Apache's combined format; events as with `Auto`.
    Combined,
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
