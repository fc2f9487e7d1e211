//! The record of one exchange: begun with the request, filled on the way, and written at the end.
//! It only records; nothing depends on it.

mod asked;
mod ended;
mod failure;
pub mod login;
mod traced;

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use http::header::{HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, StatusCode};

use self::failure::Failure;
use super::stream::Ending;
use crate::fault::cause;
use crate::fault::diagnosis::Diagnosis;
use crate::fault::error::{Kind, ProxyError};
use crate::message::forwarded::RequestId;
use crate::policy::decide::Found;
use crate::policy::facts::Facts;
use crate::policy::head::RequestHead;
use crate::route::target::Target;
use crate::snapshot::Route;
use crate::trace::Trace;
use crate::{access_log, metrics};

use self::login::Step;

pub use self::asked::Asked;

/// What is known of an exchange.
#[derive(Debug)]
pub struct Record {
    trace: Option<Trace>,
    started: Instant,
    /// When the head of the answer arrived.
    answered: Option<Instant>,
    method: u8,
    /// It asks for a WebSocket.
    handshake: bool,
    /// Kept for the access log, for sampled traces, and for handshakes, which appear in lists and
    /// events.
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
    /// It was answered with a step of a login of the connection.
    login: Option<Step>,
}

#[derive(Debug)]
struct Request {
    method: Method,
    target: Target,
    host: Option<HeaderValue>,
    /// The client's address where a trusted proxy stands in between.
    vouched: Option<IpAddr>,
    /// Only for the access log.
    asked: Option<Box<Asked>>,
}

impl Request {
    fn of(facts: &Facts, parts: &Parts, target: &Target) -> Box<Request> {
        Box::new(Request {
            method: parts.method.clone(),
            target: target.clone(),
            host: None,
            vouched: facts.vouched_client(&parts.headers),
            asked: access_log::is_on().then(|| Asked::of(parts, facts.tls.clone())),
        })
    }
}

impl Record {
    /// A request has come.
    pub fn begin(facts: &Facts, head: &mut RequestHead) -> Self {
        let accept = head.accept.take();
        let RequestHead { parts, target, .. } = &*head;
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
            accept,
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
            login: None,
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

    /// Its trace context.
    pub fn trace(&self) -> Option<&Trace> {
        self.trace.as_ref()
    }

    /// The request's id, as it was sent to the upstream.
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

    /// A handshake or a request failed at the upstream, and this is why.
    pub fn diagnosed(&mut self, diagnosis: Diagnosis) {
        if self.handshake {
            metrics::handshake_refused(self.slot(), diagnosis.cause);
        }
        self.failed_handshake(diagnosis);
    }

    /// A handshake was answered with a step of a login; the diagnosis is of what it is if the
    /// client does not go on.
    pub fn login_step(&mut self, step: Step, diagnosis: Diagnosis) {
        self.login = Some(step);
        self.failed_handshake(diagnosis);
    }

    fn failed_handshake(&mut self, diagnosis: Diagnosis) {
        let failure = self.error.get_or_insert(Failure {
            kind: "http_upgrade_failed",
            cause: cause::OTHER,
            detail: Cow::Borrowed("the handshake was refused"),
            diagnosis: None,
        });
        failure.diagnosis = Some(Box::new(diagnosis));
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
        self.left(Kind::ClientGone.as_str(), detail.into());
    }

    /// The client does not read, and gets no answer.
    pub fn client_stalled(&mut self, detail: &'static str) {
        self.left("write_timeout", detail.into());
    }

    pub(super) fn left(&mut self, kind: &'static str, detail: Cow<'static, str>) {
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

    /// The client has been told: a tunnel goes on, with records of its own. Returns what only the
    /// access log needs, for the record of its opening.
    pub fn switched(&mut self) -> Option<Box<Asked>> {
        self.status(StatusCode::SWITCHING_PROTOCOLS);
        self.silent = true;
        self.request.as_mut()?.asked.take()
    }

    /// The client: the address that a trusted proxy vouches for, else the peer.
    pub fn client(&self, facts: &Facts) -> String {
        match self.request.as_ref().and_then(|request| request.vouched) {
            Some(address) => address.to_string(),
            None => facts.client(),
        }
    }

    fn slot(&self) -> Option<&metrics::Slot> {
        self.route.as_ref().map(|route| &*route.slot)
    }
}

/// A new request id: 128 random bits in hex.
pub fn fresh_id() -> String {
    format!("{:032x}", fastrand::u128(..))
}
