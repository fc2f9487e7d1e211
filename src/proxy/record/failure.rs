//! What went wrong with an exchange, as its record keeps it.

use std::borrow::Cow;

use crate::access_log;
use crate::events;
use crate::fault::cause;
use crate::fault::diagnosis::Diagnosis;

#[derive(Debug)]
pub(super) struct Failure {
    pub(super) kind: &'static str,
    /// The cause, where nothing has been diagnosed.
    pub(super) cause: &'static str,
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

/// Logs a refused handshake where no access record says it.
pub(super) fn warn(refusal: &events::HandshakeRefused) {
    tracing::warn!(
        left_out = tracing::field::Empty,
        client = refusal.client,
        host = refusal.host,
        path = refusal.path,
        route = refusal.route.as_deref(),
        status = refusal.status,
        cause = refusal.cause,
        likely = refusal.likely,
        fix = refusal.fix,
        "a WebSocket handshake was refused"
    );
}
