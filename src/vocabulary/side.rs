//! The two ends of a tunnel.

use serde::{Deserialize, Serialize};

/// One end of a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Side {
    /// Who opened the connection to us; its frames are masked.
    Client = 0,
    /// Whom we connected to; its frames are not masked.
    Upstream = 1,
}

impl Side {
    /// The opposite end.
    pub fn other(self) -> Side {
        match self {
            Side::Client => Side::Upstream,
            Side::Upstream => Side::Client,
        }
    }
}
