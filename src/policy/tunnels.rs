//! Tunnels that are refused although a route takes their handshakes: during a drain, and to
//! origins that may not connect.

use std::sync::atomic::Ordering::Relaxed;

use http::StatusCode;
use http::request::Parts;

use super::facts::Facts;
use super::grounds::{Drain, Grounds};
use crate::fault::diagnosis::{self, Diagnosis};
use crate::fault::error::{Kind, ProxyError};
use crate::route::origin::{self, OriginMismatch, OriginRefusal, PublicAuthority};
use crate::snapshot::Route;

/// Refuses new tunnels during a drain.
pub fn refuse_while_draining(grounds: Grounds<'_>, route: &Route) -> Result<(), ProxyError> {
    let drained = match grounds.drain {
        Drain::Process => Some("this proxy is shutting down"),
        Drain::None if !route.draining.load(Relaxed) => None,
        Drain::None | Drain::Tunnels => Some("new tunnels are refused while this route is drained"),
    };
    if let Some(why) = drained {
        let after = grounds.snapshot.drain.retry_after;
        let (status, kind) = (
            StatusCode::SERVICE_UNAVAILABLE,
            Kind::DestinationUnavailable,
        );
        let error = ProxyError::sluice(status, kind, why);
        return Err(error.retry_after(after).closing());
    }
    Ok(())
}

/// Checks a handshake against the origins of its route. `found` gets a diagnosis where there is
/// more to say than the Origin.
pub fn check_origin(
    facts: &Facts,
    route: &Route,
    parts: &Parts,
    public: &PublicAuthority<'_>,
    found: &mut Option<Diagnosis>,
) -> Result<(), ProxyError> {
    let policy = route.config.websocket.origin_policy();
    origin::check(policy, &parts.headers, *public)
        .map_err(|refusal| refused_origin(facts, parts, public, refusal, found).closing())
}

/// The 403. Where a proxy in front is the reason, it says so instead of naming a list.
#[cold]
fn refused_origin(
    facts: &Facts,
    parts: &Parts,
    public: &PublicAuthority<'_>,
    mut refusal: OriginRefusal,
    found: &mut Option<Diagnosis>,
) -> ProxyError {
    let compared = matches!(
        refusal.reason,
        OriginMismatch::OtherHost | OriginMismatch::OtherPort
    );
    let peer = &facts.peer_fields;
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
    // The Host after the colon is the proxy's, not one that the browser sent.
    let (told, _) = diagnosis.likely.split_once(':').unwrap_or_default();
    let told = format!("{told}, with which the Origin is compared");
    *found = Some(diagnosis);
    ProxyError::client(StatusCode::FORBIDDEN, detail).publicly(told)
}
