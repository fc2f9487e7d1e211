//! What goes wrong with an exchange, as its record keeps it.

use std::borrow::Cow;

use super::Record;
use crate::fault::cause;
use crate::fault::diagnosis::Diagnosis;
use crate::fault::error::ProxyError;
use crate::{access_log, metrics};

#[derive(Debug)]
pub(super) struct Failure {
    pub(super) kind: &'static str,
    /// Why, where nothing has been diagnosed.
    cause: &'static str,
    pub(super) detail: Cow<'static, str>,
    pub(super) diagnosis: Option<Box<Diagnosis>>,
}

impl Failure {
    /// The cause, what probably happened, and what would fix it.
    pub(super) fn why(&self) -> (&'static str, &str, &str) {
        match &self.diagnosis {
            Some(said) => (said.cause, &said.likely, &said.fix),
            None => (self.cause, &self.detail, cause::fix(self.cause)),
        }
    }

    pub(super) fn write_why(&self, line: &mut access_log::Line<'_>) {
        let (cause, likely, fix) = self.why();
        line.text("cause", cause);
        line.text("likely", likely);
        if !fix.is_empty() {
            line.text("fix", fix);
        }
    }
}

impl Record {
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
}
