//! Handshakes that are answered with a step of a login of the connection (NTLM, Negotiate; RFC
//! 4559 section 5): what is said of them waits for what the client does next. Where it goes on,
//! they were no refusals; where it leaves, the last of them was.

use std::sync::Arc;

use http::{HeaderMap, StatusCode};

use super::failure::warn;
use crate::snapshot::Route;
use crate::upstream::login;
use crate::{access_log, events, metrics};

/// How far a login has come with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The upstream asks for one.
    Offer,
    /// The client has begun, and is asked to go on.
    Challenge,
}

impl Step {
    /// That of the answer to a request with these fields, if it is one.
    pub fn of(request: &HeaderMap, status: StatusCode, fields: &HeaderMap) -> Option<Step> {
        if !login::asks_for_login(status, fields) {
            return None;
        }
        match (login::is_login(request), login::goes_on(fields)) {
            (true, true) => Some(Step::Challenge),
            // The upstream does not take what it was sent.
            (true, false) => None,
            (false, _) => Some(Step::Offer),
        }
    }

    /// What the record says in the place of a failure.
    pub(super) fn detail(self) -> Option<&'static str> {
        (self == Step::Challenge).then_some("a step of an NTLM or Negotiate login")
    }
}

/// A refusal, unless the client goes on with its login.
#[derive(Debug)]
pub struct Awaited {
    route: Option<Arc<Route>>,
    cause: &'static str,
    refusal: events::HandshakeRefused,
}

impl Awaited {
    pub(super) fn new(
        route: Option<Arc<Route>>,
        cause: &'static str,
        refusal: events::HandshakeRefused,
    ) -> Awaited {
        Awaited {
            route,
            cause,
            refusal,
        }
    }

    /// The client did not go on.
    pub fn given_up(self) {
        let slot = self.route.as_ref().map(|route| &*route.slot);
        metrics::handshake_refused(slot, self.cause);
        if !access_log::is_on() {
            warn(&self.refusal);
        }
        events::refused(|| self.refusal);
    }
}
