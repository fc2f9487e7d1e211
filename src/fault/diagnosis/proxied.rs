//! An Origin that differs from Host because a proxy in front did not keep Host. A list of
//! origins would hide that; the diagnosis says what would fix it.

use std::net::IpAddr;

use http::HeaderMap;
use http::header::{self, HeaderName};

use super::said::Diagnosis;
use crate::message::forwarded::{PeerFields, claimed_host};
use crate::route::host;

/// Fields that show that a proxy has forwarded the request.
static TRACES: [HeaderName; 6] = [
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-real-ip"),
    header::FORWARDED,
    header::VIA,
];

/// The diagnosis where `host`, with which the Origin was compared, is one that only a proxy
/// would send.
pub fn host_not_kept(headers: &HeaderMap, host: &str, peer: &PeerFields) -> Option<Diagnosis> {
    let origin = headers.get(header::ORIGIN)?.to_str().ok()?;
    let (scheme, authority) = origin.split_once("://")?;
    let (page, _) = host::split_port(authority)?;
    let (name, _) = host::split_port(host)?;
    let claimed = claimed_host(headers).filter(|(_, said)| {
        !peer.is_trusted() && host::split_port(said).is_some_and(|(said, _)| host::same(said, page))
    });
    let vouched = claimed.is_some();
    let passed_on = TRACES.iter().any(|trace| headers.contains_key(trace));
    // No page asks for a service's name. An address of the machine is asked for by pages under
    // development too: there has to be more that speaks for a proxy.
    let public_page = scheme == "https" && !is_internal(page);
    let likely = is_label(name) || is_internal(name) && (passed_on || public_page);
    if !vouched && !likely {
        return None;
    }
    let shown: String = name
        .chars()
        .filter(char::is_ascii_graphic)
        .take(100)
        .collect();
    // A page of another site that asks for an address of ours looks the same.
    let probably = if vouched { "" } else { "probably " };
    let trust = match (peer.address_text(), claimed) {
        (Some(address), Some((field, _))) => {
            format!(", or add \"{address}\" to `http.trusted_proxies`, so that its {field} counts")
        }
        (None, Some(_)) => String::new(),
        _ => "; where there is none, the page is another site's".to_owned(),
    };
    Some(Diagnosis::new(
        "host-not-kept",
        format!(
            "a proxy in front {probably}did not keep Host: it asks for \"{shown}\", the page is of another host"
        ),
        format!(
            "let the proxy in front pass Host on (nginx: `proxy_set_header Host $http_host;`){trust}"
        ),
    ))
}

/// An address that is not public, or a name that no page has.
fn is_internal(name: &str) -> bool {
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    match bare.parse().map(|address: IpAddr| address.to_canonical()) {
        Ok(IpAddr::V4(address)) => address.is_private() || address.is_loopback(),
        Ok(IpAddr::V6(address)) => address.is_loopback() || address.is_unique_local(),
        Err(_) => {
            let ends = [".internal", ".local", ".svc", ".localhost"];
            is_label(name) || name == "localhost" || ends.iter().any(|end| name.ends_with(end))
        }
    }
}

/// `backend`: the name of an upstream, a container or a service.
fn is_label(name: &str) -> bool {
    !name.contains(['.', ':', '[']) && !name.eq_ignore_ascii_case("localhost")
}
