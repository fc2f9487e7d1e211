//! A WebSocket handshake that was admitted: sent to the upstream, its answer judged, and on
//! a valid 101 the exchange becomes a tunnel. Until then nothing that the client sent
//! after its handshake goes anywhere; on any other answer it never does, and ends the
//! client's connection.

use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use http::StatusCode;
use http::header;
use tracing::field::Empty;

use super::acceptance::{Acceptance, Protocol};
use super::answer::refuse;
use super::forward::{self, Answered, Rest};
use super::outcome::Outcome;
use super::pending::{Agreed, PendingTunnel};
use super::record::Record;
use super::record::login::Step;
use super::send::{Failed, Heard, Unheard, send};
use super::spelling::Spelling;
use super::stream::Stream;
use super::underway::Underway;
use crate::fault::diagnosis::{self, Diagnosis, Sent};
use crate::fault::error::{Kind, ProxyError};
use crate::message::response::ResponseHead;
use crate::message::spelling::{Section, Speller, push_field};
use crate::message::{forwarded, headers};
use crate::policy::admitted::Admitted;
use crate::policy::authorize::authorize;
use crate::route::hop;
use crate::upstream::client::FlightError;
use crate::websocket::handshake::{
    Accepted, ClientHandshake, Fields, encode_request_with, validate_101,
};

/// How long to wait for the first words of a refusal, for the log.
const PEEK: Duration = Duration::from_secs(1);

/// Opens the upstream's side; the client's follows when its protocol has let go of the stream.
pub async fn open(
    mut exchange: Box<Underway>,
    admitted: Admitted,
    handshake: ClientHandshake,
) -> Outcome {
    if let Err(error) = authorize(&admitted, exchange.stream().facts()).await {
        return refuse(exchange, &error);
    }
    let (stream, record) = exchange.parts();
    let attempted = {
        let attempt = pin!(attempt(&**stream, &admitted, &handshake, record));
        forward::unless_ended(&**stream, attempt).await
    };
    match attempted {
        Ok(Attempt::Tunnel(tunnel)) => Outcome::Tunnel(tunnel.of(exchange)),
        Ok(Attempt::Refused(answered)) => {
            Outcome::Answer(forward::answer(exchange, &admitted, *answered))
        }
        Err(error) => refuse(exchange, &error),
    }
}

enum Attempt {
    Tunnel(Box<PendingTunnel>),
    Refused(Box<Answered>),
}

async fn attempt(
    stream: &dyn Stream,
    admitted: &Admitted,
    handshake: &ClientHandshake,
    record: &mut Record,
) -> Result<Attempt, ProxyError> {
    let request = encode_head(stream, admitted, handshake, record);
    let limit = admitted.route.config.websocket.handshake_timeout;
    let heard = send(stream, admitted, request, None, limit, record).await;
    let heard = heard.map_err(|unheard| {
        if let Unheard::Failed(failed, _) = &unheard {
            record.diagnosed(diagnose_failure(admitted, failed, limit));
        }
        unheard.into_proxy_error(stream)
    })?;
    if heard.head.status != StatusCode::SWITCHING_PROTOCOLS {
        let answered = refused(admitted, heard, record).await;
        return Ok(Attempt::Refused(Box::new(answered)));
    }
    let Heard {
        flight,
        head,
        rest,
        lease,
    } = heard;
    let accepted = judge(admitted, handshake, &head, record)?;
    let mut fields = head.headers;
    headers::apply_edits(&mut fields, &admitted.route.config.response_headers);
    let subprotocol = accepted.subprotocol.as_ref();
    let agreed = Agreed {
        subprotocol: subprotocol.map(|value| String::from_utf8_lossy(value.as_bytes())),
        upgrade: None,
        deflate: accepted.deflate(),
    };
    let identity = agreed.identity(stream.facts(), admitted, record, &lease);
    Ok(Attempt::Tunnel(Box::new(PendingTunnel::new(
        admitted,
        flight.connection.io,
        rest,
        Acceptance {
            protocol: Protocol::WebSocket(accepted),
            fields,
            reason: head.reason,
            spelling: Spelling::of_answer(admitted, head.lines),
        },
        identity,
        lease,
    ))))
}

/// An answer that is no 101, diagnosed by its first words.
async fn refused(admitted: &Admitted, heard: Heard, record: &mut Record) -> Answered {
    let mut answered = Answered::new(admitted, heard);
    if let Rest::Streams(body) = &mut answered.rest {
        // An upstream that keeps the rest to itself must not hold up the head for long.
        let peek = poll_fn(|cx| body.poll_peek(cx));
        let _ = tokio::time::timeout(PEEK, peek).await;
    }
    let body = match &answered.rest {
        Rest::Whole(body) => body,
        Rest::Streams(body) => body.peek(),
    };
    let (status, headers) = (answered.head.status, &answered.head.headers);
    let answer = diagnosis::HandshakeAnswer::Status {
        status,
        headers,
        body,
    };
    let diagnosis = diagnosis::diagnose(&sent(admitted), &answer);
    match Step::of(&admitted.parts.headers, status, headers) {
        Some(step) => record.login_step(step, diagnosis),
        None => record.diagnosed(diagnosis),
    }
    record.quote(diagnosis::first_words(headers, body));
    answered
}

/// The encoded handshake.
fn encode_head(
    stream: &dyn Stream,
    admitted: &Admitted,
    handshake: &ClientHandshake,
    record: &mut Record,
) -> Vec<u8> {
    record.trace_sending(&admitted.target);
    let mut request = Vec::with_capacity(1024);
    let (policy, direct) = (&*stream.facts().forwarding, admitted.direct);
    let names = stream.take_names(Section::Head);
    let edits = &admitted.route.config.request_headers;
    encode_request_with(
        &mut request,
        admitted.target.as_bytes(),
        admitted.host(),
        Fields {
            map: &admitted.parts.headers,
            names: Speller::new(&names).after([&edits.spelling, &stream.facts().http.spelling]),
        },
        &handshake.key,
        |name| direct && forwarded::gives_way(policy, name),
        |out| {
            if direct {
                let host = admitted.asked_host();
                let peer = &stream.facts().peer_fields;
                let id = forwarded::write_direct(out, policy, peer, Some(host));
                record.identify(id);
                record.write_trace(out);
            }
            let hops = &admitted.hops;
            hops.with(&admitted.route.mark, |hops| {
                push_field(out, hop::WRITTEN, hops);
            });
        },
    );
    request
}

/// Validates a 101, or accepts an invalid one where the route says so.
fn judge(
    admitted: &Admitted,
    handshake: &ClientHandshake,
    head: &ResponseHead,
    record: &mut Record,
) -> Result<Accepted, ProxyError> {
    let problem = match validate_101(head, handshake) {
        Ok(accepted) => return Ok(accepted),
        Err(problem) => problem,
    };
    let answer = diagnosis::HandshakeAnswer::Invalid101 {
        problem,
        headers: &head.headers,
    };
    let diagnosis = diagnosis::diagnose(&sent(admitted), &answer);
    if admitted.route.config.websocket.accept_invalid_101 && problem.can_be_waived() {
        tracing::warn!(
            left_out = Empty,
            route = &*admitted.route.name,
            problem = problem.name(),
            "an invalid 101 was accepted, as accept_invalid_101 says"
        );
        return Ok(Accepted::unchecked(head, handshake));
    }
    let detail = format!("the upstream's 101 is not valid: {}", diagnosis.likely);
    record.diagnosed(diagnosis);
    Err(ProxyError::upstream(Kind::UpgradeFailed, detail))
}

fn sent(admitted: &Admitted) -> Sent<'_> {
    Sent {
        host: admitted.host(),
        replaced_host: admitted.replaced_host.as_ref(),
        origin: admitted.parts.headers.get(header::ORIGIN),
        path: admitted.target.path(),
    }
}

fn diagnose_failure(admitted: &Admitted, failed: &Failed, limit: Duration) -> Diagnosis {
    let answer = match failed {
        Failed::Flight(FlightError::Head { error, bytes }) => diagnosis::HandshakeAnswer::Garbage {
            error: *error,
            bytes,
        },
        Failed::Flight(FlightError::Connection { came, .. }) => {
            diagnosis::HandshakeAnswer::Closed(came)
        }
        Failed::Slow => diagnosis::HandshakeAnswer::TimedOut(limit),
        Failed::Switching | Failed::Flight(FlightError::Body(_)) => {
            diagnosis::HandshakeAnswer::Closed(b"")
        }
    };
    diagnosis::diagnose(&sent(admitted), &answer)
}
