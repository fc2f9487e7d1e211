//! What is known of a tunnel at its end: the material of its log line. Who writes that
//! line is decided above.

use std::time::Duration;

use super::counters::Tally;
use super::identity::TunnelIdentity;

/// Who or what ended a tunnel: the first side that sent a Close or ended its stream, or
/// sluice and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ClosedBy {
    /// The client.
    Client,
    /// The upstream.
    Upstream,
    /// Silence in both directions for `idle_timeout`.
    Idle,
    /// `max_age`.
    MaxAge,
    /// A side that did not answer our Ping.
    KeepAlive,
    /// A drain.
    Drain,
    /// A reload that removed its route or endpoint, or whose origin rules refuse it.
    Reload,
    /// An operator's command, a drain aside.
    Command,
    /// A rule: invalid framing on a strict route, a deadline for half-close or Close.
    Policy,
    /// sluice itself failed, or its worker stopped.
    Error,
    /// A side that left data unread for `unread_timeout`.
    Unread,
}

impl ClosedBy {
    /// All of them, each at the place of its number.
    pub const ALL: [ClosedBy; 11] = [
        ClosedBy::Client,
        ClosedBy::Upstream,
        ClosedBy::Idle,
        ClosedBy::MaxAge,
        ClosedBy::KeepAlive,
        ClosedBy::Drain,
        ClosedBy::Reload,
        ClosedBy::Command,
        ClosedBy::Policy,
        ClosedBy::Error,
        ClosedBy::Unread,
    ];

    /// The word that stands in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            ClosedBy::Client => "client",
            ClosedBy::Upstream => "upstream",
            ClosedBy::Idle => "idle",
            ClosedBy::MaxAge => "max-age",
            ClosedBy::KeepAlive => "keep-alive",
            ClosedBy::Drain => "drain",
            ClosedBy::Reload => "reload",
            ClosedBy::Command => "command",
            ClosedBy::Policy => "policy",
            ClosedBy::Error => "error",
            ClosedBy::Unread => "unread",
        }
    }
}

/// A Close frame that a peer sent: its code and reason, `None` for an empty one.
pub type PeerClose = Option<(u16, Box<str>)>;

/// The Close frames of a tunnel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Closes {
    /// The client's; the outer `None`: it sent none.
    pub client: Option<PeerClose>,
    /// The upstream's.
    pub upstream: Option<PeerClose>,
    /// The code that sluice sent to the client.
    pub sent_client: Option<u16>,
    /// The code that sluice sent to the upstream.
    pub sent_upstream: Option<u16>,
}

/// The record of a tunnel that has ended.
#[derive(Debug)]
pub struct TunnelReport<'a> {
    /// The tunnel's number, unique in the process.
    pub id: u64,
    /// Whose it was.
    pub identity: &'a TunnelIdentity,
    /// Who ended it.
    pub closed_by: ClosedBy,
    /// More about that: an error, a deadline, a violation.
    pub detail: Option<&'a str>,
    /// The Close frames seen and sent.
    pub closes: &'a Closes,
    /// From the 101 to the end.
    pub duration: Duration,
    /// What came from the client.
    pub from_client: Tally,
    /// What came from the upstream.
    pub from_upstream: Tally,
    /// The last round trip of a Ping to the client.
    pub client_rtt: Option<Duration>,
    /// The last round trip of a Ping to the upstream.
    pub upstream_rtt: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stands_at_the_place_of_its_number() {
        for (place, by) in ClosedBy::ALL.into_iter().enumerate() {
            assert_eq!(by as usize, place, "{by:?}");
        }
    }
}
