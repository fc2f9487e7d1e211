//! What is known of a tunnel at its end: the material of its log line, event and span.

use std::time::Duration;

use super::identity::TunnelIdentity;
use crate::vocabulary::ClosedBy;
use crate::vocabulary::counters::Tally;

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
