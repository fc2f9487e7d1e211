//! How far a tunnel is on its way to its end, which decides what limits it.

/// How far a tunnel is on its way to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Both directions flow.
    Open = 0,
    /// One direction has ended; bounded by `half_close_timeout`.
    Half = 1,
    /// Our Close waits for a frame boundary; bounded by `half_close_timeout`.
    Boundary = 2,
    /// The closing handshake is under way; bounded by `close_timeout`.
    Closing = 3,
    /// It is complete with both peers; the upstream has a moment to end its stream first.
    Closed = 4,
}

impl Phase {
    pub(super) fn from_bits(bits: u8) -> Phase {
        match bits {
            0 => Phase::Open,
            1 => Phase::Half,
            2 => Phase::Boundary,
            3 => Phase::Closing,
            _ => Phase::Closed,
        }
    }
}
