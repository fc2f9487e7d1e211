//! What a tap sends to its reader.

use std::sync::Arc;
use std::time::SystemTime;

use super::follow::Frame;
use super::subject::Subject;
use super::view::Origin;
use crate::vocabulary::Side;

/// One message of a tap.
#[derive(Debug)]
pub enum TapMessage {
    /// A frame is complete.
    Frame {
        /// When.
        at: SystemTime,
        /// Of which tunnel.
        of: Arc<Subject>,
        /// Who sent it.
        from: Origin,
        /// Whom it is for.
        to: Side,
        /// The frame.
        frame: Frame,
    },
    /// What comes from this side is not framing, and is not shown any more.
    Unframed {
        /// When that was noticed.
        at: SystemTime,
        /// Of which tunnel.
        of: Arc<Subject>,
        /// Who sends it.
        from: Side,
        /// What is wrong.
        why: &'static str,
    },
    /// More passed than the tap may send.
    Lost {
        /// When that was noticed.
        at: SystemTime,
        /// Frames that were left out.
        frames: u64,
        /// Frames that were sent without their payload.
        payloads: u64,
    },
}
