//! What the parts of one client connection share: its facts, what is passed around hyper, and how
//! far reading, answering and handing off have come. The `turn` knows how far the exchange under
//! way has come.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use http::Version;

use super::aside::Aside;
use super::input::Input;
use super::pace::Pace;
use super::watch::Watch;
use crate::message::spelling::{RequestNames, Section};
use crate::net::listen::ListenerInfo;
use crate::net::listen::Peer;
use crate::net::tls::Session;
use crate::policy::facts::Facts;
use crate::process::Shared;
use crate::proxy::record::login::Awaited;
use crate::proxy::spelling::Spelling;
use crate::upstream::connection::Bound;

/// Exchanges of one connection before all other tasks get their turn.
const TURN_EXCHANGES: u64 = 32;

/// What the parts of one client connection share. All of them run on one worker; the
/// atomics are there to keep futures `Send`, and cost no more than plain stores.
#[derive(Debug)]
pub struct Context {
    /// The activity that the tick reads.
    pub watch: Watch,
    /// The peer, the listener, and the settings that apply.
    pub facts: Facts,
    /// The process.
    pub shared: Arc<Shared>,
    /// How much is read of upstreams for the client.
    pub(super) pace: Pace,
    /// What more may come from the client.
    pub(super) input: Input,
    /// Targets that hyper cannot hold, with the number of their heads.
    carried: Aside<VecDeque<(u64, Box<[u8]>)>>,
    /// Interim answers for the client.
    interim: Aside<Vec<u8>>,
    /// A task waits until nothing is left to be flushed.
    flush_awaited: AtomicBool,
    /// Exchanges begun so far.
    exchanges: AtomicU64,
    /// Something follows a request for another protocol that has no answer yet.
    early: AtomicBool,
    /// The connection was asked to go to another process.
    pub(super) asked_to_go: AtomicBool,
    /// The field lines of requests with names in other than the usual capitals.
    names: Aside<RequestNames>,
    /// The spelling of the names in the head that hyper writes next.
    spelling: Aside<Spelling>,
    /// The lines of the trailer section that hyper writes next.
    trailers: Aside<Vec<u8>>,
    /// The upstream connections that carry this client's logins, once there was one.
    pub(super) bound: OnceLock<Arc<Bound>>,
    /// What is said of the last handshake, unless the client goes on with its login.
    pub(super) login: Aside<Option<Box<Awaited>>>,
}

impl Context {
    /// A connection just accepted on `info`.
    pub fn new(peer: Peer, info: ListenerInfo, shared: Arc<Shared>) -> Self {
        let facts = Facts::new(peer, info, &shared.snapshot.load());
        Context {
            watch: Watch::default(),
            facts,
            shared,
            pace: Pace::default(),
            input: Input::default(),
            carried: Aside::default(),
            interim: Aside::default(),
            flush_awaited: AtomicBool::new(false),
            exchanges: AtomicU64::new(0),
            early: AtomicBool::new(false),
            asked_to_go: AtomicBool::new(false),
            names: Aside::default(),
            spelling: Aside::default(),
            trailers: Aside::default(),
            bound: OnceLock::new(),
            login: Aside::default(),
        }
    }

    /// One over TLS.
    pub fn secured(mut self, session: Session) -> Self {
        self.facts.tls = Some(Arc::new(session));
        self
    }

    /// Keeps the target of a head that hyper was given without it.
    pub fn carry(&self, head: u64, target: &[u8]) {
        self.carried
            .add(|carried| carried.push_back((head, target.into())));
    }

    /// The target of the exchange that has just begun, where hyper does not know it.
    pub fn carried(&self) -> Option<Box<[u8]>> {
        let current = self.exchanges.load(Relaxed);
        let first = |carried: &mut VecDeque<_>| carried.pop_front_if(|(head, _)| *head == current);
        let (_, target) = self.carried.reduce(first, VecDeque::is_empty)??;
        Some(target)
    }

    /// Field lines have come whose spelling hyper forgets.
    pub fn names_came(&self, head: u64, section: Section, lines: Vec<u8>) {
        self.names.add(|names| names.push(head, section, lines));
    }

    /// The lines of the request under way; none where its names are in the usual capitals.
    pub fn take_names(&self, section: Section) -> Vec<u8> {
        let current = self.exchanges.load(Relaxed);
        let take = |names: &mut RequestNames| names.take(current, section);
        let lines = self.names.reduce(take, RequestNames::is_empty);
        lines.flatten().unwrap_or_default()
    }

    /// The next head that hyper writes gets its names from `spelling`. It comes first of what
    /// hyper writes then: it is given none while it holds bytes of an earlier answer back.
    pub fn spell(&self, spelling: Spelling) {
        self.spelling.set(spelling);
    }

    /// The spelling for the head that hyper writes now, if a head begins.
    pub fn take_spelling(&self) -> Option<Spelling> {
        self.spelling.take()
    }

    /// The trailer section that hyper writes next gets its names from these lines.
    pub fn spell_trailers(&self, lines: Vec<u8>) {
        self.trailers.set(lines);
    }

    /// The lines for the trailer section that hyper writes now, if one is to be written.
    pub fn take_trailers(&self) -> Option<Vec<u8>> {
        self.trailers.take()
    }

    /// Queues an interim answer (1xx) for the client.
    pub fn push_interim(&self, head: &[u8]) {
        self.interim.add(|interim| interim.extend_from_slice(head));
    }

    /// Whether an interim answer waits.
    pub fn has_interim(&self) -> bool {
        self.interim.is_there()
    }

    /// Lets `write` take from the waiting interim answers; `None` where there are none.
    pub fn write_interim<R>(&self, write: impl FnOnce(&mut Vec<u8>) -> R) -> Option<R> {
        self.interim.reduce(write, Vec::is_empty)
    }

    /// Asks a client that has ended its direction whether it is still there: the kernel of one
    /// that is gone answers a write with a reset. Every client of HTTP/1.1 understands interim
    /// answers (RFC 9110 section 15.2), so this one does.
    pub fn probe(&self) {
        if self.watch.turn.knows_interim() && !self.answer_begun() && !self.has_interim() {
            self.push_interim(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
    }

    /// An exchange begins, with a request of this version.
    pub fn begin_exchange(&self, version: Version) {
        self.exchanges
            .store(self.exchanges.load(Relaxed) + 1, Relaxed);
        self.watch.turn.begin(version);
    }

    /// Whether no exchange has begun yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.exchanges.load(Relaxed) == 0
    }

    /// Whether all other tasks get their turn before the exchange that has just begun: a client
    /// that pipelines may always have another one ready.
    pub fn is_turn_over(&self) -> bool {
        self.exchanges.load(Relaxed).is_multiple_of(TURN_EXCHANGES)
    }

    /// Whether something follows a request for another protocol.
    pub fn came_early(&self, early: bool) {
        self.early.store(early, Relaxed);
    }

    /// Whether the client has sent something after the request under way, which asks for a tunnel:
    /// data for that or a smuggled request, nothing that may follow an answer without a tunnel.
    /// Of a body that is not complete it is not known what comes after it.
    pub fn is_last_exchange(&self) -> bool {
        let switches = self.watch.turn.switches();
        let came = match self.early.load(Relaxed) {
            true => switches || self.watch.is_after_handshake(),
            false => switches && self.watch.is_in_body(),
        };
        came && self.watch.heads() == self.exchanges.load(Relaxed)
    }

    /// Whether every request that was read has had its exchange.
    pub fn is_answered(&self) -> bool {
        !self.watch.turn.is_under_way() && self.watch.heads() == self.exchanges.load(Relaxed)
    }

    /// An exchange has ended; a refused request after it can be answered now, and the end of the
    /// client's direction passed on.
    pub fn end_exchange(&self) {
        self.watch.turn.end();
        let current = self.exchanges.load(Relaxed);
        self.names
            .reduce(|names| names.end(current), RequestNames::is_empty);
        if !self.input.is_open() || self.watch.is_held() {
            self.watch.wake();
        }
    }

    /// Whether the client may have seen part of an answer that is not complete.
    pub(super) fn answer_begun(&self) -> bool {
        self.watch.turn.is_mid_answer() || self.watch.is_write_blocked()
    }

    /// Whether the client has ended its direction and nothing is left to tell it.
    pub(super) fn is_over(&self) -> bool {
        self.input.has_ended() && !self.answer_begun()
    }

    /// Whether the connection stands between two requests: nothing was read of the next one,
    /// and nothing is left to be written of the last.
    pub fn is_idle(&self) -> bool {
        self.watch.is_between_requests()
            && !self.watch.turn.is_under_way()
            && self.watch.heads() == self.exchanges.load(Relaxed)
            && !self.answer_begun()
            && !self.has_interim()
            && self.input.is_open()
            && !self.has_logins()
    }

    /// Whether upstream connections carry this client's logins: it cannot go elsewhere.
    pub(super) fn has_logins(&self) -> bool {
        self.bound.get().is_some_and(|bound| !bound.is_empty())
    }

    /// Asks the connection to go to another process, unless it was asked already.
    pub fn ask_to_hand_off(&self) -> bool {
        let first = !self.asked_to_go.swap(true, Relaxed);
        if first {
            self.watch.wake();
        }
        first
    }

    /// hyper's buffer is empty: a takeover loses nothing.
    pub fn flushed(&self) {
        self.watch.flushed();
        if self.watch.is_write_blocked() {
            self.watch.wrote(0, true);
        }
        if self.flush_awaited.swap(false, Relaxed) {
            self.watch.wake();
        }
    }

    /// Whether bytes for the client wait here or in hyper. If so, the connection's task is
    /// woken once they are gone.
    pub fn awaits_flush(&self) -> bool {
        let waits = self.watch.is_write_blocked() || self.has_interim();
        if waits {
            self.flush_awaited.store(true, Relaxed);
        }
        waits
    }

    /// Wakes the connection's task once hyper has written what it holds.
    pub fn wake_when_flushed(&self) {
        self.flush_awaited.store(true, Relaxed);
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if let Some(awaited) = self.login.take().flatten() {
            awaited.given_up();
        }
    }
}
