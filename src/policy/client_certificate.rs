//! What a client's certificate decides: what its upstream is told of it, which clients cannot say
//! themselves, and which routes ask for one.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{StatusCode, request::Parts};

use super::facts::Facts;
use super::grounds::Grounds;
use crate::fault::error::{Kind, ProxyError};
use crate::net::tls::ClientCertificate;
use crate::route::host;
use crate::snapshot::Route;

const SUBJECT: HeaderName = HeaderName::from_static("x-client-cert-subject");
const NAMES: HeaderName = HeaderName::from_static("x-client-cert-san");
const FINGERPRINT: HeaderName = HeaderName::from_static("x-client-cert-fingerprint");

/// What the names of all of them begin with.
const OURS: &[u8] = b"x-client-cert-";

fn certificate(facts: &Facts) -> Option<&ClientCertificate> {
    facts.tls.as_deref()?.client.as_deref()
}

/// Puts what is known of the client's certificate in the place of what the client says of it,
/// unless it is a trusted proxy, which speaks of its own clients.
pub(super) fn tell(parts: &mut Parts, facts: &Facts) {
    let certificate = certificate(facts);
    if certificate.is_none() && facts.peer_fields.is_trusted() {
        return;
    }
    let fields = &mut parts.headers;
    remove_ours(fields);
    let Some(certificate) = certificate else {
        return;
    };
    for (name, value) in [
        (SUBJECT, &certificate.subject),
        (NAMES, &certificate.names),
        (FINGERPRINT, &certificate.fingerprint),
    ] {
        if let Ok(value) = HeaderValue::from_str(value) {
            fields.insert(name, value);
        }
    }
}

/// Some servers do not tell `_` from `-`.
fn remove_ours(fields: &mut HeaderMap) {
    let is_ours = |name: &&HeaderName| {
        let name = name.as_str().as_bytes();
        let same = |(own, ours): (&u8, &u8)| own == ours || (*own == b'_' && *ours == b'-');
        name.len() > OURS.len() && name.iter().zip(OURS).all(same)
    };
    let found: Vec<HeaderName> = fields.keys().filter(is_ours).cloned().collect();
    for name in found {
        fields.remove(name);
    }
}

/// Whether the route takes this client. `demands`: whether the route of another host, the one that
/// the client named in its handshake, asks for a certificate.
pub(super) fn check(
    grounds: Grounds<'_>,
    route: &Route,
    host: &str,
    demands: impl FnOnce(&str) -> bool,
) -> Result<(), ProxyError> {
    if !grounds.snapshot.demands_certificates {
        return Ok(());
    }
    let (facts, wanted) = (grounds.facts, route.config.client_certificate);
    let named = facts
        .tls
        .as_deref()
        .and_then(|tls| tls.server_name.as_deref());
    let named = named.filter(|_| !facts.peer_fields.is_trusted());
    if let Some(name) = named
        && !is_same(name, host)
        && demands(name) != wanted
    {
        let detail = "the connection was made for another host, which has other rules for client \
                      certificates: use a connection of its own for this one";
        return Err(ProxyError::client(StatusCode::MISDIRECTED_REQUEST, detail).publicly(detail));
    }
    if wanted && certificate(facts).is_none() {
        let detail = "this needs a client certificate, and the client has shown none";
        let error = ProxyError::sluice(StatusCode::FORBIDDEN, Kind::CertificateMissing, detail);
        return Err(error.publicly(detail));
    }
    Ok(())
}

fn is_same(name: &str, authority: &str) -> bool {
    let host = host::split_port(authority).map_or(authority, |(host, _)| host);
    host.trim_end_matches('.').eq_ignore_ascii_case(name)
}
