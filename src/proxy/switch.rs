//! A request that may switch to a protocol besides WebSocket, where the route lets it (RFC
//! 9110 section 7.8): sent upstream with its body, its 101 judged, and both sockets taken
//! for a tunnel without frames. Any other answer is a plain one.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use http::StatusCode;
use http::header::{self, HeaderMap};
use hyper::body::Incoming;

use super::answer::refuse;
use super::body::RequestBody;
use super::encode::encode_head;
use super::forward::{self, Answered};
use super::outcome::Outcome;
use super::pending::{Agreed, PendingTunnel};
use super::record::Record;
use super::send::{Heard, send};
use super::stream::Stream;
use super::underway::Underway;
use crate::fault::diagnosis::Diagnosis;
use crate::fault::error::{Kind, ProxyError};
use crate::message::headers;
use crate::message::response::ResponseHead;
use crate::message::spelling::{Speller, push_line, push_spelled};
use crate::policy::admitted::Admitted;
use crate::policy::offer::Offer;
use crate::upstream::client::InFlight;
use crate::websocket::handshake::UpstreamProblem;

/// Forwards the request, and opens a tunnel where the upstream switches.
pub async fn open(
    mut exchange: Box<Underway>,
    admitted: Box<Admitted>,
    offer: Offer,
    incoming: Incoming,
) -> Outcome {
    let (stream, record) = exchange.parts();
    let attempt = attempt(stream, &admitted, &offer, incoming, record);
    match forward::unless_slow(&**stream, attempt).await {
        Ok(Attempt::Tunnel(tunnel)) => Outcome::Tunnel(tunnel.of(exchange)),
        Ok(Attempt::Answer(answered)) => {
            Outcome::Answer(forward::answer(exchange, &admitted, *answered))
        }
        Err(error) => refuse(exchange, &error.closing()),
    }
}

enum Attempt {
    Tunnel(Box<PendingTunnel>),
    Answer(Box<Answered>),
}

async fn attempt(
    stream: &Arc<dyn Stream>,
    admitted: &Admitted,
    offer: &Offer,
    incoming: Incoming,
    record: &mut Record,
) -> Result<Attempt, ProxyError> {
    let body = forward::request_body(stream, admitted, incoming);
    let request = encode_head(&**stream, admitted, &body, Some(offer), record);
    let limit = admitted.route.config.timeouts.response_head;
    let heard = send(&**stream, admitted, request, body, limit, record).await;
    let heard = heard.map_err(|unheard| unheard.into_proxy_error(&**stream))?;
    if heard.head.status != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(Attempt::Answer(Box::new(Answered::new(admitted, heard))));
    }
    let Heard {
        mut flight,
        head,
        rest,
        lease,
    } = heard;
    let protocol = offer.chosen(&head).map_err(|problem| {
        let (diagnosis, error) = refused_101(problem, &head);
        record.diagnosed(diagnosis);
        error
    })?;
    send_rest(&**stream, &mut flight).await?;
    let mut fields = head.headers;
    headers::strip_hop_by_hop(&mut fields);
    headers::apply_edits(&mut fields, &admitted.route.config.response_headers);
    let edits = &admitted.route.config.response_headers;
    let configured = [&*edits.spelling, &*stream.facts().http.spelling];
    let speller = Speller::new(&head.lines).after(configured);
    let agreed = Agreed {
        subprotocol: None,
        upgrade: Some(&protocol),
        deflate: None,
    };
    let identity = agreed.identity(stream.facts(), admitted, record, &lease);
    Ok(Attempt::Tunnel(Box::new(PendingTunnel::new(
        admitted,
        flight.connection.io,
        rest,
        encode_101(&head.reason, &fields, speller, &protocol),
        identity,
        lease,
    ))))
}

/// What is wrong with the upstream's 101.
fn refused_101(problem: UpstreamProblem, head: &ResponseHead) -> (Diagnosis, ProxyError) {
    let likely = match head.headers.get(header::UPGRADE) {
        Some(named) => format!(
            "the upstream's 101 names the protocol \"{}\", or lacks Connection: upgrade",
            String::from_utf8_lossy(named.as_bytes()).escape_default()
        ),
        None => "the upstream's 101 names no protocol".to_owned(),
    };
    let detail = format!("the upstream's 101 is not valid: {likely}");
    let diagnosis = Diagnosis {
        cause: problem.name(),
        likely: likely.into(),
        fix: "have the backend switch to the protocol that it was asked for".into(),
    };
    let error = ProxyError::upstream(Kind::UpgradeFailed, detail);
    (diagnosis, error)
}

/// Sends what is left of the request: the new protocol begins after it (RFC 9110 section 7.8).
async fn send_rest(
    stream: &dyn Stream,
    flight: &mut InFlight<RequestBody>,
) -> Result<(), ProxyError> {
    flight.release();
    while !flight.is_sent() {
        let sent = poll_fn(|cx| match flight.poll_send(cx) {
            Poll::Pending if flight.is_sent() => Poll::Ready(Ok(())),
            sent => sent,
        });
        sent.await.map_err(|error| error.into_proxy_error(stream))?;
        if flight.has_failed() {
            let detail = "the request did not become complete after the upstream's 101";
            return Err(ProxyError::upstream(Kind::UpgradeFailed, detail));
        }
    }
    Ok(())
}

/// The 101 for the client, its names as `speller` knows them.
fn encode_101(
    reason: &[u8],
    fields: &HeaderMap,
    mut speller: Speller<'_>,
    protocol: &str,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(256 + fields.len() * 48);
    out.extend_from_slice(b"HTTP/1.1 101 ");
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\nConnection: Upgrade\r\n");
    push_line(&mut out, b"upgrade", protocol.as_bytes());
    for (name, value) in fields {
        if !matches!(name.as_str(), "content-length" | "te" | "trailer") {
            let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
            push_spelled(&mut out, &mut speller, name, value);
        }
    }
    out.extend_from_slice(b"\r\n");
    out
}
