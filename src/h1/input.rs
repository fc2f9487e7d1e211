//! What a client may still send, and why nothing more is read.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use crate::message::framing::Refusal;
use crate::system::lock::lock;

/// What a client may still send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum State {
    /// Requests.
    Open = 0,
    /// Nothing: the client has ended its direction.
    Ended = 1,
    /// Nothing that is read: the scanner refused a head.
    HeadRefused = 2,
    /// Nothing that is read: the scanner refused a body, and its exchange answers.
    BodyRefused = 3,
}

/// A client's direction of its connection.
#[derive(Debug, Default)]
pub struct Input {
    state: AtomicU8,
    refusal: Mutex<Option<Refusal>>,
}

impl Input {
    fn is(&self, state: State) -> bool {
        self.state.load(Relaxed) == state as u8
    }

    fn refusal_of(&self, state: State) -> Option<Refusal> {
        self.is(state).then(|| *lock(&self.refusal))?
    }

    /// The client has ended its direction.
    pub fn end(&self) {
        self.state.store(State::Ended as u8, Relaxed);
    }

    /// The scanner found what must not be repaired.
    pub fn refuse(&self, refusal: Refusal, in_body: bool) {
        *lock(&self.refusal) = Some(refusal);
        let state = match in_body {
            true => State::BodyRefused,
            false => State::HeadRefused,
        };
        self.state.store(state as u8, Relaxed);
    }

    /// Whether more may come.
    pub fn is_open(&self) -> bool {
        self.is(State::Open)
    }

    /// Whether the client has ended its direction, and nothing was refused.
    pub fn has_ended(&self) -> bool {
        self.is(State::Ended)
    }

    /// What was wrong with a head.
    pub fn refused_head(&self) -> Option<Refusal> {
        self.refusal_of(State::HeadRefused)
    }

    /// What was wrong with the body of the request under way.
    pub fn refused_body(&self) -> Option<Refusal> {
        self.refusal_of(State::BodyRefused)
    }
}
