//! How a tap is asked for, and the way by which it is told: a queue of bounded size, into
//! which workers put what there is room for.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::SystemTime;

use tokio::sync::mpsc;

use super::follow::Frame;
use super::view::Origin;
use crate::tunnel::registry::TunnelSnapshot;
use crate::tunnel::{Side, TunnelHandle};

/// Taps at once.
pub const MOST: usize = 4;

/// What may wait for a reader, and the bytes of payload in it at most.
const WAITING: usize = 1024;
const WAITING_BYTES: usize = 8 << 20;

static OPEN: AtomicUsize = AtomicUsize::new(0);

/// Which tunnels, and what of them.
pub struct Wanted {
    /// Says whether a tunnel is meant.
    pub select: Box<dyn Fn(&TunnelSnapshot) -> bool + Send + Sync>,
    /// Bytes of each payload to show; `None`: of Closes only.
    pub payload: Option<usize>,
}

impl fmt::Debug for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wanted")
            .field("payload", &self.payload)
            .finish_non_exhaustive()
    }
}

/// A tap, as each worker has it. It lasts as long as somebody has the other end of its
/// queue.
#[derive(Debug, Clone)]
pub struct Order {
    pub(super) wanted: Arc<Wanted>,
    pub(super) queue: mpsc::Sender<Told>,
    _place: Arc<Place>,
}

/// What a tap tells.
#[derive(Debug)]
pub enum Told {
    /// A frame is complete.
    Frame {
        /// When.
        at: SystemTime,
        /// Of which tunnel.
        of: Arc<TunnelHandle>,
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
        of: Arc<TunnelHandle>,
        /// Who sends it.
        from: Side,
        /// What is wrong.
        why: &'static str,
    },
    /// Some of it was more than may be told.
    Lost {
        /// When that was noticed.
        at: SystemTime,
        /// Frames that are not told.
        frames: u64,
        /// Frames whose payload is not.
        payloads: u64,
    },
}

/// As many taps are open as may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany;

#[derive(Debug)]
struct Place;

impl Drop for Place {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Relaxed);
    }
}

/// Makes a tap that no worker knows of yet: that is up to [`begin`](super::begin).
///
/// # Errors
/// When there are [`MOST`] of them.
pub fn open(wanted: Wanted) -> Result<(Order, mpsc::Receiver<Told>), TooMany> {
    if OPEN.fetch_add(1, Relaxed) >= MOST {
        OPEN.fetch_sub(1, Relaxed);
        return Err(TooMany);
    }
    let place = Arc::new(Place);
    let most = WAITING_BYTES / wanted.payload.unwrap_or(0).max(1);
    let (queue, told) = mpsc::channel(most.clamp(1, WAITING));
    let order = Order {
        wanted: Arc::new(wanted),
        queue,
        _place: place,
    };
    Ok((order, told))
}

/// How many taps there are: one counts until every worker has let go of it.
pub fn count() -> usize {
    OPEN.load(Relaxed)
}
