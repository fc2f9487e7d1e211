//! What the record of an exchange adds to its trace, where there is one.

use std::ops::Deref;

use http::StatusCode;

use super::Record;
use crate::access_log;
use crate::net::listen::Peer;
use crate::policy::facts::Facts;
use crate::proxy::stream::Ending;
use crate::route::target::Target;
use crate::trace::context::LENGTH;
use crate::trace::{Ended, Trace};

/// A `traceparent`'s text.
pub struct ParentText([u8; LENGTH]);

impl Deref for ParentText {
    type Target = str;

    fn deref(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl Record {
    /// Writes our `traceparent` after the other lines of a head.
    pub fn write_trace(&self, out: &mut Vec<u8>) {
        if let Some(trace) = &self.trace {
            trace.write(out);
        }
    }

    /// The request is about to go to an upstream, with this target.
    pub fn trace_sending(&mut self, target: &Target) {
        if let Some(trace) = &mut self.trace {
            trace.sending(target);
        }
    }

    pub(super) fn trace_answered(&mut self) {
        if let Some(trace) = &mut self.trace {
            trace.answered();
        }
    }

    pub(super) fn trace_refused(&mut self) {
        if let Some(trace) = &mut self.trace {
            trace.refused();
        }
    }

    /// The exchange's own span, for its tunnel.
    pub fn traceparent(&self) -> Option<ParentText> {
        let server = self.trace.as_ref().map(Trace::server)?;
        Some(ParentText(server.to_bytes()))
    }

    pub(super) fn write_trace_id(&self, line: &mut access_log::Line<'_>) {
        let parent = self.traceparent();
        line.optional("trace_id", parent.as_ref().and_then(|text| text.get(3..35)));
    }

    /// The exchange has ended; one that became a tunnel was answered with a 101.
    pub(super) fn end_trace(&mut self, facts: &Facts, ending: &Ending) {
        let Some(mut trace) = self.trace.take_if(|trace| trace.is_sampled()) else {
            return;
        };
        if self.silent {
            trace.answered();
        }
        trace.end(|| self.ended(facts, ending));
        // The access record names it.
        self.trace = Some(trace);
    }

    fn ended(&self, facts: &Facts, ending: &Ending) -> Ended {
        let request = self.request.as_ref();
        let error = match &self.error {
            Some(failure) => Some((failure.kind, failure.detail.clone())),
            None if self.complete || self.silent => None,
            None => Some((ending.ended_by, "".into())),
        };
        Ended {
            method: request.map_or_else(Default::default, |request| request.method.clone()),
            target: request.map_or_else(Default::default, |request| request.target.clone()),
            with_query: access_log::with_query(),
            scheme: facts.listener_info.scheme,
            host: request.and_then(|request| request.host.clone()),
            client: self.client(facts),
            peer: match facts.peer {
                Peer::Tcp(address) => Some(address),
                Peer::Unix => None,
            },
            route: self.route.clone(),
            endpoint: self.endpoint.clone(),
            status: match self.silent {
                true => Some(StatusCode::SWITCHING_PROTOCOLS),
                false => self.status,
            },
            error,
            request_id: self.known_request_id().to_owned(),
            bytes_in: ending.received,
            bytes_out: self.written(ending),
        }
    }
}
