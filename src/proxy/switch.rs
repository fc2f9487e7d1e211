//! A request that may switch to a protocol besides WebSocket, where the route lets it (RFC
//! 9110 section 7.8): sent upstream with its body, its 101 judged, and both sockets taken
//! for a tunnel without frames. Any other answer is a plain one.

use std::sync::Arc;
use std::task::Poll;

use http::header::{self, HeaderMap, HeaderValue};
use http::{StatusCode, Version};
use hyper::body::Incoming;

use super::exchange::{Admitted, Answer, NoAnswer, refuse};
use super::forward::{self, Answered, Heard};
use super::h1::context::Context;
use super::record::Record;
use super::upgrade::PendingTunnel;
use crate::fault::diagnosis::Diagnosis;
use crate::fault::error::{Kind, ProxyError};
use crate::message::handshake::UpstreamProblem;
use crate::message::headers;
use crate::message::response::ResponseHead;
use crate::message::spelling::{Speller, push_line, push_spelled};

/// The protocols that a request asks for and its route allows, as the client wrote them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer(Vec<Vec<u8>>);

impl Offer {
    /// Of what `asked` lists, in its order; `None` where nothing is left.
    pub fn new(asked: &[HeaderValue], allowed: &[String]) -> Option<Offer> {
        let offered: Vec<Vec<u8>> = asked
            .iter()
            .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
            .map(<[u8]>::trim_ascii)
            .filter(|protocol| allowed.iter().any(|one| is_same(one.as_bytes(), protocol)))
            .map(<[u8]>::to_vec)
            .collect();
        (!offered.is_empty()).then_some(Offer(offered))
    }

    /// The `Upgrade` for the upstream.
    pub fn value(&self) -> Vec<u8> {
        self.0.join(&b", "[..])
    }

    /// The protocol that a 101 names.
    fn chosen(&self, head: &ResponseHead) -> Result<String, UpstreamProblem> {
        if head.version != Version::HTTP_11 {
            return Err(UpstreamProblem::HttpVersion);
        }
        let mut lines = head.headers.get_all(header::UPGRADE).iter();
        let named = lines.next().ok_or(UpstreamProblem::UpgradeMissing)?;
        let is_asked_for = self.0.iter().any(|one| is_same(one, named.as_bytes()));
        if lines.next().is_some() || !is_asked_for {
            return Err(UpstreamProblem::UpgradeOther);
        }
        let mut options = head.headers.get_all(header::CONNECTION).iter();
        let says_upgrade = options.any(|line| {
            let mut options = line.as_bytes().split(|byte| *byte == b',');
            options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
        });
        match says_upgrade {
            true => Ok(String::from_utf8_lossy(named.as_bytes()).into_owned()),
            false => Err(UpstreamProblem::ConnectionMissing),
        }
    }
}

/// Names of protocols are the same in any case, their versions only as they are written.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let end = |text: &[u8]| memchr::memchr(b'/', text).unwrap_or(text.len());
    let (name, version) = one.split_at(end(one));
    let (other_name, other_version) = other.split_at(end(other));
    name.eq_ignore_ascii_case(other_name) && version == other_version
}

/// Forwards the request, and opens a tunnel where the upstream switches.
pub async fn open(
    context: Arc<Context>,
    admitted: Box<Admitted>,
    offer: Offer,
    incoming: Incoming,
    mut record: Box<Record>,
) -> Answer {
    let attempt = attempt(&context, &admitted, &offer, incoming, &mut record);
    match forward::unless_slow(&context, attempt).await {
        Ok(Attempt::Tunnel(tunnel)) => {
            context.wait_flushed().await;
            Err(NoAnswer::takeover(tunnel.recorded_by(record)))
        }
        Ok(Attempt::Answer(answered)) => {
            Ok(forward::answer(&context, &admitted, *answered, record))
        }
        Err(error) => refuse(&context, &error.closing(), record),
    }
}

enum Attempt {
    Tunnel(Box<PendingTunnel>),
    Answer(Box<Answered>),
}

async fn attempt(
    context: &Arc<Context>,
    admitted: &Admitted,
    offer: &Offer,
    incoming: Incoming,
    record: &mut Record,
) -> Result<Attempt, ProxyError> {
    let body = forward::request_body(context, admitted, incoming);
    let request = forward::encode_head(context, admitted, &body, Some(offer), record);
    let limit = admitted.route.config.timeouts.response_head;
    let heard = forward::send(context, admitted, request, body, limit, record).await;
    let heard = heard.map_err(|unheard| unheard.into_proxy_error(context))?;
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
        let named = head.headers.get(header::UPGRADE);
        let likely = match named {
            Some(named) => format!(
                "the upstream's 101 names the protocol \"{}\", or lacks Connection: upgrade",
                String::from_utf8_lossy(named.as_bytes()).escape_default()
            ),
            None => "the upstream's 101 names no protocol".to_owned(),
        };
        let detail = format!("the upstream's 101 is not valid: {likely}");
        record.diagnosed(Diagnosis {
            cause: problem.name(),
            likely: likely.into(),
            mend: "have the backend switch to the protocol that it was asked for".into(),
        });
        ProxyError::upstream(Kind::UpgradeFailed, detail)
    })?;
    // The new protocol begins behind the request (RFC 9110 section 7.8).
    flight.release();
    while !flight.is_sent() {
        let sent = std::future::poll_fn(|cx| match flight.poll_send(cx) {
            Poll::Pending if flight.is_sent() => Poll::Ready(Ok(())),
            sent => sent,
        });
        sent.await
            .map_err(|error| error.into_proxy_error(context))?;
        if flight.has_failed() {
            let detail = "the request did not become complete behind the upstream's 101";
            return Err(ProxyError::upstream(Kind::UpgradeFailed, detail));
        }
    }
    let mut fields = head.headers;
    headers::strip_hop_by_hop(&mut fields);
    headers::apply_edits(&mut fields, &admitted.route.config.response_headers);
    let edits = &admitted.route.config.response_headers;
    let configured = [&*edits.spelling, &*context.http.spelling];
    let speller = Speller::new(&head.lines).after(configured);
    let identity = super::upgrade::unframed_identity(admitted, &protocol, record, &lease);
    Ok(Attempt::Tunnel(Box::new(PendingTunnel::new(
        admitted,
        flight.connection.io,
        rest,
        encode_101(&head.reason, &fields, speller, &protocol),
        identity,
        lease,
    ))))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_what_is_allowed_is_offered() {
        let allowed = ["tcp".to_owned(), "SPDY/3.1".to_owned()];
        for (asked, offered) in [
            ("tcp", Some("tcp")),
            ("TCP", Some("TCP")),
            ("spdy/3.1", Some("spdy/3.1")),
            ("h2c, Spdy/3.1 ,tcp", Some("Spdy/3.1, tcp")),
            ("spdy/3.10", None),
            ("spdy", None),
            ("tcp/1", None),
            ("tcpx", None),
            ("h2c", None),
            ("", None),
        ] {
            let offer = Offer::new(&[HeaderValue::from_static(asked)], &allowed);
            let value = offer.map(|offer| String::from_utf8(offer.value()).unwrap());
            assert_eq!(value.as_deref(), offered, "{asked}");
        }
    }
}
