//! A look at the frames of tunnels, for debugging: the reader of a tap is sent each frame that
//! passes, and tunnels never wait for that.
//!
//! A `subscription` is how a tap is asked for; it ends in a `queue` of `message`s, bounded by a
//! `budget`. `worker` has what a worker's thread knows of the taps and is called by its tunnels,
//! which it knows by number: `subject` has what they say of themselves. `follow` follows one
//! direction of a tunnel, without I/O. `view` is what a tap sends, in JSON. Without a tap, a
//! tunnel looks at one byte of its own for each piece of its stream.

mod budget;
mod follow;
mod message;
mod queue;
mod subject;
mod subscription;
mod view;
mod worker;

#[cfg(test)]
mod tests;

pub use self::budget::{BYTES, FRAMES};
pub use self::follow::{Follower, Frame, Position, Sink};
pub use self::message::TapMessage;
pub use self::subject::{Candidate, Subject};
pub use self::subscription::{MOST, Subscription, TooMany, Wanted, count, open};
pub use self::view::{CloseView, FrameView, LostView, OfView, Origin, UnframedView};
#[cfg(test)]
pub use self::worker::followed;
pub use self::worker::{Tap, ended, join, opened, passed, sent, skipped, tick, withheld};
