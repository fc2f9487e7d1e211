//! The end of a hand-over: what was not taken goes on in this process.

use super::{Given, Giving, REST};
use crate::handover::channel::Channel;
use crate::handover::protocol::{self, About, Message};
use crate::vocabulary::hand_off::HandOff;

impl Giving {
    /// Lets everything that was not given go on in this process. The other one must have been
    /// killed: it has copies of the descriptors.
    pub async fn take_back(mut self, channel: &mut Channel) -> Given {
        // It has announced what it has begun. The end of the stream is its end.
        let last_words = async {
            while let Ok(Some((message, _))) = protocol::receive(channel).await {
                if let Message::Begun(About { id }) = message {
                    self.has_begun(id);
                }
            }
        };
        let is_dead = tokio::time::timeout(REST, last_words).await.is_ok();
        if !is_dead {
            self.count_gone();
        }
        self.restore_all();
        // What was asked to go is still on its way.
        let rest = async {
            while self.sources.asked() > 0 {
                if let (worker, HandOff::Exported(item)) = self.sources.next().await {
                    self.sources.restore(worker, item);
                }
            }
        };
        if tokio::time::timeout(REST, rest).await.is_err() {
            tracing::warn!("something that was asked to go has not answered");
        }
        self.sources.end().await;
        self.given
    }

    /// The end of a hand-over that went on. `ended`: the other process has closed the stream,
    /// so that it has only what it announced; else it finds the stream closed, and goes on with
    /// all that was offered.
    pub(in crate::handover) async fn part(mut self, ended: bool) -> Given {
        if ended {
            self.restore_all();
        } else {
            self.gone.extend(self.offered.drain());
            self.count_gone();
        }
        self.sources.end().await;
        self.given
    }

    fn count_gone(&mut self) {
        let gone: Vec<u64> = self.gone.keys().copied().collect();
        gone.into_iter().for_each(|id| self.has_begun(id));
    }

    fn restore_all(&mut self) {
        for (_, (worker, item)) in self.gone.drain().chain(self.offered.drain()) {
            self.sources.restore(worker, item);
        }
    }
}
