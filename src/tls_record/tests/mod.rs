//! The record layer against rustls, against known answers, and against what a peer may not do.

mod forbidden;
mod known;
mod limits;
mod rustls;
mod split;
mod stage;
mod state;

pub(super) use self::stage::pair;
