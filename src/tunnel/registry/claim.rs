//! A drain as one worker's clock sees it, and what it means for one tunnel's entry: when its
//! turn is, and how it leaves the drain again. Which tunnels are in it, the registry decides.

use std::rc::Rc;
use std::sync::Arc;

use super::super::drain::{DrainOrder, Selection};
use super::super::handle::Cut;
use super::entry::Entry;
use super::{Moment, NEVER};

/// A drain under way on this thread.
#[derive(Debug)]
pub(super) struct Drain {
    pub(super) order: Arc<DrainOrder>,
    /// The end of its span.
    pub(super) end: Moment,
    /// When what is left is cut.
    pub(super) deadline: Moment,
}

impl Drain {
    pub(super) fn is_for_all(&self) -> bool {
        self.order.select == Selection::All
    }

    /// Whether a review put its tunnels into it.
    pub(super) fn is_chosen(&self) -> bool {
        self.order.select == Selection::Chosen
    }

    /// Whether a tunnel that is in another drain comes to this one. What a review says of a
    /// tunnel outlasts a drain of its route or endpoint, which may be taken back.
    fn takes_over(&self, held: &Drain) -> bool {
        let chosen = self.is_chosen() && !held.is_chosen() && !held.is_for_all();
        held.order.id != self.order.id && (self.is_for_all() || chosen)
    }
}

/// A moment for one tunnel, uniform over what is left of a span.
pub(in crate::tunnel) fn pick(now: Moment, end: Moment) -> Moment {
    // `NEVER` would say that the tunnel was reached.
    let last = NEVER - 1;
    let now = now.min(last);
    fastrand::u32(now..=end.clamp(now, last))
}

impl Entry {
    /// Puts the tunnel into a drain, unless it is in one that it stays in.
    pub(super) fn claim(&mut self, drain: &Rc<Drain>, now: Moment) {
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
    /// has been spared so.
    pub(super) fn spare(&mut self, id: u64) -> bool {
        let waits = |drain: &mut Rc<Drain>| drain.order.id == id && self.close_at != NEVER;
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
                Cut::Drain => progress.count_cut(),
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
