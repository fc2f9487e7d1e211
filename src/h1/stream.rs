//! A connection as the stream of its one exchange under way.

use std::sync::{Arc, OnceLock};

use http::StatusCode;

use super::context::Context;
use super::interim;
use super::watch::Timeout;
use crate::fault::error::Kind;
use crate::message::framing::Refusal;
use crate::message::response::ResponseHead;
use crate::message::spelling::Section;
use crate::policy::facts::Facts;
use crate::process::Shared;
use crate::proxy::clock::Clock;
use crate::proxy::record::login::Awaited;
use crate::proxy::stream::{Ending, SlowBody, Stream};
use crate::upstream::connection::Bound;

impl Stream for Context {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn shared(&self) -> &Shared {
        &self.shared
    }

    fn clock(&self) -> &Clock {
        &self.watch.turn.clock
    }

    fn received(&self) -> u64 {
        self.watch.body()
    }

    fn take_slow_body(&self) -> Option<SlowBody> {
        self.watch.take_slow_body()
    }

    fn body_refusal(&self) -> Option<Refusal> {
        self.input.refused_body()
    }

    fn take_names(&self, section: Section) -> Vec<u8> {
        Context::take_names(self, section)
    }

    /// Not in the middle of an earlier, pipelined answer; and they must not pile up for a client
    /// that does not read.
    fn is_ready_for_interim(&self) -> bool {
        !self.awaits_flush()
    }

    /// Not 100, which hyper sends when the body is first polled (after the upstream's 100, or the
    /// time for it), and not to HTTP/1.0, which has none (RFC 9110 section 15.2).
    fn pass_interim(&self, head: &ResponseHead) {
        if head.status != StatusCode::CONTINUE && self.watch.turn.knows_interim() {
            self.push_interim(&interim::encode(head));
        }
    }

    fn may_switch(&self) {
        self.watch.turn.may_switch();
    }

    fn answer_begins(&self) {
        self.watch.turn.answer_begins();
    }

    fn answer_ends(&self) {
        self.watch.turn.answer_ends();
    }

    fn end(&self) -> Ending {
        let ending = Ending {
            received: self.watch.body(),
            unsent: self.watch.held(),
            ended_by: match self.watch.timeout() {
                Timeout::BodyIdle | Timeout::BodyRate => "request_timeout",
                Timeout::Write => "write_timeout",
                _ => Kind::ClientGone.as_str(),
            },
        };
        self.end_exchange();
        ending
    }

    fn bound(&self) -> &OnceLock<Arc<Bound>> {
        &self.bound
    }

    fn await_login(&self, awaited: Option<Box<Awaited>>) {
        match awaited {
            Some(awaited) => self.login.set(Some(awaited)),
            None => drop(self.login.take()),
        }
    }
}
