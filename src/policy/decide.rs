//! What becomes of a request, from its head, the client's connection and the snapshot in
//! force. Pure: nothing is counted, recorded, sent or waited for.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Response, StatusCode, Version};

use super::admitted::Admitted;
use super::facts::Facts;
use super::grounds::Grounds;
use super::head::{Content, Present, RequestHead};
use super::offer::Offer;
use super::{client_certificate, own, rewrite, routing, tunnels};
use crate::fault::diagnosis::{self, Diagnosis};
use crate::fault::error::{Kind, ProxyError};
use crate::message::forwarded::{self, RequestId};
use crate::route::hop::Hops;
use crate::route::origin::PublicAuthority;
use crate::snapshot::Route;
use crate::upstream::login;
use crate::vocabulary::Scheme;
use crate::websocket::handshake::{ClientHandshake, UpgradeRequest};

/// What becomes of a request, and what was found on the way, for its record.
#[derive(Debug)]
pub struct Decision {
    /// What was found until the decision was made.
    pub found: Found,
    /// What is done with it, or the refusal.
    pub way: Result<Way, ProxyError>,
}

/// What is known of a request after the decision.
#[derive(Debug, Default)]
pub struct Found {
    /// The authority of the request: its Host, or that of an absolute-form target.
    pub authority: Option<HeaderValue>,
    /// It asks for a tunnel, validly or not.
    pub expects_tunnel: bool,
    /// Its id, where our fields have already been added to the head.
    pub request_id: Option<RequestId>,
    /// Its route.
    pub route: Option<Arc<Route>>,
    /// Why a handshake is refused, where that is known.
    pub diagnosis: Option<Diagnosis>,
}

/// What is done with a request that is not refused.
#[derive(Debug)]
pub enum Way {
    /// It goes to an upstream.
    Forward(Admitted),
    /// It goes to an upstream as a WebSocket handshake.
    WebSocket(Admitted, ClientHandshake),
    /// It goes to an upstream, which may switch to a protocol of the offer.
    Switch(Admitted, Offer),
    /// It is answered here; with the lines in which the route spells names of fields.
    Answer(Response<Bytes>, Bytes),
}

/// Decides what becomes of a request.
pub fn decide(mut head: Box<RequestHead>, grounds: Grounds<'_>) -> Decision {
    let mut found = Found::default();
    let way = match take_authority(&mut head.parts) {
        Ok(authority) => {
            let way = way(head, grounds, &authority, &mut found);
            found.authority = Some(authority);
            way
        }
        Err(error) => Err(error),
    };
    Decision { found, way }
}

fn way(
    mut head: Box<RequestHead>,
    grounds: Grounds<'_>,
    authority: &HeaderValue,
    found: &mut Found,
) -> Result<Way, ProxyError> {
    if let Some(answer) = own::by_hop_count(&mut head.parts) {
        return Ok(Way::Answer(answer, Bytes::new()));
    }
    let RequestHead {
        parts,
        target,
        upgrade,
        content,
        has,
        ..
    } = &mut *head;
    let (content, has) = (*content, *has);
    let websocket = upgrade.is_websocket();
    found.expects_tunnel = websocket;
    let path = routing::read_path(target)?;
    let taken = take_out(parts, has, grounds, found);
    let public = public_authority(parts, grounds.facts, authority, taken.port);
    if let Some(port) = grounds.facts.listener_info.https_port
        && public.scheme != Scheme::Https
    {
        let answer = own::to_https(port, websocket, &path.sent, target, &public)?;
        return Ok(Way::Answer(answer, Bytes::new()));
    }
    let at = (grounds.snapshot, &grounds.facts.listener_info);
    let (route, rewritten) = routing::find(at, parts, (&public, authority), &path, websocket)?;
    found.route = Some(route.clone());
    client_certificate::check(grounds, &route, public.host, |name| {
        let public = PublicAuthority {
            host: name,
            ..public
        };
        let other = routing::find(at, parts, (&public, authority), &path, websocket);
        other.is_ok_and(|(route, _)| route.config.client_certificate)
    })?;
    let handshake = admit_handshake(upgrade, grounds, &route, parts, &public, found)?;
    let offer = match handshake {
        Some(_) => None,
        None => admit_offer(&taken, grounds, &route, parts, found)?,
    };
    hold_to_size(&route, content)?;
    let Some(upstream) = route.upstream.clone() else {
        let spelling = route.config.response_headers.spelling.clone();
        let answer = own::of_route(&route, &path.sent, target, &public)?;
        return Ok(Way::Answer(answer, spelling));
    };
    let hops = match has.hops {
        true => take_hops(parts, &route)?,
        false => Hops::default(),
    };
    // A route's edits may name our fields.
    let direct = taken.direct && route.config.request_headers.is_empty();
    if taken.direct && !direct {
        found.request_id = rewrite::tell_of_client(parts, grounds.facts);
    }
    let expects_continue = has.expect && rewrite::settle_expectation(parts, content);
    let replaced_host = rewrite::for_upstream(
        parts,
        &route,
        authority,
        (direct, has.upgrade),
        grounds.trace,
    );
    let edited = !route.config.request_headers.is_empty();
    let logs_in = (has.authorization || edited) && login::is_login(&parts.headers);
    if let Some(path) = routing::sent_path(rewritten, target, &path) {
        *target = target.with_path(&path);
    }
    let admitted = Admitted {
        head,
        route,
        upstream,
        is_handshake: handshake.is_some() || offer.is_some(),
        direct,
        replaced_host,
        hops,
        expects_continue,
        logs_in,
    };
    Ok(match (handshake, offer) {
        (Some(handshake), _) => Way::WebSocket(admitted, handshake),
        (None, Some(offer)) => Way::Switch(admitted, offer),
        (None, None) => Way::Forward(admitted),
    })
}

/// What was in a head that conditions must not see.
struct Taken {
    /// The port that a trusted proxy vouches for.
    port: Option<u16>,
    /// The protocols that `Upgrade` names.
    asked: Vec<HeaderValue>,
    /// `Connection` names it.
    connection_upgrade: bool,
    /// Our fields need not go through the map.
    direct: bool,
}

/// Conditions judge what the upstream would be sent: what it is not sent is taken out first, and
/// our fields are put in unless nothing depends on it.
fn take_out(parts: &mut Parts, has: Present, grounds: Grounds<'_>, found: &mut Found) -> Taken {
    let facts = grounds.facts;
    let port = forwarded::public_port(&parts.headers, &facts.peer_fields);
    let (asked, stripped) = rewrite::strip_for_routing(&mut parts.headers, has.upgrade);
    if grounds.snapshot.asks_for_certificates {
        client_certificate::tell(parts, facts);
    }
    let direct = !grounds.snapshot.judges_our_fields
        && forwarded::is_direct(&facts.forwarding, &facts.peer_fields);
    if !direct {
        found.request_id = rewrite::tell_of_client(parts, facts);
    }
    Taken {
        port,
        asked,
        connection_upgrade: stripped.connection_upgrade,
        direct,
    }
}

/// The authority under which the public knows the server.
fn public_authority<'a>(
    parts: &'a Parts,
    facts: &Facts,
    authority: &'a HeaderValue,
    port: Option<u16>,
) -> PublicAuthority<'a> {
    let peer = &facts.peer_fields;
    let (scheme, host) = forwarded::public_authority(&parts.headers, peer, Some(authority));
    PublicAuthority {
        scheme,
        host: host.unwrap_or(""),
        port,
    }
}

/// The authority of the request. There is exactly one: the protocol has checked that.
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

/// The WebSocket handshake, where the request is one that its route takes; the refusal where
/// it was meant as one.
fn admit_handshake(
    upgrade: &mut UpgradeRequest,
    grounds: Grounds<'_>,
    route: &Route,
    parts: &Parts,
    public: &PublicAuthority<'_>,
    found: &mut Found,
) -> Result<Option<ClientHandshake>, ProxyError> {
    match std::mem::replace(upgrade, UpgradeRequest::None) {
        UpgradeRequest::WebSocket(handshake) => {
            tunnels::refuse_while_draining(grounds, route)?;
            tunnels::check_origin(grounds.facts, route, parts, public, &mut found.diagnosis)?;
            Ok(Some(handshake))
        }
        UpgradeRequest::Invalid(problem) => {
            found.diagnosis = Some(diagnosis::diagnose_client(problem));
            let mut error = ProxyError::client(problem.status(), problem.reason());
            error.field = problem.version_header().map(Box::new);
            Err(error.closing())
        }
        UpgradeRequest::None | UpgradeRequest::Other => Ok(None),
    }
}

/// The protocols besides WebSocket that the request may switch to, if there are any.
fn admit_offer(
    taken: &Taken,
    grounds: Grounds<'_>,
    route: &Route,
    parts: &Parts,
    found: &mut Found,
) -> Result<Option<Offer>, ProxyError> {
    if !taken.connection_upgrade || parts.version != Version::HTTP_11 {
        return Ok(None);
    }
    let offer = Offer::new(&taken.asked, &route.config.upgrade);
    if offer.is_some() {
        found.expects_tunnel = true;
        tunnels::refuse_while_draining(grounds, route)?;
    }
    Ok(offer)
}

fn hold_to_size(route: &Route, content: Content) -> Result<(), ProxyError> {
    if let (Some(max), Content::AtLeast(length)) = (route.config.max_body, content)
        && length > max
    {
        let detail = format!("the request body is larger than the {max} bytes this route allows");
        return Err(ProxyError::client(StatusCode::PAYLOAD_TOO_LARGE, detail));
    }
    Ok(())
}

/// The routes that the request has passed so far.
fn take_hops(parts: &mut Parts, route: &Route) -> Result<Hops, ProxyError> {
    let hops = Hops::take(&mut parts.headers);
    hops.check(&route.mark).map_err(|circle| {
        ProxyError::sluice(
            StatusCode::LOOP_DETECTED,
            Kind::LoopDetected,
            circle.to_string(),
        )
    })?;
    Ok(hops)
}

#[cfg(test)]
mod tests;
