//! A WebSocket handshake that was admitted: sent to the upstream, its answer judged, and on
//! a valid 101 both sockets taken for a tunnel. Until then nothing that the client sent
//! behind its handshake goes anywhere; on any other answer it never does, and ends the
//! client's connection.

use std::borrow::Cow;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;
use http::header::{self, HeaderValue};
use tracing::field::Empty;

use super::exchange::{Admitted, Answer, NoAnswer, refuse};
use super::forward::{self, Answered, Failed, Heard, Rest, Unheard};
use super::h1::context::Context;
use super::live;
use super::record::Record;
use super::tunnel_record;
use crate::config::WebSocketConfig;
use crate::fault::diagnosis::{self, Diagnosis, Sent};
use crate::fault::error::{Kind, ProxyError};
use crate::message::handshake::{
    Accepted, ClientHandshake, Fields, encode_101, encode_request_with, validate_101,
};
use crate::message::response::ResponseHead;
use crate::message::spelling::{Section, Speller, push_line};
use crate::message::{forwarded, headers};
use crate::net::close::write_all;
use crate::net::io::Io;
use crate::process::Shared;
use crate::route::hop;
use crate::tunnel::{self, IdentityParts, TunnelIdentity, TunnelSpec, registry};
use crate::upstream::Lease;
use crate::upstream::client::FlightError;

/// How long the first words of a refusal are waited for, for the log.
const PEEK: Duration = Duration::from_secs(1);

/// Opens the upstream's side; the client's follows when hyper has let go of it.
pub async fn open(
    context: Arc<Context>,
    admitted: Box<Admitted>,
    handshake: ClientHandshake,
    mut record: Box<Record>,
) -> Answer {
    match attempt(&context, &admitted, &handshake, &mut record).await {
        Ok(Attempt::Tunnel(tunnel)) => {
            context.wait_flushed().await;
            Err(NoAnswer::takeover(tunnel.recorded_by(record)))
        }
        Ok(Attempt::Refused(answered)) => {
            Ok(forward::answer(&context, &admitted, *answered, record))
        }
        Err(error) => refuse(&context, &error, record),
    }
}

enum Attempt {
    Tunnel(Box<PendingTunnel>),
    Refused(Box<Answered>),
}

async fn attempt(
    context: &Context,
    admitted: &Admitted,
    handshake: &ClientHandshake,
    record: &mut Record,
) -> Result<Attempt, ProxyError> {
    let request = encode_head(context, admitted, handshake, record);
    let limit = admitted.route.config.websocket.handshake_timeout;
    let heard = forward::send(context, admitted, request, None, limit, record).await;
    let heard = heard.map_err(|unheard| {
        if let Unheard::Failed(failed, _) = &unheard {
            record.diagnosed(diagnose_failure(admitted, failed, limit));
        }
        unheard.into_proxy_error(context)
    })?;
    if heard.head.status != StatusCode::SWITCHING_PROTOCOLS {
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
        let answer = diagnosis::Answer::Status {
            status,
            headers,
            body,
        };
        record.diagnosed(diagnosis::diagnose(&sent(admitted), &answer));
        record.quote(diagnosis::first_words(headers, body));
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
    let mut switching = Vec::with_capacity(512);
    let edits = &admitted.route.config.response_headers;
    let fields = Fields {
        map: &fields,
        names: Speller::new(&head.lines).after([&edits.spelling, &context.http.spelling]),
    };
    encode_101(&mut switching, &head.reason, fields, &accepted);
    Ok(Attempt::Tunnel(Box::new(PendingTunnel::new(
        admitted,
        flight.connection.io,
        rest,
        switching,
        identity(admitted, &accepted, record, &lease),
        lease,
    ))))
}

/// The handshake as it goes on the wire.
fn encode_head(
    context: &Context,
    admitted: &Admitted,
    handshake: &ClientHandshake,
    record: &mut Record,
) -> Vec<u8> {
    record.trace_sending(&admitted.target);
    let mut request = Vec::with_capacity(1024);
    let (policy, direct) = (&*context.forwarding, admitted.direct);
    let names = context.take_names(Section::Head);
    let edits = &admitted.route.config.request_headers;
    encode_request_with(
        &mut request,
        admitted.target.as_bytes(),
        host(admitted),
        Fields {
            map: &admitted.parts.headers,
            names: Speller::new(&names).after([&edits.spelling, &context.http.spelling]),
        },
        &handshake.key,
        |name| direct && forwarded::gives_way(policy, name),
        |out| {
            if direct {
                let host = admitted.replaced_host.as_ref().unwrap_or(host(admitted));
                let peer = &context.peer_fields;
                let id = forwarded::write_direct(out, policy, peer, Some(host), push_line);
                record.identify(id);
                record.write_trace(out, push_line);
            }
            let hops = &admitted.hops;
            hops.with(&admitted.route.mark, |hops| {
                push_line(out, hop::FIELD.as_str().as_bytes(), hops);
            });
        },
    );
    request
}

/// Validates a 101, or takes it as it is where the route says so.
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
    let answer = diagnosis::Answer::Invalid101 {
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

fn host(admitted: &Admitted) -> &HeaderValue {
    static NONE: HeaderValue = HeaderValue::from_static("");
    admitted.parts.headers.get(header::HOST).unwrap_or(&NONE)
}

fn sent(admitted: &Admitted) -> Sent<'_> {
    Sent {
        host: host(admitted),
        replaced_host: admitted.replaced_host.as_ref(),
        origin: admitted.parts.headers.get(header::ORIGIN),
        path: admitted.target.path(),
    }
}

fn diagnose_failure(admitted: &Admitted, failed: &Failed, limit: Duration) -> Diagnosis {
    let answer = match failed {
        Failed::Flight(FlightError::Head { error, bytes }) => diagnosis::Answer::Garbage {
            error: *error,
            bytes,
        },
        Failed::Flight(FlightError::Connection { came, .. }) => diagnosis::Answer::Closed(came),
        Failed::Slow => diagnosis::Answer::TimedOut(limit),
        Failed::Switching | Failed::Flight(FlightError::Body(_)) => diagnosis::Answer::Closed(b""),
    };
    diagnosis::diagnose(&sent(admitted), &answer)
}

fn identity(
    admitted: &Admitted,
    accepted: &Accepted,
    record: &mut Record,
    lease: &Lease,
) -> Box<TunnelIdentity> {
    let parts = &admitted.parts;
    let asked_host = admitted.replaced_host.as_ref().unwrap_or(host(admitted));
    fn text(value: &HeaderValue) -> Cow<'_, str> {
        String::from_utf8_lossy(value.as_bytes())
    }
    TunnelIdentity::new(IdentityParts {
        route: admitted.route.slot.clone(),
        endpoint: lease.endpoint().slot().clone(),
        client: &record.client(),
        host: &text(asked_host),
        path: &record.asked_path(),
        subprotocol: accepted.subprotocol.as_ref().map(text).as_deref(),
        upgrade: None,
        origin: parts.headers.get(header::ORIGIN).map(text).as_deref(),
        request_id: record.known_request_id(),
        traceparent: record.traceparent().as_deref().unwrap_or_default(),
        deflate: accepted.deflate(),
    })
}

/// Of a tunnel without frames.
pub fn unframed_identity(
    admitted: &Admitted,
    protocol: &str,
    record: &Record,
    lease: &Lease,
) -> Box<TunnelIdentity> {
    let asked_host = admitted.replaced_host.as_ref().unwrap_or(host(admitted));
    TunnelIdentity::new(IdentityParts {
        route: admitted.route.slot.clone(),
        endpoint: lease.endpoint().slot().clone(),
        client: &record.client(),
        host: &String::from_utf8_lossy(asked_host.as_bytes()),
        path: &record.asked_path(),
        subprotocol: None,
        upgrade: Some(protocol),
        origin: None,
        request_id: record.known_request_id(),
        traceparent: record.traceparent().as_deref().unwrap_or_default(),
        deflate: None,
    })
}

/// A tunnel whose upstream side is open, waiting for the client's socket.
#[derive(Debug)]
pub struct PendingTunnel {
    upstream: Io,
    from_upstream: Bytes,
    /// The 101 for the client.
    switching: Vec<u8>,
    identity: Box<TunnelIdentity>,
    /// Of the exchange, which is under way until the client has its 101.
    record: Option<Box<Record>>,
    settings: Arc<WebSocketConfig>,
    /// Of the configuration that it was admitted by.
    generation: u64,
    lease: Lease,
}

impl PendingTunnel {
    /// Of an admitted request: the upstream's side with what was read of it behind its 101,
    /// and the 101 for the client.
    pub fn new(
        admitted: &Admitted,
        upstream: Io,
        from_upstream: Bytes,
        switching: Vec<u8>,
        identity: Box<TunnelIdentity>,
        lease: Lease,
    ) -> Self {
        PendingTunnel {
            upstream,
            from_upstream,
            switching,
            identity,
            record: None,
            settings: admitted.route.config.websocket.clone(),
            generation: admitted.route.generation,
            lease: lease.into_tunnel(),
        }
    }

    /// The exchange that it is the outcome of.
    pub fn recorded_by(mut self: Box<Self>, record: Box<Record>) -> Box<Self> {
        self.record = Some(record);
        self
    }

    /// Answers the client with the 101 and lets the tunnel run as a task of its own.
    /// `from_client` is what came behind the handshake.
    pub async fn start(
        mut self,
        client: Io,
        from_client: Bytes,
        live: live::Guard,
        shared: &Shared,
    ) {
        if let Err(error) = write_all(&client, &self.switching).await {
            // The exchange's record, dropped here, says so.
            tracing::debug!(%error, "the client left before its 101");
            return;
        }
        let mut record = self.record.take();
        let asked = record.as_mut().and_then(|record| record.switched());
        drop(record);
        let handle = tunnel::spawn(TunnelSpec {
            client,
            upstream: self.upstream,
            from_client,
            from_upstream: self.from_upstream,
            settings: self.settings,
            identity: self.identity,
            guard: (self.lease, live),
            report: tunnel_record::closed,
        });
        // Its task has not run yet: its end comes after this.
        tunnel_record::opened(&handle, asked.as_deref());
        // The reload that came during the handshake has not seen this tunnel.
        if shared.snapshot.load().generation != self.generation
            && let Some(reviewer) = shared.state.reviewer()
        {
            registry::apply(&handle, reviewer.judge(&handle), Instant::now());
        }
    }
}
