//! How a tap is asked for: which tunnels, what of them, and the queue of bounded size into
//! which workers put what there is room for.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::sync::mpsc;

use super::message::TapMessage;
use super::subject::Candidate;

/// Taps at once.
pub const MOST: usize = 4;

/// Messages that may wait for a reader, and the bytes of payload in them at most.
const WAITING: usize = 1024;
const WAITING_BYTES: usize = 8 << 20;

static OPEN: AtomicUsize = AtomicUsize::new(0);

/// Which tunnels, and what of them.
pub struct Wanted {
    /// Says whether a tunnel is meant.
    pub select: Box<dyn Fn(&Candidate<'_>) -> bool + Send + Sync>,
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

/// A tap, as each worker has it. It lasts as long as its reader holds the other end of its
/// queue.
#[derive(Debug, Clone)]
pub struct Subscription {
    pub(super) wanted: Arc<Wanted>,
    pub(super) sender: mpsc::Sender<TapMessage>,
    _place: Arc<Place>,
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

/// Makes a tap that no worker knows of yet: that is up to [`Tap::begin`](super::Tap::begin).
///
/// # Errors
/// When there are [`MOST`] of them.
pub fn open(wanted: Wanted) -> Result<(Subscription, mpsc::Receiver<TapMessage>), TooMany> {
    if OPEN.fetch_add(1, Relaxed) >= MOST {
        OPEN.fetch_sub(1, Relaxed);
        return Err(TooMany);
    }
    let place = Arc::new(Place);
    let most = WAITING_BYTES / wanted.payload.unwrap_or(0).max(1);
    let (sender, messages) = mpsc::channel(most.clamp(1, WAITING));
    let subscription = Subscription {
        wanted: Arc::new(wanted),
        sender,
        _place: place,
    };
    Ok((subscription, messages))
}

/// How many taps there are: one counts until every worker has let go of it.
pub fn count() -> usize {
    OPEN.load(Relaxed)
}
