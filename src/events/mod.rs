//! What happens, for readers that follow it: tunnels that open and end, refused handshakes,
//! reloads, drains, endpoints that fail and come back, workers that stood still.
//!
//! A worker notes what happens in a list of its own (`worker`) and hands
//! that on at its tick; `ring` keeps the last of them, numbers them, and sends them to
//! listeners. While this is switched off, noting something is one relaxed load; tunnels
//! that open are noted only while there is a listener. A close or a refusal costs its worker
//! some ten small allocations, and at most [`CLOSES`] and [`REFUSALS`] of them are noted
//! between two ticks: what exceeds that is only counted.

mod event;
mod ring;
mod worker;

pub use self::event::{
    Close, Closed, Drain, DrainState, Event, HandshakeRefused, Health, HealthState, Lost, Opened,
    Reload, StoodStill, now,
};
pub use self::ring::{
    Entry, LISTENERS, Recent, Subscription, TooMany, is_heard, is_on, publish, recent, subscribe,
    switch_on,
};
pub use self::worker::{CLOSES, REFUSALS, closed, health, opened, refused, stood_still, tick};
