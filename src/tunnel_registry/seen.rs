//! When something last came from a tunnel's peers, for those who ask: by comparing byte
//! counters whenever they do, apart from what the time-outs use.

use super::handle::TunnelHandle;

/// What was seen of one tunnel. Eight bytes, beside the entries, so that it costs thousands
/// of idle ones little.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    /// Bytes from both sides without answers to our Pings, modulo 2^32.
    bytes: u32,
    /// When they were first seen to be so many, in tenths of a second of the registry's age.
    pub(super) at: u32,
}

impl Seen {
    pub(super) fn new(handle: &TunnelHandle, at: u32) -> Seen {
        let bytes = handle.heard_bytes();
        Seen { bytes, at }
    }

    pub(super) fn look(&mut self, handle: &TunnelHandle, now: u32) {
        let bytes = handle.heard_bytes();
        if bytes != self.bytes {
            *self = Seen { bytes, at: now };
        }
    }
}
