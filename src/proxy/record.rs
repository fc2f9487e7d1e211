//! The record of one exchange: begun with the request, filled on the way, and written when it
//! is told of the end. It is told; nothing depends on it.

mod asked;
mod traced;

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, StatusCode};

use super::stream::Ending;
use crate::fault::cause;
use crate::fault::diagnosis::Diagnosis;
use crate::fault::error::ProxyError;
use crate::message::forwarded::RequestId;
use crate::policy::decide::Found;
use crate::policy::facts::Facts;
use crate::policy::head::RequestHead;
use crate::route::target::Target;
use crate::snapshot::Route;
use crate::trace::Trace;
use crate::{access_log, events, metrics};

pub use self::asked::Asked;

/// What is known of an exchange.
#[derive(Debug)]
pub struct Record {
    trace: Option<Trace>,
    started: Instant,
    /// When the head of the answer was there.
    answered: Option<Instant>,
    method: u8,
    /// It asks for a WebSocket.
    handshake: bool,
    /// Kept for the access log, for sampled traces, and of handshakes, which lists and events
    /// name.
    request: Option<Box<Request>>,
    accept: Option<HeaderValue>,
    /// Only the head of the answer is sent.
    head_only: bool,
    request_id: Option<RequestId>,
    route: Option<Arc<Route>>,
    endpoint: Option<Arc<str>>,
    status: Option<StatusCode>,
    error: Option<Failure>,
    sent: u64,
    complete: bool,
    /// The tunnel's own records take over.
    silent: bool,
    /// First words of an answer that refused a handshake.
    quote: String,
}

#[derive(Debug)]
struct Request {
    method: Method,
    target: Target,
    host: Option<HeaderValue>,
    /// The client's address where a trusted proxy stands in between.
    behind: Option<IpAddr>,
    /// Only for the access log.
    asked: Option<Box<Asked>>,
}

#[derive(Debug)]
struct Failure {
    kind: &'static str,
    /// Why, where nothing has been diagnosed.
    cause: &'static str,
    detail: Cow<'static, str>,
    diagnosis: Option<Box<Diagnosis>>,
}

impl Failure {
    /// The cause, what probably happened, and what would fix it.
    fn why(&self) -> (&'static str, &str, &str) {
        match &self.diagnosis {
            Some(said) => (said.cause, &said.likely, &said.fix),
            None => (self.cause, &self.detail, cause::fix(self.cause)),
        }
    }

    fn write_why(&self, line: &mut access_log::Line<'_>) {
        let (cause, likely, fix) = self.why();
        line.text("cause", cause);
        line.text("likely", likely);
        if !fix.is_empty() {
            line.text("fix", fix);
        }
    }
}

impl Request {
    fn of(facts: &Facts, parts: &Parts, target: &Target) -> Box<Request> {
        Box::new(Request {
            method: parts.method.clone(),
            target: target.clone(),
            host: None,
            behind: facts.behind_proxy(&parts.headers),
            asked: access_log::is_on().then(|| Asked::of(parts)),
        })
    }
}

impl Record {
    /// A request has come.
    pub fn begin(facts: &Facts, head: &RequestHead) -> Self {
        let RequestHead { parts, target, .. } = head;
        let trace = crate::trace::begin(parts, facts.peer_fields.is_trusted());
        let is_kept = access_log::is_on()
            || head.asks_for_upgrade()
            || trace.as_ref().is_some_and(Trace::is_sampled);
        let request = is_kept.then(|| Request::of(facts, parts, target));
        Record {
            trace,
            started: Instant::now(),
            answered: None,
            method: metrics::method_class(&parts.method),
            handshake: false,
            request,
            accept: parts.headers.get(header::ACCEPT).cloned(),
            head_only: parts.method == Method::HEAD,
            request_id: None,
            route: None,
            endpoint: None,
            status: None,
            error: None,
            sent: 0,
            complete: false,
            silent: false,
            quote: String::new(),
        }
    }

    /// What was found when the request was decided.
    pub fn decided(&mut self, found: Found) {
        if let (Some(request), Some(authority)) = (&mut self.request, found.authority) {
            request.host = Some(authority);
        }
        self.handshake = found.expects_tunnel;
        self.route = found.route;
        self.request_id = found.request_id;
        if let Some(diagnosis) = found.diagnosis {
            self.diagnosed(diagnosis);
        }
    }

    /// Its place in its trace.
    pub fn trace(&self) -> Option<&Trace> {
        self.trace.as_ref()
    }

    /// The request's id, as the upstream is told.
    pub fn identify(&mut self, id: Option<RequestId>) {
        self.request_id = id;
    }

    /// The request's id; one is made when an answer of our own needs it first.
    pub fn request_id(&mut self, facts: &Facts) -> &str {
        if self.request_id.is_none() && facts.http.request_id.is_some() {
            self.request_id = HeaderValue::try_from(fresh_id()).ok().map(RequestId::Field);
        }
        self.known_request_id()
    }

    /// The id as a header field for an answer of our own.
    pub fn request_id_field(&mut self, facts: &Facts) -> Option<(HeaderName, HeaderValue)> {
        let name = facts.http.request_id.clone()?;
        self.request_id(facts);
        Some((name, self.request_id.as_ref()?.to_value()))
    }

    /// The endpoint it was sent to.
    pub fn endpoint(&mut self, name: &Arc<str>) {
        self.endpoint = Some(name.clone());
    }

    /// The status of the answer.
    pub fn status(&mut self, status: StatusCode) {
        self.status = Some(status);
        self.answered = Some(Instant::now());
        self.trace_answered();
    }

    /// What the client accepts, for the form of an error.
    pub fn accept(&self) -> Option<&HeaderValue> {
        self.accept.as_ref()
    }

    /// Whether only the head of the answer is sent: the request was a HEAD.
    pub fn is_head_only(&self) -> bool {
        self.head_only
    }

    /// The answer is an error of our own.
    pub fn error(&mut self, error: &ProxyError) {
        metrics::error(error.kind.as_str());
        self.trace_refused();
        let diagnosis = self.error.take().and_then(|failure| failure.diagnosis);
        let cause = cause::of(error, self.route.is_some());
        if self.handshake && diagnosis.is_none() {
            metrics::handshake_refused(self.slot(), cause);
        }
        self.error = Some(Failure {
            kind: error.kind.as_str(),
            cause,
            detail: error.detail.clone(),
            diagnosis,
        });
    }

    /// A handshake failed, and this is why.
    pub fn diagnosed(&mut self, diagnosis: Diagnosis) {
        metrics::handshake_refused(self.slot(), diagnosis.cause);
        let failure = self.error.get_or_insert(Failure {
            kind: "http_upgrade_failed",
            cause: cause::OTHER,
            detail: Cow::Borrowed("the handshake was refused"),
            diagnosis: None,
        });
        failure.diagnosis = Some(Box::new(diagnosis));
    }

    /// The first words of an answer that refused a handshake.
    pub fn quote(&mut self, words: String) {
        self.quote = words;
    }

    /// The path that the client asked for, where it is kept for the log.
    pub fn asked_path(&self) -> Cow<'_, str> {
        let request = self.request.as_ref();
        request.map_or(Cow::Borrowed(""), |request| request.target.path_text())
    }

    /// The request's id, if it has one.
    pub fn known_request_id(&self) -> &str {
        self.request_id.as_ref().map_or("", RequestId::as_str)
    }

    /// The answer broke off.
    pub fn fail(&mut self, why: &ProxyError) {
        self.error = Some(Failure {
            kind: why.kind.as_str(),
            cause: cause::of(why, true),
            detail: why.detail.clone(),
            diagnosis: None,
        });
    }

    /// The client is gone, and gets no answer.
    pub fn client_left(&mut self, detail: impl Into<Cow<'static, str>>) {
        self.left("client_closed", detail.into());
    }

    /// The client does not read, and gets no answer.
    pub fn client_stalled(&mut self, detail: &'static str) {
        self.left("write_timeout", detail.into());
    }

    fn left(&mut self, kind: &'static str, detail: Cow<'static, str>) {
        if self.handshake {
            metrics::handshake_refused(self.slot(), cause::CLIENT_GONE);
        }
        self.error = Some(Failure {
            kind,
            cause: cause::CLIENT_GONE,
            detail,
            diagnosis: None,
        });
    }

    /// The protocol was given so much of the body.
    pub fn sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    /// Bytes of the body that went to the client: of an answer that broke off, without what
    /// the protocol still held.
    fn written(&self, ending: &Ending) -> u64 {
        match self.complete {
            true => self.sent,
            false => self.sent.saturating_sub(ending.unsent),
        }
    }

    /// The answer came to its end.
    pub fn complete(&mut self) {
        self.complete = true;
    }

    /// The client has its 101: a tunnel goes on, which has records of its own. Gives what only
    /// the access log wants, for the record of its opening.
    pub fn switched(&mut self) -> Option<Box<Asked>> {
        self.status(StatusCode::SWITCHING_PROTOCOLS);
        self.silent = true;
        self.request.as_mut()?.asked.take()
    }

    /// Who asked: behind a trusted proxy the address that it vouches for, else the peer.
    pub fn client(&self, facts: &Facts) -> String {
        match self.request.as_ref().and_then(|request| request.behind) {
            Some(address) => address.to_string(),
            None => facts.client(),
        }
    }

    fn slot(&self) -> Option<&metrics::Slot> {
        self.route.as_ref().map(|route| &*route.slot)
    }

    /// What became of a handshake, for those who follow.
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

    /// The exchange has ended: counts it, and writes its line.
    pub fn end(&mut self, facts: &Facts, ending: &Ending) {
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
        if let (true, Some(failure)) = (self.handshake, &self.error) {
            events::refused(|| self.refusal(facts));
            if !access_log::is_on() {
                // Otherwise the access record says so.
                self.warn(facts, failure);
            }
        }
    }

    fn warn(&self, facts: &Facts, failure: &Failure) {
        let (cause, likely, fix) = failure.why();
        tracing::warn!(
            left_out = tracing::field::Empty,
            client = self.client(facts),
            host = text(self.request.as_ref().and_then(|one| one.host.as_ref())),
            path = &*self.asked_path(),
            route = self.route.as_ref().map(|route| &*route.name),
            status = self.status.map(|status| status.as_u16()),
            cause,
            likely,
            fix,
            "a WebSocket handshake was refused"
        );
    }

    fn count(&self, whole: Duration) {
        let answered = self.answered;
        metrics::exchange(&metrics::Exchange {
            route: self.slot(),
            method: self.method,
            status: self.status,
            first_byte: answered.map(|at| at.saturating_duration_since(self.started)),
            whole,
            handshake: self.handshake,
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
            if let Some(failure) = &self.error {
                line.text("error", failure.kind);
                line.text("detail", &failure.detail);
                failure.write_why(line);
                if failure.diagnosis.is_some() {
                    line.text("upstream_said", &self.quote);
                }
            } else if !self.complete {
                line.text("error", ending.ended_by);
            }
        });
    }
}

/// A new request id: 128 random bits in hex.
pub fn fresh_id() -> String {
    format!("{:032x}", fastrand::u128(..))
}

fn text(value: Option<&HeaderValue>) -> &str {
    value.and_then(|value| value.to_str().ok()).unwrap_or("")
}
