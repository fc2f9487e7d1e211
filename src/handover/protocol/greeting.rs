//! How two processes introduce themselves, and which formats they have in common.

use serde::{Deserialize, Serialize};

use crate::net::tls::tickets::TicketKey;
use crate::process::order::DrainRequest;

/// The formats that this version speaks.
pub const FORMATS: Formats = Formats { from: 1, to: 1 };

/// The format in a [`Ready`] of a process that knows none of the other's formats: it is offered
/// nothing.
pub const LISTENERS_ONLY: u16 = 0;

/// A range of formats, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Formats {
    /// The oldest.
    pub from: u16,
    /// The newest.
    pub to: u16,
}

impl Formats {
    /// The newest one in both ranges.
    pub fn common(self, other: Formats) -> Option<u16> {
        let newest = self.to.min(other.to);
        (newest >= self.from.max(other.from)).then_some(newest)
    }
}

/// The old process introduces itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The formats that it speaks.
    pub formats: Formats,
    /// Its process id.
    pub pid: u32,
    /// Its version.
    #[serde(default)]
    pub version: String,
    /// The number that its next tunnel would get.
    #[serde(default)]
    pub next_tunnel_id: u64,
    /// The generation of its configuration.
    #[serde(default)]
    pub generation: u64,
    /// The drains that an operator ordered and has not taken back.
    #[serde(default)]
    pub drains: Vec<DrainRequest>,
    /// It understands [`Message::Begun`](super::Message::Begun), and stays in touch after the
    /// hand-over.
    #[serde(default)]
    pub acknowledges: bool,
    /// The keys of its session tickets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ticket_keys: Vec<TicketKey>,
}

/// The new process can take over. It accepts once it has heard [`Coming`], if it makes room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// Its process id, which is not that of the child if a script started it.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// The format of everything that follows.
    pub format: u16,
    /// It sends [`Message::Begun`](super::Message::Begun), echoes, and stays in touch after the
    /// hand-over.
    #[serde(default)]
    pub acknowledges: bool,
    /// It takes items after [`Message::Done`](super::Message::Done), too.
    #[serde(default)]
    pub takes_late: bool,
    /// It waits a moment for [`Message::Coming`](super::Message::Coming) before it accepts, so that
    /// clients do not take the descriptors that live tunnels need.
    #[serde(default)]
    pub makes_room: bool,
    /// It takes tunnels over TLS.
    #[serde(default)]
    pub takes_tls: bool,
}

/// What the old process will offer, told once it has stopped accepting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coming {
    /// How many descriptors that are, at most.
    pub descriptors: u64,
}

/// The new process gives up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// Why, in one line.
    pub reason: String,
    /// All of it; may be empty.
    #[serde(default)]
    pub details: String,
}
