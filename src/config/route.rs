//! One `[[route]]`: what it takes, what it does with it, and what it changes on the way.
//! Its rules for tunnels are in `websocket`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};

use super::action::{Action, RedirectKey, RespondTable};
use super::address::EndpointAddress;
use super::form::field::{
    EditField, FieldValue, HostValue, MatchField, Protocol, spelled, spelling,
};
use super::form::listener::ListenerName;
use super::form::path::{ExactPath, PrefixPath};
use super::form::request::{HeaderTest, RouteName, UpstreamName};
use super::websocket::{WebSocketConfig, WebSocketKey};
use crate::route::matches::{HostPattern, RouteMatch};
use crate::setting::list::{Entries, List, OneOrMany};
use crate::setting::scalar::Limit;
use crate::setting::table::table;
use crate::setting::typed::Setting;
use crate::setting::units::{AnySize, SomeTime};
use crate::setting::written::Written;

table! {
    /// A `[[route]]` block: what a request must look like (all conditions hold) and what
    /// happens to it (exactly one of `upstream`, `to`, `respond`, `redirect`).
    RouteTable in "`[[route]]`" {
        /// The name in logs and counters; by default made from the conditions.
        name: RouteName,
        /// Condition: one host or several, without port; `*.example.com` takes every host
        /// below. Default: every host.
        host: OneOrMany<HostPattern>,
        /// Condition: exactly this path, compared after normalising.
        path: ExactPath,
        /// Condition: this path and all below it, cut at a slash. Default: every path.
        path_prefix: PrefixPath,
        /// Condition: one method or several. Default: every method.
        method: OneOrMany<Method>,
        /// Condition: one listener or several, by their names. Default: every listener.
        listen: OneOrMany<ListenerName>,
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
    } => RouteConfig {
        /// Take only clients that have shown a certificate (`client_ca` of the listener); others
        /// get 403.
        client_certificate: bool as bool = false,
        /// Largest request body, in bytes; beyond it the answer is 413.
        max_body: Limit<AnySize> as Option<u64> = "unlimited",
        /// Protocols besides WebSocket that clients may switch to by `Upgrade`, such as `tcp`
        /// or `spdy/3.1`; any other is not passed on.
        upgrade: List<Protocol> as Vec<String> = [],
        /// Changes to the request's header fields.
        request_headers: HeaderEditsTable as HeaderEdits,
        /// Changes to the answer's header fields.
        response_headers: HeaderEditsTable as HeaderEdits,
        /// Deadlines of an exchange; none of them outlives a 101.
        timeouts: TimeoutsTable as RouteTimeouts,
    } with {
        /// `name`; by default made from what the route matches. Unique.
        name: String = String::new(),
        /// What a request must look like to take this route.
        matches: Arc<RouteMatch> = Arc::default(),
        /// What happens to a request that took it.
        action: Action = Action::default(),
        /// What becomes of the matched path prefix.
        rewrite: PathRewrite = PathRewrite::Keep,
        /// The Host that the upstream sees.
        host: HostPolicy = HostPolicy::Preserve,
        /// Origin policy and tunnel settings.
        websocket: Arc<WebSocketConfig> = Arc::default(),
    }
}

/// What becomes of the path prefix that a route matched.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PathRewrite {
    /// The path is sent as it was received, without dot segments: see `route::path`.
    #[default]
    Keep,
    /// The matched prefix is replaced; `strip_prefix = true` is the empty replacement.
    /// Held without a trailing slash. The rest stays as it was received.
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

table! {
    /// Changes to header fields: removed first, then set, then added.
    HeaderEditsTable in "`[route.request_headers]` or `[route.response_headers]`" {} => HeaderEdits {
        /// Fields to replace, or to make where they are absent.
        set: Entries<EditField, FieldValue> as Vec<(HeaderName, HeaderValue)> = {},
        /// Lines to append, one value or several for each field.
        add: Entries<EditField, OneOrMany<FieldValue>> as Vec<(HeaderName, HeaderValue)> = {},
        /// Names of fields to remove.
        remove: List<EditField> as Vec<HeaderName> = [],
    } with {
        /// The names that are written with capitals, each with its colon and an LF: they are sent so.
        spelling: Bytes = Bytes::new(),
    }
}

impl HeaderEdits {
    /// Whether they change nothing.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }
}

impl Setting<HeaderEdits> for HeaderEditsTable {
    fn value(&self) -> HeaderEdits {
        let mut edits = HeaderEdits::default();
        self.apply(&mut edits);
        let set = self.set.value().into_iter().flat_map(|entries| &entries.0);
        let add = self.add.value().into_iter().flat_map(|entries| &entries.0);
        let names = set.map(|(name, _)| name).chain(add.map(|(name, _)| name));
        edits.spelling = spelling(names.map(|name| &name.value));
        edits
    }

    fn write(edits: &HeaderEdits) -> Written {
        let mut table = Self::written(edits);
        table.rename(|name| spelled(&edits.spelling, name).to_owned());
        table.into()
    }
}

table! {
    /// `[route.timeouts]`: deadlines of an exchange.
    TimeoutsTable in "`[route.timeouts]`" => RouteTimeouts {
        /// From the request's last byte to the head of the answer; beyond it the client gets
        /// 504.
        response_head: SomeTime as Duration = "60s",
        /// Longest silence inside an answer's body.
        response_idle: SomeTime as Duration = "5m",
        /// How long a body announced with `Expect: 100-continue` waits for the upstream to ask
        /// for it, or to answer without it; then it is sent.
        expect_continue: SomeTime as Duration = "1s",
    }
}
