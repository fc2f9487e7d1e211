//! A look at the frames of tunnels, for debugging: whoever taps is told of each frame that
//! passes, and tunnels never wait for that.
//!
//! `follow` follows one direction of a tunnel, without I/O; `worker` has what a worker's
//! thread knows of the taps and is called by its tunnels; `budget` bounds what they are
//! told; `order` is how a tap is asked for, and `view` what it tells, in JSON. While nobody
//! taps, a tunnel looks at one byte of its own for each piece of its stream.

mod budget;
mod follow;
mod order;
mod view;
mod worker;

pub use self::budget::{BYTES, FRAMES};
pub use self::follow::{Follower, Frame, Position, Sink};
pub use self::order::{MOST, Order, Told, TooMany, Wanted, count, open};
pub use self::view::{CloseView, FrameView, LostView, OfView, Origin, UnframedView};
#[cfg(test)]
pub use self::worker::followed;
pub use self::worker::{begin, ended, join, opened, passed, sent, skipped, tick, withheld};
