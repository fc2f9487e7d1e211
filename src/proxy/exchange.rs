//! One request, in phases: identify, route, admit, rewrite, forward. Each phase is a few
//! lines here and a module elsewhere. A WebSocket leaves by `upgrade`; HTTP ends there.

use std::borrow::Cow;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode, Version};
use http_body::Body;
use hyper::body::Incoming;

use super::h1::context::Context;
use super::outcome::Outcome;
use super::record::Record;
use super::{answer, forward, live, redirect, switch, upgrade};
use crate::config::{Action, HostPolicy, PathPattern, PathRewrite};
use crate::fault::diagnosis;
use crate::fault::error::{Kind, PROXY_NAME, PROXY_STATUS, ProxyError};
use crate::message::forwarded;
use crate::message::forwarded::{Forwarding, RequestId};
use crate::message::handshake;
use crate::message::handshake::{ClientHandshake, UpgradeRequest};
use crate::message::headers;
use crate::message::headers::Stripped;
use crate::policy::admitted::Admitted;
use crate::policy::offer::Offer;
use crate::route::hop::Hops;
use crate::route::host;
use crate::route::matcher::{RequestView, Unrouted};
use crate::route::origin::{self, OriginRefusal, PublicAuthority, Refused};
use crate::route::path::{self, PathProblem, RequestPath};
use crate::route::target::Target;
use crate::snapshot::{Route, Snapshot};

/// An exchange under way.
pub type Running = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// Begins an exchange. What needs no waiting is decided here, so that what waits is small.
pub fn begin(context: &Arc<Context>, parts: Parts, target: Target, body: Incoming) -> Running {
    let context = context.clone();
    let mut record = Box::new(Record::begin(&context, &parts, &target));
    match plan(&context, parts, target, &body, &mut record) {
        Ok(Plan::Forward(admitted)) => Box::pin(forward::forward(context, admitted, body, record)),
        Ok(Plan::Tunnel(admitted, handshake)) => {
            Box::pin(upgrade::open(context, admitted, handshake, record))
        }
        Ok(Plan::Switch(admitted, offer)) => {
            Box::pin(switch::open(context, admitted, offer, body, record))
        }
        Ok(Plan::Answer(response, spelling)) => {
            let answer = answer::own(&context, response, spelling, record);
            Box::pin(ready(Outcome::Answer(answer)))
        }
        Err(error) => Box::pin(ready(answer::refuse(&context, &error, record))),
    }
}

enum Plan {
    Forward(Box<Admitted>),
    Tunnel(Box<Admitted>, ClientHandshake),
    Switch(Box<Admitted>, Offer),
    /// The answer, and the lines in which the route spells names of fields.
    Answer(Response<Bytes>, Bytes),
}

/// Everything that is decided without waiting.
fn plan(
    context: &Context,
    mut parts: Parts,
    target: Target,
    body: &Incoming,
    record: &mut Record,
) -> Result<Plan, ProxyError> {
    let authority = take_authority(&mut parts)?;
    record.asked_of(&authority);
    if let Some(answer) = answer_by_hop_count(&mut parts) {
        return Ok(Plan::Answer(answer, Bytes::new()));
    }
    let upgrade = handshake::classify(
        &parts.method,
        parts.version,
        &parts.headers,
        !body.is_end_stream(),
    );
    let websocket = matches!(
        upgrade,
        UpgradeRequest::WebSocket(_) | UpgradeRequest::Invalid(_)
    );
    if websocket {
        record.expect_tunnel(&parts, &target, &authority);
    }
    let snapshot = context.shared.snapshot.load();
    let path = read_path(&target)?;
    let port = forwarded::public_port(&parts.headers, &context.peer_fields);
    // Conditions judge what the upstream would be sent, so what it is not sent goes first.
    let (asked, stripped) = strip_for_routing(&mut parts.headers);
    // With nothing else to change, our fields need not go through the map.
    let mut direct = !snapshot.judges_our_fields
        && forwarded::is_direct(&context.forwarding, &context.peer_fields);
    if !direct {
        tell_of_client(context, &mut parts, record);
    }
    let (scheme, host) =
        forwarded::public_authority(&parts.headers, &context.peer_fields, Some(&authority));
    let public = PublicAuthority {
        scheme,
        host: host.unwrap_or(""),
        port,
    };
    let (route, rewritten) = find_route(&snapshot, &parts, &public, &path, websocket)?;
    drop(snapshot);
    record.route(&route);
    let handshake = match upgrade {
        UpgradeRequest::WebSocket(handshake) => {
            admit_handshake(context, &route, &parts, &public, record)?;
            Some(handshake)
        }
        UpgradeRequest::Invalid(problem) => {
            record.diagnosed(diagnosis::diagnose_client(problem));
            let mut error = ProxyError::client(problem.status(), problem.reason());
            error.field = problem.version_header().map(Box::new);
            return Err(error.closing());
        }
        UpgradeRequest::None | UpgradeRequest::Other => None,
    };
    let may_switch =
        handshake.is_none() && stripped.connection_upgrade && parts.version == Version::HTTP_11;
    let offer = Offer::new(&asked, &route.config.upgrade).filter(|_| may_switch);
    if offer.is_some() {
        record.expect_tunnel(&parts, &target, &authority);
        refuse_while_draining(context, &route)?;
    }
    if let Some(max) = route.config.max_body
        && body.size_hint().lower() > max
    {
        let detail = format!("the request body is larger than the {max} bytes this route allows");
        return Err(ProxyError::client(StatusCode::PAYLOAD_TOO_LARGE, detail));
    }
    let Some(upstream) = route.upstream.clone() else {
        let spelling = route.config.response_headers.spelling.clone();
        let answer = own_action(&route, &path.sent, &target, &public)?;
        return Ok(Plan::Answer(answer, spelling));
    };
    let hops = Hops::take(&mut parts.headers);
    hops.check(&route.mark).map_err(|circle| {
        ProxyError::sluice(
            StatusCode::LOOP_DETECTED,
            Kind::LoopDetected,
            circle.to_string(),
        )
    })?;
    let is_handshake = handshake.is_some() || offer.is_some();
    if direct && !route.config.request_headers.is_empty() {
        tell_of_client(context, &mut parts, record);
        direct = false;
    }
    let expects_continue = settle_expectation(&mut parts, body);
    let replaced_host = rewrite(&mut parts, &route, authority, direct, record)?;
    let other = sent_path(rewritten, &target, &path).map(|path| target.with_path(&path));
    let target = other.unwrap_or(target);
    let admitted = Box::new(Admitted {
        parts,
        target,
        route,
        upstream,
        is_handshake,
        direct,
        replaced_host,
        hops,
        expects_continue,
    });
    Ok(match (handshake, offer) {
        (Some(handshake), _) => Plan::Tunnel(admitted, handshake),
        (None, Some(offer)) => Plan::Switch(admitted, offer),
        (None, None) => Plan::Forward(admitted),
    })
}

/// The authority that the request is for. Exactly one is there: the scanner saw to it.
fn take_authority(parts: &mut Parts) -> Result<HeaderValue, ProxyError> {
    match parts.headers.get(header::HOST) {
        Some(host) => Ok(host.clone()),
        None if parts.version == Version::HTTP_10 => {
            let none = HeaderValue::from_static("");
            parts.headers.insert(header::HOST, none.clone());
            Ok(none)
        }
        None => Err(ProxyError::client(
            StatusCode::BAD_REQUEST,
            "the request has no Host",
        )),
    }
}

/// `OPTIONS` with `Max-Forwards: 0` asks sluice itself (RFC 9110 section 7.6.2): it is how
/// `sluice health` asks. Otherwise the count goes down by one.
fn answer_by_hop_count(parts: &mut Parts) -> Option<Response<Bytes>> {
    if parts.method != Method::OPTIONS {
        return None;
    }
    let left = parts.headers.get(header::MAX_FORWARDS)?;
    let left: u32 = left.to_str().ok()?.parse().ok()?;
    let Some(left) = left.checked_sub(1) else {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let own = HeaderValue::from_static(PROXY_NAME);
        response.headers_mut().insert(PROXY_STATUS, own);
        return Some(response);
    };
    parts
        .headers
        .insert(header::MAX_FORWARDS, HeaderValue::from(left));
    None
}

/// What the target's path can be read as. `OPTIONS *` asks about the server: it takes the
/// route of `/`.
fn read_path(target: &Target) -> Result<RequestPath<'_>, ProxyError> {
    let path = match target.path() {
        b"*" => b"/",
        path => path,
    };
    path::read(path).map_err(bad_path)
}

fn bad_path(problem: PathProblem) -> ProxyError {
    ProxyError::client(StatusCode::BAD_REQUEST, problem.to_string())
}

/// The path to send where it is not the received one.
fn sent_path<'a>(
    rewritten: Option<Vec<u8>>,
    target: &Target,
    path: &'a RequestPath<'_>,
) -> Option<Cow<'a, [u8]>> {
    if target.path() == b"*" {
        return None;
    }
    match (rewritten, &path.sent) {
        (Some(rewritten), _) => Some(rewritten.into()),
        (None, Cow::Borrowed(_)) => None,
        (None, Cow::Owned(sent)) => Some(sent.into()),
    }
}

/// The route, and the path that it sends where it replaces a prefix.
fn find_route(
    snapshot: &Snapshot,
    parts: &Parts,
    public: &PublicAuthority<'_>,
    path: &RequestPath<'_>,
    websocket: bool,
) -> Result<(Arc<Route>, Option<Vec<u8>>), ProxyError> {
    let view = RequestView {
        host: host::split_port(public.host).map_or(public.host, |(host, _)| host),
        path: &path.normal,
        readings: &path.readings,
        method: &parts.method,
        headers: &parts.headers,
        websocket,
    };
    let find = |view: &RequestView<'_>| match snapshot.table.find(view) {
        Ok(index) => Ok(snapshot.routes.get(index).cloned()),
        Err(Unrouted::NoRoute) => Ok(None),
        Err(Unrouted::Ambiguous) => Err(bad_path(PathProblem::AnotherRoute)),
    };
    let route = find(&view)?.ok_or_else(|| {
        ProxyError::sluice(
            StatusCode::NOT_FOUND,
            Kind::DestinationUnavailable,
            "no route takes this host, path and method",
        )
    })?;
    let rules = (&route.config.rewrite, &route.config.matches.path);
    let (PathRewrite::ReplacePrefix(to), PathPattern::Prefix(prefix)) = rules else {
        return Ok((route, None));
    };
    let rewritten = path::rewrite(&path.sent, &path.normal, prefix, to);
    let readings = path::before_rewrite(&rewritten, prefix, to).map_err(bad_path)?;
    if !readings.is_empty() {
        find(&RequestView {
            readings: &readings,
            ..view
        })?;
    }
    Ok((route, Some(rewritten)))
}

/// Drain and Origin policy.
fn admit_handshake(
    context: &Context,
    route: &Route,
    parts: &Parts,
    public: &PublicAuthority<'_>,
    record: &mut Record,
) -> Result<(), ProxyError> {
    refuse_while_draining(context, route)?;
    let policy = route.config.websocket.origin_policy();
    origin::check(policy, &parts.headers, *public)
        .map_err(|refusal| refused_origin(context, parts, public, refusal, record).closing())
}

fn refuse_while_draining(context: &Context, route: &Route) -> Result<(), ProxyError> {
    let drained = if live::is_draining() {
        Some("this proxy is shutting down")
    } else if route.draining.load(Relaxed) || context.shared.state.drains_all() {
        Some("new tunnels are refused while this route is drained")
    } else {
        None
    };
    if let Some(why) = drained {
        let after = context.shared.snapshot.load().drain.retry_after;
        let (status, kind) = (
            StatusCode::SERVICE_UNAVAILABLE,
            Kind::DestinationUnavailable,
        );
        let error = ProxyError::sluice(status, kind, why);
        return Err(error.retry_after(after).closing());
    }
    Ok(())
}

/// The 403; where a proxy in front is the reason, it says so instead of naming a list.
#[cold]
fn refused_origin(
    context: &Context,
    parts: &Parts,
    public: &PublicAuthority<'_>,
    mut refusal: OriginRefusal,
    record: &mut Record,
) -> ProxyError {
    let compared = matches!(refusal.reason, Refused::OtherHost | Refused::OtherPort);
    let peer = &context.peer_fields;
    let diagnosis = compared
        .then(|| diagnosis::proxied::host_not_kept(&parts.headers, public.host, peer))
        .flatten();
    let Some(diagnosis) = diagnosis else {
        let detail = refusal.to_string();
        // The remedy repeats the configured list.
        refusal.remedy = None;
        return ProxyError::client(StatusCode::FORBIDDEN, detail).publicly(refusal.to_string());
    };
    refusal.remedy = None;
    let detail = format!("{refusal}; {}", diagnosis.likely);
    // This Host is the proxy's, not one that the browser sent: it stands after the colon.
    let (told, _) = diagnosis.likely.split_once(':').unwrap_or_default();
    let told = format!("{told}, with which the Origin is compared");
    record.diagnosed(diagnosis);
    ProxyError::client(StatusCode::FORBIDDEN, detail).publicly(told)
}

/// `respond` and `redirect`.
fn own_action(
    route: &Route,
    path: &[u8],
    target: &Target,
    public: &PublicAuthority<'_>,
) -> Result<Response<Bytes>, ProxyError> {
    let mut response = Response::new(Bytes::new());
    match &route.config.action {
        Action::Respond { status, body } => {
            *response.status_mut() = *status;
            *response.body_mut() = Bytes::copy_from_slice(body.as_bytes());
            let text = HeaderValue::from_static("text/plain; charset=utf-8");
            response.headers_mut().insert(header::CONTENT_TYPE, text);
        }
        Action::Redirect { status, to } => {
            *response.status_mut() = *status;
            let location = redirect::location(to, public, path, target.query());
            let location = HeaderValue::try_from(location).map_err(|_| {
                ProxyError::client(StatusCode::BAD_REQUEST, "the redirect would not be valid")
            })?;
            response.headers_mut().insert(header::LOCATION, location);
        }
        Action::Upstream(name) => {
            return Err(ProxyError::sluice(
                StatusCode::INTERNAL_SERVER_ERROR,
                Kind::Internal,
                format!("the upstream {name} is gone"),
            ));
        }
    }
    headers::apply_edits(response.headers_mut(), &route.config.response_headers);
    Ok(response)
}

/// Removes the hop-by-hop fields, except `Upgrade`, which a route may ask for; its values.
fn strip_for_routing(fields: &mut HeaderMap) -> (Vec<HeaderValue>, Stripped) {
    if !fields.contains_key(header::UPGRADE) {
        return (Vec::new(), headers::strip_hop_by_hop(fields));
    }
    let asked: Vec<HeaderValue> = fields.get_all(header::UPGRADE).iter().cloned().collect();
    let stripped = headers::strip_hop_by_hop(fields);
    for value in &asked {
        fields.append(header::UPGRADE, value.clone());
    }
    (asked, stripped)
}

/// Puts what sluice tells about the client into the place of what the client says.
fn tell_of_client(context: &Context, parts: &mut Parts, record: &mut Record) {
    let forwarding = Forwarding {
        policy: &context.forwarding,
        peer: &context.peer_fields,
        version: parts.version,
    };
    record.identify(forwarded::apply(&mut parts.headers, &forwarding).map(RequestId::Field));
}

/// `Expect` goes on where it says something (RFC 9110 section 10.1.1): not of HTTP/1.0, and
/// no 100-continue without a body to send. Whether the client waits for the upstream's word;
/// what else it expects is for the upstream to judge.
fn settle_expectation(parts: &mut Parts, body: &Incoming) -> bool {
    let mut lines = parts.headers.get_all(header::EXPECT).iter();
    let Some(line) = lines.next() else {
        return false;
    };
    let waits = lines.next().is_none() && line.as_bytes().eq_ignore_ascii_case(b"100-continue");
    let in_vain = parts.version == Version::HTTP_10 || waits && body.is_end_stream();
    if in_vain {
        parts.headers.remove(header::EXPECT);
    }
    waits && !in_vain
}

/// Makes the head what the upstream is to see; hop-by-hop fields are gone, and ours are
/// there. Returns the client's Host where another one replaced it.
fn rewrite(
    parts: &mut Parts,
    route: &Route,
    authority: HeaderValue,
    direct: bool,
    record: &mut Record,
) -> Result<Option<HeaderValue>, ProxyError> {
    let fields = &mut parts.headers;
    fields.remove(header::UPGRADE);
    record.propagate_trace(fields, direct);
    let replaced = match &route.config.host {
        HostPolicy::Preserve => None,
        HostPolicy::Set(host) => {
            parts.headers.insert(header::HOST, host.clone());
            Some(authority)
        }
    };
    headers::apply_edits(&mut parts.headers, &route.config.request_headers);
    Ok(replaced)
}
