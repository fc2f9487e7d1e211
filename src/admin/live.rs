//! The live tunnels of all workers, which only give out their handles, and the moment that an
//! answer is about.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Instant, SystemTime};

use http::StatusCode;

use super::answer::Refusal;
use super::state::Context;
use crate::tunnel_registry::{self, TunnelSnapshot};

/// A live tunnel and its worker.
#[derive(Debug, Clone)]
pub(super) struct Live {
    pub(super) worker: usize,
    pub(super) tunnel: TunnelSnapshot,
}

/// The moments that an answer is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) now: Instant,
    pub(super) wall: SystemTime,
    pub(super) started: Instant,
}

impl Moment {
    pub(super) fn now(context: &Context) -> Moment {
        Moment {
            now: Instant::now(),
            wall: SystemTime::now(),
            started: context.shared.state.started,
        }
    }
}

/// The live tunnel of this number.
pub(super) async fn find(context: &Context, id: &str) -> Result<Live, Refusal> {
    let gone = || Refusal::new(StatusCode::NOT_FOUND, format!("there is no tunnel {id}"));
    let number: u64 = id.parse().map_err(|_| gone())?;
    let now = Instant::now();
    let found = by_worker(context, move || {
        tunnel_registry::find(number, now).into_iter().collect()
    });
    found.await.pop().ok_or_else(gone)
}

/// Every live tunnel.
pub(super) async fn all(context: &Context) -> Vec<Live> {
    let now = Instant::now();
    by_worker(context, move || tunnel_registry::snapshots(now)).await
}

async fn by_worker(
    context: &Context,
    ask: impl Fn() -> Vec<TunnelSnapshot> + Copy + Send + 'static,
) -> Vec<Live> {
    let next = AtomicUsize::new(0);
    let answers = context.workers.ask(|| {
        let index = next.fetch_add(1, Relaxed);
        move || (index, ask())
    });
    let answers = answers.await.into_iter().flat_map(|(worker, tunnels)| {
        let live = move |tunnel| Live { worker, tunnel };
        tunnels.into_iter().map(live)
    });
    answers.collect()
}
