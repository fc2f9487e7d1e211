//! Why a tunnel ended.

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
