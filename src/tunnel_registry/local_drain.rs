//! A drain as one worker's clock sees it.

use std::sync::Arc;

use super::drain::{DrainOrder, Selection};
use super::moment::{Moment, NEVER};

/// A drain under way on this thread.
#[derive(Debug)]
pub(super) struct LocalDrain {
    pub(super) order: Arc<DrainOrder>,
    /// The end of its span.
    pub(super) end: Moment,
    /// When what is left is cut.
    pub(super) deadline: Moment,
}

impl LocalDrain {
    pub(super) fn is_for_all(&self) -> bool {
        self.order.select == Selection::All
    }

    /// Whether a review put its tunnels into it.
    pub(super) fn is_chosen(&self) -> bool {
        self.order.select == Selection::Chosen
    }

    /// Whether a tunnel that is in another drain comes to this one. What a review says of a
    /// tunnel outlasts a drain of its route or endpoint, which may be taken back.
    pub(super) fn takes_over(&self, held: &LocalDrain) -> bool {
        let chosen = self.is_chosen() && !held.is_chosen() && !held.is_for_all();
        held.order.id != self.order.id && (self.is_for_all() || chosen)
    }
}

/// A moment for one tunnel, uniform over what is left of a span.
pub(crate) fn pick(now: Moment, end: Moment) -> Moment {
    // `NEVER` would say that the tunnel was reached.
    let last = NEVER - 1;
    let now = now.min(last);
    fastrand::u32(now..=end.clamp(now, last))
}
