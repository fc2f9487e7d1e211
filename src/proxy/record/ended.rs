//! The end of an exchange: counted, published, and written as its record.

use std::time::Duration;

use http::header::HeaderValue;

use super::Record;
use super::failure::{Failure, warn};
use super::login::{Awaited, Step};
use crate::fault::cause;
use crate::fault::error::Kind;
use crate::message::forwarded::RequestId;
use crate::policy::facts::Facts;
use crate::proxy::drain;
use crate::proxy::stream::Ending;
use crate::{access_log, events, metrics};

impl Record {
    /// The event of a refused handshake.
    fn refusal(&self, facts: &Facts) -> events::HandshakeRefused {
        let host = self.request.as_ref().and_then(|one| one.host.as_ref());
        let (cause, likely, fix) = self
            .error
            .as_ref()
            .map_or((cause::OTHER, "", ""), Failure::why);
        events::HandshakeRefused {
            time: events::now(),
            request_id: self.known_request_id().to_owned(),
            route: self.route.as_ref().map(|route| route.name.clone()),
            client: self.client(facts),
            host: text(host).to_owned(),
            path: self.asked_path().into_owned(),
            status: self.status.map(|status| status.as_u16()),
            cause: cause.to_owned(),
            likely: likely.to_owned(),
            fix: fix.to_owned(),
        }
    }

    /// It is a handshake.
    pub fn is_handshake(&self) -> bool {
        self.handshake
    }

    /// The exchange has ended: counts it, and writes its line. What is given is said of it where
    /// the client does not go on with its login.
    pub fn end(&mut self, facts: &Facts, ending: &Ending) -> Option<Box<Awaited>> {
        self.note_cut(ending);
        // A handshake that got no answer at all is an outcome too.
        if self.handshake && self.status.is_none() && self.error.is_none() {
            let detail = "the client was gone before its handshake was answered";
            self.left(ending.ended_by, detail.into());
        }
        self.end_trace(facts, ending);
        let whole = self.started.elapsed();
        self.count(whole);
        if !self.silent && access_log::is_on() {
            self.write(facts, ending, whole);
        }
        if self.login.is_some() {
            return self.awaited(facts);
        }
        if self.handshake && self.error.is_some() {
            events::refused(|| self.refusal(facts));
            if !access_log::is_on() {
                // Otherwise the access record says so.
                warn(&self.refusal(facts));
            }
        }
        None
    }

    /// What sluice cuts is not its client's doing.
    fn note_cut(&mut self, ending: &Ending) {
        let is_open = !self.complete && !self.silent && self.error.is_none();
        if is_open
            && ending.ended_by == Kind::ClientGone.as_str()
            && let Some(why) = drain::cut_error()
        {
            if self.handshake && self.status.is_none() {
                metrics::handshake_refused(self.slot(), cause::STOPPED);
            }
            self.fail(&why);
        }
    }

    /// What is to be said of a login's step when the client does not go on.
    fn awaited(&self, facts: &Facts) -> Option<Box<Awaited>> {
        let (cause, ..) = self.error.as_ref()?.why();
        let refusal = self.refusal(facts);
        Some(Box::new(Awaited::new(self.route.clone(), cause, refusal)))
    }

    fn count(&self, whole: Duration) {
        let answered = self.answered;
        metrics::exchange(&metrics::Exchange {
            route: self.slot(),
            method: self.method,
            status: self.status,
            first_byte: answered.map(|at| at.saturating_duration_since(self.started)),
            whole,
            handshake: self.handshake && self.login.is_none(),
        });
    }

    fn write(&self, facts: &Facts, ending: &Ending, whole: Duration) {
        access_log::record("exchange", |line| {
            line.optional(
                "request_id",
                self.request_id.as_ref().map(RequestId::as_str),
            );
            self.write_trace_id(line);
            line.text("client", &self.client(facts));
            if let Some(request) = &self.request {
                line.text("method", request.method.as_str());
                line.text("host", text(request.host.as_ref()));
                line.text("path", &request.target.path_text());
                if access_log::with_query() {
                    line.optional("query", request.target.query_text().as_deref());
                }
                if let Some(asked) = &request.asked {
                    asked.write(line);
                }
            }
            if let Some(status) = self.status {
                line.number("status", status.as_u16().into());
            }
            if let Some(route) = &self.route {
                line.text("route", &route.name);
                line.optional("upstream", route.upstream.as_ref().map(|u| &**u.name()));
            }
            line.optional("endpoint", self.endpoint.as_deref());
            line.millis("duration_ms", whole);
            line.number("bytes_in", ending.received);
            line.number("bytes_out", self.written(ending));
            if let Some(step) = self.login.and_then(Step::detail) {
                line.text("detail", step);
            } else if let Some(failure) = &self.error {
                line.text("error", failure.kind);
                line.text("detail", &failure.detail);
                failure.write_why(line);
                if failure.diagnosis.is_some() && self.handshake {
                    line.text("upstream_said", &self.quote);
                }
            } else if !self.complete {
                line.text("error", ending.ended_by);
            }
        });
    }
}

fn text(value: Option<&HeaderValue>) -> &str {
    value.and_then(|value| value.to_str().ok()).unwrap_or("")
}
