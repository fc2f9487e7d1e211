//! Interim answers (1xx) of upstreams, which hyper cannot send.

use crate::message::headers;
use crate::message::response::ResponseHead;
use crate::message::spelling::{Speller, push_spelled};

/// The head as it goes on the wire to the client.
pub fn encode(head: &ResponseHead) -> Vec<u8> {
    let mut fields = head.headers.clone();
    headers::strip_hop_by_hop(&mut fields);
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(head.status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(&head.reason);
    out.extend_from_slice(b"\r\n");
    let mut speller = Speller::new(&head.lines);
    for (name, value) in &fields {
        let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
        push_spelled(&mut out, &mut speller, name, value);
    }
    out.extend_from_slice(b"\r\n");
    out
}
