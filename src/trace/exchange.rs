//! The part of one exchange in a trace: its ids on the way through, and, where it is sampled,
//! what its two spans will say: the server span for the client's request, and a client span
//! from the request's head to the head of its answer.

use std::time::{Instant, SystemTime};

use http::HeaderMap;
use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;

use super::context::{TraceParent, is_tracestate, new_span_id};
use super::finished::{Ended, Finished, FinishedExchange, Recording};
use super::tracer::{Running, finish};
use crate::message::spelling::push_field;
use crate::route::target::Target;

static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// An exchange's place in its trace.
#[derive(Debug)]
pub struct Trace {
    /// The server span.
    server: TraceParent,
    /// The id of the client span, which is the upstream's parent.
    upstream: [u8; 8],
    /// The client sent a `traceparent`, valid or not.
    has_parent: bool,
    /// The client's `tracestate` belongs to the trace.
    keeps_state: bool,
    recording: Option<Box<Recording>>,
}

impl Trace {
    pub(super) fn begin(tracer: &Running, parts: &Parts, peer_is_trusted: bool) -> Trace {
        let has_parent = parts.headers.contains_key(&TRACEPARENT);
        let theirs = has_parent.then(|| parent_of(&parts.headers)).flatten();
        let continued = theirs.filter(|_| tracer.continues(peer_is_trusted));
        let server = match &continued {
            Some(parent) => parent.with_span(new_span_id()),
            None => TraceParent::begin(|id| tracer.is_sampled(id)),
        };
        let keeps_state = continued.is_some() && {
            let lines = parts.headers.get_all(&TRACESTATE);
            is_tracestate(lines.iter().map(HeaderValue::as_bytes))
        };
        let recording = server.is_sampled().then(|| {
            let links = continued.is_none() && tracer.links();
            Box::new(Recording {
                start: SystemTime::now(),
                started: Instant::now(),
                parent: continued.map(|parent| parent.span_id),
                link: theirs.filter(|_| links),
                version: parts.version,
                user_agent: parts.headers.get(header::USER_AGENT).cloned(),
                sent: None,
                answered: None,
                refused: false,
            })
        });
        Trace {
            server,
            upstream: new_span_id(),
            has_parent,
            keeps_state,
            recording,
        }
    }

    /// Whether its spans are exported.
    pub fn is_sampled(&self) -> bool {
        self.recording.is_some()
    }

    /// The server span, which a tunnel links to.
    pub fn server(&self) -> TraceParent {
        self.server
    }

    /// What goes to the upstream: our client span is its parent.
    fn for_upstream(&self) -> [u8; super::context::LENGTH] {
        self.server.with_span(self.upstream).to_bytes()
    }

    /// Removes the client's trace fields from a request where they do not hold for the
    /// upstream. Unless [`Trace::write`] is to follow, our own parent takes its place.
    pub fn propagate(&self, fields: &mut HeaderMap, written_later: bool) {
        if self.has_parent {
            fields.remove(&TRACEPARENT);
        }
        if !self.keeps_state {
            fields.remove(&TRACESTATE);
        }
        if !written_later && let Ok(parent) = HeaderValue::from_bytes(&self.for_upstream()) {
            fields.insert(&TRACEPARENT, parent);
        }
    }

    /// Writes our `traceparent` after the other lines of a head.
    pub fn write(&self, out: &mut Vec<u8>) {
        push_field(out, TRACEPARENT.as_str().as_bytes(), &self.for_upstream());
    }

    /// The request is about to go to an upstream.
    pub fn sending(&mut self, target: &Target) {
        if let Some(recording) = &mut self.recording {
            recording.sent = Some((target.clone(), Instant::now()));
        }
    }

    /// The head of an answer is complete, the upstream's or one of ours.
    pub fn answered(&mut self) {
        if let Some(recording) = &mut self.recording {
            recording.answered.get_or_insert_with(Instant::now);
        }
    }

    /// The answer is going to be an error of ours.
    pub fn refused(&mut self) {
        if let Some(recording) = &mut self.recording {
            recording.refused = true;
        }
    }

    /// The exchange has ended. `about` is called only where it was sampled.
    pub fn end(&mut self, about: impl FnOnce() -> Ended) {
        let Some(recording) = self.recording.take() else {
            return;
        };
        finish(|| {
            Finished::Exchange(Box::new(FinishedExchange {
                server: self.server,
                upstream: self.upstream,
                recording,
                ended: Instant::now(),
                about: about(),
            }))
        });
    }
}

/// The client's `traceparent`, if there is exactly one line and it is valid.
fn parent_of(headers: &HeaderMap) -> Option<TraceParent> {
    let mut lines = headers.get_all(&TRACEPARENT).iter();
    match (lines.next(), lines.next()) {
        (Some(only), None) => TraceParent::parse(only.as_bytes()),
        _ => None,
    }
}
