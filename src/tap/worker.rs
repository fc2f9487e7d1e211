//! The taps of one worker's thread, and the tunnels that they follow. Called by those tunnels
//! with what passes through them, each under its number.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::follow::{Follower, Frame, Position, Sink};
use super::message::TapMessage;
use super::queue::Queue;
use super::subject::{Candidate, Subject};
use super::subscription::Subscription;
use super::view::Origin;
use crate::vocabulary::Side;
use crate::websocket::frame::{MAX_CONTROL, Opcode, Violation};

thread_local! {
    static TAPS: RefCell<Vec<Tap>> = const { RefCell::new(Vec::new()) };
}

/// A tap, and what it follows.
#[derive(Debug)]
pub struct Tap {
    queue: Queue,
    tunnels: HashMap<u64, Followed>,
}

/// A tunnel that a tap follows: each direction from the first piece of it that passes.
#[derive(Debug)]
struct Followed {
    subject: Arc<Subject>,
    directions: [Option<Follower>; 2],
}

/// What becomes of one direction's frames.
struct Reporter<'a> {
    queue: &'a mut Queue,
    subject: &'a Arc<Subject>,
    from: Origin,
    to: Side,
}

impl Tap {
    /// One that follows nothing yet.
    pub fn new(subscription: &Subscription) -> Tap {
        Tap {
            queue: Queue::new(subscription),
            tunnels: HashMap::new(),
        }
    }

    /// Offers it a tunnel of this thread. Returns whether it is taken; then everything that
    /// passes through the tunnel is to be given to this module.
    pub fn offer(&mut self, tunnel: &Candidate<'_>) -> bool {
        let taken = (self.queue.subscription.wanted.select)(tunnel);
        if taken {
            let followed = Followed {
                subject: Arc::new(Subject::new(tunnel)),
                directions: [None, None],
            };
            self.tunnels.insert(tunnel.number, followed);
        }
        taken
    }

    /// Begins it on this thread. Returns how many tunnels it follows.
    pub fn begin(self) -> usize {
        let taken = self.tunnels.len();
        TAPS.with_borrow_mut(|taps| taps.push(self));
        taken
    }
}

/// A tunnel begins or goes on, and nothing of it has passed yet. Returns whether it is tapped.
pub fn opened(tunnel: &Candidate<'_>) -> bool {
    TAPS.with_borrow_mut(|taps| {
        let mut is_tapped = false;
        for tap in taps.iter_mut() {
            is_tapped |= tap.offer(tunnel);
        }
        is_tapped
    })
}

/// A tunnel that is tapped has ended or left this thread.
pub fn ended(number: u64) {
    // It may be dropped while the thread ends.
    let _ = TAPS.try_with(|taps| {
        let mut taps = taps.borrow_mut();
        for tap in taps.iter_mut() {
            tap.tunnels.remove(&number);
        }
    });
}

/// More of a tunnel that is tapped is about to pass; `position` is where `side`'s direction
/// stands, `None` where that is unknown. Returns whether the tunnel is still tapped.
pub fn join(number: u64, side: Side, position: impl Fn() -> Option<Position>) -> bool {
    let mut is_tapped = false;
    each(
        number,
        |queue,
         Followed {
             subject,
             directions,
         }| {
            is_tapped = true;
            directions[side as usize].get_or_insert_with(|| {
                let mut reporter = Reporter::new(queue, subject, side);
                match position() {
                    Some(position) => Follower::at(side, &position, &mut reporter),
                    None => {
                        reporter.unframed(match subject.is_unframed {
                            true => "no frames: the tunnel is not a WebSocket",
                            false => "it was no valid framing before the tap began",
                        });
                        Follower::blind(side)
                    }
                }
            });
        },
    );
    is_tapped
}

/// Bytes from `side` were read.
pub fn passed(number: u64, side: Side, bytes: &[u8]) {
    follow(number, side, |follower, reporter| {
        follower.feed(bytes, reporter)
    });
}

/// The next frame of `side`'s to be complete does not go on to the other one.
pub fn withheld(number: u64, side: Side) {
    follow(number, side, |follower, _| follower.withhold());
}

/// So many bytes of payload from `side` were moved unseen.
pub fn skipped(number: u64, side: Side, n: u64) {
    follow(number, side, |follower, reporter| {
        follower.skip(n, reporter)
    });
}

/// sluice sends a frame of its own to `to`.
pub fn sent(number: u64, to: Side, frame: &[u8]) {
    each(number, |queue, followed| {
        let mut reporter = Reporter {
            from: Origin::Sluice,
            ..Reporter::new(queue, &followed.subject, to.other())
        };
        // It looks as one of the other side's, which it stands in for.
        Follower::new(to.other()).feed(frame, &mut reporter);
    });
}

/// Lets go of taps that are not read any more, and sends what was lost; called at each tick.
pub fn tick(now: Instant) {
    TAPS.with_borrow_mut(|taps| {
        taps.retain_mut(|tap| tap.queue.tick(now));
    });
}

fn each(number: u64, mut what: impl FnMut(&mut Queue, &mut Followed)) {
    TAPS.with_borrow_mut(|taps| {
        for Tap { queue, tunnels } in taps.iter_mut() {
            if let Some(followed) = tunnels.get_mut(&number) {
                what(queue, followed);
            }
        }
    });
}

fn follow(number: u64, side: Side, what: impl Fn(&mut Follower, &mut Reporter<'_>)) {
    each(number, |queue, followed| {
        if let Some(follower) = &mut followed.directions[side as usize] {
            what(follower, &mut Reporter::new(queue, &followed.subject, side));
        }
    });
}

impl<'a> Reporter<'a> {
    fn new(queue: &'a mut Queue, subject: &'a Arc<Subject>, side: Side) -> Reporter<'a> {
        Reporter {
            queue,
            subject,
            from: side.into(),
            to: side.other(),
        }
    }

    fn unframed(&mut self, why: &'static str) {
        self.queue.send(TapMessage::Unframed {
            at: SystemTime::now(),
            of: self.subject.clone(),
            from: self.to.other(),
            why,
        });
    }
}

impl Sink for Reporter<'_> {
    fn begins(&mut self, opcode: Opcode, length: u64) -> Option<usize> {
        if !self.queue.take_frame() {
            return None;
        }
        let most = match (self.queue.subscription.wanted.payload, opcode) {
            // The log has the code and reason of every Close too.
            (most, Opcode::Close) => most.unwrap_or(0).max(MAX_CONTROL),
            (most, _) => most.unwrap_or(0),
        };
        let wanted = usize::try_from(length).unwrap_or(usize::MAX).min(most);
        match self.queue.take_payload(wanted) {
            true => Some(wanted),
            false => Some(0),
        }
    }

    fn frame(&mut self, frame: Frame) {
        self.queue.send(TapMessage::Frame {
            at: SystemTime::now(),
            of: self.subject.clone(),
            from: self.from,
            to: self.to,
            frame,
        });
    }

    fn invalid(&mut self, violation: Violation) {
        self.unframed(violation.as_str());
    }
}

/// How many tunnels the taps of this thread follow, each counted for itself.
#[cfg(test)]
pub fn followed() -> Vec<usize> {
    TAPS.with_borrow(|taps| taps.iter().map(|tap| tap.tunnels.len()).collect())
}
