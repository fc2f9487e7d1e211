//! Staying in touch with the process that this one has taken over from, until it ends: what is
//! left there, what it hands over late, and what it is told.

use crate::handover::adopt::Adopter;
use crate::handover::taken::{Finishing, Meaning};
use crate::process::order::Remaining;

/// Stays in touch with it until it ends.
pub(super) async fn follow(adopter: Adopter, mut old: Finishing, left: Remaining) {
    let known = adopter.shared().state.predecessor();
    let pid = left.pid;
    let mut orders = known.begin(left);
    loop {
        let heard = tokio::select! {
            heard = old.hear() => heard,
            Some(order) = orders.recv() => {
                old.tell(order).await;
                continue;
            }
        };
        match old.handle(&adopter, heard).await {
            Meaning::Left(left) => known.note(left),
            Meaning::Nothing => {}
            Meaning::Ended => break,
        }
    }
    known.forget();
    tracing::info!(pid, "the process that this one took over from has ended");
}
