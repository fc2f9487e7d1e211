//! Every key of the file, declared once: its type, what it means, its default. The reader,
//! the JSON Schema and the hints for misspelt keys follow from these declarations; that
//! the defaults are those of `Config` is proved by `tests/settings/config.rs`.

use http::Method;
use ipnet::IpNet;
use schemars::{Schema, SchemaGenerator, json_schema};
use toml::de::DeValue;

use super::form::address::{AdminAddress, Bind, FileMode, FilePath, Nameserver};
use super::form::close::{CloseCode, CloseReason};
use super::form::field::{
    EditField, FieldValue, HostValue, LoggedField, MatchField, Protocol, Pseudonym, RequestIdField,
};
use super::form::log::{AccessTarget, LogLevel};
use super::form::pattern::{
    ExactPath, HeaderTest, Origins, PrefixPath, RedirectStatus, RedirectTarget, RouteName, Status,
    Text, UpstreamName,
};
use super::form::trace::{Collector, ServiceName};
use crate::config::{
    Balance, EndpointAddress, ErrorDetail, HostPattern, LogFormat, MissingOrigin, OnChange,
    ParentRule, Scheme, TapLevel,
};
use crate::setting::list::{Blocks, Entries, List, OneOrMany};
use crate::setting::read::{Node, Read, Sink, nearest, quoted};
use crate::setting::scalar::{Count, Optional, Share, Workers};
use crate::setting::table::table;
use crate::setting::units::{Bytes, Time};

/// Any size.
pub(crate) type AnySize = Bytes<0, { u64::MAX }>;
/// A duration that may be zero.
pub(crate) type AnyTime = Time<0>;
/// A duration longer than zero.
pub(crate) type SomeTime = Time<1>;

table! {
    /// The configuration of sluice.
    struct FileTable in "the top level" {
        /// Number of worker threads; `"auto"` is one for each CPU the process may use.
        workers: Workers = "auto",
        /// The file that holds the process id while sluice runs; `"off"` for none.
        pid_file: Optional<FilePath> = "off",
        /// What is logged, and how.
        log: LogTable,
        /// How client connections are treated.
        http: HttpTable,
        /// What a shutdown does with live tunnels.
        drain: DrainTable,
        /// Where commands such as `sluice reload` are taken.
        admin: AdminTable,
        /// How a changed file is noticed.
        reload: ReloadTable,
        /// How the binary is replaced.
        upgrade: UpgradeTable,
        /// Which traces sluice takes part in, and where its spans go.
        trace: TraceTable,
        /// How the names of upstream endpoints are resolved.
        resolver: ResolverTable,
        /// Where clients are accepted; one or more `[[listen]]` blocks.
        listen: Blocks<ListenTable> [required],
        /// Which requests go where; one or more `[[route]]` blocks. The most specific match
        /// wins, whatever the order.
        route: Blocks<RouteTable> [required],
        /// The servers behind, each an `[upstream.NAME]` table.
        upstream: Entries<UpstreamName, UpstreamTable>,
    }
}

table! {
    /// `[log]`: what is logged, and how.
    struct LogTable in "`[log]`" {
        /// `error`, `warn`, `info`, `debug`, `trace`, `off`, or a tracing filter such as
        /// `info,sluice::tunnel=debug`. The environment variable `RUST_LOG` overrides it.
        level: LogLevel = "info",
        /// `human`, `json`, `auto` (human on a terminal, JSON elsewhere), or `combined`: access
        /// records in the combined format of Apache and nginx, events as with `auto`.
        format: LogFormat = "auto",
        /// Where the records of exchanges and tunnels go: `stdout`, `stderr`, `off` or the
        /// path of a file or FIFO, which is appended to.
        access: AccessTarget = "stdout",
        /// Whether query strings, which often carry tokens, are logged.
        query: bool = false,
        /// Header fields of requests that access records have besides `user_agent` and
        /// `referer`, such as `x-tenant`. Those for credentials read `redacted`.
        headers: List<LoggedField> = [],
    }
}

table! {
    /// `[http]`: how client connections are treated.
    struct HttpTable in "`[http]`" {
        /// Largest request head, in bytes; beyond it the answer is 431. From 8 KiB to 16 MiB.
        max_head: Bytes<8192, 16_777_216> = "64KiB",
        /// Most header lines in a request; beyond it the answer is 431.
        max_header_lines: Count<1, 10_000> = 256,
        /// Longest request target, in bytes; beyond it the answer is 414.
        max_target: Bytes<64, 16_777_216> = "8KiB",
        /// Longest time from the first byte of a request head (or the accept) to its last;
        /// beyond it the answer is 408.
        head_timeout: SomeTime = "10s",
        /// How long a connection may idle between two requests.
        keepalive_timeout: SomeTime = "75s",
        /// Longest silence inside a request body.
        body_timeout: SomeTime = "30s",
        /// How long a client may leave an answer unread.
        write_timeout: SomeTime = "60s",
        /// Slowest request body, in bytes a second over the time spent waiting for the client;
        /// `"off"` or 0 for no limit.
        min_rate: Optional<AnySize> = 240,
        /// Most client connections at once, tunnels included; `"unlimited"` leaves only the
        /// limit on file descriptors.
        max_connections: Optional<Count<1, 100_000_000>> = "unlimited",
        /// Networks and addresses of the proxies in front whose `X-Forwarded-*`, `Forwarded`
        /// and request id are believed; everybody else's are deleted.
        trusted_proxies: List<IpNet> = [],
        /// Whether RFC 7239 `Forwarded` is sent to upstreams besides `X-Forwarded-*`.
        forwarded: bool = false,
        /// The pseudonym to send in `Via`; `"off"` for no `Via`.
        via: Optional<Pseudonym> = "off",
        /// The header field that carries the request id; `"off"` for none.
        request_id: Optional<RequestIdField> = "x-request-id",
        /// What an error of sluice's own tells the client, in its body and in `Proxy-Status`:
        /// `public` leaves out the names and addresses of upstreams, `full` (for development)
        /// tells what the log has.
        error_detail: ErrorDetail = "public",
    }
}

table! {
    /// `[drain]`: what a shutdown does with live tunnels.
    struct DrainTable in "`[drain]`" {
        /// From the signal, when readiness is given up, to the end of accepting: time for a
        /// balancer to notice. `over` and `deadline` count from its end.
        delay: AnyTime = "0s",
        /// Closes are spread at random over this time; `"0s"` closes all at once.
        over: AnyTime = "15s",
        /// What has not ended by then, counted from the end of accepting, is cut. At least
        /// `over`.
        deadline: AnyTime = "25s",
        /// WebSocket close code sent to clients; 1012 is "service restart".
        client_code: CloseCode = 1012,
        /// WebSocket close code sent to upstreams; 1001 is "going away".
        upstream_code: CloseCode = 1001,
        /// The close reason, at most 123 bytes; `{retry_after}` in it stands for the whole
        /// seconds of `retry_after`.
        reason: CloseReason = "service restart",
        /// `Retry-After` of the 503 that new handshakes get meanwhile.
        retry_after: AnyTime = "5s",
    }
}

table! {
    /// `[admin]`: where commands such as `sluice reload` are taken.
    struct AdminTable in "`[admin]`" {
        /// `auto` (a unix socket in the runtime directory), `off`, `unix:/path`, or a TCP
        /// address: a loopback one, which every user of the machine reaches, or with
        /// `token_file` any.
        listen: AdminAddress = "auto",
        /// Permission bits of the unix socket, in octal.
        mode: FileMode = "0600",
        /// The file whose first line requests over TCP have to bring as a bearer token, 16
        /// characters or more; `off` for none.
        token_file: Optional<FilePath> = "off",
        /// What `sluice tap` may see of the tunnels: `headers` (opcodes, sizes, directions,
        /// times, close codes and reasons), `payload` (what the users send too), or `off`.
        tap: TapLevel = "headers",
    }
}

table! {
    /// `[reload]`: how a changed file is noticed.
    struct ReloadTable in "`[reload]`" {
        /// Reload by itself when the file changes, a symlink on its path included.
        watch: bool = false,
    }
}

table! {
    /// `[upgrade]`: how the binary is replaced.
    struct UpgradeTable in "`[upgrade]`" {
        /// How long the old process may finish its exchanges after the new one took over;
        /// what is left then is cut.
        deadline: SomeTime = "10m",
    }
}

table! {
    /// `[trace]`: which traces sluice takes part in, and where its spans go.
    struct TraceTable in "`[trace]`" {
        /// The base URL of an OTLP/HTTP collector such as `http://127.0.0.1:4318`; spans go to
        /// `/v1/traces` below it. `"off"`: `traceparent` and `tracestate` pass untouched.
        endpoint: Optional<Collector> = "off",
        /// Share of the traces begun here that is recorded, 0 to 1. A trace that is continued
        /// is recorded where its `traceparent` says so.
        sample: Share = 0.01,
        /// A valid `traceparent` of a request: `continue` takes part in its trace; `trusted`
        /// does so for `http.trusted_proxies`, and begins a trace with a link to it for
        /// anybody else; `ignore` always begins one.
        parent: ParentRule = "continue",
        /// The `service.name` of the spans.
        service_name: ServiceName = "sluice",
    }
}

table! {
    /// `[resolver]`: how the names of upstream endpoints are resolved.
    struct ResolverTable in "`[resolver]`" {
        /// DNS servers, as IP addresses with or without a port; none means the system's.
        nameservers: List<Nameserver> = [],
        /// Shortest time between two look-ups of a name, whatever its TTL.
        min_ttl: SomeTime = "1s",
        /// Longest time between two look-ups of a name, whatever its TTL.
        max_ttl: SomeTime = "5m",
        /// Time for one look-up.
        timeout: SomeTime = "5s",
    }
}

table! {
    /// A `[[listen]]` block: where clients are accepted.
    struct ListenTable in "`[[listen]]`" {
        /// `IP:port`, `:port` for all addresses (IPv6 and IPv4), or `unix:/path`.
        address: Bind [required],
        /// Permission bits of a unix socket, in octal.
        mode: FileMode = "0660",
        /// The scheme that clients use to reach this listener: `https` where a balancer in
        /// front terminates TLS.
        scheme: Scheme = "http",
    }
}

table! {
    /// A `[[route]]` block: what a request must look like (all conditions hold) and what
    /// happens to it (exactly one of `upstream`, `to`, `respond`, `redirect`).
    struct RouteTable in "`[[route]]`" {
        /// The name in logs and counters; by default made from the conditions.
        name: RouteName,
        /// Condition: one host or several, without port; `*.example.com` takes every host
        /// below. Default: every host.
        host: OneOrMany<HostPattern>,
        /// Condition: exactly this path, compared after normalising.
        path: ExactPath,
        /// Condition: this path and all below it, on segment borders. Default: every path.
        path_prefix: PrefixPath,
        /// Condition: one method or several. Default: every method.
        method: OneOrMany<Method>,
        /// Condition: header fields with a value to equal, or `true` for presence.
        headers: Entries<MatchField, HeaderTest>,
        /// `true` or `false` is a condition: only WebSocket handshakes, or everything else. As
        /// a table `[route.websocket]` it holds the Origin policy and the tunnel's settings,
        /// and the condition under `match`.
        websocket: WebSocketKey,
        /// Action: forward to this `[upstream.NAME]`.
        upstream: UpstreamName,
        /// Action: forward to this endpoint, or these, without naming an upstream.
        to: OneOrMany<EndpointAddress>,
        /// Action: answer at once.
        respond: RespondTable,
        /// Action: redirect to this URL (status 308), or a table with `to` and `status`.
        redirect: RedirectKey,
        /// Take the `path_prefix` off before forwarding.
        strip_prefix: bool = false,
        /// Put this in the place of the `path_prefix` before forwarding.
        replace_prefix: PrefixPath,
        /// The Host that the upstream is sent. Default: the client's, with its port.
        set_host: HostValue,
        /// Largest request body, in bytes; beyond it the answer is 413.
        max_body: Optional<AnySize> = "unlimited",
        /// Protocols besides WebSocket that clients may switch to by `Upgrade`, such as `tcp`
        /// or `spdy/3.1`; any other is not passed on.
        upgrade: List<Protocol> = [],
        /// Changes to the request's header fields.
        request_headers: HeaderEditsTable,
        /// Changes to the answer's header fields.
        response_headers: HeaderEditsTable,
        /// Deadlines of an exchange; none of them outlives a 101.
        timeouts: TimeoutsTable,
    }
}

table! {
    /// Changes to header fields: removed first, then set, then added.
    struct HeaderEditsTable in "`[route.request_headers]` or `[route.response_headers]`" {
        /// Fields to replace, or to make where they are absent.
        set: Entries<EditField, FieldValue> = {},
        /// Lines to append, one value or several for each field.
        add: Entries<EditField, OneOrMany<FieldValue>> = {},
        /// Names of fields to remove.
        remove: List<EditField> = [],
    }
}

table! {
    /// `[route.timeouts]`: deadlines of an exchange.
    struct TimeoutsTable in "`[route.timeouts]`" {
        /// From the request's last byte to the head of the answer; beyond it the client gets
        /// 504.
        response_head: SomeTime = "60s",
        /// Longest silence inside an answer's body.
        response_idle: SomeTime = "5m",
        /// How long a body announced with `Expect: 100-continue` waits for the upstream to ask
        /// for it, or to answer without it; then it is sent.
        expect_continue: SomeTime = "1s",
    }
}

table! {
    /// `[route.websocket]`: who may open a tunnel and how it is kept.
    struct WebSocketTable in "`[route.websocket]`" {
        /// Condition: `true` takes only WebSocket handshakes, `false` everything else.
        /// Default: both.
        r#match: bool,
        /// Which `Origin` may connect: `same-origin`, `any`, or a list of origins, which may
        /// hold `https://*.example.com`, `null` and `same-origin`.
        origin: Origins = "same-origin",
        /// What happens to a handshake without `Origin`, which no browser sends.
        missing_origin: MissingOrigin = "allow",
        /// From the handshake sent to its answer; beyond it the client gets 504.
        handshake_timeout: SomeTime = "10s",
        /// Accept a 101 that breaks RFC 6455 section 4.1; each one is logged.
        accept_invalid_101: bool = false,
        /// Silence in both directions after which the tunnel is closed, or `"off"`.
        idle_timeout: Optional<SomeTime> = "1h",
        /// Longest life of a tunnel, or `"unlimited"`.
        max_age: Optional<SomeTime> = "unlimited",
        /// Share of `max_age`, 0 to 1, by which it is shortened at random.
        max_age_jitter: Share = 0.1,
        /// Silence of one side after which sluice sends it a Ping, at least 1 s, or `"off"`.
        ping_interval: Optional<Time<1000>> = "off",
        /// How long that side may stay silent after the Ping before the tunnel is closed.
        ping_timeout: SomeTime = "20s",
        /// After one direction has ended, how long the other may go on.
        half_close_timeout: SomeTime = "30s",
        /// How long a peer may take to answer a Close that sluice sent.
        close_timeout: SomeTime = "5s",
        /// What the client is told where the upstream is lost or ends its stream without a
        /// Close; 1011 becomes 1014 where no frame had come from it. `"off"`: nothing.
        upstream_lost_code: Optional<CloseCode> = 1011,
        /// What the upstream is told where the client is lost. `"off"`: nothing.
        client_lost_code: Optional<CloseCode> = 1001,
        /// The close reason for both, at most 123 bytes.
        lost_reason: CloseReason = "connection lost",
        /// How long a peer may leave data unread or unacknowledged, at least 1 s, or `"off"`.
        unread_timeout: Optional<Time<1000>> = "2m",
        /// Close with 1002 what is not valid framing, instead of relaying it unseen.
        strict: bool = false,
        /// What happens to live tunnels whose route or endpoint a reload has removed:
        /// `keep`, `drain` (spread over `drain.over`) or `close`.
        on_removed: OnChange = "drain",
        /// The same for live tunnels that a reload's origin rules would refuse.
        on_policy_change: OnChange = "keep",
    }
}

table! {
    /// `respond`: an answer without an upstream.
    struct RespondTable in "`respond`" {
        /// The status, 200 to 599.
        status: Status [required],
        /// The body, sent as `text/plain; charset=utf-8`.
        body: Text = "",
    }
}

table! {
    /// `redirect`: another URL.
    struct RedirectTable in "`redirect`" {
        /// The target; `{scheme}`, `{host}` (with its port), `{hostname}` (without), `{path}` and
        /// `{query}` (with its `?`) stand for the request's.
        to: RedirectTarget [required],
        /// 301, 302, 303, 307 or 308.
        status: RedirectStatus = 308,
    }
}

table! {
    /// An `[upstream.NAME]` table: one server or several that do the same.
    struct UpstreamTable in "`[upstream.NAME]`" {
        /// Where they are: `host:port`, `[::1]:port` or `unix:/path`.
        endpoints: OneOrMany<EndpointAddress> [required],
        /// `least`: the endpoint with the fewest exchanges and tunnels; `round-robin`: one
        /// after the other.
        balance: Balance = "least",
        /// Time for one TCP connect. After a fifth of it one request waits on, the others go
        /// to another endpoint that can be used.
        connect_timeout: SomeTime = "5s",
        /// After a failed connect, or repeated answer time-outs in silence, how long an
        /// endpoint is used only when no other is left.
        retry_after: AnyTime = "10s",
        /// Idle keep-alive connections kept for each endpoint by each worker.
        max_idle: Count<0, 1_000_000> = 64,
        /// How long an idle connection is kept.
        idle_timeout: SomeTime = "55s",
        /// Most header lines in an answer; beyond it the client gets 502.
        max_header_lines: Count<1, 10_000> = 1024,
        /// Take what some embedded devices write into the head of an answer: lines that end in
        /// LF alone, folded lines, repeated blanks in the status line. What decides where an
        /// answer ends is read as strictly as ever.
        lenient: bool = false,
    }
}

/// `websocket` of a route: a condition, or the table of settings.
#[derive(Debug)]
pub(crate) enum WebSocketKey {
    Match(bool),
    Settings(Box<WebSocketTable>),
}

impl Read for WebSocketKey {
    fn expected() -> String {
        "`true`, `false` or a table".to_owned()
    }

    fn read(node: &Node<'_>, sink: &mut Sink) -> Option<Self> {
        match node.value {
            DeValue::Boolean(value) => Some(WebSocketKey::Match(*value)),
            DeValue::Table(_) => {
                WebSocketTable::read(node, sink).map(|table| WebSocketKey::Settings(table.into()))
            }
            _ => {
                sink.wrong_type(node, &Self::expected());
                None
            }
        }
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "boolean" }, WebSocketTable::schema(generator)] })
    }
}

/// `redirect` of a route: a URL, or a table.
#[derive(Debug)]
pub(crate) enum RedirectKey {
    To(RedirectTarget),
    Table(RedirectTable),
}

impl Read for RedirectKey {
    fn expected() -> String {
        "a URL or a table with `to` and `status`".to_owned()
    }

    fn read(node: &Node<'_>, sink: &mut Sink) -> Option<Self> {
        match node.value {
            DeValue::String(_) => RedirectTarget::read(node, sink).map(RedirectKey::To),
            DeValue::Table(_) => RedirectTable::read(node, sink).map(RedirectKey::Table),
            _ => {
                sink.wrong_type(node, &Self::expected());
                None
            }
        }
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string" }, RedirectTable::schema(generator)] })
    }
}

const TABLES: [(&str, &[&str]); 17] = [
    (TraceTable::PLACE, TraceTable::KEYS),
    (AdminTable::PLACE, AdminTable::KEYS),
    (ReloadTable::PLACE, ReloadTable::KEYS),
    (UpgradeTable::PLACE, UpgradeTable::KEYS),
    (FileTable::PLACE, FileTable::KEYS),
    (LogTable::PLACE, LogTable::KEYS),
    (HttpTable::PLACE, HttpTable::KEYS),
    (DrainTable::PLACE, DrainTable::KEYS),
    (ResolverTable::PLACE, ResolverTable::KEYS),
    (ListenTable::PLACE, ListenTable::KEYS),
    (RouteTable::PLACE, RouteTable::KEYS),
    (HeaderEditsTable::PLACE, HeaderEditsTable::KEYS),
    (TimeoutsTable::PLACE, TimeoutsTable::KEYS),
    (WebSocketTable::PLACE, WebSocketTable::KEYS),
    (RespondTable::PLACE, RespondTable::KEYS),
    (RedirectTable::PLACE, RedirectTable::KEYS),
    (UpstreamTable::PLACE, UpstreamTable::KEYS),
];

/// What to say of a condition beside the table that takes its place.
const WEBSOCKET_TWICE: &str =
    "`websocket` is a condition or a table; the table holds the condition as `match = true`";

/// What to say of a key that is there twice and may be written in two ways; `None`: of most
/// there is nothing to say.
pub(crate) fn hint_for_twice(key: &str) -> Option<&'static str> {
    match key {
        "websocket" => Some(WEBSOCKET_TWICE),
        "redirect" => {
            Some("`redirect` is a URL or a table; the table holds the URL as `to = \"https://…\"`")
        }
        _ => None,
    }
}

/// What to say of a key that is unknown in a table with these keys and near to none of them.
pub(crate) fn hint_for(unknown: &str, keys: &[&str]) -> String {
    if unknown == "websocket" && keys == WebSocketTable::KEYS {
        return WEBSOCKET_TWICE.to_owned();
    }
    let all = TABLES.iter().flat_map(|(_, keys)| keys.iter().copied());
    let Some(meant) = nearest(unknown, all) else {
        return format!("the keys here are {}", quoted(keys.iter().copied()));
    };
    let places: Vec<&str> = TABLES
        .iter()
        .filter(|(_, keys)| keys.contains(&meant))
        .map(|(place, _)| *place)
        .collect();
    let places = places.join(" or ");
    if meant == unknown {
        format!("`{unknown}` belongs in {places}")
    } else {
        format!("did you mean `{meant}`? it belongs in {places}")
    }
}
