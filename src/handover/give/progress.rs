//! Whether the other process still moves.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{Giving, SILENCE, STALL, stalled};
use crate::handover::channel::Channel;
use crate::handover::protocol::{self, Message};
use crate::system::lock::lock;

/// When the other process last moved, or had nothing to do.
#[derive(Debug, Clone)]
pub struct Progress(Arc<Mutex<Instant>>);

impl Progress {
    pub(super) fn new() -> Progress {
        Progress(Arc::new(Mutex::new(Instant::now())))
    }

    pub(super) fn note(&self) {
        *lock(&self.0) = Instant::now();
    }

    /// How long nothing has moved.
    pub fn stands_for(&self) -> Duration {
        lock(&self.0).elapsed()
    }
}

impl Giving {
    /// Asks a silent process whether it is there, and gives up on one that does not answer.
    pub(super) async fn check_stall(&mut self, channel: &Channel) -> io::Result<()> {
        let silent = self.progress.stands_for();
        if !self.acknowledges && self.under_way() == 0 {
            self.progress.note();
        } else if self.acknowledges && silent > SILENCE && !self.asked_for_echo {
            self.asked_for_echo = true;
            protocol::send(channel, Message::Echo, &[]).await?;
        }
        if silent > STALL && (self.acknowledges || !self.offered.is_empty()) {
            return Err(stalled());
        }
        if self.sources.asked() == 0 {
            self.arrived = Instant::now();
        }
        if self.arrived.elapsed() > STALL {
            tracing::warn!("something that was asked to go has not answered, and stays");
            self.sources.give_up();
        }
        Ok(())
    }
}
