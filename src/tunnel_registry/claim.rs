//! What a drain means for one tunnel's entry: when its turn is, and how it leaves the drain
//! again. The registry decides which tunnels are in it.

use std::rc::Rc;

use super::close::Cut;
use super::entry::Entry;
use super::local_drain::{LocalDrain, pick};
use super::moment::{Moment, NEVER};

impl Entry {
    /// Puts the tunnel into a drain, unless it is in one that it stays in.
    pub(super) fn claim(&mut self, drain: &Rc<LocalDrain>, now: Moment) {
        let mut turn = pick(now, drain.end);
        if let Some(held) = &self.drain {
            if !drain.takes_over(held) {
                return;
            }
            held.order.progress.count_moved();
            match self.close_at {
                NEVER => turn = NEVER,
                // What has to go is not put off by another reason to go.
                before if drain.is_chosen() => turn = turn.min(before),
                _ => {}
            }
        }
        drain.order.progress.count_claimed();
        self.close_at = turn;
        self.late = now >= drain.deadline;
        self.drain = Some(drain.clone());
    }

    /// Takes the tunnel out of the drain if that has not reached it yet. Returns whether it
    /// was.
    pub(super) fn spare(&mut self, id: u64) -> bool {
        let waits = |drain: &mut Rc<LocalDrain>| drain.order.id == id && self.close_at != NEVER;
        let drain = self.drain.take_if(waits);
        if let Some(drain) = &drain {
            drain.order.progress.count_spared();
        }
        drain.is_some()
    }

    /// The tunnel has ended.
    pub(super) fn ended(self) {
        if let Some(drain) = self.drain {
            let progress = &drain.order.progress;
            match self.handle.cut_reason() {
                Cut::Drain | Cut::Signal | Cut::Upgrade => progress.count_cut(),
                Cut::HalfClose | Cut::Close | Cut::Command => progress.count_closed(),
            }
        }
    }

    /// Closes or cuts the tunnel where its drain says so. Returns whether it was cut.
    pub(super) fn serve_drain(&mut self, now: Moment) -> bool {
        let Some(drain) = &self.drain else {
            return false;
        };
        if now >= drain.deadline && !self.late {
            self.handle.cut(Cut::Drain);
            return true;
        }
        if now >= self.close_at {
            self.close_at = NEVER;
            self.handle.close(drain.order.close.clone());
        }
        false
    }

    /// When the drain must look at the tunnel again.
    pub(super) fn next_turn(&self) -> Moment {
        match &self.drain {
            Some(drain) if !self.late => self.close_at.min(drain.deadline),
            Some(_) => self.close_at,
            None => NEVER,
        }
    }
}
