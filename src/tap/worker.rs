//! The taps of one worker's thread, and the tunnels that they follow. Called by those tunnels
//! with what passes through them; what cannot be told at once is counted and forgotten.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::mpsc::error::TrySendError;

use super::budget::Budget;
use super::follow::{Follower, Frame, Position, Sink};
use super::order::{Order, Told};
use super::view::Origin;
use crate::tunnel::registry::TunnelSnapshot;
use crate::tunnel::{Side, TunnelHandle};
use crate::websocket::frame::{MAX_CONTROL, Opcode, Violation};

/// A reader that has let its queue stand full for so long is given up.
const PATIENCE: Duration = Duration::from_secs(10);

thread_local! {
    static TAPS: RefCell<Vec<Tap>> = const { RefCell::new(Vec::new()) };
}

/// A tap, and what it follows.
#[derive(Debug)]
struct Tap {
    line: Line,
    tunnels: HashMap<u64, Followed>,
}

/// The way to a tap's reader.
#[derive(Debug)]
struct Line {
    order: Order,
    budget: Budget,
    /// Frames that were not told, and not yet told of.
    frames: u64,
    /// Frames that were told without their payload, and not yet told of.
    payloads: u64,
    /// Since when the queue is full.
    full: Option<Instant>,
}

/// A tunnel that a tap follows: each direction from the first piece of it that passes.
#[derive(Debug)]
struct Followed {
    tunnel: Arc<TunnelHandle>,
    directions: [Option<Follower>; 2],
}

/// One direction, for as long as something of it is told.
struct Teller<'a> {
    line: &'a mut Line,
    tunnel: &'a Arc<TunnelHandle>,
    from: Origin,
    to: Side,
}

/// Begins a tap on this thread, where `live` are the tunnels. Returns how many it takes.
pub fn begin(order: &Order, live: Vec<TunnelSnapshot>) -> usize {
    let mut tap = Tap {
        line: Line {
            order: order.clone(),
            budget: Budget::new(Instant::now()),
            frames: 0,
            payloads: 0,
            full: None,
        },
        tunnels: HashMap::new(),
    };
    live.iter().for_each(|tunnel| tap.offer(tunnel));
    let taken = tap.tunnels.len();
    TAPS.with_borrow_mut(|taps| taps.push(tap));
    taken
}

/// A tunnel begins or goes on, and nothing of it has passed yet.
pub fn opened(handle: &Arc<TunnelHandle>) {
    TAPS.with_borrow_mut(|taps| {
        if taps.is_empty() {
            return;
        }
        let tunnel = TunnelSnapshot {
            handle: handle.clone(),
            heard: Instant::now(),
        };
        taps.iter_mut().for_each(|tap| tap.offer(&tunnel));
    });
}

/// A tunnel that is tapped has ended or left this thread.
pub fn ended(handle: &TunnelHandle) {
    // It may be dropped while the thread ends.
    let _ = TAPS.try_with(|taps| {
        let mut taps = taps.borrow_mut();
        for tap in taps.iter_mut() {
            tap.tunnels.remove(&handle.id);
        }
    });
}

/// More of a tunnel that is tapped is about to pass; `position` is where `side`'s direction
/// stands, `None` where nobody knows. Returns whether the tunnel is still tapped.
pub fn join(handle: &TunnelHandle, side: Side, position: impl Fn() -> Option<Position>) -> bool {
    TAPS.with_borrow_mut(|taps| {
        let mut is_tapped = false;
        for Tap { line, tunnels } in taps.iter_mut() {
            let Some(Followed { tunnel, directions }) = tunnels.get_mut(&handle.id) else {
                continue;
            };
            is_tapped = true;
            directions[side as usize].get_or_insert_with(|| {
                let mut teller = Teller::new(line, tunnel, side);
                match position() {
                    Some(position) => Follower::at(side, &position, &mut teller),
                    None => {
                        teller.unframed(match handle.identity.upgrade() {
                            Some(_) => "no frames: the tunnel is not a WebSocket",
                            None => "it was no valid framing before the tap began",
                        });
                        Follower::blind(side)
                    }
                }
            });
        }
        handle.tapped.store(is_tapped, Relaxed);
        is_tapped
    })
}

/// Bytes from `side` were read.
pub fn passed(handle: &TunnelHandle, side: Side, bytes: &[u8]) {
    follow(handle, side, |follower, teller| {
        follower.feed(bytes, teller)
    });
}

/// The next frame of `side`'s to be complete does not go on to the other one.
pub fn withheld(handle: &TunnelHandle, side: Side) {
    follow(handle, side, |follower, _| follower.withhold());
}

/// So many bytes of payload from `side` were moved unseen.
pub fn skipped(handle: &TunnelHandle, side: Side, n: u64) {
    follow(handle, side, |follower, teller| follower.skip(n, teller));
}

/// sluice sends a frame of its own to `to`.
pub fn sent(handle: &TunnelHandle, to: Side, frame: &[u8]) {
    each(handle, |line, followed| {
        let mut teller = Teller {
            from: Origin::Sluice,
            ..Teller::new(line, &followed.tunnel, to.other())
        };
        // It looks as one of the other side's, which it stands in for.
        Follower::new(to.other()).feed(frame, &mut teller);
    });
}

/// Lets go of taps that nobody reads, and tells of what was lost; called at each tick.
pub fn tick(now: Instant) {
    TAPS.with_borrow_mut(|taps| {
        taps.retain_mut(|tap| tap.line.tick(now));
    });
}

fn each(handle: &TunnelHandle, mut what: impl FnMut(&mut Line, &mut Followed)) {
    TAPS.with_borrow_mut(|taps| {
        for Tap { line, tunnels } in taps.iter_mut() {
            if let Some(followed) = tunnels.get_mut(&handle.id) {
                what(line, followed);
            }
        }
    });
}

fn follow(handle: &TunnelHandle, side: Side, what: impl Fn(&mut Follower, &mut Teller<'_>)) {
    each(handle, |line, followed| {
        if let Some(follower) = &mut followed.directions[side as usize] {
            what(follower, &mut Teller::new(line, &followed.tunnel, side));
        }
    });
}

impl Tap {
    fn offer(&mut self, tunnel: &TunnelSnapshot) {
        let handle = &tunnel.handle;
        if (self.line.order.wanted.select)(tunnel) {
            handle.tapped.store(true, Relaxed);
            let followed = Followed {
                tunnel: handle.clone(),
                directions: [None, None],
            };
            self.tunnels.insert(handle.id, followed);
        }
    }
}

impl Line {
    /// Tells something, and first of what is missing before it.
    fn tell(&mut self, told: Told) {
        let is_frame = matches!(told, Told::Frame { .. });
        if !(self.tell_lost() && self.put(told)) && is_frame {
            self.frames += 1;
        }
    }

    /// Returns whether nothing is missing that was not told of.
    fn tell_lost(&mut self) -> bool {
        let (frames, payloads) = (self.frames, self.payloads);
        if frames == 0 && payloads == 0 {
            return true;
        }
        let told = self.put(Told::Lost {
            at: SystemTime::now(),
            frames,
            payloads,
        });
        if told {
            (self.frames, self.payloads) = (0, 0);
        }
        told
    }

    fn put(&self, told: Told) -> bool {
        // Where the reader has gone nothing matters; the next tick sees that.
        !matches!(self.order.queue.try_send(told), Err(TrySendError::Full(_)))
    }

    /// Returns whether the tap goes on.
    fn tick(&mut self, now: Instant) -> bool {
        self.budget.fill(now);
        self.tell_lost();
        let queue = &self.order.queue;
        let full = (queue.capacity() == 0).then(|| self.full.unwrap_or(now));
        self.full = full;
        let stuck = full.is_some_and(|since| now.saturating_duration_since(since) >= PATIENCE);
        !stuck && !queue.is_closed()
    }
}

impl<'a> Teller<'a> {
    fn new(line: &'a mut Line, tunnel: &'a Arc<TunnelHandle>, side: Side) -> Teller<'a> {
        Teller {
            line,
            tunnel,
            from: side.into(),
            to: side.other(),
        }
    }

    fn unframed(&mut self, why: &'static str) {
        let of = self.tunnel.clone();
        self.line.tell(Told::Unframed {
            at: SystemTime::now(),
            of,
            from: self.to.other(),
            why,
        });
    }
}

impl Sink for Teller<'_> {
    fn begins(&mut self, opcode: Opcode, length: u64) -> Option<usize> {
        let line = &mut *self.line;
        if !line.budget.take_frame() {
            line.frames += 1;
            return None;
        }
        let most = match (line.order.wanted.payload, opcode) {
            // The log has the code and reason of every Close too.
            (most, Opcode::Close) => most.unwrap_or(0).max(MAX_CONTROL),
            (most, _) => most.unwrap_or(0),
        };
        let wanted = usize::try_from(length).unwrap_or(usize::MAX).min(most);
        if line.budget.take_bytes(wanted) {
            return Some(wanted);
        }
        line.payloads += 1;
        Some(0)
    }

    fn frame(&mut self, frame: Frame) {
        self.line.tell(Told::Frame {
            at: SystemTime::now(),
            of: self.tunnel.clone(),
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
