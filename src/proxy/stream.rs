//! The client's side of one exchange, provided by its protocol. An exchange knows no more of its
//! connection, and nothing of other exchanges on it.

use std::fmt::Debug;
use std::sync::{Arc, OnceLock};

use super::clock::Clock;
use super::record::login::Awaited;
use crate::message::framing::Refusal;
use crate::message::response::ResponseHead;
use crate::message::spelling::Section;
use crate::policy::facts::Facts;
use crate::process::Shared;
use crate::upstream::connection::{Bound, Connection};
use crate::upstream::{Lease, Upstream};

/// The client's side of one exchange.
pub trait Stream: Debug + Send + Sync {
    /// What is known of the client's connection.
    fn facts(&self) -> &Facts;

    /// The process.
    fn shared(&self) -> &Shared;

    /// How long the upstream is waited for.
    fn clock(&self) -> &Clock;

    /// Data bytes of the request's body that have come so far.
    fn received(&self) -> u64;

    /// Why the request's body is too slow, if the tick has found so; returned once.
    fn take_slow_body(&self) -> Option<SlowBody>;

    /// What was wrong with the request's body, if something was.
    fn body_refusal(&self) -> Option<Refusal>;

    /// The lines in which the request's fields came, where their names are spelled in other
    /// than the usual capitals.
    fn take_names(&self, section: Section) -> Vec<u8>;

    /// Whether an interim answer can be passed on now. If not, the exchange's task is woken.
    fn is_ready_for_interim(&self) -> bool;

    /// Passes an interim answer (1xx) on, where the client understands it.
    fn pass_interim(&self, head: &ResponseHead);

    /// The request is one that may become a tunnel: what has come after it by the time of an
    /// answer without one is not the next request.
    fn may_switch(&self);

    /// The protocol is about to be given the answer.
    fn answer_begins(&self);

    /// The protocol has all of the answer.
    fn answer_ends(&self);

    /// The exchange is over. Returns how it ended.
    fn end(&self) -> Ending;

    /// Where the upstream connections are kept that carry this client's logins.
    fn bound(&self) -> &OnceLock<Arc<Bound>>;

    /// A handshake has ended. If that was a step of a login, this is to be said where the client
    /// does not go on; if not, whatever a handshake before it left is not said.
    fn await_login(&self, awaited: Option<Box<Awaited>>);
}

/// Why a request's body is too slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlowBody {
    /// It fell silent.
    Idle,
    /// It is slower than `min_rate`.
    Rate,
}

/// How an exchange ended on the client's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// Data bytes of the request's body that came.
    pub received: u64,
    /// Bytes of the answer that the protocol was given and the client did not get.
    pub unsent: u64,
    /// Who ended it, where the answer is not complete and nothing else is known to be wrong.
    pub ended_by: &'static str,
}

impl dyn Stream + '_ {
    /// The upstream connection becomes this client's alone.
    pub fn bind(&self, connection: &mut Connection) {
        self.bound().get_or_init(Arc::default).bind(connection);
    }

    /// The idle connection to an endpoint of `upstream` that is this client's alone.
    pub fn bound_to(&self, upstream: &Upstream) -> Option<(Connection, Lease)> {
        self.bound().get()?.take(upstream)
    }
}
