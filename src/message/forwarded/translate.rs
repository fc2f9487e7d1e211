//! The `Forwarded` of a trusted peer put into `X-Forwarded-*`.

use http::header::{HeaderMap, HeaderValue};

use super::believe::scheme_of;
use super::policy::{FOR, HOST, PROTO};
use super::rfc7239;

/// Writes what `Forwarded` says into the `X-Forwarded-*` fields. A node that is no address is
/// `unknown` there, whatever its obfuscated name is.
pub(super) fn translate(headers: &mut HeaderMap) {
    let mut elements: Vec<_> = rfc7239::elements(headers).collect();
    elements.reverse();
    let mut chain = String::new();
    // Elements at the client's end without a node add nothing to a chain.
    for element in elements.iter().skip_while(|element| element.node.is_none()) {
        if !chain.is_empty() {
            chain.push_str(", ");
        }
        match element.address() {
            Some(address) => chain.push_str(&address.to_string()),
            None => chain.push_str("unknown"),
        }
    }
    let proto = elements.iter().find_map(|element| element.proto.as_deref());
    let scheme = proto.and_then(|proto| scheme_of(std::str::from_utf8(proto).ok()?));
    let host = elements.iter().find_map(|element| element.host.clone());
    let host = host.and_then(|host| HeaderValue::from_str(&rfc7239::sound_host(host)?).ok());
    if let Some(chain) = HeaderValue::try_from(chain).ok().filter(|c| !c.is_empty()) {
        headers.insert(&FOR, chain);
    }
    if let Some(scheme) = scheme {
        headers.insert(&PROTO, HeaderValue::from_static(scheme.as_str()));
    }
    if let Some(host) = host {
        headers.insert(&HOST, host);
    }
}
