//! Rewriting the head of a request for its upstream.

use http::Version;
use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;

use super::facts::Facts;
use super::head::Content;
use crate::config::HostPolicy;
use crate::message::forwarded::{self, Forwarding, RequestId};
use crate::message::headers::{self, Stripped};
use crate::snapshot::Route;
use crate::trace::Trace;

/// Removes the hop-by-hop fields, except `Upgrade`, which a route may match and which there is only
/// where `upgrades`. Returns its values.
pub fn strip_for_routing(fields: &mut HeaderMap, upgrades: bool) -> (Vec<HeaderValue>, Stripped) {
    if !upgrades {
        return (Vec::new(), headers::strip_hop_by_hop(fields));
    }
    let asked: Vec<HeaderValue> = fields.get_all(header::UPGRADE).iter().cloned().collect();
    let stripped = headers::strip_hop_by_hop(fields);
    for value in &asked {
        fields.append(header::UPGRADE, value.clone());
    }
    (asked, stripped)
}

/// Replaces what the client says about itself by what sluice knows.
/// Returns the request's id.
pub fn tell_of_client(parts: &mut Parts, facts: &Facts) -> Option<RequestId> {
    let forwarding = Forwarding {
        policy: &facts.forwarding,
        peer: &facts.peer_fields,
        version: parts.version,
    };
    forwarded::apply(&mut parts.headers, &forwarding).map(RequestId::Field)
}

/// Removes an `Expect` that means nothing (RFC 9110 section 10.1.1): one of HTTP/1.0, and a
/// 100-continue without a body. Returns whether the client waits for a 100; other expectations
/// are for the upstream to judge.
pub fn settle_expectation(parts: &mut Parts, content: Content) -> bool {
    if !parts.headers.contains_key(header::EXPECT) {
        return false;
    }
    // A list; said twice it is the same expectation.
    let lines = parts.headers.get_all(header::EXPECT).iter();
    let mut members = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let waits = members.all(|member| member.trim_ascii().eq_ignore_ascii_case(b"100-continue"));
    let in_vain = parts.version == Version::HTTP_10 || waits && content == Content::None;
    if in_vain {
        parts.headers.remove(header::EXPECT);
    }
    waits && !in_vain
}

/// Completes the head for the upstream, after hop-by-hop fields were removed and ours were
/// added. `direct`: ours are written with the head; `upgrades`: there is an `Upgrade`. Returns the
/// client's Host where another one replaced it.
pub fn for_upstream(
    parts: &mut Parts,
    route: &Route,
    authority: &HeaderValue,
    (direct, upgrades): (bool, bool),
    trace: Option<&Trace>,
) -> Option<HeaderValue> {
    let fields = &mut parts.headers;
    if upgrades {
        fields.remove(header::UPGRADE);
    }
    if let Some(trace) = trace {
        trace.propagate(fields, direct);
    }
    let replaced = match &route.config.host {
        HostPolicy::Preserve => None,
        HostPolicy::Set(host) => {
            fields.insert(header::HOST, host.clone());
            Some(authority.clone())
        }
    };
    headers::apply_edits(fields, &route.config.request_headers);
    replaced
}
