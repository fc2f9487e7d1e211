//! One request, whatever protocol carries it: decided, authorised, and forwarded or upgraded.
//! Each step is a call here and a module elsewhere.

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;

use http::request::Parts;
use http_body::Body;
use hyper::body::Incoming;

use super::h1::context::Context;
use super::outcome::Outcome;
use super::record::Record;
use super::{answer, forward, live, switch, upgrade};
use crate::policy::admitted::Admitted;
use crate::policy::authorize::authorize;
use crate::policy::decide::{Decision, Way, decide};
use crate::policy::grounds::{Drain, Grounds};
use crate::policy::head::{Content, RequestHead};
use crate::route::target::Target;

/// An exchange under way.
pub type Running = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// Begins an exchange. What needs no waiting is done here, so that what waits is small.
pub fn begin(context: Arc<Context>, parts: Parts, target: Target, body: Incoming) -> Running {
    let content = match body.is_end_stream() {
        true => Content::None,
        false => Content::AtLeast(body.size_hint().lower()),
    };
    let head = RequestHead::new(parts, target, content);
    let mut record = Box::new(Record::begin(&context, &head));
    let snapshot = context.shared.snapshot.load();
    let grounds = Grounds {
        facts: &context.facts,
        snapshot: &snapshot,
        drain: drain(&context),
        trace: record.trace(),
    };
    let Decision { found, way } = decide(head, grounds);
    drop(snapshot);
    record.decided(found);
    match way {
        Ok(Way::Forward(admitted)) => {
            authorized(context, admitted, record, |context, admitted, record| {
                forward::forward(context, admitted, body, record)
            })
        }
        Ok(Way::WebSocket(admitted, handshake)) => {
            authorized(context, admitted, record, |context, admitted, record| {
                upgrade::open(context, admitted, handshake, record)
            })
        }
        Ok(Way::Switch(admitted, offer)) => {
            authorized(context, admitted, record, |context, admitted, record| {
                switch::open(context, admitted, offer, body, record)
            })
        }
        Ok(Way::Answer(response, spelling)) => {
            let answer = answer::own(&context, response, spelling, record);
            Box::pin(ready(Outcome::Answer(answer)))
        }
        Err(error) => Box::pin(ready(answer::refuse(&context, &error, record))),
    }
}

/// Goes on with `next` once the request is authorised.
fn authorized<F: Future<Output = Outcome> + Send>(
    context: Arc<Context>,
    admitted: Box<Admitted>,
    record: Box<Record>,
    next: impl FnOnce(Arc<Context>, Box<Admitted>, Box<Record>) -> F + Send + 'static,
) -> Running {
    Box::pin(async move {
        match authorize(&admitted, &context.facts).await {
            Ok(()) => next(context, admitted, record).await,
            Err(error) => answer::refuse(&context, &error, record),
        }
    })
}

fn drain(context: &Context) -> Drain {
    if live::is_draining() {
        Drain::Process
    } else if context.shared.state.drains_all() {
        Drain::Tunnels
    } else {
        Drain::None
    }
}
