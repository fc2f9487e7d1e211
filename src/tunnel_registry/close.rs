//! What ends a tunnel from outside: an order to close it, with what its peers are sent, and a
//! cut, which sends them nothing.

use crate::config::DrainConfig;
use crate::vocabulary::ClosedBy;

/// Stands in a close reason for the seconds after which to come back.
const RETRY_AFTER: &str = "{retry_after}";

/// Why and with what a tunnel is to be closed by sluice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseOrder {
    /// The reason for the log.
    pub by: ClosedBy,
    /// More about it for the log.
    pub detail: Option<&'static str>,
    /// The close code for the client.
    pub client_code: u16,
    /// The close code for the upstream.
    pub upstream_code: u16,
    /// The close reason for both, at most 123 bytes of it are sent.
    pub reason: Box<str>,
}

impl CloseOrder {
    /// With the codes and the reason of the drain's configuration.
    pub fn drain(config: &DrainConfig, by: ClosedBy, detail: Option<&'static str>) -> Self {
        let after = config.retry_after;
        let seconds = after
            .as_secs()
            .saturating_add(u64::from(after.subsec_nanos() > 0));
        let reason = config.reason.replace(RETRY_AFTER, &seconds.to_string());
        CloseOrder {
            by,
            detail,
            client_code: config.client_code,
            upstream_code: config.upstream_code,
            reason: reason.into(),
        }
    }
}

/// Why a tunnel is ended at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Cut {
    /// One direction had ended and the other did not within `half_close_timeout`.
    HalfClose = 1,
    /// The closing handshake did not end in time.
    Close = 2,
    /// The drain's deadline came.
    Drain = 3,
    /// An operator's command.
    Command = 4,
    /// A signal that came while everything was drained already.
    Signal = 5,
    /// The deadline of a process that was replaced came.
    Upgrade = 6,
}

impl Cut {
    /// What the log says about it.
    pub fn detail(self) -> &'static str {
        match self {
            Cut::HalfClose => "half-close deadline",
            Cut::Close => "close deadline",
            Cut::Drain => "drain deadline",
            Cut::Command => "cut by command",
            Cut::Signal => "stopped by a signal",
            Cut::Upgrade => "upgrade deadline",
        }
    }

    /// What the tunnel counts as closed by.
    pub fn by(self) -> ClosedBy {
        match self {
            Cut::Drain | Cut::Signal | Cut::Upgrade => ClosedBy::Drain,
            Cut::Command => ClosedBy::Command,
            Cut::HalfClose | Cut::Close => ClosedBy::Policy,
        }
    }
}
