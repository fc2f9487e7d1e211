//! `/healthz` and `/readyz`: one line each, for balancers and service managers.

use http::StatusCode;

use super::answer::{Answer, text};
use crate::process::state::{Phase, ProcessState};

/// The process answers; that is all there is to say.
pub(super) fn live() -> Answer {
    text(StatusCode::OK, "ok")
}

/// Whether new clients are welcome, and if not, why.
pub(super) fn ready(state: &ProcessState) -> Answer {
    if state.is_ready() {
        return text(StatusCode::OK, "ready");
    }
    let why = match state.phase() {
        // Its tunnels are being drained by command.
        Phase::Ready => Phase::Draining,
        phase => phase,
    };
    text(StatusCode::SERVICE_UNAVAILABLE, why.as_str())
}
