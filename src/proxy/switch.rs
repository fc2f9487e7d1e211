//! A request that may switch to a protocol besides WebSocket, where the route lets it (RFC
//! 9110 section 7.8): sent upstream with its body, its 101 judged, and on a valid one the
//! exchange becomes a tunnel without frames. Any other answer is a plain one.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use http::StatusCode;
use http::header;

use super::acceptance::{Acceptance, Protocol};
use super::answer::refuse;
use super::encode::encode_head;
use super::forward::{self, Answered};
use super::incoming::Incoming;
use super::outcome::Outcome;
use super::pending::{Agreed, PendingTunnel};
use super::record::Record;
use super::request_body::RequestBody;
use super::send::{Heard, send};
use super::spelling::Spelling;
use super::stream::Stream;
use super::underway::Underway;
use crate::fault::diagnosis::Diagnosis;
use crate::fault::error::{Kind, ProxyError};
use crate::message::headers;
use crate::message::response::ResponseHead;
use crate::policy::admitted::Admitted;
use crate::policy::authorize::authorize;
use crate::policy::offer::Offer;
use crate::upstream::client::InFlight;
use crate::websocket::handshake::UpstreamProblem;

/// Forwards the request, and opens a tunnel where the upstream switches.
pub async fn open(
    mut exchange: Box<Underway>,
    admitted: Admitted,
    offer: Offer,
    incoming: Incoming,
) -> Outcome {
    if let Err(error) = authorize(&admitted, exchange.stream().facts()).await {
        return refuse(exchange, &error);
    }
    let (stream, record) = exchange.parts();
    let attempted = {
        let attempt = pin!(attempt(stream, &admitted, &offer, incoming, record));
        forward::unless_ended(&**stream, attempt).await
    };
    match attempted {
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
    let body = RequestBody::new(incoming, admitted.route.config.max_body, stream);
    let framing = body.as_ref().map(|(_, framing)| *framing);
    let request = encode_head(&**stream, admitted, framing, Some(offer), record);
    let limit = admitted.route.config.timeouts.response_head;
    let heard = send(&**stream, admitted, request, body, limit, record).await;
    let heard = heard.map_err(|unheard| {
        if let Some(diagnosis) = unheard.diagnosis() {
            record.diagnosed(diagnosis);
        }
        unheard.into_proxy_error(&**stream)
    })?;
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
        Acceptance {
            protocol: Protocol::Other(protocol),
            fields,
            reason: head.reason,
            spelling: Spelling::of_answer(admitted, head.lines),
        },
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

/// Sends the rest of the request: the new protocol begins after it (RFC 9110 section 7.8).
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
