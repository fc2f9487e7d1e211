//! A drain as all workers share it: which tunnels, over what span, with which Close, and how
//! far it has come. The registry of a worker decides when each tunnel's turn is. Only tunnels are
//! drained here.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::{Duration, Instant};

use super::close::CloseOrder;
use crate::config::DrainConfig;
use crate::tunnel_info::TunnelIdentity;
use crate::vocabulary::ClosedBy;

/// Closes tunnels spread over a span, and cuts what is left after it.
#[derive(Debug)]
pub struct DrainOrder {
    /// Unique in the process.
    pub id: u64,
    /// Which tunnels, including those opened later.
    pub select: Selection,
    /// When it began.
    pub started: Instant,
    /// Closes are spread uniformly over this span from `started`. A tunnel that comes to it
    /// later gets a moment in what is left of the span; after it, it is closed at once.
    pub over: Duration,
    /// From `started`, not shorter than `over`: what is left then is cut. A tunnel that
    /// comes to the drain after it has the time-outs of its closing handshake instead.
    pub deadline: Duration,
    /// What each tunnel is closed with.
    pub close: Arc<CloseOrder>,
    /// How far it has come, over all workers.
    pub progress: Progress,
}

/// Which tunnels a drain is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// All of them; takes over those that are in other drains already.
    All,
    /// Those of the route with this name.
    Route(Arc<str>),
    /// Those to one endpoint of an upstream.
    Endpoint {
        /// The upstream's name.
        upstream: Arc<str>,
        /// The endpoint's address, as it is in the tunnels' identity.
        endpoint: Arc<str>,
    },
    /// Only those that a review gave to it, and none that are opened later.
    Chosen,
}

/// How many tunnels a drain has had, and what became of them.
///
/// A tunnel counts once for each drain it was in, however it leaves that drain. `total`
/// grows until every worker has heard of the drain, and with tunnels opened later.
#[derive(Debug, Default)]
pub struct Progress {
    total: AtomicU64,
    closed: AtomicU64,
    cut: AtomicU64,
    spared: AtomicU64,
    moved: AtomicU64,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl DrainOrder {
    /// A drain with the span and deadline that are configured.
    pub fn from_config(config: &DrainConfig, select: Selection, started: Instant) -> Arc<Self> {
        DrainOrder::new(config, select, started, config.over, config.deadline)
    }

    /// A drain over another span. A deadline shorter than `over` shortens that too, so that
    /// every tunnel is sent a Close before it can be cut.
    pub fn new(
        config: &DrainConfig,
        select: Selection,
        started: Instant,
        over: Duration,
        deadline: Duration,
    ) -> Arc<Self> {
        let close = Arc::new(CloseOrder::drain(config, ClosedBy::Drain, None));
        Arc::new(DrainOrder {
            id: NEXT_ID.fetch_add(1, Relaxed),
            select,
            started,
            over: over.min(deadline),
            deadline,
            close,
            progress: Progress::default(),
        })
    }

    /// A drain with the span and deadline that are configured, and another reason.
    pub fn closing_with(
        config: &DrainConfig,
        select: Selection,
        started: Instant,
        close: Arc<CloseOrder>,
    ) -> Arc<Self> {
        Arc::new(DrainOrder {
            id: NEXT_ID.fetch_add(1, Relaxed),
            select,
            started,
            over: config.over.min(config.deadline),
            deadline: config.deadline,
            close,
            progress: Progress::default(),
        })
    }
}

impl Selection {
    /// Whether a tunnel is among those, without being given to it.
    pub fn takes(&self, identity: &TunnelIdentity) -> bool {
        match self {
            Selection::All => true,
            Selection::Route(name) => identity.route() == name,
            Selection::Endpoint { upstream, endpoint } => {
                identity.endpoint() == endpoint && identity.upstream() == upstream
            }
            Selection::Chosen => false,
        }
    }
}

impl Progress {
    /// Tunnels that came to the drain.
    pub fn total(&self) -> u64 {
        self.total.load(Acquire)
    }

    /// Those that have ended, for any reason but the deadline.
    pub fn closed(&self) -> u64 {
        self.closed.load(Acquire)
    }

    /// Those that the deadline cut.
    pub fn cut(&self) -> u64 {
        self.cut.load(Acquire)
    }

    /// Those that live on because the drain was taken back.
    pub fn spared(&self) -> u64 {
        self.spared.load(Acquire)
    }

    /// Those that another drain took over, or another process, which counts them from then
    /// on.
    pub fn moved(&self) -> u64 {
        self.moved.load(Acquire)
    }

    /// Those that are still in the drain.
    pub fn left(&self) -> u64 {
        // Read before `total`, so that this includes what has left.
        let gone = self.closed() + self.cut() + self.spared() + self.moved();
        self.total().saturating_sub(gone)
    }

    pub(super) fn count_claimed(&self) {
        self.total.fetch_add(1, Release);
    }

    pub(super) fn count_closed(&self) {
        self.closed.fetch_add(1, Release);
    }

    pub(super) fn count_cut(&self) {
        self.cut.fetch_add(1, Release);
    }

    pub(super) fn count_spared(&self) {
        self.spared.fetch_add(1, Release);
    }

    pub(super) fn count_moved(&self) {
        self.moved.fetch_add(1, Release);
    }
}
