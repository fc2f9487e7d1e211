//! A hand-over that makes no progress: the other process is asked whether it is there, and given
//! up if it does not answer.

use std::io;
use std::time::Instant;

use super::{Giving, SILENCE, STALL, stalled};
use crate::handover::channel::Channel;
use crate::handover::protocol::{self, Message};

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
