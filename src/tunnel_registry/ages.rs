//! The clocks of one tunnel as they travel: in a registry they are moments, on the way to
//! another one they are distances from now, in tenths of a second.

use serde::{Deserialize, Serialize};

/// All clocks of a tunnel.
#[derive(Debug)]
pub struct Ages {
    /// Those of the tunnel as a whole.
    pub clock: ClockState,
    /// Those of the client and of the upstream.
    pub pulses: [PulseState; 2],
}

/// What is due for the tunnel as a whole, each in tenths of a second from now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockState {
    /// The end of its life.
    #[serde(default)]
    pub max_age: Option<u32>,
    /// TCP keep-alive; none once it is on.
    #[serde(default)]
    pub keep_alive: Option<u32>,
    /// The half-close deadline.
    #[serde(default)]
    pub half_close: Option<u32>,
}

/// What the clock knows of a side; times in tenths of a second before now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PulseState {
    /// When bytes were last seen to have come.
    pub heard: u32,
    /// The same without answers to our Pings.
    pub active: u32,
    /// When our unanswered Ping was written.
    #[serde(default)]
    pub pinged: Option<u32>,
    /// The count of our Pings when last looked at.
    pub pings: u8,
    /// A Ping was asked for and is not written yet.
    pub asked: bool,
}
