//! The live tunnels of each worker, and what others may ask of them. `handle` is what others
//! see of one tunnel; `worker` has those of this thread and serves their deadlines, each
//! through its `entry`; `drain` is an order to close many of them, and `claim` what that means
//! for one. `activity` knows which have moved something of late, so that nothing visits those
//! that have not, and `due` when each must be looked at. `observe` says which tunnels there are,
//! `hand_off` carries their clocks to another process and back.
//!
//! It decides when something is due. How it is carried out is the tunnel's own matter, which
//! knows this room; this room knows no sockets and no bytes.

mod activity;
mod ages;
mod claim;
pub mod close;
pub mod command;
pub mod drain;
mod due;
mod entry;
pub mod hand_off;
pub mod handle;
mod local_drain;
mod moment;
pub mod number;
pub mod observe;
pub mod phase;
mod worker;

pub use self::activity::{AT_ONCE, note};
pub use self::ages::{Ages, ClockState, PulseState};
pub use self::close::{CloseOrder, Cut};
pub use self::drain::{DrainOrder, Selection};
pub use self::handle::TunnelHandle;
pub use self::number::{next_id, reserve_ids};
pub use self::observe::{TunnelSnapshot, find, snapshots};
pub use self::phase::Phase;
pub use self::worker::{
    FINE_TICK, Review, TICK, add, apply, count, cut_all, drain, forgive, handles, is_draining,
    remove, review, settle, tick, touch, undrain, undrain_and_review,
};

#[cfg(test)]
pub(crate) use self::entry::visits;
#[cfg(test)]
pub(crate) use self::local_drain::pick;
