//! One request of any protocol: decided here, then forwarded or upgraded by a module of its own,
//! which begins with the authorisation.

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;

use http::request::Parts;
use http_body::Body;

use super::incoming::Incoming;
use super::outcome::Outcome;
use super::stream::Stream;
use super::underway::Underway;
use super::{answer, drain, forward, switch, untrusted, upgrade};
use crate::policy::decide::{Decision, Way, decide};
use crate::policy::grounds::{Drain, Grounds};
use crate::policy::head::{Content, RequestHead};
use crate::process::Shared;
use crate::route::target::Target;

/// An exchange under way.
pub type Running = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// Begins an exchange. What need not wait is done here, so that the future is small.
pub fn begin(stream: Arc<dyn Stream>, parts: Parts, target: Target, incoming: Incoming) -> Running {
    let content = match incoming.is_end_stream() {
        true => Content::None,
        false => Content::AtLeast(incoming.size_hint().lower()),
    };
    let mut head = Box::new(RequestHead::new(parts, target, content));
    let mut exchange = Underway::begin(stream, &mut head);
    let (stream, record) = exchange.parts();
    if head.has.claims {
        untrusted::look(&head.parts.headers, &stream.facts().peer_fields);
    }
    let snapshot = stream.shared().snapshot.load();
    let grounds = Grounds {
        facts: stream.facts(),
        snapshot: &snapshot,
        drain: drain_of(stream.shared()),
        trace: record.trace(),
    };
    let Decision { found, way } = decide(head, grounds);
    record.decided(found);
    if record.is_handshake() {
        stream.may_switch();
    }
    match way {
        Ok(Way::Forward(admitted)) => Box::pin(forward::forward(exchange, admitted, incoming)),
        Ok(Way::WebSocket(admitted, handshake)) => {
            Box::pin(upgrade::open(exchange, admitted, handshake))
        }
        Ok(Way::Switch(admitted, offer)) => {
            Box::pin(switch::open(exchange, admitted, offer, incoming))
        }
        Ok(Way::Answer(response, spelling)) => {
            let answer = answer::own(exchange, response, spelling);
            Box::pin(ready(Outcome::Answer(answer)))
        }
        Err(error) => Box::pin(ready(answer::refuse(exchange, &error))),
    }
}

fn drain_of(shared: &Shared) -> Drain {
    if drain::is_under_way() {
        Drain::Process
    } else if shared.state.drains_all() {
        Drain::Tunnels
    } else {
        Drain::None
    }
}
