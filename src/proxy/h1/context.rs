//! What the parts of one client connection share: who connected and where, the settings in
//! force, and marks of how far reading, answering and handing off have come.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use http::Version;

use super::watch::Watch;
use crate::message::framing::Refusal;
use crate::message::spelling::{RequestNames, Section};
use crate::net::listen::Front;
use crate::net::listen::Peer;
use crate::policy::facts::Facts;
use crate::process::Shared;
use crate::proxy::spelling::Spelling;
use crate::system::lock::lock;
use crate::upstream::bound::Bound;

/// What the parts of one client connection share. All of them run on one worker; the
/// atomics are there to keep futures `Send`, and cost no more than plain stores.
#[derive(Debug)]
pub struct Context {
    /// The marks that the tick reads.
    pub watch: Watch,
    /// Who connected, where, and by which settings it is treated.
    pub facts: Facts,
    /// The process.
    pub shared: Arc<Shared>,
    pub(super) refusal: Mutex<Option<Refused>>,
    /// Targets that hyper cannot hold, with the number of their heads.
    carried: Mutex<VecDeque<(u64, Box<[u8]>)>>,
    has_carried: AtomicBool,
    interim: Mutex<Vec<u8>>,
    has_interim: AtomicBool,
    /// Somebody is to be woken when nothing is left to be flushed.
    flush_awaited: AtomicBool,
    /// Exchanges begun so far.
    exchanges: AtomicU64,
    /// The latest exchange's client speaks HTTP/1.1.
    pub(super) knows_interim: AtomicBool,
    /// An answer was handed to hyper, and its end was not.
    mid_answer: AtomicBool,
    /// That answer ends with the connection, so that only a reset tells a break from its end.
    pub(super) ends_by_close: AtomicBool,
    /// Something follows a request for another protocol that has no answer yet.
    early: AtomicBool,
    eof: AtomicBool,
    /// The connection was asked to go to another process.
    pub(super) asked_to_go: AtomicBool,
    /// The field lines of requests with names in other than the usual capitals.
    names: Mutex<RequestNames>,
    has_names: AtomicBool,
    /// How the names are spelled of the answer whose head hyper writes next.
    spelling: Mutex<Spelling>,
    has_spelling: AtomicBool,
    /// The lines of the trailer section that hyper writes next.
    trailers: Mutex<Vec<u8>>,
    has_trailers: AtomicBool,
    /// The upstream connections that carry this client's logins, once there was one.
    pub(super) bound: OnceLock<Arc<Bound>>,
}

/// What the scanner refused.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) refusal: Refusal,
    /// It was the body of a request whose exchange has begun or will; that answers.
    pub(super) in_body: bool,
}

impl Context {
    /// A connection just accepted on `front`.
    pub fn new(peer: Peer, front: Front, shared: Arc<Shared>) -> Self {
        let facts = Facts::new(peer, front, &shared.snapshot.load());
        Context {
            watch: Watch::default(),
            facts,
            shared,
            refusal: Mutex::default(),
            carried: Mutex::default(),
            has_carried: AtomicBool::new(false),
            interim: Mutex::default(),
            has_interim: AtomicBool::new(false),
            flush_awaited: AtomicBool::new(false),
            exchanges: AtomicU64::new(0),
            knows_interim: AtomicBool::new(false),
            mid_answer: AtomicBool::new(false),
            ends_by_close: AtomicBool::new(false),
            early: AtomicBool::new(false),
            eof: AtomicBool::new(false),
            asked_to_go: AtomicBool::new(false),
            names: Mutex::default(),
            has_names: AtomicBool::new(false),
            spelling: Mutex::default(),
            has_spelling: AtomicBool::new(false),
            trailers: Mutex::default(),
            has_trailers: AtomicBool::new(false),
            bound: OnceLock::new(),
        }
    }

    /// The scanner found what must not be repaired, in a head or in a body.
    pub fn refuse(&self, refusal: Refusal, in_body: bool) {
        *lock(&self.refusal) = Some(Refused { refusal, in_body });
    }

    /// Keeps the target of a head that hyper was given without it.
    pub fn carry(&self, head: u64, target: &[u8]) {
        lock(&self.carried).push_back((head, target.into()));
        self.has_carried.store(true, Relaxed);
    }

    /// The target of the exchange that has just begun, where hyper does not know it.
    pub fn carried(&self) -> Option<Box<[u8]>> {
        if !self.has_carried.load(Relaxed) {
            return None;
        }
        let mut carried = lock(&self.carried);
        let current = self.exchanges.load(Relaxed);
        let (_, target) = carried.pop_front_if(|(head, _)| *head == current)?;
        self.has_carried.store(!carried.is_empty(), Relaxed);
        Some(target)
    }

    /// What was wrong with the body of the request under way, if something was.
    pub fn body_refusal(&self) -> Option<Refusal> {
        let refused = lock(&self.refusal);
        let refused = refused.as_ref().filter(|refused| refused.in_body)?;
        Some(refused.refusal)
    }

    /// Field lines have come whose names hyper forgets.
    pub fn names_came(&self, head: u64, section: Section, lines: Vec<u8>) {
        lock(&self.names).push(head, section, lines);
        self.has_names.store(true, Relaxed);
    }

    /// The lines of the request under way; none where its names are in the usual capitals.
    pub fn take_names(&self, section: Section) -> Vec<u8> {
        if !self.has_names.load(Relaxed) {
            return Vec::new();
        }
        let mut names = lock(&self.names);
        let lines = names.take(self.exchanges.load(Relaxed), section);
        self.has_names.store(!names.is_empty(), Relaxed);
        lines.unwrap_or_default()
    }

    /// The next head that hyper writes gets its names from `spelling`. Not where hyper still holds bytes of an earlier answer back, which a pipelining client has not read: then the
    /// names are in lower case.
    pub fn spell(&self, spelling: Spelling) {
        if !self.watch.is_write_blocked() {
            *lock(&self.spelling) = spelling;
            self.has_spelling.store(true, Relaxed);
        }
    }

    /// The spelling for the head that hyper writes now, if a head begins.
    pub fn take_spelling(&self) -> Option<Spelling> {
        let begins = self.has_spelling.load(Relaxed);
        begins.then(|| {
            self.has_spelling.store(false, Relaxed);
            std::mem::take(&mut *lock(&self.spelling))
        })
    }

    /// The trailer section that hyper writes next gets its names from these lines.
    pub fn spell_trailers(&self, lines: Vec<u8>) {
        *lock(&self.trailers) = lines;
        self.has_trailers.store(true, Relaxed);
    }

    /// The lines for the trailer section that hyper writes now, if one is to be written.
    pub fn take_trailers(&self) -> Option<Vec<u8>> {
        let begins = self.has_trailers.load(Relaxed);
        begins.then(|| {
            self.has_trailers.store(false, Relaxed);
            std::mem::take(&mut *lock(&self.trailers))
        })
    }

    /// Queues an interim answer (1xx) for the client.
    pub fn push_interim(&self, head: &[u8]) {
        lock(&self.interim).extend_from_slice(head);
        self.has_interim.store(true, Relaxed);
    }

    /// Whether an interim answer waits.
    pub fn has_interim(&self) -> bool {
        self.has_interim.load(Relaxed)
    }

    /// The waiting interim answers.
    pub fn interim(&self) -> MutexGuard<'_, Vec<u8>> {
        lock(&self.interim)
    }

    /// All interim answers went out.
    pub fn interim_sent(&self) {
        self.has_interim.store(false, Relaxed);
    }

    /// Asks a client that has ended its direction whether it is still there: the kernel of one
    /// that is gone answers a write with a reset. Every client of HTTP/1.1 understands interim
    /// answers (RFC 9110 section 15.2), this one above all.
    pub fn probe(&self) {
        if self.knows_interim.load(Relaxed) && !self.answer_begun() && !self.has_interim() {
            self.push_interim(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
    }

    /// An exchange begins, asked for in this version. Says whether it is the connection's
    /// first.
    pub fn begin_exchange(&self, version: Version) -> bool {
        self.knows_interim
            .store(version == Version::HTTP_11, Relaxed);
        let before = self.exchanges.load(Relaxed);
        self.exchanges.store(before + 1, Relaxed);
        self.watch.exchange(true);
        before == 0
    }

    /// Something follows a request for another protocol, or not any more.
    pub fn came_early(&self, early: bool) {
        self.early.store(early, Relaxed);
    }

    /// Whether the client has sent something after the WebSocket handshake under way: frames
    /// for a tunnel or a smuggled request, nothing that may follow an answer without a tunnel.
    pub fn is_last_exchange(&self) -> bool {
        self.early.load(Relaxed)
            && self.watch.is_after_handshake()
            && self.watch.heads() == self.exchanges.load(Relaxed)
    }

    /// Whether every request that was read has had its exchange.
    pub fn is_answered(&self) -> bool {
        !self.watch.in_exchange() && self.watch.heads() == self.exchanges.load(Relaxed)
    }

    /// hyper is given an answer.
    pub fn answer_begins(&self) {
        self.mid_answer.store(true, Relaxed);
    }

    /// The answer ends with the connection.
    pub fn answer_ends_by_close(&self) {
        self.ends_by_close.store(true, Relaxed);
    }

    /// hyper has all of the answer.
    pub fn answer_ends(&self) {
        self.mid_answer.store(false, Relaxed);
    }

    /// An exchange has ended; a refused request behind it can be answered now, and the end
    /// of the client's direction handed on.
    pub fn end_exchange(&self) {
        self.watch.exchange(false);
        if self.has_names.load(Relaxed) {
            let mut names = lock(&self.names);
            names.end(self.exchanges.load(Relaxed));
            self.has_names.store(!names.is_empty(), Relaxed);
        }
        let waits = self.eof.load(Relaxed) || self.watch.is_held();
        if waits || lock(&self.refusal).is_some() {
            self.watch.wake();
        }
    }

    /// Whether the client may have seen part of an answer that is not complete.
    pub(super) fn answer_begun(&self) -> bool {
        self.mid_answer.load(Relaxed) || self.watch.is_write_blocked()
    }

    /// Whether the client has ended its direction and nothing is left to tell it.
    pub(super) fn is_over(&self) -> bool {
        self.eof.load(Relaxed) && !self.answer_begun() && lock(&self.refusal).is_none()
    }

    /// Whether the connection stands between two requests: nothing was read of the next one,
    /// and nothing is left to be written of the last.
    pub fn is_idle(&self) -> bool {
        self.watch.is_between_requests()
            && !self.watch.in_exchange()
            && self.watch.heads() == self.exchanges.load(Relaxed)
            && !self.answer_begun()
            && !self.has_interim()
            && !self.eof.load(Relaxed)
            && !self.has_logins()
            && lock(&self.refusal).is_none()
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

    /// The client has ended its direction.
    pub fn saw_eof(&self) {
        self.eof.store(true, Relaxed);
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
