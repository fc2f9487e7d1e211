//! The way from one worker to a tap's reader. What cannot be sent at once is counted and
//! forgotten; the count is sent before the next message.

use std::time::{Duration, Instant, SystemTime};

use tokio::sync::mpsc::error::TrySendError;

use super::budget::Budget;
use super::message::TapMessage;
use super::subscription::Subscription;

/// A reader that has let its queue stand full for so long is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// One worker's end of a tap's queue.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) subscription: Subscription,
    budget: Budget,
    /// Frames that were left out since the last [`TapMessage::Lost`].
    frames: u64,
    /// Frames that were sent without their payload since then.
    payloads: u64,
    /// Since when the queue is full.
    full: Option<Instant>,
}

impl Queue {
    pub(super) fn new(subscription: &Subscription) -> Queue {
        Queue {
            subscription: subscription.clone(),
            budget: Budget::new(Instant::now()),
            frames: 0,
            payloads: 0,
            full: None,
        }
    }

    /// Whether one more frame may be sent; one that may not is counted.
    pub(super) fn take_frame(&mut self) -> bool {
        let taken = self.budget.take_frame();
        if !taken {
            self.frames += 1;
        }
        taken
    }

    /// Whether so many bytes of its payload may be; a payload that may not is counted.
    pub(super) fn take_payload(&mut self, bytes: usize) -> bool {
        let taken = self.budget.take_bytes(bytes);
        if !taken {
            self.payloads += 1;
        }
        taken
    }

    /// Sends a message, and first what is missing before it.
    pub(super) fn send(&mut self, message: TapMessage) {
        let is_frame = matches!(message, TapMessage::Frame { .. });
        if !(self.send_lost() && self.put(message)) && is_frame {
            self.frames += 1;
        }
    }

    /// Returns whether the reader knows of all that is missing.
    fn send_lost(&mut self) -> bool {
        let (frames, payloads) = (self.frames, self.payloads);
        if frames == 0 && payloads == 0 {
            return true;
        }
        let sent = self.put(TapMessage::Lost {
            at: SystemTime::now(),
            frames,
            payloads,
        });
        if sent {
            (self.frames, self.payloads) = (0, 0);
        }
        sent
    }

    fn put(&self, message: TapMessage) -> bool {
        // Where the reader has gone nothing matters; the next tick sees that.
        let sent = self.subscription.sender.try_send(message);
        !matches!(sent, Err(TrySendError::Full(_)))
    }

    /// Returns whether the tap goes on.
    pub(super) fn tick(&mut self, now: Instant) -> bool {
        self.budget.fill(now);
        self.send_lost();
        let sender = &self.subscription.sender;
        let full = (sender.capacity() == 0).then(|| self.full.unwrap_or(now));
        self.full = full;
        let stuck = full.is_some_and(|since| now.saturating_duration_since(since) >= PATIENCE);
        !stuck && !sender.is_closed()
    }
}
