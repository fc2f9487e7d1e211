//! Encoding the head of a plain request for an upstream.

use http::header;

use super::record::Record;
use super::stream::Stream;
use crate::message::forwarded;
use crate::message::spelling::{Section, Speller, push_field, push_spelled};
use crate::policy::admitted::Admitted;
use crate::policy::offer::Offer;
use crate::route::hop;
use crate::upstream::Address;
use crate::upstream::client::BodyFraming;

/// The encoded head, without Host where the request has none. Content-Length is the client's own line, which the protocol has checked.
pub fn encode_head(
    stream: &dyn Stream,
    admitted: &Admitted,
    framing: Option<BodyFraming>,
    offer: Option<&Offer>,
    record: &mut Record,
) -> Vec<u8> {
    let mut head = Vec::with_capacity(1024);
    let out = &mut head;
    let parts = &admitted.parts;
    record.trace_sending(&admitted.target);
    out.extend_from_slice(parts.method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(admitted.target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let (policy, direct) = (&*stream.facts().forwarding, admitted.direct);
    let mut host = None;
    let names = stream.take_names(Section::Head);
    let configured = [
        &*admitted.route.config.request_headers.spelling,
        &*stream.facts().http.spelling,
    ];
    let mut speller = Speller::new(&names).after(configured);
    for (name, value) in &parts.headers {
        if *name == header::HOST {
            if value.is_empty() {
                continue;
            }
            host = Some(value);
        }
        if !(direct && forwarded::gives_way(policy, name)) {
            let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
            push_spelled(out, &mut speller, name, value);
        }
    }
    if direct {
        let host = admitted.replaced_host.as_ref().or(host);
        record.identify(forwarded::write_direct(
            out,
            policy,
            &stream.facts().peer_fields,
            host,
        ));
        record.write_trace(out);
    }
    let hops = &admitted.hops;
    hops.with(&admitted.route.mark, |hops| {
        push_field(out, hop::WRITTEN, hops);
    });
    if let Some(offer) = offer {
        out.extend_from_slice(b"Connection: Upgrade\r\n");
        push_field(out, b"Upgrade", &offer.value());
    }
    if framing == Some(BodyFraming::Chunked) {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    out.extend_from_slice(b"\r\n");
    head
}

/// The head with the endpoint's address as Host, for a request that has none (HTTP/1.0): every
/// request of HTTP/1.1 has one (RFC 9112 section 3.2).
pub fn with_host(head: &[u8], address: &Address) -> Vec<u8> {
    let fields = memchr::memmem::find(head, b"\r\n").map_or(head.len(), |end| end + 2);
    let (line, fields) = head.split_at(fields);
    let host = address.authority();
    [line, b"Host: ", host.as_bytes(), b"\r\n", fields].concat()
}
