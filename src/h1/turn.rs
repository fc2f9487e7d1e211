//! The exchange under way on a connection and how far it has come. HTTP/1.1 carries one at a time.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};

use http::Version;

use crate::proxy::clock::Clock;

/// How far the exchange under way has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum State {
    /// The connection stands between two requests.
    None = 0,
    /// A request has come; nothing of its answer was given to hyper.
    Asked = 1,
    /// hyper was given the answer, but not yet its end.
    Answering = 2,
    /// hyper has all of the answer.
    Answered = 3,
    /// The exchange ended in the middle of its answer.
    Broken = 4,
}

/// The exchange under way on a connection.
#[derive(Debug, Default)]
pub struct Turn {
    state: AtomicU8,
    /// It may become a tunnel.
    switches: AtomicBool,
    /// Its client speaks HTTP/1.1.
    knows_interim: AtomicBool,
    /// Its answer ends with the connection, so that only a reset can show that it broke off.
    ends_by_close: AtomicBool,
    /// How long it waits for its upstream.
    pub clock: Clock,
}

impl Turn {
    fn state(&self) -> State {
        match self.state.load(Relaxed) {
            1 => State::Asked,
            2 => State::Answering,
            3 => State::Answered,
            4 => State::Broken,
            _ => State::None,
        }
    }

    fn enter(&self, state: State) {
        self.state.store(state as u8, Relaxed);
    }

    /// A request has come, in this version.
    pub fn begin(&self, version: Version) {
        let is_current = version == Version::HTTP_11;
        self.knows_interim.store(is_current, Relaxed);
        self.switches.store(false, Relaxed);
        self.enter(State::Asked);
    }

    /// The exchange may become a tunnel.
    pub fn may_switch(&self) {
        self.switches.store(true, Relaxed);
    }

    /// Whether the exchange may become a tunnel.
    pub fn switches(&self) -> bool {
        self.switches.load(Relaxed)
    }

    /// hyper is given an answer.
    pub fn answer_begins(&self) {
        self.enter(State::Answering);
    }

    /// That answer ends with the connection.
    pub fn answer_ends_by_close(&self) {
        self.ends_by_close.store(true, Relaxed);
    }

    /// hyper has all of the answer.
    pub fn answer_ends(&self) {
        self.enter(State::Answered);
    }

    /// The exchange is over.
    pub fn end(&self) {
        self.clock.reset();
        match self.is_mid_answer() {
            true => self.enter(State::Broken),
            false => self.enter(State::None),
        }
    }

    /// Whether an exchange is under way.
    pub fn is_under_way(&self) -> bool {
        !matches!(self.state(), State::None | State::Broken)
    }

    /// Whether hyper was given part of an answer, and not its end.
    pub fn is_mid_answer(&self) -> bool {
        matches!(self.state(), State::Answering | State::Broken)
    }

    /// Whether the answer ends with the connection.
    pub fn ends_by_close(&self) -> bool {
        self.ends_by_close.load(Relaxed)
    }

    /// Whether the client understands interim answers and chunks: it speaks HTTP/1.1.
    pub fn knows_interim(&self) -> bool {
        self.knows_interim.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_broke_off_is_no_exchange_and_still_half_an_answer() {
        let turn = Turn::default();
        let seen = |turn: &Turn| (turn.is_under_way(), turn.is_mid_answer());
        assert_eq!(seen(&turn), (false, false));
        turn.begin(Version::HTTP_11);
        assert_eq!(seen(&turn), (true, false));
        turn.answer_begins();
        assert_eq!(seen(&turn), (true, true));
        turn.answer_ends();
        assert_eq!(seen(&turn), (true, false));
        turn.end();
        assert_eq!(seen(&turn), (false, false));
        turn.begin(Version::HTTP_10);
        turn.answer_begins();
        turn.end();
        assert_eq!(seen(&turn), (false, true));
    }
}
