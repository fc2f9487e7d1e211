//! One request, whatever protocol carries it: decided, authorised, and forwarded or upgraded.
//! Each step is a call here and a module elsewhere.

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;

use http::request::Parts;
use http_body::Body;
use hyper::body::Incoming;

use super::outcome::Outcome;
use super::record::Record;
use super::stream::Stream;
use super::underway::Underway;
use super::{answer, connections, forward, switch, upgrade};
use crate::policy::admitted::Admitted;
use crate::policy::authorize::authorize;
use crate::policy::decide::{Decision, Way, decide};
use crate::policy::grounds::{Drain, Grounds};
use crate::policy::head::{Content, RequestHead};
use crate::process::Shared;
use crate::route::target::Target;

/// An exchange under way.
pub type Running = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// Begins an exchange. What needs no waiting is done here, so that what waits is small.
pub fn begin(stream: Arc<dyn Stream>, parts: Parts, target: Target, body: Incoming) -> Running {
    let content = match body.is_end_stream() {
        true => Content::None,
        false => Content::AtLeast(body.size_hint().lower()),
    };
    let head = RequestHead::new(parts, target, content);
    let mut record = Record::begin(stream.facts(), &head);
    let snapshot = stream.shared().snapshot.load();
    let grounds = Grounds {
        facts: stream.facts(),
        snapshot: &snapshot,
        drain: drain(stream.shared()),
        trace: record.trace(),
    };
    let Decision { found, way } = decide(head, grounds);
    drop(snapshot);
    record.decided(found);
    let exchange = Underway::new(stream, record);
    match way {
        Ok(Way::Forward(admitted)) => authorized(exchange, admitted, |exchange, admitted| {
            forward::forward(exchange, admitted, body)
        }),
        Ok(Way::WebSocket(admitted, handshake)) => {
            authorized(exchange, admitted, |exchange, admitted| {
                upgrade::open(exchange, admitted, handshake)
            })
        }
        Ok(Way::Switch(admitted, offer)) => authorized(exchange, admitted, |exchange, admitted| {
            switch::open(exchange, admitted, offer, body)
        }),
        Ok(Way::Answer(response, spelling)) => {
            let answer = answer::own(exchange, response, spelling);
            Box::pin(ready(Outcome::Answer(answer)))
        }
        Err(error) => Box::pin(ready(answer::refuse(exchange, &error))),
    }
}

/// Goes on with `next` once the request is authorised.
fn authorized<F: Future<Output = Outcome> + Send>(
    exchange: Box<Underway>,
    admitted: Box<Admitted>,
    next: impl FnOnce(Box<Underway>, Box<Admitted>) -> F + Send + 'static,
) -> Running {
    Box::pin(async move {
        match authorize(&admitted, exchange.stream().facts()).await {
            Ok(()) => next(exchange, admitted).await,
            Err(error) => answer::refuse(exchange, &error),
        }
    })
}

fn drain(shared: &Shared) -> Drain {
    if connections::is_draining() {
        Drain::Process
    } else if shared.state.drains_all() {
        Drain::Tunnels
    } else {
        Drain::None
    }
}
